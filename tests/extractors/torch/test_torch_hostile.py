"""torch files made to harm: nothing in them runs, and each is refused with one line or read as the harmless part of it."""

from __future__ import annotations

import io
import os
import pickle
import re
import struct
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tiny_torch import archive, checkpoint, number, old_format, pickled, storage, table, tensor, text
from torch_truth import OLD_FORMAT, contents, extract, saved

from extractors.torch import TorchExtractor
from trimcache.errors import FormatError, NoWeightsError, TrimcacheError
from trimcache.testing import RangeOnlyPart, check_message

_WEIGHT = ("float32", (4,), bytes(range(16)))


def _refused(data: bytes, match: str) -> None:
    part = RangeOnlyPart({"bad.pt": data})
    with part.open("bad.pt") as source, pytest.raises(FormatError, match=match) as caught:
        TorchExtractor().extract(source, part)
    check_message(caught.value, part)
    assert len(str(caught.value)) < 400


# Code.


class _Runs:
    """Runs a command when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self._canary}",)


def _code(canary: Path) -> dict[str, bytes]:
    path = str(canary).encode()
    touch = b"S'touch " + path + b"'\n"
    opened = b"open('" + path + b"','w')"
    return {
        "os.system": b"cos\nsystem\n(" + touch + b"tR",
        "posix.system": b"cposix\nsystem\n(" + touch + b"tR",
        "eval": b"cbuiltins\neval\n(" + text(opened.decode()) + b"tR",
        "exec by stack": text("builtins") + text("exec") + b"\x93(" + text(opened.decode()) + b"tR",
        "instance": b"(" + touch + b"ios\nsystem\n",
        "object": b"(cos\nsystem\n" + touch + b"o",
        "new object": b"cos\nsystem\n(" + touch + b"t\x81",
        "getattr chain": b"cbuiltins\ngetattr\n(cos\n__dict__\n" + text("system") + b"tR(" + touch + b"tR",
        "apply of an apply": b"cfunctools\npartial\n(cos\nsystem\n" + touch + b"tR)R",
        "through a rebuild": b"ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nN(" + touch + b"t}tR",
        "as a persistent id": b"cos\nsystem\n(" + touch + b"tR0N",
        "set state": b"cos\nsystem\n)\x81}" + text("__setstate__") + b"cos\nsystem\nsb",
        "dotted name": text("os") + text("path.os.system") + b"\x93(" + touch + b"tR",
        "import": b"cbuiltins\n__import__\n(" + text("antigravity") + b"tR",
        "loads of loads": b"ctorch.storage\n_load_from_bytes\n(" + b"C\x0ccos\nsystem\n." + b"tR",
    }


@pytest.mark.parametrize("name", _code(Path("x")))
def test_code_in_a_pickle_does_not_run(name: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    body = _code(canary)[name]
    assert contents(checkpoint(body))["weight"] == _WEIGHT
    with_code = old_format(table(weight=tensor(), other=body), {"0": bytes(range(16))})
    assert contents(with_code)["weight"] == _WEIGHT
    assert not canary.exists()


@pytest.mark.parametrize("options", [{}, OLD_FORMAT, {"pickle_protocol": 5}], ids=["zip", "old", "protocol 5"])
def test_a_reduce_of_python_does_not_run(options: dict[str, Any], tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    with pytest.raises(NoWeightsError):
        extract(saved({"a": _Runs(canary), "b": [_Runs(canary)]}, **options))
    assert not canary.exists()
    pickle.loads(pickle.dumps(_Runs(canary)))
    assert canary.exists(), "the canary does not sing"


# Pickles that claim more than they hold.

_HUGE = {
    "text": b"X\xff\xff\xff\xff",
    "long text": b"\x8d" + b"\xff" * 8,
    "bytes": b"B\xff\xff\xff\x7f",
    "long bytes": b"\x8e" + struct.pack("<Q", 1 << 40),
    "byte array": b"\x96" + struct.pack("<Q", 1 << 62),
    "number": b"\x8b\xff\xff\xff\x7f" + bytes(64),
    "frame": b"\x95" + struct.pack("<Q", 1 << 62),
    "digits": b"I" + b"9" * 5000 + b"\n",
    "line": b"c" + b"n" * 100_000,
    "memo": b"r\xff\xff\xff\x7fj\xff\xff\xff\x7e",
    "negative memo": b"Np-1\n",
    "unknown memo": b"hc",
    "protocol": b"\x80\x09",
    "unknown opcode": b"\xff",
    "empty stack": b"0000000000",
    "no mark": b"tt",
    "out of band": b"\x97",
    "text that is none": b"X\2\0\0\0\xff\xfe",
    "key without value": b"}(K\1u",
    "append to a number": b"K\1K\2a",
    "items of a number": b"K\1K\2K\3s",
    "persistent number": b"K\1Q",
    "persistent text": b"P0\n",
    "persistent other": b"(X\6\0\0\0cookieK\1tQ",
}


@pytest.mark.parametrize("name", _HUGE)
def test_a_pickle_that_lies_is_refused(name: str) -> None:
    _refused(archive(pickled(b"(" + _HUGE[name])), "pickle")
    _refused(old_format(b"(" + _HUGE[name], {}), "pickle")


_TENSORS = {
    "beyond its storage": (tensor(shape=(5,)), "needs bytes 0 to 20 of a storage of 16"),
    "offset beyond": (tensor(first=1), "needs bytes 4 to 20"),
    "stride beyond": (tensor(shape=(2,), stride=(4,)), "needs bytes"),
    "negative offset": (tensor(first=-1), "impossible offset"),
    "negative size": (tensor(shape=(-4,)), "impossible shape"),
    "negative stride": (tensor(stride=(-1,)), "impossible stride"),
    "huge offset": (tensor(first=2**62), "needs bytes"),
    "huge product": (tensor(shape=(2**62,) * 4, stride=(0,) * 4), "more elements than any file"),
    "huge broadcast": (tensor(shape=(2**40,), stride=(0,)), "16 times the bytes"),
    "ranks differ": (tensor(shape=(2, 2), stride=(1,)), "proper shape"),
    "too many dimensions": (tensor(shape=(1,) * 65, stride=(1,) * 65), "proper shape"),
    "storage is missing": (tensor(storage("7")), "does not hold"),
    "storage is longer than its entry": (tensor(storage("0", 5)), "holds 16 bytes where its pickle says 20"),
    "storage of two sizes": (b"(" + tensor() + tensor(storage("0", 3), shape=(1,)) + b"t", "in two ways"),
    "storage of two types": (b"(" + tensor() + tensor(storage("0", 4, "IntStorage")) + b"t", "in two ways"),
    "storage of no type": (tensor(storage("0", 4, "TeaStorage")), "cannot be"),
    "negative storage": (tensor(storage("0", -4)), "cannot be"),
    "storage key leaves the archive": (tensor(storage("../data.pkl")), "does not hold"),
    "no storage": (tensor(b"N"), "no storage"),
    "unknown dtype": (
        b"ctorch._utils\n_rebuild_tensor_v3\n(" + storage() + number(0) + b"))\x89Nctorch\nfloat3\ntR",
        "unknown dtype 'torch.float3'",
    ),
    "too few arguments": (b"ctorch._utils\n_rebuild_tensor_v2\n(K\1tR", "too few"),
    "arguments that are none": (b"ctorch._utils\n_rebuild_tensor_v2\nNR", "without a tuple"),
}


@pytest.mark.parametrize("name", _TENSORS)
def test_a_tensor_that_cannot_be_is_refused(name: str) -> None:
    body, match = _TENSORS[name]
    _refused(archive(pickled(table(w=body))), match)


def test_views_by_the_thousand_are_refused() -> None:
    big = archive(pickled(b"](" + tensor(storage("0", 1 << 22), shape=(1 << 22,)) + b"e"), {"0": bytes(4 << 22)})
    assert len(extract(big).tensors) == 1
    views = b"".join(tensor(storage("0", 1 << 22), first=n, shape=((1 << 22) - 40,)) for n in range(40))
    _refused(archive(pickled(b"](" + views + b"e"), {"0": bytes(4 << 22)}), "16 times the bytes")


# Nesting.


def test_deep_nesting_is_refused() -> None:
    for opening in (b"]", b"](", b"}K\1", b"(", b"cos\nsystem\n("):
        _refused(archive(pickled(opening * 100_000)), "pickle")
    _refused(archive(pickled(b"]" * 5000 + b"a" * 4999)), "nested too deeply")
    deep = tensor()
    for _ in range(3000):
        deep += b"\x85"
    _refused(archive(pickled(deep)), "nested too deeply")


def test_nested_tuples_as_keys_do_not_overrun_the_stack() -> None:
    key = b"K\1" + b"\x85" * 200_000
    assert contents(checkpoint(b"}" + key + b"K\1s"))["weight"] == _WEIGHT


def test_keys_that_collide_do_not_take_quadratic_time() -> None:
    keys = b"".join(b"\x8a\x0a" + (n * (2**61 - 1)).to_bytes(10, "little") + b"K\1" for n in range(1, 100_000))
    start = time.process_time()
    assert contents(checkpoint(b"}(" + keys + b"u"))["weight"] == _WEIGHT
    assert time.process_time() - start < 5


def test_a_billion_laughs_are_refused() -> None:
    lists = tensor() + b"q\x00" + b"".join(b"](" + b"h\x00" * 10 + b"eq\x00" for _ in range(12))
    start = time.process_time()
    _refused(archive(pickled(lists.replace(b"](", b"0](", 12))), "too often")
    assert time.process_time() - start < 5


def test_a_list_that_holds_itself_is_walked_once() -> None:
    body = b"]q\x00(" + tensor() + b"h\x00e"
    assert [t.name for t in extract(archive(pickled(body))).tensors] == ["0"]


@pytest.mark.slow
def test_a_million_keys_take_bounded_time() -> None:
    keys = [b"(" + b"".join(text(f"key{n}") + b"K\1" for n in range(batch, batch + 1000)) + b"u" for batch in range(0, 1_000_000, 1000)]
    start = time.process_time()
    assert contents(checkpoint(b"}" + b"".join(keys)))["weight"] == _WEIGHT
    assert time.process_time() - start < 15


# Archives.


def _replaced(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def test_a_directory_that_lies_is_refused() -> None:
    good = archive(pickled(table(w=tensor())))
    end, first = good.rfind(b"PK\5\6"), good.find(b"PK\1\2")
    _refused(_replaced(good, end + 8, struct.pack("<HH", 9, 9)), "directory")
    _refused(_replaced(good, end + 16, struct.pack("<L", len(good))), "does not lie before")
    _refused(_replaced(good, end + 16, struct.pack("<L", first + 1)), "directory")
    _refused(_replaced(good, end + 4, struct.pack("<H", 1)), "split")
    _refused(_replaced(good, first + 42, struct.pack("<L", 20)), "overlaps|two ways")
    _refused(_replaced(good, first + 24, struct.pack("<L", 5)), "another size")
    _refused(_replaced(good, first + 20, struct.pack("<LL", 9999, 9999)), "overlaps")
    _refused(_replaced(good, 8, struct.pack("<H", 8)), "two ways")
    _refused(_replaced(good, 30, b"bad"), "two ways")
    _refused(good[: first + 5], "no directory")


def test_zip64_records_that_lie_are_refused() -> None:
    good = archive(pickled(table(w=tensor())))
    end = good.rfind(b"PK\5\6")
    n, nbytes, offset = struct.unpack_from("<HLL", good, end + 10)

    def with_end64(n64: int, nbytes64: int, offset64: int, at: int = end) -> bytes:
        record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, n64, n64, nbytes64, offset64)
        return good[:end] + record + struct.pack("<4sLQL", b"PK\6\7", 0, at, 1) + good[end:]

    assert contents(with_end64(n, nbytes, offset))["w"] == _WEIGHT
    _refused(with_end64(2**60, nbytes, offset), "contradict|claims")
    _refused(with_end64(n, 2**63, offset), "contradict|before")
    _refused(with_end64(n, nbytes, 2**63), "contradict|before")
    _refused(with_end64(n, nbytes, offset, at=2**63), "zip64 locator")
    _refused(with_end64(n, nbytes, offset, at=end - 1), "zip64 locator")
    full = good.find(b"PK\1\2")
    _refused(_replaced(good, full + 42, b"\xff\xff\xff\xff"), "leaves out a size")


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "archive/../x", "archive\\x", "archive/data/0", "other/data.pkl"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_entries_that_leave_the_archive_or_come_twice_are_refused(name: str) -> None:
    _refused(archive(pickled(table(w=tensor())), extra={name: b"x"}), "leaves the archive|there twice|two checkpoints")


def test_a_zip_bomb_costs_nothing() -> None:
    bomb = archive(pickled(b"N" * (300 << 20)), compression=zipfile.ZIP_DEFLATED)
    start = time.process_time()
    _refused(bomb, "longer than")
    assert time.process_time() - start < 1
    at = bomb.find(b"PK\1\2")
    less, more = struct.pack("<L", 200 << 20), struct.pack("<L", 0xFFFFFFF0)
    _refused(_replaced(_replaced(bomb, at + 24, less), 22, less), "piles up too many values")
    _refused(_replaced(bomb, at + 24, more), "claims to unpack")


def test_a_compressed_storage_that_lies_is_refused_when_it_is_read() -> None:
    good = archive(pickled(table(w=tensor())), {"0": bytes(16)}, compression=zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(io.BytesIO(good)) as file:
        info = file.getinfo("archive/data/0")
    body = info.header_offset + 30 + len(info.filename)
    for damaged in (_replaced(good, body, b"\xff" * info.compress_size), _replaced(good, body, b"\x03\0" + bytes(info.compress_size - 2))):
        with RangeOnlyPart({"m.pt": damaged}).open("m.pt") as source:
            [found] = extract(damaged).tensors
            with pytest.raises(FormatError, match=r"compressed bytes|fewer bytes|more bytes"):
                found.whole(source)


def test_an_encrypted_entry_is_refused() -> None:
    good = archive(pickled(table(w=tensor())))
    _refused(_replaced(good, good.find(b"PK\1\2") + 8, b"\1\0"), "encrypted")


# The old format.


def test_old_files_that_lie_are_refused() -> None:
    good = old_format(table(w=tensor()), {"0": bytes(range(16))})
    assert contents(good)["w"] == _WEIGHT
    _refused(good[:-1], "truncated")
    _refused(_replaced(good, len(good) - 24, struct.pack("<q", 5)), "has 5 elements")
    _refused(_replaced(good, len(good) - 24, struct.pack("<q", -1)), "has -1 elements")
    _refused(good.replace(b"M\xe9\x03.", b"M\xea\x03.", 1), "unknown version")
    _refused(_replaced(good, 6, b"\0"), "magic number")
    _refused(old_format(table(w=tensor()), {"1": bytes(16)}), "does not use")
    _refused(old_format(table(w=tensor()), {}), "does not hold")
    twice = old_format(table(w=tensor()), {"0": bytes(range(16))}).replace(text("0") + b"e.", text("0") + text("0") + b"e.")
    _refused(twice, "one twice")


def test_messages_never_carry_control_characters() -> None:
    name = "\x1b[31m\n" * 1000
    _refused(archive(pickled(b"}" + text(name) + tensor(shape=(9,)) + b"s")), re.escape("needs bytes"))


def test_only_errors_of_our_own() -> None:
    for body in (*_HUGE.values(), *(body for body, _ in _TENSORS.values())):
        for data in (archive(body), archive(pickled(body), {}), old_format(body, {"0": bytes(16)}), b"\x80\x02" + body):
            with pytest.raises(TrimcacheError):
                extract(data)
