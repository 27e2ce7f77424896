"""Sizes of a catalog, in the words of the design, exact and adding up.

``unique_bytes`` counts each block once and is ``shared_bytes`` (blocks in two or more models) plus ``specific_bytes``.
``disk_bytes`` counts each physical file once. In a table, a block that belongs to several rows is counted in a row of its own, so the
column of unique bytes always adds up to ``unique_bytes``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimcache.catalog.block_table import read_blocks
from trimcache.catalog.reader import Catalog
from trimcache.errors import UsageError

BY = ("model", "kind", "format")
SEVERAL = "several"


@dataclass(frozen=True, slots=True)
class Sizes:
    """Headline sizes of a catalog, in bytes.

    Attributes:
        models: number of models, ``incomplete_models`` of them adapters whose base is missing.
        blocks: number of distinct blocks.
        disk_bytes: each physical file once; None if a model is in memory or was generated.
        saved_on_disk_bytes: ``disk_bytes - unique_bytes``; None where that is None.
        saved_bytes: ``total_bytes - unique_bytes``.
    """

    models: int
    incomplete_models: int
    blocks: int
    total_bytes: int
    disk_bytes: int | None
    unique_bytes: int
    shared_bytes: int
    specific_bytes: int
    saved_on_disk_bytes: int | None
    saved_bytes: int
    synthetic: bool

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SizeRow:
    """One row of a breakdown.

    Attributes:
        name: model, kind or format; ``several`` for blocks that belong to more than one row.
        total_bytes: what fetching moves: ``model_bytes`` of a model; for kinds and formats, over all models.
        unique_bytes: blocks of this row alone, each once (for a model: ``exclusive_bytes``, what deleting it frees).
        shared_bytes: its blocks that two or more models hold, each once.
        complete: False for an adapter whose base is missing.
    """

    name: str
    total_bytes: int
    unique_bytes: int
    shared_bytes: int
    complete: bool = True

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class SizeAnalysis:
    """All sizes of one catalog; adapters without their base count with the bytes that are there."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.graph = catalog.graph(incomplete=True)

    @cached_property
    def headline(self) -> Sizes:
        graph, disk = self.graph, disk_bytes(self.catalog)
        unique = graph.unique_bytes
        return Sizes(
            models=graph.n_models,
            incomplete_models=sum(model.missing is not None for model in self.catalog.models),
            blocks=graph.n_blocks,
            total_bytes=graph.total_bytes,
            disk_bytes=disk,
            unique_bytes=unique,
            shared_bytes=graph.shared_bytes,
            specific_bytes=graph.specific_bytes,
            saved_on_disk_bytes=None if disk is None else disk - unique,
            saved_bytes=graph.total_bytes - unique,
            synthetic=self.catalog.synthetic,
        )

    def by(self, what: str) -> list[SizeRow]:
        """The breakdown by ``model``, ``kind`` or ``format``, largest first, ``several`` last.

        Raises:
            UsageError: there is no such breakdown.
        """
        if what not in BY:
            raise UsageError(f"--by {what}", "is no breakdown", f"choose one of {', '.join(BY)}")
        return self._by_model() if what == "model" else self._by_label(what)

    def _by_model(self) -> list[SizeRow]:
        graph = self.graph
        exclusive = graph.exclusive_bytes()
        shared_block = graph.holders() > 1
        shared = np.zeros(graph.n_models, np.int64)
        owner = np.repeat(np.arange(graph.n_models), np.diff(graph.indptr))
        np.add.at(shared, owner, np.where(shared_block, graph.block_bytes, 0)[graph.indices])
        complete = {model.name: model.missing is None for model in self.catalog.models}
        rows = [
            SizeRow(name, int(graph.model_bytes[i]), int(exclusive[i]), int(shared[i]), complete[name])
            for i, name in enumerate(graph.model_names)
        ]
        rows.sort(key=lambda row: (-row.total_bytes, row.name))
        return [*rows, SizeRow(SEVERAL, 0, graph.shared_bytes, graph.shared_bytes)]

    def _by_label(self, what: str) -> list[SizeRow]:
        """Rows by a label of extents: their kind, or the format of their part."""
        table = read_blocks(self.catalog, with_kind=what == "kind")  # its blocks are the graph's, as no model is left out
        part = table.parts_of_extents()
        if table.kind is not None:
            names, label = table.kind.dictionary.to_pylist(), table.kind.indices.to_numpy()
        else:
            names, of_part = np.unique([part.format for part in self.catalog.parts], return_inverse=True)
            label = of_part[part]
        moved = table.nbytes[table.block]
        moved *= _models_per_part(self.catalog)[part]
        labels_of_block, label_of_block = np.zeros(len(table.nbytes), np.int64), np.zeros(len(table.nbytes), np.int64)
        total: dict[str, int] = {}
        for code, name in enumerate(names):
            rows = label == code
            if rows.any():
                total[str(name)] = int(moved[rows].sum())
            has = np.zeros(len(table.nbytes), bool)
            has[table.block[rows]] = True
            labels_of_block += has
            label_of_block[has] = code
        label_of_block[labels_of_block > 1] = len(names)
        shared_nbytes = np.where(self.graph.holders() > 1, table.nbytes, 0)
        result = []
        for code, name in enumerate([*names, SEVERAL]):
            blocks = label_of_block == code
            if name in total or blocks.any():
                sums = total.get(str(name), 0), int(table.nbytes[blocks].sum()), int(shared_nbytes[blocks].sum())
                result.append(SizeRow(str(name), *sums))
        return sorted(result, key=lambda row: (row.name == SEVERAL, -row.total_bytes, row.name))


def disk_bytes(catalog: Catalog) -> int | None:
    """Bytes of the physical files behind a catalog, each (device, inode) once; None if some of it is not on a disk."""
    if catalog.synthetic:
        return None
    files = catalog.table("files", ["nbytes", "device", "inode"])
    if files["inode"].null_count:
        return None
    pairs = zip(files["device"].to_pylist(), files["inode"].to_pylist(), strict=True)
    physical: dict[tuple[int, int], int] = dict(zip(pairs, files["nbytes"].to_pylist(), strict=True))
    return sum(physical.values())


def _models_per_part(catalog: Catalog) -> NDArray[np.int64]:
    """How many models each of ``catalog.parts`` belongs to."""
    index = {part.part: i for i, part in enumerate(catalog.parts)}
    return np.bincount([index[part] for model in catalog.models for part in model.parts], minlength=len(index))
