"""Planning on from what servers already hold: a better hit ratio against the bytes that have to be moved."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimcache.errors import UsageError
from trimcache.graph import ModelBlockGraph
from trimcache.placement._state import State
from trimcache.placement.auto import auto
from trimcache.placement.problem import PlacementProblem
from trimcache.placement.result import Placement

__all__ = ["Replan", "blocks_present", "replan"]

_GB = 10**9


@dataclass(frozen=True, eq=False)
class Replan:
    """A placement and what it takes to get there: bytes that servers fetch, and the score that was maximised."""

    placement: Placement
    fetched_bytes: int
    score: float


def blocks_present(graph: ModelBlockGraph, digests: ArrayLike) -> NDArray[np.int64]:
    """Indices of the graph's blocks among ``digests`` (uint8[n, width], what a server holds); none if the widths differ."""
    have = np.ascontiguousarray(digests, dtype=np.uint8)
    ids = graph.block_ids
    if ids is None or have.ndim != 2 or have.shape[0] == 0 or have.shape[1] != ids.shape[1]:
        return np.zeros(0, dtype=np.int64)
    width = f"V{ids.shape[1]}"
    known = set(have.view(width).reshape(-1).tolist())
    return np.array([j for j, key in enumerate(np.ascontiguousarray(ids).view(width).reshape(-1).tolist()) if key in known], dtype=np.int64)


def replan(
    problem: PlacementProblem,
    old_models: Sequence[Sequence[int]],
    present: Sequence[ArrayLike],
    switch_cost: float,
    *,
    seed: int = 0,
    time_limit_s: float | None = None,
) -> Replan:
    """Maximise hit ratio - ``switch_cost`` x gigabytes fetched, over all servers.

    Starts are the old models as far as they still fit, and what ``auto`` gives; each is improved server by server: the
    tree's knapsack with a toll on every block that the server lacks, kept if the exact score is better, until nothing changes. The
    better of the two is returned, so it never scores below staying as it is, nor below planning anew.

    Args:
        old_models: the models that each server holds now, as indices.
        present: the blocks that each server holds now, as indices (see ``blocks_present``).
        switch_cost: hit ratio that moving 10**9 bytes must earn, >= 0.

    Guarantee: none beyond its two starts. Complexity: that of ``auto``, and O(M (I + J) C) a round.

    Reference: P1.1 of Qu et al., TrimCaching, arXiv 2404.14204, with a linear cost of change (ours).

    Raises:
        UsageError: a negative or non-finite switching cost.
    """
    if not (np.isfinite(switch_cost) and switch_cost >= 0):
        raise UsageError("switch cost", f"{switch_cost} is not a number >= 0", "give hit ratio per gigabyte, for example 0.01")
    begin = time.perf_counter()
    fresh = auto(problem, seed=seed, time_limit_s=time_limit_s)
    missing = _missing_bytes(problem, present)
    toll_per_byte = switch_cost * problem.demand.total / _GB
    state = State(problem.instance)
    best: tuple[float, State | None, object] = (-np.inf, None, None)
    for rows in (_still_fitting(problem, old_models), [fresh.models_on(m).tolist() for m in range(problem.n_servers)]):
        state.load(problem.instance.with_pins(rows))
        score = _improved(state, missing, toll_per_byte)
        if score > best[0]:
            best = (score, state, state.held())
    placement = Placement(problem, best[2], "replan", time.perf_counter() - begin, fresh.upper_bound)  # type: ignore[arg-type]
    fetched = sum(_fetched(problem, missing, m, placement.models_on(m)) for m in range(problem.n_servers))
    return Replan(placement, fetched, placement.hit_ratio - switch_cost * fetched / _GB)


def _missing_bytes(problem: PlacementProblem, present: Sequence[ArrayLike]) -> NDArray[np.int64]:
    """int64[M, A]: bytes of each atom that each server lacks now."""
    graph, atoms = problem.graph, problem.graph.atoms()
    table = np.repeat(atoms.atom_bytes[None, :], problem.n_servers, axis=0)
    for m, blocks in enumerate(present):
        there = np.unique(np.asarray(blocks, dtype=np.int64))
        np.subtract.at(table[m], atoms.atom_of_block[there], graph.block_bytes[there])
    return table


def _still_fitting(problem: PlacementProblem, old_models: Sequence[Sequence[int]]) -> list[list[int]]:
    """The old models that are allowed, with the pins, as long as they fit; the least asked go first."""
    asked = np.zeros(problem.n_models)
    np.add.at(asked, problem.demand.model, problem.demand.weight.astype(np.float64))
    ends, pinned = problem.pinned_models()
    barred = set(problem.forbidden.tolist())
    rows = []
    for m, old in enumerate(old_models):
        pins = pinned[ends[m] : ends[m + 1]].tolist()
        kept = sorted((i for i in set(old) if m * problem.n_models + i not in barred), key=lambda i: (-asked[i], i))
        while kept and problem.graph.set_bytes([*kept, *pins]) > problem.capacity_bytes[m]:
            kept.pop()
        rows.append(kept)
    return rows


def _fetched(problem: PlacementProblem, missing: NDArray[np.int64], server: int, models: NDArray[np.int32]) -> int:
    atoms = problem.graph.atoms()
    need = np.zeros(atoms.n_atoms, dtype=bool)
    for i in models.tolist():
        need[atoms.indices[atoms.indptr[i] : atoms.indptr[i + 1]]] = True
    return int(missing[server][need].sum())


def _improved(state: State, missing: NDArray[np.int64], toll_per_byte: float) -> float:
    """Server by server until the exact score no longer rises; the score in weight units, pins' blocks left out."""
    problem, tree = state.instance.problem, state.tree
    n_servers = problem.n_servers
    one_row = not state.instance.resident
    node = np.repeat(np.arange(tree.n_nodes), np.diff(tree.charge_ptr))

    def fetched(m: int) -> int:
        ends, pinned = state.instance.pinned
        models = np.concatenate([np.flatnonzero(state.x[m]).astype(np.int32), pinned[ends[m] : ends[m + 1]]])
        return _fetched(problem, missing, m, models)

    tolls = np.zeros((n_servers, tree.n_nodes))
    for m in range(n_servers):
        paid = missing[m].copy()
        paid[state.instance.resident.get(m, tree.charge_atoms[:0])] = 0  # fetched anyway
        np.add.at(tolls[m], node, np.rint(paid[tree.charge_atoms] * toll_per_byte))
    cost = [fetched(m) for m in range(n_servers)]
    idle, m = 0, 0
    while idle < n_servers:
        saved = state.save()
        table = tolls[m] if one_row else tolls
        change = state.solve(np.array([m]), keep=False, toll=table)
        now = fetched(m)
        if change - toll_per_byte * (now - cost[m]) > 1e-9 * max(problem.demand.total, 1):
            cost[m], idle = now, 0
        else:
            state.restore(saved)
            idle += 1
        m = (m + 1) % n_servers
    return state.served - toll_per_byte * sum(cost)
