"""Building the model-block graph of a catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trimcache.catalog.block_numbers import number_blocks
from trimcache.graph import ModelBlockGraph

if TYPE_CHECKING:
    from trimcache.catalog.reader import Catalog

Ints = NDArray[np.int64]


def build_graph(catalog: Catalog, *, incomplete: bool) -> ModelBlockGraph:
    """The graph of the servable models of ``catalog``; with ``incomplete`` also of adapters without their base."""
    models = [model for model in catalog.models if incomplete or model.missing is None]
    part_index = {part.part: index for index, part in enumerate(catalog.parts)}
    extents = catalog.table("extents", ["nbytes", "block"])
    part_of_extent = _codes(extents["part"], part_index)
    digests = _bytes_matrix(extents["block"], catalog.rules.digest_nbytes)
    block_of_extent, first_of_block = number_blocks(digests)
    block_bytes = extents["nbytes"].to_numpy()[first_of_block]
    del extents

    # Models x parts, then parts x blocks: an extent row is repeated for every model that holds its part.
    pairs = [(index, part_index[part]) for index, model in enumerate(models) for part in model.parts]
    model_of_pair = np.array([model for model, _ in pairs], np.int64)
    part_of_pair = np.array([part for _, part in pairs], np.int64)
    order, starts, counts = _rows_by_part(part_of_extent, len(part_index))
    repeats = counts[part_of_pair]
    model_of_row = np.repeat(model_of_pair, repeats)
    # For each pair, the positions starts[part] .. starts[part] + count in the sorted extents, without a Python loop.
    rows = np.repeat(starts[part_of_pair] - (np.cumsum(repeats) - repeats), repeats)
    rows += np.arange(len(rows))
    if order is not None:
        rows = order[rows]
    indptr, block_of_row = _distinct(model_of_row, block_of_extent[rows], len(models), len(first_of_block))
    del rows, model_of_row

    held = np.zeros(len(first_of_block), bool)
    held[block_of_row] = True
    renumbered = np.cumsum(held, dtype=np.int32) - np.int32(1)
    block_ids = digests[first_of_block[held]]
    block_ids.flags.writeable = False
    del digests, block_of_extent
    part_nbytes = np.array([part.nbytes for part in catalog.parts], np.int64)
    model_bytes = np.zeros(len(models), np.int64)
    np.add.at(model_bytes, model_of_pair, part_nbytes[part_of_pair])
    popularity = _popularity(catalog, [part_index[model.parts[-1]] for model in models])
    return ModelBlockGraph(
        tuple(model.name for model in models),
        block_bytes[held],
        indptr,
        renumbered[block_of_row],
        model_bytes,
        block_ids,
        popularity,
        catalog.synthetic,
        {"digest": catalog.rules.digest, "granularity": catalog.rules.granularity},
    )


def _rows_by_part(part_of_extent: Ints, n_parts: int) -> tuple[Ints | None, Ints, Ints]:
    """``(order, starts, counts)``: the rows of a part are ``order[start : start + count]``; no order: those positions themselves."""
    counts = np.bincount(part_of_extent, minlength=n_parts).astype(np.int64)
    begins = np.flatnonzero(np.concatenate([[True], part_of_extent[1:] != part_of_extent[:-1]])) if len(part_of_extent) else part_of_extent
    starts = np.zeros(n_parts, np.int64)
    if len(begins) == np.count_nonzero(counts):  # a part's rows lie together, as every writer leaves them
        starts[part_of_extent[begins]] = begins
        return None, starts, counts
    return np.argsort(part_of_extent, kind="stable"), np.cumsum(counts) - counts, counts


def _distinct(owner: Ints, block: Ints, n_owners: int, n_blocks: int) -> tuple[Ints, Ints]:
    """Rows ``(owner, block)`` each once, as CSR: ends of owners, and their blocks, ascending."""
    keys = owner * np.int64(max(n_blocks, 1))
    keys += block
    keys.sort()
    if len(keys):
        keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])]
    firsts = np.arange(n_owners + 1, dtype=np.int64) * max(n_blocks, 1)
    indptr = np.searchsorted(keys, firsts)
    keys -= np.repeat(firsts[:-1], np.diff(indptr))
    return indptr, keys


def _codes(parts: pa.ChunkedArray, index: dict[str, int]) -> np.ndarray:
    """``index`` of each value of a dictionary-encoded column."""
    combined = parts.combine_chunks()
    if isinstance(combined, pa.ChunkedArray):
        combined = pa.concat_arrays(combined.chunks) if combined.num_chunks else pa.array([], pa.string()).dictionary_encode()
    if not isinstance(combined, pa.DictionaryArray):
        combined = combined.dictionary_encode()
    mapping = np.array([index[value] for value in combined.dictionary.to_pylist()], np.int64)
    codes = combined.indices.to_numpy(zero_copy_only=False)
    return mapping[codes] if len(codes) else np.zeros(0, np.int64)


def _bytes_matrix(values: pa.ChunkedArray, width: int) -> np.ndarray:
    """A fixed-size binary column as ``uint8[n, width]``."""
    pieces = [np.zeros((0, width), np.uint8)]
    for chunk in values.chunks:
        buffer = chunk.buffers()[1]
        if buffer is not None and len(chunk):
            pieces.append(np.frombuffer(buffer, np.uint8)[chunk.offset * width :][: len(chunk) * width].reshape(-1, width))
    return np.concatenate(pieces) if len(pieces) != 2 else pieces[1]


def _popularity(catalog: Catalog, owners: list[int]) -> np.ndarray | None:
    stated = [catalog.parts[owner].popularity for owner in owners]
    if all(value is None for value in stated):
        return None
    return np.array([0.0 if value is None else value for value in stated])
