"""The sharing spectrum: how many bytes are held by exactly one, two, three ... models."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from trimcache.catalog.reader import Catalog
from trimcache.graph import ModelBlockGraph


@dataclass(frozen=True, slots=True)
class SpectrumRow:
    """Blocks that exactly ``models`` models hold: how many, and their bytes, each block once."""

    models: int
    nbytes: int
    blocks: int

    def to_dict(self) -> dict[str, int]:
        """For JSON."""
        return asdict(self)


def spectrum(models: Catalog | ModelBlockGraph) -> list[SpectrumRow]:
    """The rows that are not empty, by number of holders; their bytes add up to ``unique_bytes``.

    Of a catalog, adapters without their base count with the bytes that are there, as in all its sizes.

        >>> graph = ModelBlockGraph.from_blocks({"a": ["x", "y"], "b": ["x"]}, {"x": 10, "y": 5})
        >>> [(row.models, row.nbytes) for row in spectrum(graph)]
        [(1, 5), (2, 10)]
    """
    graph = models if isinstance(models, ModelBlockGraph) else models.graph(incomplete=True)
    holders = graph.holders()
    blocks = np.bincount(holders)
    nbytes = np.zeros(len(blocks), np.int64)
    np.add.at(nbytes, holders, graph.block_bytes)
    return [SpectrumRow(r, int(nbytes[r]), int(blocks[r])) for r in np.flatnonzero(blocks).tolist()]
