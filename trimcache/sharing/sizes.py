"""Sizes of a catalog, in the words of the design, exact and adding up.

``unique_bytes`` counts each block once and is ``shared_bytes`` (blocks in two or more models) plus ``specific_bytes``.
``disk_bytes`` counts each physical file once. Rows: :mod:`trimcache.sharing.breakdowns`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from trimcache.catalog.block_table import read_blocks
from trimcache.catalog.graph_builder import build_graph
from trimcache.catalog.reader import Catalog
from trimcache.errors import UsageError
from trimcache.graph import ModelBlockGraph
from trimcache.sharing import breakdowns
from trimcache.sharing.extent_labels import dtype_of_extents, kind_of_extents
from trimcache.sharing.size_rows import SEVERAL, SizeRow
from trimcache.sharing.spectrum import SpectrumRow, spectrum

__all__ = ["BY", "SEVERAL", "SizeAnalysis", "SizeRow", "Sizes", "disk_bytes"]

BY = ("model", "family", "kind", "dtype", "format")
_LABELS = {"kind": kind_of_extents, "dtype": dtype_of_extents, "format": None}


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


class SizeAnalysis:
    """All sizes of one catalog; adapters without their base count with the bytes that are there.

    Args:
        expected: the breakdown that will be asked for: what it needs is then read together with the graph, not afterwards.
    """

    def __init__(self, catalog: Catalog, expected: str = "model") -> None:
        self.catalog = catalog
        self._read_with = expected
        self._table = read_blocks(catalog, _LABELS[expected]) if expected in _LABELS else None
        self.graph: ModelBlockGraph = build_graph(catalog, incomplete=True, table=self._table)

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

    @cached_property
    def spectrum(self) -> list[SpectrumRow]:
        """Bytes and blocks held by exactly r models."""
        return spectrum(self.graph)

    def by(self, what: str) -> list[SizeRow]:
        """The breakdown by one of ``BY``, largest first, blocks of several rows last.

        Raises:
            UsageError: there is no such breakdown.
        """
        if what == "model":
            return breakdowns.by_model(self.catalog, self.graph)
        if what == "family":
            from trimcache.sharing.families import families

            found = families(self.catalog)
            return breakdowns.by_family(self.graph, found.labels.astype(np.int64), found.names)
        if what not in _LABELS:
            raise UsageError(f"--by {what}", "is no breakdown", f"choose one of {', '.join(BY)}")
        if self._table is None or self._read_with != what:
            self._table, self._read_with = read_blocks(self.catalog, _LABELS[what]), what
        of = breakdowns.ExtentLabels
        labels = of.of_format(self.catalog, self._table) if what == "format" else of.of_column(self._table)
        return breakdowns.by_extents(self.catalog, self.graph, self._table, labels)


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
