"""What a report says, as data: gathered once, then written as a page, Markdown, JSON or CSV."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trimcache._version import __version__
from trimcache.report.forest import FamilyForest, family_forest
from trimcache.report.heat_map import HeatMap, heat_map
from trimcache.sharing.sizes import SizeAnalysis, Sizes
from trimcache.sharing.spectrum import SpectrumRow, spectrum

if TYPE_CHECKING:
    from trimcache.catalog.reader import Catalog
    from trimcache.plan import Plan
    from trimcache.report.plan_content import PlanContent

__all__ = ["ModelRow", "ReportContent", "gather"]


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model; sizes in bytes, in the words of the design.

    Attributes:
        family: index into the families of the report, or None for a model that shares too little with any other.
        model_bytes: what fetching it moves.
        exclusive_bytes: what deleting it frees.
        shared_bytes: its blocks that other models hold too, each once.
        fair_share_bytes: every block divided among its holders, rounded so that all models together are the unique bytes.
        blocks: number of its blocks.
        missing: why it cannot be served, or None if it can.
    """

    name: str
    family: int | None
    format: str
    architecture: str | None
    declared_base: str | None
    model_bytes: int
    exclusive_bytes: int
    shared_bytes: int
    fair_share_bytes: int
    blocks: int
    missing: str | None


@dataclass(frozen=True, slots=True)
class ReportContent:
    """Everything that a report says. Models are in the order of the catalog: sorted by name."""

    catalog: str
    rules: Mapping[str, Any]
    version: str
    sizes: Sizes
    models: tuple[ModelRow, ...]
    spectrum: tuple[SpectrumRow, ...]
    forest: FamilyForest
    heat_map: HeatMap
    plan: PlanContent | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values: names as they are, sizes as exact integers."""
        return {
            "catalog": self.catalog,
            "rules": dict(self.rules),
            "version": self.version,
            **self.sizes.to_dict(),
            "rows": [asdict(row) for row in self.models],
            "spectrum": [row.to_dict() for row in self.spectrum],
            **self.forest.to_dict(),
            "pairs": self.heat_map.to_dict([row.name for row in self.models]),
            "plan": None if self.plan is None else self.plan.to_dict(),
        }


def gather(catalog: Catalog, plan: Plan | None = None) -> ReportContent:
    """Everything that a report says of a catalog, and of a plan made for it.

    Raises:
        PlanError: the plan was made for another catalog.
        CatalogError: the catalog cannot be read.
    """
    from trimcache.report.plan_content import plan_content

    analysis = SizeAnalysis(catalog)
    graph = analysis.graph
    complete = graph if all(model.missing is None for model in catalog.models) else catalog.graph()
    forest = family_forest(catalog)
    return ReportContent(
        catalog=catalog.root.name,
        rules=catalog.rules.to_dict(),
        version=__version__,
        sizes=analysis.headline,
        models=_models(catalog, analysis, forest),
        spectrum=tuple(spectrum(graph)),
        forest=forest,
        heat_map=heat_map(graph),
        plan=None if plan is None else plan_content(plan, complete),
    )


def _models(catalog: Catalog, analysis: SizeAnalysis, forest: FamilyForest) -> tuple[ModelRow, ...]:
    part_of = {part.part: part for part in catalog.parts}
    sizes = {row.name: row for row in analysis.by("model") if not row.held_by_several}
    rows = []
    for model, family, blocks in zip(catalog.models, forest.family, np.diff(analysis.graph.indptr).tolist(), strict=True):
        part, size = part_of[model.parts[-1]], sizes[model.name]
        rows.append(
            ModelRow(
                model.name,
                family,
                part.format,
                part.architecture,
                part.declared_base,
                size.total_bytes,
                size.exclusive_bytes,
                size.shared_bytes,
                size.fair_share_bytes,
                blocks,
                model.missing,
            )
        )
    return tuple(rows)
