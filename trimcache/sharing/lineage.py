"""Who descends from whom: a forest measured from shared weights, beside what models declare.

If every tensor was written once and inherited from then on, the models that hold a tensor are connected in the true tree, and a tree with
that property is a spanning tree of largest total shared bytes (Bernstein and Goodman, "Power of Natural Semijoins", 1981; Maier, "The
Theory of Relational Databases", 1983, on join trees). So the forest is a maximum spanning forest over shared bytes. Sharing has no
direction: the root is the model that shares most with all others together, which a base does and no child of it more. Of equal
candidates for a parent the one that shares most wins, so siblings hang from their base and not from each other.

What is stated comes first: an adapter belongs to the base that its model holds, a declared base that shares weights is the parent.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trimcache.catalog.models import declared_bases
from trimcache.sharing.families import Families, declared_votes, families, tied
from trimcache.sharing.pairs import SharedPairs, shared_pairs
from trimcache.sharing.relations import Kind, Relation, Relations, ancestors
from trimcache.sharing.weights import read_tensors

if TYPE_CHECKING:
    from trimcache.catalog.reader import Catalog

Ints = NDArray[np.int64]
NONE = -1


class Direction(StrEnum):
    """How it is known which of two models is the parent."""

    DECLARED = "declared"
    MEASURED = "measured"  # the parent shares more with the rest of the family
    OPEN = "open"  # both would explain everything: chosen by order


@dataclass(frozen=True, slots=True)
class Edge:
    """A model below its parent.

    Attributes:
        shared_bytes: distinct weights that both hold; ``share`` of the smaller one's.
        detail: what the kind rests on, in words.
    """

    model: str
    parent: str
    kind: Kind
    direction: Direction
    shared_bytes: int
    share: float
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Finding(StrEnum):
    """Where what is declared and what is measured differ."""

    NOTHING_SHARED = "declared base, nothing shared"
    NEARER = "declared base, but nearer to another"
    ABSENT = "declared base not in the catalog"
    UNDECLARED = "undeclared parent found"
    MERGED = "merged LoRA"
    RELATED = "related but not sharing"


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One line about one model; ``other`` is the model that it is about, or None."""

    finding: Finding
    model: str
    other: str | None
    text: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Forest:
    """The lineage of I models.

    Attributes:
        names: of the models, as in ``catalog.models``.
        parent: int64[I], -1 for a root.
        edges: one a model, None for a root.
        disagreements: by kind of finding, then in the order of the models.
        families: labels and names.
    """

    names: tuple[str, ...]
    parent: Ints
    edges: tuple[Edge | None, ...]
    disagreements: tuple[Disagreement, ...]
    families: Families

    def children(self) -> list[list[int]]:
        """The children of each model."""
        found: list[list[int]] = [[] for _ in self.names]
        for model, parent in enumerate(self.parent.tolist()):
            if parent >= 0:
                found[parent].append(model)
        return found


def lineage(catalog: Catalog, *, use_declared: bool = True, pairs: SharedPairs | None = None) -> Forest:
    """The lineage of ``catalog.models``, from headers and digests alone; merged adapters: :func:`trimcache.sharing.merges.find_merges`.

    Args:
        use_declared: False: as if no model declared a base (an adapter still belongs to its own).
        pairs: what ``shared_pairs(catalog)`` gave, if that is at hand.
    """
    graph, tensors = read_tensors(catalog)
    pairs = shared_pairs(graph) if pairs is None else pairs
    found = families(catalog, pairs)
    relations = Relations(catalog, graph, tensors)
    grown = _Growing(catalog, pairs, found, use_declared)
    return _described(catalog, grown, relations)


class _Growing:
    """Parents, settled step by step."""

    def __init__(self, catalog: Catalog, pairs: SharedPairs, found: Families, use_declared: bool) -> None:
        n = len(catalog.models)
        self.pairs, self.families, self.use_declared = pairs, found, use_declared
        self.own = pairs.own_bytes
        self.votes = declared_votes(catalog) if use_declared else np.zeros(n, np.int64)
        self.parent = np.full(n, NONE, np.int64)
        self.declared, self.adapter = _stated(catalog, use_declared)
        # Who is rather a base: no adapter (it holds all that its base holds); who shares most; who holds nothing that others lack, as a
        # fine-tune does; who is declared most often. 0 is the best rank; where all are equal, the order of the catalog decides.
        whole = np.array([int(row.sum()) for row in _profile_bytes(pairs)], np.int64)
        self.all_shared = np.zeros(n, bool)
        sharing = np.flatnonzero(pairs.profile >= 0)
        self.all_shared[sharing] = whole[pairs.profile[sharing]] == self.own[sharing]
        self.claims = (self.adapter >= 0, -pairs.shared_total, ~self.all_shared, -self.votes)
        self.rank = np.empty(n, np.int64)
        self.rank[np.lexsort((np.arange(n), *reversed(self.claims)))] = np.arange(n)
        self.stated = np.zeros(n, bool)
        self._same_weights()
        self._take_stated()
        for members in _by_label(found):
            if len(members) > 1:
                self._span(members)

    def _same_weights(self) -> None:
        """Of models with exactly the same weights the best ranked stands for all."""
        pairs, alike = self.pairs, np.flatnonzero(self.all_shared)
        first: dict[int, int] = {}
        for model in alike[np.argsort(self.rank[alike])].tolist():
            leader = first.setdefault(int(pairs.profile[model]), model)
            if leader != model:
                self.parent[model] = leader

    def _take_stated(self) -> None:
        """Adapters below their bases; declared bases that share weights."""
        n = len(self.parent)
        claims = np.where(self.adapter >= 0, self.adapter, self.declared)
        claiming = np.flatnonzero(claims >= 0)
        shared = np.zeros(n, np.int64)
        shared[claiming] = self.pairs.between(claiming, claims[claiming])
        believed = (self.adapter >= 0) | tied(shared, self.own, self.own[np.maximum(claims, 0)])
        for model in claiming.tolist():
            base = int(claims[model])
            if self.parent[model] != NONE:
                self.stated[model] = self.parent[model] == base
            elif believed[model] and model not in ancestors(self.parent, base) and model != base:
                self.parent[model] = base
                self.stated[model] = True

    def _span(self, members: Ints) -> None:
        """Prim's algorithm over the trees that are there so far: each joins as a whole, by its root."""
        pairs, own, rank = self.pairs, self.own, self.rank
        children: dict[int, list[int]] = {}
        for model in members.tolist():
            children.setdefault(int(self.parent[model]), []).append(model)
        inside_family = set(members.tolist())
        waiting = [m for m in members[np.argsort(rank[members])].tolist() if int(self.parent[m]) not in inside_family]
        roots = np.array(waiting, np.int64)
        of_root = pairs.profile[roots]
        most, nearest = np.zeros(len(roots), np.int64), np.full(len(roots), NONE, np.int64)
        free = self.parent[roots] == NONE
        done: dict[int, tuple[int, int]] = {}
        open_ = np.ones(len(roots), bool)
        for _ in range(len(roots)):
            at = int(np.argmax(np.where(open_, most, -1)))  # the first of equals is the best ranked
            open_[at] = False
            if free[at] and most[at]:
                self.parent[roots[at]] = nearest[at]
            tree = _below(int(roots[at]), children)
            for model in sorted(tree, key=lambda m: int(rank[m])):
                profile, seen = int(pairs.profile[model]), done.get(int(pairs.profile[model]))
                if profile < 0 or (seen is not None and seen[0] <= rank[model] and seen[1] <= own[model]):
                    continue  # another of the same profile offers the same
                done[profile] = (int(rank[model]), int(own[model]))
                shared = pairs.profile_row(profile)[of_root]
                ties = tied(shared, own[model], own[roots])
                better = open_ & ties & ((shared > most) | ((shared == most) & (rank[model] < rank[nearest])))
                most[better], nearest[better] = shared[better], model


def _described(catalog: Catalog, grown: _Growing, relations: Relations) -> Forest:
    names, parent = grown.pairs.names, grown.parent
    own, found = grown.own, list[Disagreement]()
    kinds: dict[int, Relation] = {}
    for model in np.flatnonzero((grown.declared >= 0) & (grown.adapter < 0)).tolist():
        base = int(grown.declared[model])
        if grown.stated[model] or base == model:
            continue
        shared = int(grown.pairs.between(np.array([model]), np.array([base]))[0])
        if parent[model] != NONE and tied(np.array([shared]), own[[model]], own[[base]])[0]:
            continue  # related to its base by way of a copy
        relation = relations.not_sharing(model, base)
        found.append(_nothing_shared(names, model, base, shared, relation, parent))
        if parent[model] == NONE and relation.kind is not Kind.UNLIKE and model not in ancestors(parent, base):
            parent[model] = base
            grown.stated[model] = True
            kinds[model] = relation
    children = np.flatnonzero(parent != NONE)
    with_parent = np.zeros(len(parent), np.int64)
    with_parent[children] = grown.pairs.between(children, parent[children])
    found += _nearer(grown, names, with_parent)
    edges: list[Edge | None] = [None] * len(parent)
    for model in children.tolist():
        base = int(parent[model])
        relation = kinds.get(model) or _kind_of(grown, relations, model, base)
        smaller = int(min(own[model], own[base]))
        share = int(with_parent[model]) / smaller if smaller else 0.0
        edges[model] = Edge(
            names[model], names[base], relation.kind, _direction(grown, model, base), int(with_parent[model]), share, relation.detail
        )
    found += _undeclared(catalog, grown, edges)
    found += _related(grown, names, relations)
    order = {finding: i for i, finding in enumerate(Finding)}
    found.sort(key=lambda one: order[one.finding])
    return Forest(names, parent, tuple(edges), tuple(found), grown.families)


def _kind_of(grown: _Growing, relations: Relations, model: int, base: int) -> Relation:
    if grown.adapter[model] == base and grown.stated[model]:
        return Relation(Kind.ADAPTER)
    return relations.sharing(model, base)


def _direction(grown: _Growing, model: int, base: int) -> Direction:
    if grown.stated[model]:
        return Direction.DECLARED
    decided = [claim[base] for claim in grown.claims] != [claim[model] for claim in grown.claims]
    return Direction.MEASURED if decided else Direction.OPEN


def _nothing_shared(names: tuple[str, ...], model: int, base: int, shared: int, relation: Relation, parent: Ints) -> Disagreement:
    what = f"no weights with {names[base]}" if not shared else f"only {shared:,} bytes of weights with {names[base]}"
    but = f"; it shares most with {names[parent[model]]}" if parent[model] != NONE else ""
    text = f"declares {names[base]} as its base and shares {what} ({relation.kind}: {relation.detail}){but}"
    return Disagreement(Finding.NOTHING_SHARED, names[model], names[base], text)


def _nearer(grown: _Growing, names: tuple[str, ...], shared: Ints) -> list[Disagreement]:
    """Models whose declared base shares less with them than a model that is no descendant of theirs."""
    found = []
    pairs, parent = grown.pairs, grown.parent
    rows: dict[int, Ints] = {}
    members = dict(enumerate(_by_label(grown.families)))
    for model in np.flatnonzero(grown.stated & (grown.adapter < 0) & (pairs.profile >= 0)).tolist():
        profile = int(pairs.profile[model])
        family = members[int(grown.families.labels[model])]
        if profile not in rows:
            rows[profile] = pairs.profile_row(profile)
        sums = np.where(pairs.profile[family] >= 0, rows[profile][pairs.profile[family]], 0)
        more = family[(sums > shared[model]) & (family != model)]
        if not more.size:
            continue
        sharing = rows[profile][pairs.profile[more]]
        for other in more[np.lexsort((grown.rank[more], -sharing))].tolist():
            if model not in ancestors(parent, other):
                value = int(rows[profile][pairs.profile[other]])
                base = int(parent[model])
                text = f"declares {names[base]} ({int(shared[model]):,} bytes shared), but shares {value:,} with {names[other]}"
                found.append(Disagreement(Finding.NEARER, names[model], names[other], text))
                break
    return found


def _undeclared(catalog: Catalog, grown: _Growing, edges: list[Edge | None]) -> list[Disagreement]:
    found = []
    parts = {part.part: part for part in catalog.parts}
    for model, edge in enumerate(edges):
        if edge is None or grown.stated[model]:
            continue
        declared = parts[catalog.models[model].parts[-1]].declared_base if grown.use_declared else None
        sharing = f"{100 * edge.share:.1f} % of the smaller, {edge.kind}"
        base = int(grown.declared[model])
        if declared and base >= 0:
            continue  # said above
        if declared:
            text = f"declares {declared}, which is not in the catalog; nearest is {edge.parent} ({sharing})"
            found.append(Disagreement(Finding.ABSENT, edge.model, edge.parent, text))
        else:
            open_ = ", or the other way round" if edge.direction is Direction.OPEN else ""
            text = f"declares no base; nearest is {edge.parent}{open_} ({sharing})"
            found.append(Disagreement(Finding.UNDECLARED, edge.model, edge.parent, text))
    return found


def _related(grown: _Growing, names: tuple[str, ...], relations: Relations) -> list[Disagreement]:
    """Roots whose shapes are those of a better ranked tree: full fine-tunes, casts, or the same architecture trained anew."""
    parent, rank = grown.parent, grown.rank
    root = _roots(parent)
    roots_of: dict[int, dict[int, int]] = {}  # group of shapes -> root -> its best ranked model in that group
    for model in np.argsort(rank).tolist():
        roots_of.setdefault(relations.shape_group[model], {}).setdefault(int(root[model]), model)
    alike: dict[int, list[tuple[int, int]]] = {}
    found = []
    for model in np.flatnonzero(parent == NONE).tolist():
        group = relations.shape_group[model]
        if group not in alike:
            best: dict[int, int] = {}
            for near in relations.groups_alike(group).tolist():
                for tree, member in roots_of.get(near, {}).items():
                    best[tree] = min(best.get(tree, member), member, key=lambda m: int(rank[m]))
            alike[group] = sorted(best.items(), key=lambda item: int(rank[item[0]]))
        trees = alike[group]
        if not trees or rank[trees[0][0]] >= rank[model]:
            continue
        other = trees[0][1]
        relation = relations.not_sharing(model, other)
        more = sum(tree != model for tree, _ in trees) - 1
        also = f"; {more} other{'s' if more > 1 else ''} just as much" if more else ""
        text = f"related to {names[other]} but not sharing ({relation.kind}? {relation.detail}){also}"
        found.append(Disagreement(Finding.RELATED, names[model], names[other], text))
    return found


def with_merges(forest: Forest, merges: dict[str, tuple[str, str]]) -> Forest:
    """``forest`` with what reading weights told: model -> (base, in words)."""
    index = {name: i for i, name in enumerate(forest.names)}
    edges = list(forest.edges)
    found = list(forest.disagreements)
    for model, (base, text) in merges.items():
        edge = edges[index[model]]
        if edge is not None:
            edges[index[model]] = replace(edge, kind=Kind.MERGED, detail=text)
        found = [one for one in found if not (one.model == model and one.finding in (Finding.UNDECLARED, Finding.RELATED))]
        found.append(Disagreement(Finding.MERGED, model, base, f"is {base} with an adapter merged in ({text})"))
    order = {finding: i for i, finding in enumerate(Finding)}
    found.sort(key=lambda one: order[one.finding])
    return replace(forest, edges=tuple(edges), disagreements=tuple(found))


def _stated(catalog: Catalog, use_declared: bool) -> tuple[Ints, Ints]:
    """int64[I] twice: the model that each declares as its base, the base that an adapter model holds; -1 for none."""
    of_part = {model.parts[-1]: i for i, model in enumerate(catalog.models)}
    adapter = np.array([of_part[model.parts[-2]] if len(model.parts) > 1 else NONE for model in catalog.models], np.int64)
    declared = np.full(len(adapter), NONE, np.int64)
    if use_declared:
        bases = declared_bases(catalog.parts)
        for i, model in enumerate(catalog.models):
            base = bases.get(model.parts[-1])
            declared[i] = NONE if base is None else of_part[base]
    return declared, adapter


def _profile_bytes(pairs: SharedPairs) -> list[Ints]:
    return [pairs.atom_bytes[pairs.holds.indices[a:b]] for a, b in zip(pairs.holds.indptr[:-1], pairs.holds.indptr[1:], strict=True)]


def _by_label(found: Families) -> list[Ints]:
    order = np.argsort(found.labels, kind="stable")
    return np.split(order, np.cumsum(found.sizes)[:-1]) if len(found) else []


def _below(model: int, children: dict[int, list[int]]) -> list[int]:
    tree = [model]
    for one in tree:
        tree += children.get(one, ())
    return tree


def _roots(parent: Ints) -> Ints:
    """int64[I]: the root of each model's tree, by doubling steps upwards."""
    up = np.where(parent < 0, np.arange(len(parent)), parent)
    while True:
        further = up[up]
        if np.array_equal(further, up):
            return up
        up = further
