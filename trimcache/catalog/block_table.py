"""The blocks of a catalog: every one once, and which of them each part is made of; read one shard after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trimcache._graph_slices import slices
from trimcache.catalog.block_numbers import number_blocks

if TYPE_CHECKING:
    from trimcache.catalog.reader import Catalog

Ints = NDArray[np.int64]
# The label of each extent of a shard, from its columns file, offset, nbytes and kind: a dictionary-encoded column as long as the table.
LabelExtents = Callable[["Catalog", str, pa.Table], pa.ChunkedArray]
_THREADS = 2  # sorting and reading release the interpreter; more shards at once would only take more memory


@dataclass(frozen=True, slots=True)
class BlockTable:
    """J blocks in the order of their first extents, E extents of P parts.

    Attributes:
        ids: uint8[J, w], the digest of each block.
        nbytes: int64[J].
        block: int32[E], the block of each extent; those of a part lie together.
        starts, counts: int64[P]: the extents of part ``p`` are ``starts[p] : starts[p] + counts[p]``.
        label: of each extent, a dictionary-encoded column of E rows; None if none was asked for.
    """

    ids: NDArray[np.uint8]
    nbytes: Ints
    block: NDArray[np.int32]
    starts: Ints
    counts: Ints
    label: pa.DictionaryArray | None = None

    def parts_of_extents(self) -> NDArray[np.int32]:
        """int32[E]: the part of each extent."""
        parts = np.flatnonzero(self.counts).astype(np.int32)
        parts = parts[np.argsort(self.starts[parts])]
        return np.repeat(parts, self.counts[parts])


def read_blocks(catalog: Catalog, label: LabelExtents | None = None) -> BlockTable:
    """The blocks of every live extent of ``catalog``, labelled if ``label`` says how; parts in the order of ``catalog.parts``.

    A block is numbered within its shard first and then among the few that several shards hold: so the digests of all extents never
    lie in memory at once.
    """
    width = catalog.rules.digest_nbytes
    room = catalog.n_rows("extents")
    ids, nbytes, block = np.empty((room, width), np.uint8), np.empty(room, np.int64), np.empty(room, np.int32)
    starts, counts = np.zeros(len(catalog.parts), np.int64), np.zeros(len(catalog.parts), np.int64)
    labels: list[pa.ChunkedArray] = []
    n_rows = n_blocks = 0
    for shard in _shards(catalog, label):
        starts[shard.parts] = n_rows + shard.begins
        counts[shard.parts] = np.diff(shard.begins, append=len(shard.block))
        rows, fresh = slice(n_rows, n_rows + len(shard.block)), slice(n_blocks, n_blocks + len(shard.ids))
        np.add(shard.block, np.int32(n_blocks), out=block[rows])
        ids[fresh], nbytes[fresh] = shard.ids, shard.nbytes
        if shard.label is not None:
            labels.append(shard.label)
        n_rows, n_blocks = rows.stop, fresh.stop
    block.resize(n_rows, refcheck=False)
    if len(catalog.shards) > 1:
        n_blocks = _merge(ids[:n_blocks], nbytes, block)
    ids.resize((n_blocks, width), refcheck=False)
    nbytes.resize(n_blocks, refcheck=False)
    chunks = [chunk for column in labels for chunk in column.chunks]
    joined = None if label is None else pa.chunked_array(chunks, pa.dictionary(pa.int32(), pa.string())).combine_chunks()
    return BlockTable(ids, nbytes, block, starts, counts, joined)


@dataclass(frozen=True, slots=True)
class _Shard:
    """What :class:`BlockTable` says, of one shard; the extents of ``parts[i]`` lie together from ``begins[i]`` on."""

    ids: NDArray[np.uint8]
    nbytes: Ints
    block: NDArray[np.int32]
    parts: Ints
    begins: Ints
    label: pa.ChunkedArray | None


def _shards(catalog: Catalog, label: LabelExtents | None) -> Iterator[_Shard]:
    """Every shard in turn; the next ones are being read and numbered while one is taken over."""
    part_index = {part.part: index for index, part in enumerate(catalog.parts)}
    pending: deque[Future[_Shard]] = deque()
    with ThreadPoolExecutor(_THREADS) as pool:
        for shard in catalog.shards:
            pending.append(pool.submit(_read_shard, catalog, shard, label, part_index))
            if len(pending) > _THREADS:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _read_shard(catalog: Catalog, shard: str, label: LabelExtents | None, part_index: dict[str, int]) -> _Shard:
    columns = ["nbytes", "block", *([] if label is None else ["file", "offset", "kind"])]
    extents = catalog.live_rows("extents", shard, columns, encoded=("file", "kind"))
    digests = bytes_matrix(extents["block"], catalog.rules.digest_nbytes)
    block, new = number_blocks(digests)
    order, parts, begins = by_part(codes_of(extents["part"], part_index))
    labels = None if label is None else label(catalog, shard, extents)
    if order is not None:
        block, labels = block[order], None if labels is None else labels.take(pa.array(order))
    return _Shard(digests[new], extents["nbytes"].to_numpy()[new], block, parts, begins, labels)


def _merge(ids: NDArray[np.uint8], nbytes: Ints, block: NDArray[np.int32]) -> int:
    """Make one of the blocks that several shards hold; in place. How many blocks are left, at the beginning of ``ids`` and ``nbytes``."""
    number, new = number_blocks(ids)
    n_blocks = 0
    for piece in slices(len(ids)):  # what is kept moves to the front, never past what is still to be read
        kept = slice(n_blocks, n_blocks + int(np.count_nonzero(new[piece])))
        ids[kept], nbytes[kept] = ids[piece][new[piece]], nbytes[piece][new[piece]]
        n_blocks = kept.stop
    for piece in slices(len(block)):
        block[piece] = number[block[piece]]
    return n_blocks


def by_part(part_of_row: Ints) -> tuple[Ints | None, Ints, Ints]:
    """``(order, parts, begins)``: in that order (None: as they are) the rows of ``parts[i]`` lie together from ``begins[i]`` on."""
    order = None
    begins = np.flatnonzero(np.diff(part_of_row, prepend=-1))
    parts = part_of_row[begins]
    if len(np.unique(parts)) < len(parts):  # no writer of ours leaves a part's rows apart
        order = np.argsort(part_of_row, kind="stable")
        begins = np.flatnonzero(np.diff(part_of_row[order], prepend=-1))
        parts = part_of_row[order][begins]
    return order, parts, begins


def codes_of(parts: pa.ChunkedArray, index: dict[str, int]) -> Ints:
    """``index`` of each value of a dictionary-encoded column."""
    pieces = [np.zeros(0, np.int64)]
    for chunk in parts.chunks:
        if len(chunk):  # a table without rows is not encoded; a dictionary may hold parts whose rows are outdated
            mapping = np.array([index.get(value, -1) for value in chunk.dictionary.to_pylist()], np.int64)
            pieces.append(mapping[chunk.indices.to_numpy(zero_copy_only=False)])
    return np.concatenate(pieces)


def bytes_matrix(values: pa.ChunkedArray, width: int) -> NDArray[np.uint8]:
    """A fixed-size binary column as ``uint8[n, width]``."""
    pieces = [np.zeros((0, width), np.uint8)]
    for chunk in values.chunks:
        buffer = chunk.buffers()[1]
        if buffer is not None and len(chunk):
            pieces.append(np.frombuffer(buffer, np.uint8)[chunk.offset * width :][: len(chunk) * width].reshape(-1, width))
    return np.concatenate(pieces) if len(pieces) != 2 else pieces[1]
