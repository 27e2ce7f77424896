"""Families: models tied by enough shared weights, as the design defines it.

Two models are tied if the parameter and adapter bytes that they share are at least 1 % of the smaller one's and at least 64 KiB; a
family is what ties connect. Buffers, headers, tokenizers and tensors of one constant value tie nobody.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from trimcache.sharing.pairs import SharedPairs, shared_pairs

if TYPE_CHECKING:
    from trimcache.catalog.reader import Catalog

Ints = NDArray[np.int64]
MIN_NBYTES, ONE_IN = 64 * 1024, 100  # of the smaller model, a hundredth


@dataclass(frozen=True, eq=False)
class Families:
    """Families of I models, the one with the most models first.

    Attributes:
        labels: int32[I], the family of each of ``catalog.models``; a model tied to none is a family of its own.
        names: of the families: the base that most of their models declare, else the model that shares most with the others.
        bases: int64[F], that model of each.
    """

    labels: NDArray[np.int32]
    names: tuple[str, ...]
    bases: Ints

    def __len__(self) -> int:
        return len(self.names)

    @property
    def sizes(self) -> Ints:
        """int64[F], the number of models of each."""
        return np.bincount(self.labels, minlength=len(self.names)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class FamilyRow:
    """One family: ``total_bytes`` is the sum of its models, ``unique_bytes`` each of its blocks once, files included;
    ``shared_bytes`` of them are in two or more of its models.
    """

    name: str
    models: int
    total_bytes: int
    unique_bytes: int
    shared_bytes: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def tied(shared: Ints, one: Ints, other: Ints) -> NDArray[np.bool_]:
    """The rule: ``shared`` bytes tie models of ``one`` and ``other`` bytes of weights."""
    # shared >= smaller / 100 without fractions, and without a product that could pass 2**63.
    return np.asarray((shared >= MIN_NBYTES) & (shared >= -(-np.minimum(one, other) // ONE_IN)))


def families(catalog: Catalog, pairs: SharedPairs | None = None) -> Families:
    """The families of ``catalog.models``.

    Args:
        pairs: what ``shared_pairs(catalog)`` gave, if that is at hand.
    """
    pairs = shared_pairs(catalog) if pairs is None else pairs
    label = components(pairs)
    votes = declared_votes(catalog)
    adapts = np.array([len(model.parts) > 1 for model in catalog.models], bool)
    # Within a family the base comes first: most declared, then no adapter, then sharing most, then first in the catalog.
    order = np.lexsort((np.arange(len(label)), -pairs.shared_total, adapts, -votes, label))
    first = order[np.flatnonzero(np.diff(label[order], prepend=-1))]
    size = np.bincount(label, minlength=len(first))
    rank = sorted(range(len(first)), key=lambda f: (-size[f], pairs.names[first[f]]))
    number = np.empty(len(first), np.int32)
    number[rank] = np.arange(len(first), dtype=np.int32)
    return Families(number[label], tuple(pairs.names[first[f]] for f in rank), first[rank].astype(np.int64))


def components(pairs: SharedPairs) -> NDArray[np.int32]:
    """int32[I]: what ties connect, exactly, without writing pairs out.

    Two profiles that share ``s`` bytes are tied through their members of at most ``100 s`` bytes: such a member of either is tied to
    every member of the other. So, if there is one, all of those members and the smallest of both are in one family; it is enough to
    know of each profile up to which size its members are tied, and which smallest members go together.
    """
    n_models, n_profiles = len(pairs.names), pairs.n_profiles
    members = pairs.members
    smallest = np.array([int(of[np.argmin(pairs.own_bytes[of])]) for of in members], np.int64)
    least = pairs.own_bytes[smallest] if n_profiles else np.zeros(0, np.int64)
    limit = np.full(n_profiles, -1, np.int64)  # members of a profile up to so many bytes are tied
    everybody = np.int64(2**62)
    group = np.arange(n_profiles, dtype=np.int32)  # what was joined so far, so that no slice has to be kept
    for p, q, shared in pairs.profile_pairs():
        enough = shared >= MIN_NBYTES
        p, q, reach = p[enough], q[enough], np.minimum(shared[enough], everybody // ONE_IN) * ONE_IN
        for one, other in ((p, q), (q, p)):
            np.maximum.at(limit, one, np.where(least[other] <= reach, everybody, np.where(least[one] <= reach, reach, -1)))
        tie = np.minimum(least[p], least[q]) <= reach
        here, there = group[p[tie]], group[q[tie]]
        apart = here != there
        group = _connected(here[apart], there[apart], n_profiles)[group]
    joined = np.flatnonzero(pairs.profile >= 0)
    joined = joined[pairs.own_bytes[joined] <= limit[pairs.profile[joined]]]
    _, leader = np.unique(group, return_index=True)
    ends = np.concatenate([smallest, smallest[pairs.profile[joined]]]) if n_profiles else joined
    others = np.concatenate([smallest[leader[np.unique(group, return_inverse=True)[1]]], joined]) if n_profiles else joined
    return _connected(ends, others, n_models)


def _connected(a: NDArray[np.integer], b: NDArray[np.integer], n: int) -> NDArray[np.int32]:
    """int32[n]: the component of each of ``n`` nodes in the graph of edges ``(a[k], b[k])``."""
    if not n:
        return np.zeros(0, np.int32)
    graph = sparse.coo_array((np.ones(len(a), bool), (a, b)), shape=(n, n))
    _, label = sparse.csgraph.connected_components(graph.tocsr(), directed=False)
    return np.asarray(label, np.int32)


def declared_votes(catalog: Catalog) -> Ints:
    """int64[I]: how many models declare each as their base."""
    from trimcache.catalog.models import declared_bases

    wanted = Counter(base for base in declared_bases(catalog.parts).values() if base is not None)
    return np.array([wanted[model.parts[-1]] for model in catalog.models], np.int64)


def family_sizes(catalog: Catalog, found: Families) -> list[FamilyRow]:
    """The sizes of every family, in the order of ``found``; all blocks count, not only weights."""
    graph = catalog.graph(incomplete=True)
    atoms = graph.atoms()
    n, n_models = len(found), graph.n_models
    ones = np.ones(len(atoms.indices), np.int64)
    holds = sparse.csr_array((ones, atoms.indices, atoms.indptr), shape=(n_models, atoms.n_atoms))
    member = sparse.csr_array((np.ones(n_models, np.int64), (found.labels, np.arange(n_models))), shape=(n, n_models))
    holders = (member @ holds).tocoo()
    unique, shared, total = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    np.add.at(unique, holders.row, atoms.atom_bytes[holders.col])
    several = holders.data > 1
    np.add.at(shared, holders.row[several], atoms.atom_bytes[holders.col[several]])
    np.add.at(total, found.labels, graph.model_bytes)
    columns = zip(found.names, found.sizes.tolist(), total.tolist(), unique.tolist(), shared.tolist(), strict=True)
    return [FamilyRow(*row) for row in columns]
