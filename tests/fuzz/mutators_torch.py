"""Damaging torch files where it hurts: pickle opcodes, ZIP directory fields, storage lengths.

A change to a pickle inside an archive is packed again with a correct directory, so that it reaches the pickle machine and what lies
behind it.
"""

from __future__ import annotations

import io
import pickletools
import random
import struct
import zipfile
import zlib
from collections.abc import Callable

from tiny_torch import archive, number, old_format, pickled, storage, table, tensor, text

_NUMBERS = (0, 0, 1, 1, 1, 2, 2, 3, 4, 5, 16, 64, 255, 256, 1000, 65535, 2**31 - 1, -1, -2, 2**40, 2**62, 2**63 - 1)
_GLOBALS = (
    b"cos\nsystem\n",
    b"cbuiltins\neval\n",
    b"ctorch\nUntypedStorage\n",
    b"ctorch\nfloat8_e5m2\n",
    b"ctorch\nHalfStorage\n",
    b"ctorch.nn.parameter\nParameter\n",
    b"ctorch._utils\n_rebuild_tensor_v3\n",
    b"ctorch._utils\n_rebuild_parameter\n",
    b"ctorch._utils\n_rebuild_qtensor\n",
    b"ctorch._utils\n_rebuild_sparse_tensor\n",
    b"ctorch._utils\n_rebuild_nested_tensor\n",
    b"ctorch._tensor\n_rebuild_from_type_v2\n",
    b"ccollections\nOrderedDict\n",
    b"ccollections\ndefaultdict\n",
    b"c_codecs\nencode\n",
    b"ctorch\nSize\n",
    b"cbuiltins\nset\n",
)
_SNIPPETS = (
    *_GLOBALS, b"(", b")", b"0", b"1", b"2", b"]", b"}", b"\x8f", b"\x90", b"\x91", b"a", b"e", b"s", b"u", b"t", b"l", b"d", b"o", b"R",
    b"b", b"Q", b"N", b"\x81", b"\x92", b"\x93", b"\x94", b"\x85", b"\x86", b"\x87", b"\x97", b"\x98", b".", b"h\x00", b"h\x05", b"q\x00",
    b"q\xff", b"r\xff\xff\xff\x7f", b"j\xff\xff\xff\xff", b"\x95" + b"\xff" * 8, b"\x8d" + b"\xff" * 8, b"\x8e\0\0\0\0\1\0\0\0",
    b"\x8b\xff\xff\xff\xff", b"\x8a\xff", b"X\xff\xff\xff\xff", b"I12\n", b"L" + b"9" * 60 + b"L\n", b"Fnan\n", b"S'a'\n", b"Va\\u00e9\n",
    b"g0\n", b"p7\n", b"P1\n", b"icollections\nOrderedDict\n", b"\x80\x05", b"\x82\x01", b"U\3abc", b"C\3abc", b"\x96" + b"\x01" + bytes(7),
)  # fmt: skip
_UNREADABLE_ZIP = (zipfile.BadZipFile, zlib.error, struct.error, ValueError, LookupError, RuntimeError, EOFError, OSError)
_UNREADABLE_PICKLE = (ValueError, struct.error, OverflowError, MemoryError, IndexError)
_WORDS = (
    "", "0", "1", "7", "weight", "state", "param_groups", "optimizer", "model", "\x1b[31m", "n" * 5000, "storage", "a.b", "new", "mean",
)  # fmt: skip
_CODE = b'class Net(Module):\n  __parameters__ = ["weight", ]\n  __buffers__ = ["table", ]\n'


def valid_files() -> list[bytes]:
    """Small files of every kind: archives (plain, compressed, big-endian, nested, scripted) and the old format."""
    plain = table(weight=tensor(), bias=tensor(first=1, shape=(3,)), turned=tensor(shape=(2, 2), stride=(1, 2)))
    typed = b"ctorch._utils\n_rebuild_tensor_v3\n(" + storage("1", 8, "UntypedStorage") + number(0) + b"K\4\x85K\1\x85\x89N"
    typed += b"ctorch\nfloat16\ntR"
    parameter = b"ctorch._utils\n_rebuild_parameter\n(" + tensor() + b"\x88NtR"
    nested = table(
        state_dict=table(parameter=parameter, half=typed, listed=b"](" + tensor() + tensor(shape=(), stride=()) + b"e"),
        optimizer=table(state=b"}", param_groups=b"]"),
        epoch=b"K\3",
    )
    sparse = b"ctorch._utils\n_rebuild_sparse_tensor\n(X\x10\0\0\0torch.sparse_coo(" + tensor() + tensor() + b"K\4\x85ttR"
    odd = table(sparse=sparse, expanded=tensor(shape=(4, 3), stride=(1, 0)), unknown=b"cargparse\nNamespace\n)\x81" + plain + b"b")
    scripted = b"c__torch__\nNet\n)\x81" + table(weight=tensor(), table=tensor(shape=(2,)), training=b"\x89") + b"b"
    storages = {"0": bytes(range(16)), "1": bytes(range(8))}
    code = {"archive/code/__torch__.py": _CODE, "archive/constants.pkl": pickled(b")")}
    return [
        archive(pickled(plain)),
        archive(pickled(plain), compression=zipfile.ZIP_DEFLATED),
        archive(pickled(plain), extra={"archive/byteorder": b"big"}),
        archive(pickled(nested, protocol=4), storages),
        archive(pickled(odd)),
        archive(pickled(scripted), extra=code),
        old_format(plain, {"0": bytes(range(16))}),
        old_format(odd, {"0": bytes(range(16))}),
    ]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """``data`` with one to three things wrong with it."""
    for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
        if data.startswith(b"PK"):
            data = rng.choice((*[_in_archive] * 5, _in_directory, _in_local_header, _anywhere))(data, rng)
        else:
            data = rng.choice((_in_old_format, _in_old_format, _in_old_format, _anywhere))(data, rng)
    return data


def _anywhere(data: bytes, rng: random.Random) -> bytes:
    if not data:
        return b"\x80"
    at = rng.randrange(len(data))
    kind = rng.randrange(4)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + rng.randbytes(rng.choice((1, 4, 40))) + data[at:]
    if kind == 2:
        return data[:at] + data[at + rng.choice((1, 2, 8, 100)) :]
    return data[:at] + bytes([rng.choice((0, 255, data[at] ^ 1 << rng.randrange(8)))]) + data[at + 1 :]


def _in_archive(data: bytes, rng: random.Random) -> bytes:
    """Change one entry, then pack everything again."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            entries = [(info.filename, info.compress_type, file.read(info)) for info in file.infolist()]
    except _UNREADABLE_ZIP:
        return _anywhere(data, rng)
    if not entries:
        return _anywhere(data, rng)
    pickles = [index for index, (name, _, _) in enumerate(entries) if name.endswith(".pkl")]
    if pickles and rng.random() < 0.8:
        index = rng.choice(pickles)
        name, method, raw = entries[index]
        entries[index] = name, method, _in_pickle(raw, rng)
    else:
        index = rng.randrange(len(entries))
        name, method, raw = entries[index]
        kind = rng.randrange(5)
        if kind == 0:
            del entries[index]
        elif kind == 1:
            names = ("../../etc/passwd", "/abs", name + "x", "archive/data/9", "a\\b", name.upper(), "", "other/data.pkl")
            entries[index] = rng.choice(names), method, raw
        elif kind == 2:
            entries[index] = name, zipfile.ZIP_DEFLATED if method == zipfile.ZIP_STORED else zipfile.ZIP_STORED, raw
        elif kind == 3:
            entries[index] = name, method, raw[: rng.randrange(len(raw) + 1)]
        else:
            entries[index] = name, zipfile.ZIP_DEFLATED, bytes(rng.choice((0, 100, 1 << 20)))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, method, raw in entries:
            file.writestr(zipfile.ZipInfo(name), raw, method)
    return buffer.getvalue()


def _in_directory(data: bytes, rng: random.Random) -> bytes:
    """Overwrite a field of the end record or of a directory entry."""
    end = data.rfind(b"PK\x05\x06")
    first = data.find(b"PK\x01\x02")
    if end < 0 or first < 0:
        return _anywhere(data, rng)
    if rng.random() < 0.3:
        return _overwrite(data, end + rng.choice((4, 6, 8, 10, 12, 16, 20)), rng)
    positions = [first]
    while (at := data.find(b"PK\x01\x02", positions[-1] + 4)) >= 0:
        positions.append(at)
    return _overwrite(data, rng.choice(positions) + rng.choice((4, 8, 10, 12, 16, 20, 24, 28, 30, 32, 34, 36, 38, 42, 46)), rng)


def _in_local_header(data: bytes, rng: random.Random) -> bytes:
    starts = [0]
    while (at := data.find(b"PK\x03\x04", starts[-1] + 4)) >= 0:
        starts.append(at)
    return _overwrite(data, rng.choice(starts) + rng.choice((0, 6, 8, 18, 22, 26, 28, 30)), rng)


def _overwrite(data: bytes, at: int, rng: random.Random) -> bytes:
    width = rng.choice((1, 2, 4))
    value = rng.choice((0, 1, 8, 0xFF, 0xFFFF, 0xFFFFFFFF, len(data), rng.randrange(2**32)))
    return data[:at] + value.to_bytes(8, "little")[:width] + data[at + width :]


def _in_old_format(data: bytes, rng: random.Random) -> bytes:
    """Change one of the pickles in front, or the storages behind."""
    stream = io.BytesIO(data)
    starts = [0]
    try:
        for _ in range(5):
            for _ in pickletools.genops(stream):
                pass
            starts.append(stream.tell())
    except _UNREADABLE_PICKLE:
        return _anywhere(data, rng)
    if rng.random() < 0.2 and starts[-1] + 8 <= len(data):
        return data[: starts[-1]] + struct.pack("<q", rng.choice(_NUMBERS)) + data[starts[-1] + 8 :]
    index = rng.choice((3, 3, 3, 4, rng.randrange(5)))
    begin, end = starts[index], starts[index + 1]
    return data[:begin] + _in_pickle(data[begin:end], rng) + data[end:]


def _in_pickle(raw: bytes, rng: random.Random) -> bytes:
    """Change one or two opcodes."""
    for _ in range(rng.choice((1, 1, 1, 2))):
        operations = _operations(raw)
        if operations is None or len(operations) < 2:
            return _anywhere(raw, rng)
        raw = b"".join(rng.choice(_CHANGES)(operations, rng))
    return raw


def _operations(raw: bytes) -> list[bytes] | None:
    """The pickle cut into opcodes with their operands, or None if it cannot be."""
    try:
        starts = [at or 0 for _, _, at in pickletools.genops(raw)]
    except _UNREADABLE_PICKLE:
        return None
    return [raw[begin:end] for begin, end in zip(starts, [*starts[1:], len(raw)], strict=True)]


def _delete(operations: list[bytes], rng: random.Random) -> list[bytes]:
    at = rng.randrange(len(operations))
    return operations[:at] + operations[at + 1 :]


def _repeat(operations: list[bytes], rng: random.Random) -> list[bytes]:
    at, n = rng.randrange(len(operations)), rng.choice((2, 2, 3, 200))
    return operations[:at] + [operations[at]] * n + operations[at + 1 :]


def _insert(operations: list[bytes], rng: random.Random) -> list[bytes]:
    at = rng.randrange(len(operations))
    return [*operations[:at], rng.choice(_SNIPPETS), *operations[at:]]


def _swap(operations: list[bytes], rng: random.Random) -> list[bytes]:
    one, other = rng.randrange(len(operations)), rng.randrange(len(operations))
    operations[one], operations[other] = operations[other], operations[one]
    return operations


def _renumber(operations: list[bytes], rng: random.Random) -> list[bytes]:
    places = [at for at, operation in enumerate(operations) if operation[:1] in b"KMJ"]
    if places:
        operations[rng.choice(places)] = number(rng.choice(_NUMBERS))
    return operations


def _rename(operations: list[bytes], rng: random.Random) -> list[bytes]:
    places = [at for at, operation in enumerate(operations) if operation[:1] == b"c"]
    if places:
        operations[rng.choice(places)] = rng.choice(_GLOBALS)
    return operations


def _rewrite(operations: list[bytes], rng: random.Random) -> list[bytes]:
    """Other text; seldom instead of the words that torch itself looks at."""
    fixed = (text("storage"), text("cpu"), text("torch.sparse_coo"))
    places = [at for at, operation in enumerate(operations) if operation[:1] == b"X" and (operation not in fixed or rng.random() < 0.1)]
    if places:
        operations[rng.choice(places)] = text(rng.choice(_WORDS))
    return operations


def _laughs(operations: list[bytes], rng: random.Random) -> list[bytes]:
    """Lists of lists of lists, each twice in the next."""
    deep = b"]" + b"".join(b"\x94]h\x00h\x00\x86" if n == 0 else b"2\x86" for n in range(rng.choice((3, 30, 60))))
    return [*operations[:-1], deep, *operations[-1:]]


def _deep(operations: list[bytes], rng: random.Random) -> list[bytes]:
    return [*operations[:-1], b"](" * rng.choice((10, 300, 20_000)), *operations[-1:]]


_CHANGES: tuple[Callable[[list[bytes], random.Random], list[bytes]], ...] = (
    _delete, _repeat, _insert, _insert, _swap, *[_renumber] * 5, _rename, *[_rewrite] * 6, _laughs, _deep,
)  # fmt: skip
