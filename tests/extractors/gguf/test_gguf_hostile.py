"""GGUF files made to confuse: each is refused with one line that says what is wrong."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

import pytest
from tiny_gguf import ARRAY, F32, STRING, U8, U16, U32, entry, gguf_bytes, header, info, string

from extractors.gguf import GgufExtractor
from trimcache.errors import FormatError
from trimcache.testing import RangeOnlyPart, check_message


def _raw_entry(key: str, value_type: int, rest: bytes) -> bytes:
    return string(key) + struct.pack("<I", value_type) + rest


def _metadata(*entries: bytes) -> bytes:
    return header(0, len(entries)) + b"".join(entries)


def _infos(*infos: bytes, data: int = 256) -> bytes:
    raw = header(len(infos), 0) + b"".join(infos)
    return raw + bytes(-len(raw) % 32 + data)


def _arrays(depth: int) -> bytes:
    return struct.pack("<IQ", ARRAY, 1) * (depth - 1) + struct.pack("<IQ", U8, 0)


HOSTILE: dict[str, tuple[bytes | Callable[[], bytes], str]] = {
    "nothing": (b"", "truncated"),
    "three bytes": (b"GGU", "truncated"),
    "another format": (b"PK\x03\x04" + bytes(60), "does not start with GGUF"),
    "before GGUF": (b"tjgg" + bytes(60), "convert it to GGUF"),
    "no version": (b"GGUF", "truncated"),
    "version 1": (header(0, 0, 1), "version 1"),
    "version 1, big-endian": (header(0, 0, 1, ">"), "version 1"),
    "version 0": (header(0, 0, 0), "version 0, 2 and 3 are known"),
    "version 4": (header(0, 0, 4), "version 4"),
    "no counts": (header(0, 0)[:12], "truncated"),
    "2**63 tensors": (header(1 << 63, 0), "claims to hold 9223372036854775808 tensors"),
    "2**63 entries": (header(0, 1 << 63), "claims to hold 9223372036854775808 metadata entries"),
    "more tensors than bytes": (header(1000, 0) + bytes(100), "1000 tensors"),
    "more entries than bytes": (header(0, 1000) + bytes(100), "1000 metadata entries"),
    "more tensors than any file": (lambda: header(200_000, 0) + bytes(24 * 200_000), "200000 tensors"),
    "key of 2**63 bytes": (header(0, 1) + struct.pack("<QI", 1 << 63, 0) + b"k", "metadata key claims to be 9223372036854775808"),
    "key is not UTF-8": (_metadata(entry(b"\xff", U8, 1)), "metadata key is not UTF-8"),
    "key twice": (_metadata(entry("k", U8, 1), entry("k", U8, 1)), "'k' twice"),
    "unknown value type": (_metadata(_raw_entry("k", 13, bytes(8))), "unknown value type 13"),
    "string beyond the file": (_metadata(_raw_entry("k", STRING, struct.pack("<Q", 100) + b"x")), "truncated"),
    "string of 2**64 - 1 bytes": (_metadata(_raw_entry("k", STRING, struct.pack("<Q", 2**64 - 1))), "truncated"),
    "array of 2**63 bytes": (_metadata(_raw_entry("k", ARRAY, struct.pack("<IQ", U8, 1 << 63))), "truncated"),
    "array of 2**64 - 1 floats": (_metadata(_raw_entry("k", ARRAY, struct.pack("<IQ", F32, 2**64 - 1))), "truncated"),
    "array of 2**63 strings": (_metadata(_raw_entry("k", ARRAY, struct.pack("<IQ", STRING, 1 << 63))), "claims to hold"),
    "string in an array beyond the file": (_metadata(_raw_entry("k", ARRAY, struct.pack("<IQQ", STRING, 1, 99))), "truncated"),
    "string of 2**64 - 1 bytes in an array": (
        _metadata(_raw_entry("k", ARRAY, struct.pack("<IQQQ", STRING, 2, 2**64 - 1, 0))),
        "truncated",
    ),
    "array of 2**62 arrays": (_metadata(_raw_entry("k", ARRAY, struct.pack("<IQ", ARRAY, 1 << 62))), "claims to hold"),
    "array of unknown items": (_metadata(_raw_entry("k", ARRAY, struct.pack("<IQ", 99, 1)) + bytes(8)), "unknown value type 99"),
    "arrays 17 deep": (_metadata(_raw_entry("k", ARRAY, _arrays(17))), "nests arrays more than 16 deep"),
    "arrays 100,000 deep": (_metadata(_raw_entry("k", ARRAY, _arrays(100_000))), "nests arrays"),
    "alignment 0": (_metadata(entry("general.alignment", U32, 0)), "not a power of two"),
    "alignment 24": (_metadata(entry("general.alignment", U32, 24)), "not a power of two"),
    "alignment in 16 bits": (_metadata(entry("general.alignment", U16, 32)), "not a power of two in 32 bits"),
    "alignment is text": (_metadata(entry("general.alignment", STRING, "32")), "not a power of two"),
    "name is not UTF-8": (_infos(info(b"\xff\xfe", 0, (1,), 0)), "tensor name is not UTF-8"),
    "name of 2**40 bytes": (_infos(struct.pack("<Q", 1 << 40) + bytes(20)), "tensor name claims to be"),
    "name twice": (_infos(info("a", 0, (1,), 0), info("a", 0, (1,), 32)), "tensor 'a' twice"),
    "2**32 - 1 dimensions": (_infos(string("a") + struct.pack("<I", 2**32 - 1) + bytes(20)), "4294967295 dimensions"),
    "dimension of 2**64 - 1": (_infos(info("a", 0, (2**64 - 1,), 0)), "beyond 63 bits"),
    "huge product": (_infos(info("a", 0, (2**62,) * 32, 0)), "truncated"),
    "product that wraps to 4 bytes": (_infos(info("a", 0, (2**32, 2**32, 1), 0)), "truncated"),
    "unknown element type": (_infos(info("a", 77, (32,), 0)), "unknown element type 77"),
    "removed element type": (_infos(info("a", 31, (32,), 0)), r"31 \(Q4_0_4_4, removed from ggml\)"),
    "half a block": (_infos(info("a", 2, (48,), 0)), "rows of 48 elements, gguf.q4_0 needs multiples of 32"),
    "a block across rows": (_infos(info("a", 2, (16, 2), 0)), "rows of 16 elements"),
    "a quantized scalar": (_infos(info("a", 2, (), 0)), "rows of 1 elements"),
    "not aligned": (_infos(info("a", 0, (1,), 4)), "not aligned to 32"),
    "out of the file": (_infos(info("a", 0, (64,), 32)), "truncated: tensor 'a'"),
    "offset 2**63": (_infos(info("a", 0, (1,), 1 << 63)), "truncated: tensor 'a'"),
    "empty at 2**63": (_infos(info("a", 0, (0,), 1 << 63)), "truncated: tensor 'a'"),
    "overlap": (_infos(info("a", 0, (9,), 0), info("b", 0, (1,), 32)), "tensors overlap at byte"),
    "same range twice": (_infos(info("a", 0, (1,), 0), info("b", 0, (1,), 0)), "tensors overlap"),
    "header is cut in a name": (_infos(info("abcdef", 0, (1,), 0))[:34], "truncated|claims to hold"),
    "quantized and big-endian": (gguf_bytes({"a": (2, (32,), bytes(18))}, order=">"), "is big-endian, and its tensor 'a' is quantized"),
    "split 3 of 3": (gguf_bytes({}, {"split.no": (U16, 3), "split.count": (U16, 3)}), r"piece 3 \(from 0\) of 3"),
    "split of text": (gguf_bytes({}, {"split.no": (STRING, "x" * 900), "split.count": (U16, 3)}), "says that it is piece xxx"),
    "split without count": (gguf_bytes({}, {"split.no": (U16, 1)}), r"piece 1 \(from 0\) of 1"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_is_refused(name: str) -> None:
    data, match = HOSTILE[name]
    part = RangeOnlyPart({"bad.gguf": data() if callable(data) else data})
    with part.open("bad.gguf") as source, pytest.raises(FormatError, match=match) as caught:
        GgufExtractor().extract(source, part)
    check_message(caught.value, part)
    assert part.refused == []


def test_a_piece_that_was_renamed() -> None:
    raw = gguf_bytes({}, {"split.no": (U16, 0), "split.count": (U16, 3)})
    part = RangeOnlyPart({"m-00002-of-00003.gguf": raw})
    with part.open("m-00002-of-00003.gguf") as source, pytest.raises(FormatError, match=r"\(1 of 3\)") as caught:
        GgufExtractor().extract(source, part)
    check_message(caught.value, part)


def test_empty_arrays_by_the_hundred_thousand_take_no_time() -> None:
    raw = _metadata(_raw_entry("k", ARRAY, struct.pack("<IQ", ARRAY, 300_000) + struct.pack("<IQ", U8, 0) * 300_000))
    part = RangeOnlyPart({"m.gguf": raw})
    started = time.process_time()
    with part.open("m.gguf") as source:
        assert GgufExtractor().extract(source, part).tensors == ()
    assert time.process_time() - started < 5
