"""Pickles written opcode by opcode, and archives around them that ``torch.save`` would not write."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    raw = value.to_bytes(9, "little", signed=True)
    return b"\x8a\x09" + raw


def storage(key: str = "0", n_elements: int = 4, class_name: str = "FloatStorage") -> bytes:
    return b"(" + text("storage") + b"ctorch\n" + class_name.encode() + b"\n" + text(key) + text("cpu") + number(n_elements) + b"tQ"


def tensor(source: bytes | None = None, first: int = 0, shape: tuple[int, ...] = (4,), stride: tuple[int, ...] = (1,)) -> bytes:
    """A call of ``_rebuild_tensor_v2``."""
    sizes = b"(" + b"".join(map(number, shape)) + b"t"
    strides = b"(" + b"".join(map(number, stride)) + b"t"
    hooks = b"ccollections\nOrderedDict\n)R"
    source = storage() if source is None else source
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + source + number(first) + sizes + strides + b"\x89" + hooks + b"tR"


def table(**entries: bytes) -> bytes:
    return b"}" + b"".join(text(key) + value + b"s" for key, value in entries.items())


def pickled(body: bytes, protocol: int = 2) -> bytes:
    return b"\x80" + bytes([protocol]) + body + b"."


def archive(
    data_pkl: bytes,
    storages: Mapping[str, bytes] | None = None,
    *,
    compression: int = zipfile.ZIP_STORED,
    extra: Mapping[str, bytes] | None = None,
) -> bytes:
    """A checkpoint archive around a pickle; by default with one storage ``0`` of 16 bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        file.writestr("archive/data.pkl", data_pkl)
        for key, raw in ({"0": bytes(range(16))} if storages is None else storages).items():
            file.writestr(f"archive/data/{key}", raw)
        file.writestr("archive/version", b"3\n")
        for name, raw in (extra or {}).items():
            file.writestr(name, raw)
    return buffer.getvalue()


def checkpoint(body: bytes) -> bytes:
    """An archive whose pickle is ``body`` beside one valid tensor: the tensor must still be found if ``body`` is harmless."""
    return archive(pickled(table(weight=tensor(), other=body)))


def old_format(body: bytes, storages: Mapping[str, bytes], itemsize: int = 4) -> bytes:
    """A file as ``torch.save`` wrote it before archives, around a pickle body."""
    magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
    version = pickled(b"M\xe9\x03")
    machine = pickled(table(protocol_version=b"M\xe9\x03", little_endian=b"\x88", type_sizes=table(short=b"K\2", int=b"K\4", long=b"K\4")))
    keys = pickled(b"](" + b"".join(map(text, storages)) + b"e")
    raw = b"".join(struct.pack("<q", len(data) // itemsize) + data for data in storages.values())
    return magic + version + machine + pickled(body) + keys + raw
