"""The running state of one extent: its digest, its pieces, and whether all its elements are equal.

Imports little: a process that hashes through maps (``map_worker``) starts with this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from trimcache.blocks.digests import Hasher
    from trimcache.blocks.pieces import PieceList, Pieces

__all__ = ["Hashed", "Stream", "finish_pieces", "is_constant"]


class Hashed(NamedTuple):
    """What hashing found in one extent.

    Attributes:
        digest: of its bytes.
        constant: whether all its elements are equal (zeros, ones: they say nothing about descent).
        pieces: for each cutter, the pieces it cut the extent into, or None.
    """

    digest: bytes
    constant: bool
    pieces: tuple[PieceList | None, ...] = ()


class Stream:
    """One extent whose bytes come in buffers, each of whole elements."""

    def __init__(self, hasher: Hasher, pieces: tuple[Pieces | None, ...], itemsize: int) -> None:
        self._hasher = hasher
        self._pieces = pieces
        self._itemsize = itemsize
        self._element = b""
        self._constant = itemsize > 0

    def update(self, data: memoryview) -> None:
        self._hasher.update(data)
        for piece in self._pieces:
            if piece is not None:
                piece.update(data)
        if self._constant:
            head = bytes(data[: self._itemsize])
            self._element = self._element or head
            # Buffers hold whole elements of every width there is, so each must begin with the same one.
            self._constant = head == self._element and is_constant(data, self._itemsize)

    def finish(self) -> Hashed:
        return Hashed(self._hasher.digest(), self._constant and self._element != b"", finish_pieces(self._pieces))


def finish_pieces(pieces: tuple[Pieces | None, ...]) -> tuple[PieceList | None, ...]:
    """The pieces of an extent that has been seen whole."""
    return tuple(None if piece is None else piece.finish() for piece in pieces)


def is_constant(data: memoryview, itemsize: int) -> bool:
    """Whether ``data`` is one element of ``itemsize`` bytes repeated. Nearly always settled by the first few elements."""
    if itemsize <= 0 or len(data) < itemsize or len(data) % itemsize:
        return False
    head = bytes(data[:itemsize])
    # Two cheap looks first: whole-buffer comparisons are only for what is very likely constant.
    if bytes(data[-itemsize:]) != head or bytes(data[: 4 * itemsize]) != (head * 4)[: len(data)]:
        return False
    return bytes(data) == head * (len(data) // itemsize)
