"""Building the model-block graph of a catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trimcache._graph_slices import row_slices, slices
from trimcache.catalog.block_table import BlockTable, read_blocks
from trimcache.graph import ModelBlockGraph

if TYPE_CHECKING:
    from trimcache.catalog.reader import Catalog

Ints = NDArray[np.int64]


def build_graph(catalog: Catalog, *, incomplete: bool, table: BlockTable | None = None) -> ModelBlockGraph:
    """The graph of the servable models of ``catalog``; with ``incomplete`` also of adapters without their base.

    Args:
        table: the catalog's blocks, where they have been read already. With ``incomplete`` they are the graph's, in the same order.
    """
    models = [model for model in catalog.models if incomplete or model.missing is None]
    part_index = {part.part: index for index, part in enumerate(catalog.parts)}
    pairs = [(index, part_index[part]) for index, model in enumerate(models) for part in model.parts]
    model_of_pair = np.array([model for model, _ in pairs], np.int64)
    part_of_pair = np.array([part for _, part in pairs], np.int64)
    table = read_blocks(catalog) if table is None else table
    indptr, indices = incidence(model_of_pair, part_of_pair, len(models), table)
    ids, nbytes = table.ids, table.nbytes
    del table
    if len(np.unique(part_of_pair)) < len(part_index):
        ids, nbytes = _only_held(ids, nbytes, indices)
    for array in (ids, nbytes, indptr, indices):
        array.flags.writeable = False  # so that the graph keeps them instead of copies
    part_nbytes = np.array([part.nbytes for part in catalog.parts], np.int64)
    model_bytes = np.zeros(len(models), np.int64)
    np.add.at(model_bytes, model_of_pair, part_nbytes[part_of_pair])
    popularity = _popularity(catalog, [part_index[model.parts[-1]] for model in models])
    return ModelBlockGraph(
        tuple(model.name for model in models),
        nbytes,
        indptr,
        indices,
        model_bytes,
        ids,
        popularity,
        catalog.synthetic,
        {"digest": catalog.rules.digest, "granularity": catalog.rules.granularity},
    )


def incidence(model_of_pair: Ints, part_of_pair: Ints, n_models: int, table: BlockTable) -> tuple[Ints, NDArray[np.int32]]:
    """Models x parts, then parts x blocks, as CSR: the blocks of a model's parts, ascending, each once.

    Args:
        model_of_pair, part_of_pair: ascending by model.
    """
    first_pair = np.searchsorted(model_of_pair, np.arange(n_models + 1))
    extents = np.concatenate([[0], np.cumsum(table.counts[part_of_pair])])
    n_blocks = np.zeros(n_models, np.int64)
    indices = np.empty(extents[-1], np.int32)
    filled = 0
    for first, end in row_slices(extents[first_pair]):
        pairs = slice(first_pair[first], first_pair[end])
        parts, repeats = part_of_pair[pairs], table.counts[part_of_pair[pairs]]
        # For each pair, the positions starts[part] .. starts[part] + count, without a Python loop.
        rows = np.repeat(table.starts[parts] - (np.cumsum(repeats) - repeats), repeats)
        rows += np.arange(len(rows))
        keys = np.repeat((model_of_pair[pairs] - first) << 32, repeats)
        keys |= table.block[rows]
        keys.sort()
        keys = keys[np.diff(keys, prepend=-1) != 0]
        indices[filled : filled + len(keys)] = keys & 0xFFFFFFFF
        filled += len(keys)
        n_blocks[first:end] = np.bincount(keys >> 32, minlength=end - first)
    indices.resize(filled, refcheck=False)
    return np.concatenate([[0], np.cumsum(n_blocks)]), indices


def _only_held(ids: NDArray[np.uint8], nbytes: Ints, indices: NDArray[np.int32]) -> tuple[NDArray[np.uint8], Ints]:
    """Leave out blocks that only parts of no model have; ``indices`` are numbered anew in place."""
    held = np.zeros(len(nbytes), bool)
    for piece in slices(len(indices)):
        held[indices[piece]] = True
    number = np.cumsum(held, dtype=np.int32) - np.int32(1)
    for piece in slices(len(indices)):
        indices[piece] = number[indices[piece]]
    return ids[held], nbytes[held]


def _popularity(catalog: Catalog, owners: list[int]) -> NDArray[np.float64] | None:
    stated = [catalog.parts[owner].popularity for owner in owners]
    if all(value is None for value in stated):
        return None
    return np.array([0.0 if value is None else value for value in stated])
