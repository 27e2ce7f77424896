"""Fitting a scanned catalog: its families, and in each what its members are made of and how they came to be.

Every distinct block of the catalog is a *gene* of one of three scopes:

    library   models of two or more families hold it (a licence, a header): it follows from its content
    family    two or more members of one family hold it, or its base does: members inherit it
    own       one member alone holds it: it was trained, and a sampled member trains another

What a member did to its base is read off its genes (regime), so the fit needs no weights and no names of architectures.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trimcache.catalog.reader import Catalog
from trimcache.errors import UsageError
from trimcache.synthesis.layer_order import layers_of
from trimcache.synthesis.relations import components, weight_overlap
from trimcache.tensors import Kind

MIN_MODELS = 4
LIBRARY, FAMILY, OWN = "library", "family", "own"
_WEIGHTS = (Kind.PARAMETER.value, Kind.ADAPTER.value)


@dataclass(frozen=True, slots=True)
class Row:
    """One extent of a member: ``name``, ``dtype``, ``shape`` of its tensor ("" and () if it holds none), its gene and scope."""

    file: str
    nbytes: int
    kind: str
    name: str
    dtype: str
    shape: tuple[int, ...]
    gene: int
    scope: str
    layer: int | None


@dataclass
class Member:
    """A part as a template for others.

    Attributes:
        depth: lowest layer that it trained, where layers are known and everything below is its base's; else None.
        n_layers: how many layers it has, 0 if unknown.
        rank: of an adapter, else None.
        labels: size of the first dimension of the tensors that depend on its task, None if there are none.
    """

    name: str
    regime: str
    format: str
    architecture: str
    needs_base: bool
    popularity: float | None
    files: list[tuple[str, int, str | None]]
    rows: list[Row]
    depth: int | None = None
    n_layers: int = 0
    rank: int | None = None
    labels: int | None = None


@dataclass
class Family:
    """Members of one component; ``base`` comes first where there is one."""

    members: list[Member] = field(default_factory=list)

    @property
    def base(self) -> Member:
        return self.members[0]

    @property
    def children(self) -> list[Member]:
        return self.members[1:]


@dataclass
class Fitted:
    """What was found: families largest first, and distributions for people to read."""

    families: list[Family]
    n_models: int

    def to_dict(self) -> dict[str, Any]:
        members = [member for family in self.families for member in family.members]
        return {
            "models": self.n_models,
            "family_sizes": sorted((len(family.members) for family in self.families), reverse=True),
            "regimes": dict(Counter(member.regime for member in members).most_common()),
            "depths": sorted(member.depth for member in members if member.depth is not None),
            "ranks": sorted(member.rank for member in members if member.rank is not None),
        }


def fit_catalog(catalog: Catalog, only: set[str] | None = None) -> Fitted:
    """Fit the models of a catalog, or only those named.

    Raises:
        UsageError: too few models, or blocks that are no tensors.
    """
    if catalog.rules.granularity != "tensor":
        raise UsageError(
            str(catalog.root), f"has granularity {catalog.rules.granularity}", "fit a catalog scanned with --granularity tensor"
        )
    parts = [part for part in catalog.parts if only is None or part.name in only]
    if len(parts) < MIN_MODELS:
        raise UsageError(str(catalog.root), f"has {len(parts)} models, too few to fit", f"scan at least {MIN_MODELS}")
    index = {part.part: i for i, part in enumerate(parts)}
    extents, genes = _extents(catalog, index)
    names = _tensors(catalog, index)
    files: list[list[tuple[str, int, str | None]]] = [[] for _ in parts]
    table = catalog.table("files", ["path", "nbytes", "format"])
    for row in table.to_pylist():
        if row["part"] in index:
            files[index[row["part"]]].append((row["path"], row["nbytes"], row["format"]))
    bases = {part: model.parts[-2] for model in catalog.models if len(model.parts) > 1 for part in [model.parts[-1]]}
    declared = [(index[part], index[base]) for part, base in bases.items() if part in index and base in index]
    weights = [(part, gene, nbytes) for part, rows in enumerate(extents) for _, nbytes, kind, _, gene, constant in rows
               if kind in _WEIGHTS and not constant]  # fmt: skip
    overlap = weight_overlap(weights, len(parts), len(genes))
    groups = components(overlap, weights, declared, len(parts))
    family_of = np.zeros(len(parts), np.int64)
    for number, group in enumerate(groups):
        family_of[group] = number
    holders: list[set[int]] = [set() for _ in genes]
    for part, rows in enumerate(extents):
        for row in rows:
            holders[row[4]].add(part)
    families = []
    for group in groups:
        base = _base_of(group, overlap, [parts[part].needs_base for part in range(len(parts))])
        base_genes = {row[4] for row in extents[base]}
        ordered = [base, *(part for part in group if part != base)]
        family = Family()
        for part in ordered:
            member = Member(
                parts[part].name, "base" if part == base else "", parts[part].format, parts[part].architecture or "",
                parts[part].needs_base, parts[part].popularity, files[part], [],
            )  # fmt: skip
            _fill(member, extents[part], names[part], holders, family_of, base_genes)
            family.members.append(member)
        for member in family.children:
            _classify(member, base_genes)
        families.append(family)
    families.sort(key=lambda family: (-len(family.members), family.base.name))
    return Fitted(families, len(parts))


_Extent = tuple[str, int, str, int, int, bool]  # file, nbytes, kind, offset, gene, constant


def _extents(catalog: Catalog, index: dict[str, int]) -> tuple[list[list[_Extent]], dict[bytes, int]]:
    constants = catalog.table("tensors", ["digest", "constant"])
    constant = {digest for digest, flag in zip(constants["digest"].to_pylist(), constants["constant"].to_pylist(), strict=True) if flag}
    table = catalog.table("extents", ["file", "ordinal", "offset", "nbytes", "block", "kind"])
    genes: dict[bytes, int] = {}
    rows: list[list[_Extent]] = [[] for _ in index]
    columns = [table[name].to_pylist() for name in ("part", "file", "nbytes", "kind", "offset", "block")]
    for part, file, nbytes, kind, offset, block in zip(*columns, strict=True):
        if part in index:
            gene = genes.setdefault(block, len(genes))
            rows[index[part]].append((file, nbytes, kind, offset, gene, block in constant))
    return rows, genes


def _tensors(catalog: Catalog, index: dict[str, int]) -> list[dict[tuple[str, int], tuple[str, str, tuple[int, ...]]]]:
    """For each part, what tensor starts at ``(file, offset)``."""
    table = catalog.table("tensors", ["file", "name", "dtype", "shape", "offset"])
    found: list[dict[tuple[str, int], tuple[str, str, tuple[int, ...]]]] = [{} for _ in index]
    columns = [table[name].to_pylist() for name in ("part", "file", "offset", "name", "dtype", "shape")]
    for part, file, offset, name, dtype, shape in zip(*columns, strict=True):
        if part in index and offset is not None:
            found[index[part]].setdefault((file, offset), (name, dtype, tuple(shape)))
    return found


def _base_of(group: list[int], overlap: dict[tuple[int, int], int], needs_base: list[bool]) -> int:
    """The member that shares most with the others; adapters cannot be it unless there is nothing else."""
    whole = [part for part in group if not needs_base[part]] or group
    shared = dict.fromkeys(whole, 0)
    for (a, b), nbytes in overlap.items():
        for part in (a, b):
            if part in shared:
                shared[part] += nbytes
    return max(whole, key=lambda part: (shared[part], -part))


def _fill(
    member: Member,
    extents: list[_Extent],
    names: dict[tuple[str, int], tuple[str, str, tuple[int, ...]]],
    holders: list[set[int]],
    family_of: np.ndarray,
    base_genes: set[int],
) -> None:
    tensors = [names.get((file, offset), ("", "", ())) for file, _, _, offset, _, _ in extents]
    layers, member.n_layers = layers_of([name for name, _, _ in tensors])
    for (file, nbytes, kind, _, gene, _), (name, dtype, shape), layer in zip(extents, tensors, layers, strict=True):
        families = {int(family_of[part]) for part in holders[gene]}
        scope = LIBRARY if len(families) > 1 else FAMILY if len(holders[gene]) > 1 or gene in base_genes else OWN
        member.rows.append(Row(file, nbytes, kind, name, dtype, shape, gene, scope, layer))


def _classify(member: Member, base_genes: set[int]) -> None:
    """Set the regime of a child, and what varies within it."""
    rows = [row for row in member.rows if row.kind in _WEIGHTS]
    kept = [row for row in rows if row.gene in base_genes]
    new = [row for row in rows if row.gene not in base_genes]
    tasks = [row for row in new if row.scope == OWN and is_task_row(row)]
    member.labels = tasks[-1].shape[0] if tasks else None
    if member.needs_base:
        member.regime = "lora"
        ranks = [min(row.shape) for row in rows if ".lora_A." in row.name]
        member.rank = max(ranks, default=None)
    elif not new:
        member.regime = "copy"
    elif not kept:
        member.regime = "full"
    else:
        known = [row for row in rows if row.layer is not None]
        lowest = min((row.layer for row in new if row.layer is not None), default=None)
        # Trained tensors may equal the base's by chance (a bias whose gradient is zero), so only what should be frozen is looked at.
        moved = sum(
            row.nbytes for row in known if lowest is not None and row.layer is not None and row.layer >= lowest and row.gene in base_genes
        )
        trained = sum(row.nbytes for row in new)
        member.regime = "frozen" if lowest is not None and moved <= 0.01 * trained else "partial"
        member.depth = lowest if member.regime == "frozen" else None
        if member.depth is not None and member.depth == member.n_layers - 1:
            member.regime = "head"


def is_task_row(row: Row) -> bool:
    """Whether a tensor's size depends on the task: heads are called so in every library known to us."""
    return bool(row.shape) and bool({"classifier", "score", "fc"} & set(row.name.split(".")))
