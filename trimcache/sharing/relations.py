"""What kind of relation two models have, read off their tensors' headers and digests alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trimcache.graph import ModelBlockGraph
from trimcache.sharing.weights import TensorRows
from trimcache.synthesis.layer_order import layers_of

if TYPE_CHECKING:
    from trimcache.catalog.reader import Catalog

Ints = NDArray[np.int64]
# Models whose tensors of equal shapes make up this share of either are called alike: a new head, added tokens are within the rest.
ALIKE = 0.9


class Kind(StrEnum):
    """What a model did to its parent."""

    SAME = "same weights"
    CONTAINED = "part of it"  # all of its weights are the parent's
    ADAPTER = "adapter"
    HEAD = "head only"
    FROZEN = "frozen prefix"
    PARTLY = "partly shared"
    MERGED = "merged LoRA"
    FULL = "full fine-tune"  # the same shapes, no equal weights
    CAST = "cast or quantized"  # the same shapes in another dtype, no equal weights
    UNLIKE = "nothing in common"


@dataclass(frozen=True, slots=True)
class Relation:
    """A kind, and in words what it rests on."""

    kind: Kind
    detail: str = ""


class Relations:
    """Kinds of relations between the models of one catalog."""

    def __init__(self, catalog: Catalog, graph: ModelBlockGraph, tensors: TensorRows) -> None:
        self._graph, self._tensors = graph, tensors
        index = {part.part: i for i, part in enumerate(catalog.parts)}
        self._parts = [[index[uri] for uri in model.parts] for model in catalog.models]
        self._layers: dict[bytes, tuple[NDArray[np.int64], int]] = {}
        self._index_shapes()

    def sharing(self, child: int, parent: int) -> Relation:
        """The relation of a model to one that it shares weights with."""
        rows = self._rows(child)
        weight = self._tensors.weight[rows]
        held = self._graph.blocks_of(parent)
        place = np.minimum(np.searchsorted(held, weight), max(len(held) - 1, 0))
        shared = (weight >= 0) & (held[place] == weight if len(held) else False)
        own = (weight >= 0) & ~shared
        if not own.any():
            equal = np.array_equal(held, self._graph.blocks_of(child))
            return Relation(Kind.SAME if equal else Kind.CONTAINED)
        layer, n_layers = self._layers_of(rows)
        count = f"{int(own.sum())} of {int((weight >= 0).sum())} tensors are its own"
        known = own & (layer >= 0)
        if n_layers and known.any():
            lowest = int(layer[known].min())
            if not (shared & (layer > lowest)).any():
                if lowest == n_layers - 1:
                    return Relation(Kind.HEAD, count)
                if lowest > 0 and (shared & (layer < lowest) & (layer >= 0)).any():
                    return Relation(Kind.FROZEN, f"the lowest {lowest} of {n_layers} layers, {count}")
        return Relation(Kind.PARTLY, count)

    def not_sharing(self, child: int, other: int) -> Relation:
        """The relation of a model to one that it shares no weights with, or too few."""
        share = self.alike(child, other)
        if share < ALIKE:
            return Relation(Kind.UNLIKE, f"tensors of equal shapes are {100 * share:.0f} % of the larger")
        if self._dtype[child] != self._dtype[other]:
            return Relation(Kind.CAST, f"the same shapes, {self._dtype_name(child)} instead of {self._dtype_name(other)}")
        return Relation(Kind.FULL, "the same shapes, no equal weights")

    def alike(self, one: int, other: int) -> float:
        """Elements in tensors of equal shapes over those of the larger of two models."""
        a, b = self.shape_group[one], self.shape_group[other]
        larger = max(self._elements[a], self._elements[b])
        both = np.minimum(self._counts[a], self._counts[b]) @ self._shape_elements
        return float(both / larger) if larger else 0.0

    def groups_alike(self, group: int) -> Ints:
        """The groups of models whose shapes are like those of one group, itself included."""
        if not self._elements[group]:
            return np.zeros(0, np.int64)
        both = np.minimum(self._counts[group], self._counts) @ self._shape_elements
        return np.flatnonzero(both >= ALIKE * np.maximum(self._elements[group], self._elements))

    def _index_shapes(self) -> None:
        """Models of exactly the same shapes are one group; what groups have in common is counted in elements."""
        t = self._tensors
        known: dict[bytes, int] = {}
        self.shape_group: list[int] = []
        self._dtype: list[bytes] = []
        for model in range(self._graph.n_models):
            rows = self._rows(model)
            weights = rows[t.weight[rows] >= 0]
            self.shape_group.append(known.setdefault(np.sort(t.shape[weights]).tobytes(), len(known)))
            self._dtype.append(np.unique(t.dtype[weights]).tobytes())
        self._shape_elements = np.array([_elements(shape) for shape in t.shapes], np.float64)
        self._counts = np.zeros((len(known), len(t.shapes)), np.float64)
        for key, group in known.items():
            shapes, counts = np.unique(np.frombuffer(key, np.int32), return_counts=True)
            self._counts[group, shapes] = counts
        self._elements = self._counts @ self._shape_elements

    def _dtype_name(self, model: int) -> str:
        return "+".join(self._tensors.dtypes[code] for code in np.frombuffer(self._dtype[model], np.int32)) or "nothing"

    def _rows(self, model: int) -> Ints:
        slices = [self._tensors.of_part(part) for part in self._parts[model]]
        return np.concatenate([np.arange(rows.start, rows.stop) for rows in slices])

    def _layers_of(self, rows: Ints) -> tuple[NDArray[np.int64], int]:
        """int64[rows]: the layer of each, -1 where it is unknown; and how many layers there are."""
        codes = self._tensors.name[rows]
        key = codes.tobytes()
        if key not in self._layers:
            layers, n_layers = layers_of([self._tensors.names[code] for code in codes])
            self._layers[key] = np.array([-1 if layer is None else layer for layer in layers], np.int64), n_layers
        return self._layers[key]


def _elements(shape: str) -> int:
    return int(np.prod([int(n) for n in shape.split("x")], dtype=np.float64)) if shape else 1


def ancestors(parent: Ints, model: int) -> Iterator[int]:
    """The parents of a model, the nearest first."""
    model = int(parent[model])
    while model >= 0:
        yield model
        model = int(parent[model])
