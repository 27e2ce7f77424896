"""Building the model-block graph of a catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from trimcache.graph import ModelBlockGraph

if TYPE_CHECKING:
    from trimcache.catalog.reader import Catalog


def build_graph(catalog: Catalog, *, incomplete: bool) -> ModelBlockGraph:
    """The graph of the servable models of ``catalog``; with ``incomplete`` also of adapters without their base."""
    models = [model for model in catalog.models if incomplete or model.missing is None]
    part_index = {part.part: index for index, part in enumerate(catalog.parts)}
    extents = catalog.table("extents", ["nbytes", "block"])
    part_of_extent = _codes(extents["part"], part_index)
    blocks = extents["block"].combine_chunks().dictionary_encode()
    if isinstance(blocks, pa.ChunkedArray):
        blocks = blocks.combine_chunks()
    block_of_extent = blocks.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    nbytes = extents["nbytes"].to_numpy()

    n_blocks = len(blocks.dictionary)
    block_bytes = np.zeros(n_blocks, np.int64)
    block_bytes[block_of_extent] = nbytes
    digest_nbytes = catalog.rules.digest_nbytes
    block_ids = _bytes_matrix(blocks.dictionary, digest_nbytes)

    # Models x parts, then parts x blocks: an extent row is repeated for every model that holds its part.
    pairs = [(index, part_index[part]) for index, model in enumerate(models) for part in model.parts]
    model_of_pair = np.array([model for model, _ in pairs], np.int64)
    part_of_pair = np.array([part for _, part in pairs], np.int64)
    order = np.argsort(part_of_extent, kind="stable")
    counts = np.bincount(part_of_extent, minlength=len(part_index)).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)])
    repeats = counts[part_of_pair]
    model_of_row = np.repeat(model_of_pair, repeats)
    # For each pair, the positions starts[part] .. starts[part] + count in the sorted extents, without a Python loop.
    first = np.repeat(starts[part_of_pair] - np.concatenate([[0], np.cumsum(repeats)])[:-1], repeats)
    rows = order[first + np.arange(len(model_of_row))]
    block_of_row = block_of_extent[rows]

    used, block_of_row = np.unique(block_of_row, return_inverse=True)
    part_nbytes = np.array([part.nbytes for part in catalog.parts], np.int64)
    model_bytes = np.zeros(len(models), np.int64)
    np.add.at(model_bytes, model_of_pair, part_nbytes[part_of_pair])
    popularity = _popularity(catalog, [part_index[model.parts[-1]] for model in models])
    return ModelBlockGraph.from_incidence(
        tuple(model.name for model in models),
        model_of_row,
        block_of_row,
        block_bytes[used],
        model_bytes,
        block_ids=block_ids[used],
        popularity=popularity,
        synthetic=catalog.synthetic,
        meta={"digest": catalog.rules.digest, "granularity": catalog.rules.granularity},
    )


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


def _bytes_matrix(values: pa.Array, width: int) -> np.ndarray:
    """A fixed-size binary array as ``uint8[n, width]``."""
    buffer = values.buffers()[1]
    if buffer is None or not len(values):
        return np.zeros((0, width), np.uint8)
    flat = np.frombuffer(buffer, np.uint8)
    start = values.offset * width
    return flat[start : start + len(values) * width].reshape(len(values), width).copy()


def _popularity(catalog: Catalog, owners: list[int]) -> np.ndarray | None:
    stated = [catalog.parts[owner].popularity for owner in owners]
    if all(value is None for value in stated):
        return None
    return np.array([0.0 if value is None else value for value in stated])
