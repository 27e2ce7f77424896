"""Cutting a file into extents: byte ranges that tile it completely."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from trimcache.errors import FormatError
from trimcache.tensors import Kind


class Extent(NamedTuple):
    """Bytes ``[offset, offset + nbytes)`` of a file, all of one kind.

    Attributes:
        itemsize: width of one element in bytes, 0 if there are none.
        row_nbytes: bytes of one row of a matrix (of one slice along the first dimension), 0 if there are none.
        layer: the module that the tensor belongs to, "" if it is no tensor.
    """

    offset: int
    nbytes: int
    kind: Kind
    itemsize: int = 0
    row_nbytes: int = 0
    layer: str = ""


def tile(file_nbytes: int, ranges: Iterable[Extent], gap_kind: Kind, uri: str) -> list[Extent]:
    """Extents that tile ``[0, file_nbytes)``: the given ranges, and the gaps between them as ``gap_kind``.

    Equal ranges (tied tensors) become one extent. Ranges that overlap without being equal (views of one storage) become one extent
    over their union, because an extent is a block and a byte belongs to one block.

    Raises:
        FormatError: a range does not lie inside the file.
    """
    tiles: list[Extent] = []
    position = 0
    for extent in sorted(ranges, key=lambda extent: (extent.offset, -extent.nbytes)):
        end = extent.offset + extent.nbytes
        if extent.offset < 0 or extent.nbytes < 0 or end > file_nbytes:
            raise FormatError(uri, f"a tensor lies at bytes {extent.offset} to {end}, the file holds {file_nbytes}", "save it again")
        if extent.nbytes == 0:
            continue
        if extent.offset >= position:
            if extent.offset > position:
                tiles.append(Extent(position, extent.offset - position, gap_kind))
            tiles.append(extent)
            position = end
        elif end > position:
            last = tiles.pop()
            tiles.append(Extent(last.offset, end - last.offset, last.kind))
            position = end
    if position < file_nbytes:
        tiles.append(Extent(position, file_nbytes - position, gap_kind))
    return tiles
