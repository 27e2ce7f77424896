"""Families and lineage as a report shows them: who belongs together, and who was made from whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trimcache.sharing.families import family_sizes
from trimcache.sharing.lineage import lineage
from trimcache.sharing.relations import Kind
from trimcache.sizes import format_size

if TYPE_CHECKING:
    from trimcache.catalog.reader import Catalog
    from trimcache.sharing.families import FamilyRow
    from trimcache.sharing.lineage import Edge

__all__ = ["FamilyForest", "family_forest", "tree_rows"]


@dataclass(frozen=True)
class FamilyForest:
    """Families of two or more models, and a parent for each of the I models that has one.

    Attributes:
        families: largest first, with their sizes.
        alone: how many models are tied to no other.
        family: of each model, an index into ``families``, or None.
        parent: of each model, the index of the model it was made from, or None.
        evidence: why, in words; empty without parent.
        disagreements: where what models declare and what they share differ, a line each.
    """

    families: tuple[FamilyRow, ...]
    alone: int
    family: tuple[int | None, ...]
    parent: tuple[int | None, ...]
    evidence: tuple[str, ...]
    disagreements: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values; parents by index into the models."""
        return {
            "families": [row.to_dict() for row in self.families],
            "models_in_no_family": self.alone,
            "parents": list(self.parent),
            "evidence": list(self.evidence),
            "disagreements": list(self.disagreements),
        }


def family_forest(catalog: Catalog) -> FamilyForest:
    """The families of ``catalog.models`` by the rule of shared weights, and their lineage; no weights are read."""
    forest = lineage(catalog)
    found = forest.families
    rows = family_sizes(catalog, found)
    n = int((found.sizes > 1).sum())  # the largest come first
    return FamilyForest(
        tuple(rows[:n]),
        int(np.count_nonzero(found.labels >= n)),
        tuple(label if label < n else None for label in found.labels.tolist()),
        tuple(parent if parent >= 0 else None for parent in forest.parent.tolist()),
        tuple("" if edge is None else _in_words(edge) for edge in forest.edges),
        tuple(f"{one.model}: {one.text}" for one in forest.disagreements),
    )


def _in_words(edge: Edge) -> str:
    shared = f"shares {format_size(edge.shared_bytes)} of weights" if edge.shared_bytes else "shares no weights"
    return f"{edge.kind} of {edge.parent}, {edge.direction}, {shared}" if edge.kind is not Kind.SAME else f"same weights as {edge.parent}"


def tree_rows(forest: FamilyForest) -> list[list[tuple[int, int]]]:
    """For each family its models as ``(model, depth)``, children below their parent; depth 0: no parent in the family."""
    children: dict[int, list[int]] = {}
    roots: list[list[int]] = [[] for _ in forest.families]
    for model, (family, parent) in enumerate(zip(forest.family, forest.parent, strict=True)):
        if family is not None and parent is not None and forest.family[parent] == family:
            children.setdefault(parent, []).append(model)
        elif family is not None:
            roots[family].append(model)
    result = []
    for of_family in roots:
        rows, stack = [], [(model, 0) for model in reversed(of_family)]
        while stack:
            model, depth = stack.pop()
            rows.append((model, depth))
            stack += [(child, depth + 1) for child in reversed(children.get(model, ()))]
        result.append(rows)
    return result
