"""The sharing tree: which blocks a server pays once it holds anything of a branch.

With the other servers fixed, one server's problem is a knapsack over models whose shared blocks are paid once. Where
sharing is *laminar* (any two atoms' sets of models are nested or disjoint) the atoms form a forest with the models as
leaves, and a dynamic program over the nodes in depth-first order solves it.

Real families cross. An atom that crosses the forest is split into groups that are nodes. Charging it in full in each
group never under-estimates storage: what fits by that charge fits. Charging shares that add up to it never over-estimates: the optimum
under that charge is a bound, and branching on these atoms closes what is between (``crossing``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trimcache.graph import Atoms
from trimcache.placement._instance import Instance

__all__ = ["SharingTree", "sharing_tree", "sharing_tree_of"]


@dataclass(frozen=True, eq=False)
class SharingTree:
    """A forest in depth-first order: N nodes, each before its descendants.

    Attributes:
        parent, end: int32[N], the parent (-1: none) and the first node after the node's descendants.
        model: int32[N], the model of a leaf, -1 for an inner node. Every model is one leaf.
        full_bytes: int64[N], what a node charges: its atoms, crossing ones in full.
        charge_ptr, charge_atoms: CSR node -> the atoms that it charges.
        crossing_bytes, shared_bytes: bytes of shared atoms that had to be split, and of all shared atoms.
    """

    parent: NDArray[np.int32]
    end: NDArray[np.int32]
    model: NDArray[np.int32]
    full_bytes: NDArray[np.int64]
    charge_ptr: NDArray[np.int64]
    charge_atoms: NDArray[np.int32]
    crossing_bytes: int
    shared_bytes: int

    @property
    def n_nodes(self) -> int:
        """N, inner nodes and leaves."""
        return int(self.model.size)

    @property
    def crossing_share(self) -> float:
        """The share of shared bytes that is not laminar; 0: the tree is exact."""
        return self.crossing_bytes / self.shared_bytes if self.shared_bytes else 0.0

    def charges(self, instance: Instance, *, crossing: bool = True) -> NDArray[np.int64]:
        """int64[M or 1, N]: what each node charges on each server, with or without ``crossing`` atoms; one row if no server has pins.

        Blocks of pinned models are there already and cost nothing.
        """
        base, node, size = self.full_bytes, self.charging_node, instance.problem.graph.atoms().atom_bytes[self.charge_atoms]
        if not crossing and self.crossing_bytes:
            out = self.crosses[self.charge_atoms]
            base = base.copy()
            np.subtract.at(base, node[out], size[out])
            size = np.where(out, 0, size)
        if not instance.resident:
            return base[None, :]
        rows = np.repeat(base[None, :], instance.problem.n_servers, axis=0)
        for m, atoms in instance.resident.items():
            paid = np.isin(self.charge_atoms, atoms)
            np.subtract.at(rows[m], node[paid], size[paid])
        return rows

    @cached_property
    def charging_node(self) -> NDArray[np.int64]:
        """int64[n]: the node of each entry of ``charge_atoms``."""
        return np.repeat(np.arange(self.n_nodes), np.diff(self.charge_ptr))

    @cached_property
    def crosses(self) -> NDArray[np.bool_]:
        """bool[A]: atoms that are charged by more than one node."""
        n_atoms = int(self.charge_atoms.max(initial=-1)) + 1
        several: NDArray[np.bool_] = np.bincount(self.charge_atoms, minlength=n_atoms) > 1
        return several


@dataclass
class _Node:
    parent: int
    size: int  # models below
    children: set[int] = field(default_factory=set)
    models: set[int] = field(default_factory=set)  # those directly below
    atoms: list[int] = field(default_factory=list)  # that it charges


def sharing_tree_of(instance: Instance) -> SharingTree:
    """The sharing tree of the instance's graph, made once a graph."""
    graph = instance.problem.graph
    tree: SharingTree | None = graph.__dict__.get("_sharing_tree")
    if tree is None:
        tree = sharing_tree(graph.atoms())
        object.__setattr__(graph, "_sharing_tree", tree)
    return tree


def sharing_tree(atoms: Atoms) -> SharingTree:
    """Insert shared atoms, largest first, each as few nodes as the forest allows: one if it is nested or disjoint.

    O(sum over shared atoms of (its models x the depth of the forest)).
    """
    n_models = atoms.indptr.size - 1
    holders_ptr, holders = atoms.transposed()
    shared = np.flatnonzero(atoms.degree >= 2)
    shared = shared[np.lexsort((shared, -atoms.atom_bytes[shared]))]
    nodes = [_Node(-1, n_models, models=set(range(n_models)))]  # the root is virtual
    home = [0] * n_models  # the deepest node above each model
    crossing = 0
    for atom in shared.tolist():
        groups = _insert(nodes, home, holders[holders_ptr[atom] : holders_ptr[atom + 1]].tolist())
        nbytes = int(atoms.atom_bytes[atom])
        crossing += nbytes if len(groups) > 1 else 0
        for group in groups:
            nodes[group].atoms.append(atom)
    return _flatten(nodes, atoms, crossing)


def _insert(nodes: list[_Node], home: list[int], members: list[int]) -> list[int]:
    """Nodes whose models together are ``members``, each once: found or made."""
    inside: dict[int, int] = {}  # models of the set below each node
    direct: dict[int, list[int]] = {}
    for model in members:
        at = home[model]
        direct.setdefault(at, []).append(model)
        while at >= 0:
            inside[at] = inside.get(at, 0) + 1
            at = nodes[at].parent
    whole: dict[int, list[int]] = {}  # nodes entirely in the set, by their parent
    parts = []
    for at in sorted(inside):
        if at and inside[at] == nodes[at].size:
            whole.setdefault(nodes[at].parent, []).append(at)
        else:
            parts.append(at)
    chosen = [(at, whole.get(at, []), direct.get(at, [])) for at in parts]
    return [_group(nodes, home, at, below, models) for at, below, models in chosen if below or models]


def _group(nodes: list[_Node], home: list[int], parent: int, whole: list[int], models: list[int]) -> int:
    if len(whole) == 1 and not models:
        return whole[0]
    made = len(nodes)
    size = sum(nodes[child].size for child in whole) + len(models)
    nodes.append(_Node(parent, size, set(whole), set(models)))
    nodes[parent].children -= set(whole)
    nodes[parent].children.add(made)
    nodes[parent].models -= set(models)
    for child in whole:
        nodes[child].parent = made
    for model in models:
        home[model] = made
    return made


def _flatten(nodes: list[_Node], atoms: Atoms, crossing: int) -> SharingTree:
    parent: list[int] = []
    end: list[int] = []
    model_of: list[int] = []
    charges: list[list[int]] = []
    private = np.flatnonzero(atoms.degree[atoms.indices] < 2)
    owner = np.searchsorted(atoms.indptr, private, side="right") - 1
    own: dict[int, list[int]] = {}
    for i, atom in zip(owner.tolist(), atoms.indices[private].tolist(), strict=True):
        own.setdefault(i, []).append(atom)
    # (node or -1 - model, position of its parent, -1 to enter it or else its own position to leave it)
    stack: list[tuple[int, int, int]] = [(0, -1, -1)]
    while stack:
        at, above, entered = stack.pop()
        if entered >= 0:
            end[entered] = len(model_of)
            continue
        if at:
            position = len(model_of)
            parent.append(above)
            end.append(position + 1)
            model_of.append(-1 - at if at < 0 else -1)
            charges.append(own.get(-1 - at, []) if at < 0 else nodes[at].atoms)
        if at >= 0:
            here = len(model_of) - 1 if at else -1
            if at:
                stack.append((at, above, here))
            below = [*sorted(nodes[at].children), *(-1 - i for i in sorted(nodes[at].models))]
            stack.extend((child, here, -1) for child in reversed(below))
    ptr = np.cumsum([0, *map(len, charges)])
    charge_atoms = np.array([atom for row in charges for atom in row], dtype=np.int32)
    total = np.concatenate(([0], np.cumsum(atoms.atom_bytes[charge_atoms])))
    arrays = (np.array(parent, np.int32), np.array(end, np.int32), np.array(model_of, np.int32), total[ptr[1:]] - total[ptr[:-1]])
    return SharingTree(*arrays, ptr, charge_atoms, crossing, int(atoms.atom_bytes[atoms.degree >= 2].sum()))
