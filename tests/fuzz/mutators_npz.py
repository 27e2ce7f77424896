"""NumPy archives, and damage to them: array headers (in archives that are right again), ZIP records, bytes anywhere."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib

import numpy as np

_WORDS = (b"True", b"False", b"(", b")", b"[", b"]", b"{", b"}", b",", b"'", b"9" * 30, b"-1", b"shape", b"\xff")
_DESCRS = (b"<f4", b">f8", b"|O", b"|V2", b"<U3", b"|b1")
# Replacements of the same length after which a header may well be right.
_SWAPS = (
    (b"<f4", b">f4"), (b"<f4", b"<i4"), (b"<i8", b">c8"), (b">f8", b"<u8"), (b"<f2", b"|V2"), (b">c8", b"<f8"), (b"|b1", b"|u1"),
    (b"False", b"True "), (b"True ", b"False"), (b"(2, 3)", b"(3, 2)"), (b"(2, 3)", b"(6,)  "), (b"(0, 4)", b"(9, 0)"), (b"(3,)", b"(4,)"),
    (b": ", b":\t"), (b", ", b",\n"), (b"'", b'"'),
)  # fmt: skip
_EXTREMES = (0, 1, 8, 20, 255, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
# Archives damaged before, in the ways that the standard library reports.
_ZIPFILE_GIVES_UP = (
    zipfile.BadZipFile, RuntimeError, OSError, EOFError, ValueError, OverflowError, LookupError, struct.error, zlib.error,
)  # fmt: skip
# Signature -> (offset, width) of the numbers in a record.
_RECORDS = {
    b"PK\x03\x04": ((6, 2), (8, 2), (18, 4), (22, 4), (26, 2), (28, 2)),
    b"PK\x01\x02": ((8, 2), (10, 2), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (34, 2), (42, 4)),
    b"PK\x05\x06": ((4, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)),
}


def valid_files() -> list[bytes]:
    arrays = {
        "w": np.arange(6, dtype="<f4").reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6, dtype="<i8").reshape(2, 3)),
        "big": np.arange(3, dtype=">f8"),
        "both": np.asfortranarray(np.arange(4, dtype=">c8").reshape(2, 2)),
        "scalar": np.array(1.5, dtype="<f2"),
        "empty": np.zeros((0, 4), dtype="<f4"),
        "objects": np.array([None], dtype=object),
        "records": np.zeros(2, dtype=[("x", "<f4"), ("y", "<i4")]),
        "flags": np.array([True, False]),
    }
    files = []
    for save in (np.savez, np.savez_compressed):
        for chosen in (arrays, {"w": arrays["w"]}, {"columns": arrays["columns"], "big": arrays["big"]}):
            out = io.BytesIO()
            save(out, **chosen)
            files.append(out.getvalue())
    return files


def mutate(data: bytes, rng: random.Random) -> bytes:
    way = rng.random()
    if way < 0.65:
        rebuilt = _with_damaged_member(data, rng)
        if rebuilt is not None:
            return rebuilt
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if way < 0.82:
            _damage_record(damaged, rng)
        elif rng.random() < 0.85 and damaged:
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        else:
            begin = rng.randrange(len(damaged) + 1)
            del damaged[begin : begin + rng.choice((1, 5, 1 << 20))]
    return bytes(damaged)


def _with_damaged_member(data: bytes, rng: random.Random) -> bytes | None:
    """The archive written again with one member changed, so that the ZIP is right and the array is wrong; None if it cannot be read."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
            method = archive.infolist()[0].compress_type
    except _ZIPFILE_GIVES_UP:
        return None
    name = rng.choice(sorted(members))
    changed = bytearray(members[name])
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        way = rng.random()
        at = rng.randrange(min(len(changed), 80) + 1)
        if way < 0.3 and len(changed) > 128:
            changed[rng.randrange(128, len(changed))] = rng.randrange(256)
        elif way < 0.6:
            old, new = rng.choice(_SWAPS)
            changed = changed.replace(old, new)
        elif way < 0.75 and at < len(changed):
            changed[at] = rng.choice((rng.randrange(256), rng.choice(b"0123456789<>|=(){}[]',:-L")))
        elif way < 0.92:
            word = rng.choice(_WORDS + _DESCRS)
            changed[at : at + len(word)] = word
        else:
            changed = changed[: rng.randrange(len(changed) + 1)]
    members[name] = bytes(changed)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method if method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) else zipfile.ZIP_STORED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return out.getvalue()


def _damage_record(damaged: bytearray, rng: random.Random) -> None:
    signature = rng.choice(sorted(_RECORDS))
    places = [i for i in range(len(damaged) - 45) if damaged[i : i + 4] == signature] or [max(0, damaged.rfind(signature))]
    offset, width = rng.choice(_RECORDS[signature])
    at = rng.choice(places) + offset
    old = int.from_bytes(damaged[at : at + width], "little")
    new = rng.choice((old + 1, old - 1, rng.choice(_EXTREMES), rng.getrandbits(8 * width)))
    if at + width <= len(damaged):
        damaged[at : at + width] = (new % (1 << 8 * width)).to_bytes(width, "little")
