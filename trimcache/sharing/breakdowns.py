"""Sizes by model, family, kind, dtype or format: rows whose columns add up.

A block counts as ``exclusive`` in the one row that it belongs to; one that belongs to several rows is counted in a last row of its own.
So the exclusive column adds up to ``unique_bytes``, whatever the rows are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trimcache._atoms import sorted_unique
from trimcache._graph_slices import row_slices, slices
from trimcache.catalog.block_table import BlockTable
from trimcache.graph import ModelBlockGraph
from trimcache.sharing.extent_labels import JOINT
from trimcache.sharing.fair_share import Terms, model_terms
from trimcache.sharing.size_rows import SEVERAL, SizeRow

if TYPE_CHECKING:
    from trimcache.catalog.reader import Catalog

Ints = NDArray[np.int64]


def by_model(catalog: Catalog, graph: ModelBlockGraph) -> list[SizeRow]:
    """A row a model, largest first; ``graph`` holds every model of ``catalog``."""
    terms = model_terms(graph)
    shared_block = graph.holders() > 1
    exclusive = graph.exclusive_bytes()
    blocks = np.diff(graph.indptr)
    exclusive_blocks, shared = np.zeros(graph.n_models, np.int64), np.zeros(graph.n_models, np.int64)
    held_with_others = terms.holders > 1
    np.add.at(shared, terms.row[held_with_others], terms.nbytes[held_with_others])
    np.add.at(exclusive_blocks, _owners(graph)[~shared_block[graph.indices]], 1)
    columns = (
        graph.model_names,
        graph.model_bytes.tolist(),
        exclusive.tolist(),
        shared.tolist(),
        terms.rounded(graph.n_models, graph.unique_bytes),
        terms.of_rows(graph.n_models),
        [1] * graph.n_models,
        exclusive_blocks.tolist(),
        (blocks - exclusive_blocks).tolist(),
        [model.missing is None for model in catalog.models],
    )
    rows = [SizeRow(*row) for row in zip(*columns, strict=True)]
    n_shared, sharing = int(np.count_nonzero(shared_block)), int(np.count_nonzero(shared))
    return _sorted(rows, _several(graph.shared_bytes, graph.shared_bytes, sharing, n_shared, n_shared))


def by_family(graph: ModelBlockGraph, label_of_model: Ints, names: Sequence[str]) -> list[SizeRow]:
    """A row a family. A family's fair share is the sum of its models' fair shares.

    Args:
        label_of_model: int[I], the family of each model, an index into ``names``.
    """
    n = len(names)
    total = np.zeros(n + 1, np.int64)
    np.add.at(total, label_of_model, graph.model_bytes)
    sole = np.full(graph.n_blocks, -1, np.int32)
    several = np.zeros(graph.n_blocks, bool)
    rows = [(first, end, np.diff(graph.indptr[first : end + 1])) for first, end in row_slices(graph.indptr)]
    for first, end, lengths in rows:  # each block keeps the last of its families ...
        sole[graph.indices[graph.indptr[first] : graph.indptr[end]]] = np.repeat(label_of_model[first:end], lengths)
    for first, end, lengths in rows:  # ... so a model that finds another one holds a block of several
        blocks = graph.indices[graph.indptr[first] : graph.indptr[end]]
        several[blocks[sole[blocks] != np.repeat(label_of_model[first:end], lengths)]] = True
    sole[several] = n
    sharing = sum(bool(several[graph.blocks_of(i)].any()) for i in range(graph.n_models)) if several.any() else 0
    n_models = np.append(np.bincount(label_of_model, minlength=n), sharing)
    return _label_rows(_Sums.of(graph, sole, n), names, total, model_terms(graph).grouped(label_of_model), n_models)


@dataclass(frozen=True, slots=True)
class ExtentLabels:
    """What to break down by, of every extent of a catalog.

    Attributes:
        names: K names of rows.
        label: int32[E]: the row of each extent of the block table; K where it belongs to several by itself.
        extents, labels: int64[n]: for the extents of several rows, each of these.
    """

    names: Sequence[str]
    label: NDArray[np.int32]
    extents: Ints
    labels: Ints

    @classmethod
    def of_column(cls, table: BlockTable) -> ExtentLabels:
        """The labels that the table was read with; of joined ones (``float16+int64``), each."""
        assert table.label is not None
        code = table.label.indices.to_numpy()
        texts = table.label.dictionary
        used = np.flatnonzero(np.bincount(code, minlength=len(texts)))  # one dictionary may serve several columns
        joined = [str(text).split(JOINT) for text in texts.take(pa.array(used)).to_pylist()]
        names = sorted({name for some in joined for name in some})
        number = {name: row for row, name in enumerate(names)}
        row_of_code = np.zeros(len(texts), np.int32)
        row_of_code[used] = [number[some[0]] if len(some) == 1 else len(names) for some in joined]
        label = row_of_code[code] if len(code) else np.zeros(0, np.int32)
        several = np.flatnonzero(label == len(names))
        rows = dict(zip(used.tolist(), ([number[name] for name in some] for some in joined), strict=True))
        each = [rows[c] for c in code[several].tolist()]
        extents = np.repeat(several, np.array([len(one) for one in each], np.int64))
        return cls(names, label, extents, np.array([row for one in each for row in one], np.int64))

    @classmethod
    def of_format(cls, catalog: Catalog, table: BlockTable) -> ExtentLabels:
        """The format of the part of each extent."""
        names, of_part = np.unique([part.format for part in catalog.parts], return_inverse=True)
        nothing = np.zeros(0, np.int64)
        label = of_part.astype(np.int32)[table.parts_of_extents()] if len(of_part) else np.zeros(0, np.int32)
        return cls([str(name) for name in names], label, nothing, nothing)


def by_extents(catalog: Catalog, graph: ModelBlockGraph, table: BlockTable, labels: ExtentLabels) -> list[SizeRow]:
    """A row a label of extents. A block's fair shares are equal for all rows that it occurs in.

    Args:
        graph: with every model of ``catalog``, so that its blocks are those of ``table``.
    """
    n, n_parts = len(labels.names), len(catalog.parts)
    model_of_pair, part_of_pair = _model_part_pairs(catalog)
    models_of_part = np.bincount(part_of_pair, minlength=n_parts)
    part_of_extent = table.parts_of_extents()
    total, has = np.zeros(n + 1, np.int64), np.zeros((n_parts, n + 1), bool)
    sole = np.full(graph.n_blocks, n, np.int32)
    several = np.zeros(graph.n_blocks, bool)
    for piece in slices(len(table.block)):  # each block keeps the last of its labels ...
        block, label, part = table.block[piece], labels.label[piece].astype(np.int64), part_of_extent[piece]
        np.add.at(total, label, table.nbytes[block] * models_of_part[part])
        has[part, label] = True
        sole[block] = label
    for piece in slices(len(table.block)):  # ... so an extent that finds another one is of a block of several
        block = table.block[piece]
        several[block[(sole[block] != labels.label[piece]) | (sole[block] == n)]] = True
    sole[several] = n
    pairs = [np.zeros(0, np.int64)]  # (block, label) of the blocks of several
    for piece in slices(len(table.block)):
        chosen = np.flatnonzero(several[table.block[piece]] & (labels.label[piece] < n))
        pairs.append(sorted_unique(table.block[piece][chosen].astype(np.int64) * max(n, 1) + labels.label[piece][chosen]))
    pairs.append(table.block[labels.extents].astype(np.int64) * max(n, 1) + labels.labels)
    owner, row = np.divmod(sorted_unique(np.concatenate(pairs)), max(n, 1))
    n_rows = np.bincount(owner, minlength=graph.n_blocks)[owner] if len(owner) else owner
    sums = _Sums.of(graph, sole, n)
    terms = Terms.merged(
        np.concatenate([np.arange(n), row]),
        np.concatenate([np.ones(n, np.int64), n_rows]),
        np.concatenate([sums.nbytes[0, :n], graph.block_bytes[owner]]),
    )
    has[part_of_extent[labels.extents], labels.labels] = True
    has[:, n] = False
    for piece in slices(len(table.block)):
        has[part_of_extent[piece][several[table.block[piece]]], n] = True
    model_has = np.zeros((graph.n_models, n + 1), bool)
    np.logical_or.at(model_has, model_of_pair, has[part_of_pair])
    return _label_rows(sums, labels.names, total, terms, model_has.sum(axis=0))


@dataclass(frozen=True, slots=True)
class _Sums:
    """Bytes and blocks by label: int64[2, K + 1], of all blocks and of those that two or more models hold; column K of several labels."""

    nbytes: Ints
    blocks: Ints

    @classmethod
    def of(cls, graph: ModelBlockGraph, sole: NDArray[np.int32], n: int) -> _Sums:
        """Sums by the one label of each block, ``n`` where there are several."""
        nbytes, blocks = np.zeros((2, n + 1), np.int64), np.zeros((2, n + 1), np.int64)
        holders = graph.holders()
        for piece in slices(graph.n_blocks):
            label, size, shared = sole[piece].astype(np.int64), graph.block_bytes[piece], holders[piece] > 1
            np.add.at(nbytes[0], label, size)
            np.add.at(nbytes[1], label, size * shared)
            blocks[0] += np.bincount(label, minlength=n + 1)
            blocks[1] += np.bincount(label[shared], minlength=n + 1)
        return cls(nbytes, blocks)


def _label_rows(sums: _Sums, names: Sequence[str], total: Ints, terms: Terms, n_models: Ints) -> list[SizeRow]:
    """Rows of the labels that some model has, and of several. ``total`` and ``n_models``: int64[K + 1]."""
    n = len(names)
    fair, of_row = terms.rounded(n, int(sums.nbytes[0].sum())), terms.of_rows(n)
    exclusive, shared = sums.nbytes.tolist()
    exclusive_blocks, shared_blocks = sums.blocks.tolist()
    columns = (total[:n].tolist(), exclusive, shared, fair, of_row, n_models[:n].tolist(), exclusive_blocks, shared_blocks)
    rows = [SizeRow(name, *row) for name, *row in zip(names, *columns, strict=False) if row[5]]
    last = _several(exclusive[n], shared[n], int(n_models[n]), exclusive_blocks[n], shared_blocks[n])
    return _sorted(rows, replace(last, total_bytes=int(total[n])))


def _several(exclusive: int, shared: int, models: int, blocks: int, shared_blocks: int) -> SizeRow:
    return SizeRow(SEVERAL, 0, exclusive, shared, 0, (), models, blocks, shared_blocks, held_by_several=True)


def _sorted(rows: list[SizeRow], several: SizeRow) -> list[SizeRow]:
    return [*sorted(rows, key=lambda row: (-row.total_bytes, row.name)), several]


def _owners(graph: ModelBlockGraph) -> NDArray[np.int32]:
    """int32[nnz]: the model of each entry of ``graph.indices``."""
    return np.repeat(np.arange(graph.n_models, dtype=np.int32), np.diff(graph.indptr))


def _model_part_pairs(catalog: Catalog) -> tuple[Ints, Ints]:
    """The parts of every model, as two columns of indices."""
    index = {part.part: i for i, part in enumerate(catalog.parts)}
    pairs = [(i, index[uri]) for i, model in enumerate(catalog.models) for uri in model.parts]
    columns = np.array(pairs, np.int64).reshape(-1, 2)
    return columns[:, 0], columns[:, 1]
