"""What becomes a block: from hashed tiles to the extents of each granularity.

    tensor   a tensor, or what lies between tensors
    layer    the neighbouring tensors of one module (a convolution, a normalisation, a linear map: the layers that the papers count)
    file     a whole file
    row      runs of whole rows of a matrix
    chunk    content-defined chunks of a tensor

Layers and files are named by a hash over the digests of their tiles, tagged so that it never equals a digest of bytes: no byte is read
twice for them. All other blocks are named by the digest of their bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from trimcache.blocks.digests import DigestAlgorithm
from trimcache.blocks.engine import Cutter
from trimcache.blocks.pieces import ContentPieces, FixedPieces, Pieces, content_cutter
from trimcache.blocks.stream import Hashed
from trimcache.blocks.tiling import Extent
from trimcache.errors import UsageError
from trimcache.tensors import Kind

# Parameters that change the output, with their defaults; a catalog records them.
PARAMETERS: dict[str, dict[str, int]] = {
    "tensor": {},
    "layer": {},
    "file": {},
    # Rows are gathered until a piece has about this many bytes: an index entry costs some 50 bytes.
    "row": {"target_bytes": 1 << 16},
    # The sizes that hf-xet uses too (8 KiB, 64 KiB, 128 KiB), so that its savings can be compared.
    "chunk": {"min_bytes": 1 << 13, "avg_bytes": 1 << 16, "max_bytes": 1 << 17},
}
GRANULARITIES: tuple[str, ...] = tuple(PARAMETERS)


class Block(NamedTuple):
    """One extent at one granularity: a byte range of a file and the digest that names its block."""

    offset: int
    nbytes: int
    digest: bytes
    kind: Kind


def complete_parameters(granularity: str, given: Mapping[str, int]) -> dict[str, int]:
    """The parameters of ``granularity``, defaults filled in.

    Raises:
        UsageError: an unknown granularity or parameter, or sizes that cannot be.
    """
    if granularity not in PARAMETERS:
        raise UsageError(f"granularity {granularity!r}", "is not offered", f"choose one of {', '.join(GRANULARITIES)}")
    defaults = PARAMETERS[granularity]
    for key in given:
        if key not in defaults:
            raise UsageError(f"granularity {granularity}", f"has no parameter {key!r}", f"it has {', '.join(defaults) or 'none'}")
    complete = {**defaults, **given}
    if any(type(value) is not int or value < 1 for value in complete.values()):
        raise UsageError(f"granularity {granularity}", "has a parameter that is no positive number of bytes", "give whole bytes")
    sizes = [complete[key] for key in ("min_bytes", "avg_bytes", "max_bytes") if key in complete]
    if sizes != sorted(sizes):
        raise UsageError(f"granularity {granularity}", "needs min_bytes <= avg_bytes <= max_bytes", "change the parameters")
    return complete


def is_cut(granularity: str) -> bool:
    """Whether tiles are cut further at this granularity."""
    return granularity in ("row", "chunk")


def cutter_for(granularity: str, parameters: Mapping[str, int], algorithm: DigestAlgorithm) -> Cutter | None:
    """What cuts tiles further at this granularity, or None if nothing does."""
    if granularity == "row":
        target = parameters["target_bytes"]

        def by_rows(extent: Extent) -> Pieces | None:
            if not 0 < extent.row_nbytes < extent.nbytes or extent.nbytes <= target:
                return None
            return FixedPieces(extent.row_nbytes * max(1, target // extent.row_nbytes), algorithm)

        return by_rows
    if granularity == "chunk":
        cut = content_cutter(parameters["min_bytes"], parameters["avg_bytes"], parameters["max_bytes"])

        def by_content(extent: Extent) -> Pieces | None:
            return ContentPieces(cut, parameters["max_bytes"], algorithm) if extent.nbytes > parameters["min_bytes"] else None

        return by_content
    return None


def blocks_at(
    granularity: str, tiles: Sequence[Extent], hashed: Sequence[Hashed], cutter_index: int | None, algorithm: DigestAlgorithm
) -> Iterator[Block]:
    """The extents of one file at one granularity, in file order.

    Args:
        tiles, hashed: what tiles the file, and what hashing found.
        cutter_index: which of the engine's cutters served this granularity; None: none.
    """
    if granularity == "file":
        if tiles:
            kind = max(tiles, key=lambda tile: tile.nbytes).kind
            yield Block(0, sum(tile.nbytes for tile in tiles), _composite("file", tiles, hashed, algorithm), kind)
        return
    if granularity == "layer":
        yield from _layers(tiles, hashed, algorithm)
        return
    if cutter_index is None:
        yield from (Block(tile.offset, tile.nbytes, result.digest, tile.kind) for tile, result in zip(tiles, hashed, strict=True))
        return
    for tile, result in zip(tiles, hashed, strict=True):
        pieces = result.pieces[cutter_index]
        if pieces is None:
            yield Block(tile.offset, tile.nbytes, result.digest, tile.kind)
            continue
        offset = tile.offset
        for nbytes, digest in pieces:
            yield Block(offset, nbytes, digest, tile.kind)
            offset += nbytes


def _layers(tiles: Sequence[Extent], hashed: Sequence[Hashed], algorithm: DigestAlgorithm) -> Iterator[Block]:
    start = 0
    for end in range(1, len(tiles) + 1):
        if end < len(tiles) and tiles[end].layer and tiles[end].layer == tiles[start].layer:
            continue
        run = tiles[start:end]
        if len(run) == 1:
            yield Block(run[0].offset, run[0].nbytes, hashed[start].digest, run[0].kind)
        else:
            kind = max(run, key=lambda tile: tile.nbytes).kind
            digest = _composite("layer", run, hashed[start:end], algorithm)
            yield Block(run[0].offset, sum(tile.nbytes for tile in run), digest, kind)
        start = end


def _composite(tag: str, tiles: Sequence[Extent], hashed: Sequence[Hashed], algorithm: DigestAlgorithm) -> bytes:
    """A name for the concatenation of ``tiles``: equal if and only if (up to collisions) they have equal sizes and bytes."""
    listed = b"".join(tile.nbytes.to_bytes(8, "little") + result.digest for tile, result in zip(tiles, hashed, strict=True))
    return algorithm.of(b"trimcache " + tag.encode() + b"\0" + listed)
