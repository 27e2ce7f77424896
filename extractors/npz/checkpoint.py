"""NumPy ``.npz``: a ZIP archive of ``.npy`` arrays, stored as they are or deflated.

Format: https://numpy.org/doc/stable/reference/generated/numpy.savez.html. Arrays of Python objects are pickles; they are never loaded.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter

from extractors.npz.npy_header import MAX_HEADER_NBYTES, NpyHeader, header_nbytes, parse_header
from extractors.stored_array import StoredArray
from extractors.torch.zip_archive import Entry, ZipArchive
from trimcache.bytesource import ByteSource
from trimcache.errors import FormatError
from trimcache.tensors import Extraction, TensorRef, kind_of

_AGAIN = "download or save the file again"
_SUFFIX = ".npy"
# numpy pads headers to 64 bytes; what it writes for arrays of numbers takes 128.
_USUAL_HEADER_NBYTES = 128
_ALL_HEADS_NBYTES = 256 << 10  # what the first looks into all deflated members may cost together


def read_checkpoint(source: ByteSource) -> Extraction:
    """The arrays of an archive, from its directory and the header of each."""
    archive = ZipArchive(source)
    entries = [entry for entry in archive.entries.values() if entry.name.endswith(_SUFFIX)]
    starts = archive.locate([entry.name for entry in entries])
    first_look = max(_USUAL_HEADER_NBYTES, min(512, _ALL_HEADS_NBYTES // max(1, len(entries))))
    tensors: list[TensorRef] = []
    left_out: Counter[str] = Counter()
    for entry in entries:
        header = _read_header(source, entry, starts[entry.name], first_look)
        if header.dtype:
            tensors.append(_tensor(source, entry, starts[entry.name], header))
        else:
            left_out[header.problem] += 1
    others = sum(not entry.name.endswith((_SUFFIX, "/")) for entry in archive.entries.values())
    notes = [f"{source.uri}: left out {n} arrays of {problem}" for problem, n in left_out.items()]
    if others:
        notes.append(f"{source.uri}: left out {others} entries that are no arrays")
    return Extraction(tuple(tensors), notes=tuple(notes))


def _read_header(source: ByteSource, entry: Entry, start: int, first_look: int) -> NpyHeader:
    """The array header at the start of a member, read and unpacked no further than it goes."""
    look = _USUAL_HEADER_NBYTES if entry.is_stored else first_look
    while True:
        look = min(look, entry.stored_nbytes)
        raw = source.read_at(start, look)
        head = raw if entry.is_stored else _unpack_start(raw, source.uri, entry.name)
        is_all = look == entry.stored_nbytes
        if len(head) >= 12 or is_all:
            needed = header_nbytes(head, source.uri, entry.name)
            if len(head) >= needed:
                return parse_header(head[:needed], source.uri, entry.name)
            if is_all:
                raise FormatError(source.uri, f"array {entry.name[:80]!r} ends in the middle of its header", _AGAIN)
            look = needed if entry.is_stored else 4 * look
        else:
            look *= 4


def _unpack_start(raw: bytes, uri: str, name: str) -> bytes:
    """The first unpacked bytes of a deflated member, as many as a header can have at most."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(raw, MAX_HEADER_NBYTES + 12)
    except zlib.error as error:
        raise FormatError(uri, f"array {name[:80]!r} holds compressed bytes that are damaged", _AGAIN) from error


def _tensor(source: ByteSource, entry: Entry, start: int, header: NpyHeader) -> TensorRef:
    name = entry.name.removesuffix(_SUFFIX)
    nbytes = header.itemsize * math.prod(header.shape)
    if header.nbytes + nbytes != entry.nbytes:
        # Exactly, so that nothing unpacks to more than its type and shape say.
        text = f"array {name[:80]!r} should have {str(header.nbytes + nbytes)[:40]} bytes, it has {entry.nbytes}"
        raise FormatError(source.uri, text, _AGAIN)
    kind = kind_of(name, header.dtype)
    is_row = sum(size > 1 for size in header.shape) < 2
    if entry.is_stored and (not nbytes or (not header.swapped and (is_row or not header.column_major))):
        return TensorRef(name, header.dtype, header.shape, kind, nbytes, start + header.nbytes)
    if entry.is_stored:
        start, stored_nbytes, skip = start + header.nbytes, nbytes, 0
    else:
        stored_nbytes, skip = entry.stored_nbytes, header.nbytes
    width = header.itemsize // 2 if header.dtype.startswith("complex") else header.itemsize
    data = StoredArray(
        ranges=((start, stored_nbytes),),
        nbytes=nbytes,
        unpacked_nbytes=None if entry.is_stored else entry.nbytes,
        skip=skip,
        swap=width if header.swapped else 1,
        columns=(header.shape, header.itemsize) if header.column_major and nbytes and not is_row else None,
    )
    return TensorRef(name, header.dtype, header.shape, kind, nbytes, None, data=data, stored=((start, stored_nbytes),))
