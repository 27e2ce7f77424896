"""The cache hit ratio U(X) of the paper (section 1) and the storage g_m(X_m), for any placement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimcache.errors import ProblemError
from trimcache.placement import _kernels
from trimcache.placement._kernels import read_only
from trimcache.placement.problem import PlacementProblem

__all__ = ["Held", "check_held", "held_from_dense", "held_from_lists", "hit_ratio", "served_weight", "used_bytes"]

Held = tuple[NDArray[np.int64], NDArray[np.int32]]
"""A placement as CSR server -> models: row ends int64[M+1] and ascending model indices int32[n]."""


def held_from_dense(x: ArrayLike, problem: PlacementProblem) -> Held:
    """CSR of a boolean array x [M, I]."""
    table = np.asarray(x)
    shape = (problem.n_servers, problem.n_models)
    if table.shape != shape:
        raise ProblemError("placement", f"has shape {table.shape}, not {shape}", "give servers x models")
    server, model = np.nonzero(table)
    ends = np.concatenate(([0], np.cumsum(np.bincount(server, minlength=problem.n_servers)))).astype(np.int64)
    return ends, model.astype(np.int32)


def held_from_lists(models: Sequence[Iterable[int]], problem: PlacementProblem) -> Held:
    """CSR of one collection of model indices a server, repeats allowed."""
    rows = [sorted({int(i) for i in row}) for row in models]
    if len(rows) != problem.n_servers:
        raise ProblemError("placement", f"{len(rows)} rows for {problem.n_servers} servers", "give one row a server")
    if any(row and (row[0] < 0 or row[-1] >= problem.n_models) for row in rows):
        raise ProblemError("placement", "refers to a model that is not in the graph", "use indices from 0")
    ends = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return ends, np.array([i for row in rows for i in row], dtype=np.int32)


def check_held(problem: PlacementProblem, held: Held) -> None:
    """ProblemError unless ``held`` is well-formed: the compiled loops trust it."""
    ends, models = held
    tiles = ends.shape == (problem.n_servers + 1,) and ends[0] == 0 and ends[-1] == models.size
    if not tiles or bool((np.diff(ends) < 0).any()):
        raise ProblemError("placement", "row ends do not tile the model lists", "give one row a server")
    if models.size and (models.min() < 0 or models.max() >= problem.n_models):
        raise ProblemError("placement", "refers to a model that is not in the graph", "use indices from 0")
    rising = np.ones(models.size, dtype=bool)
    rising[1:] = models[1:] > models[:-1]
    rising[ends[:-1][ends[:-1] < models.size]] = True
    if not rising.all():
        raise ProblemError("placement", "a server's models are not ascending and unique", "use held_from_lists")
    if problem.pinned.size or problem.forbidden.size:
        keys = np.repeat(np.arange(problem.n_servers), np.diff(ends)) * max(problem.n_models, 1) + models
        for what, wrong in (("lacks a pinned", problem.pinned[~np.isin(problem.pinned, keys)]),
                            ("holds a forbidden", problem.forbidden[np.isin(problem.forbidden, keys)])):  # fmt: skip
            if wrong.size:
                m, i = divmod(int(wrong[0]), problem.n_models)
                raise ProblemError("placement", f"{what} model on server {m}: {problem.graph.model_names[i]!r}", "place by the rules")


def served_weight(problem: PlacementProblem, held: Held) -> int:
    """Exact demand weight served in time: requests with a server in reach that holds the model."""
    demand = problem.demand
    start, stop, pool = problem.reach.lists()
    return int(
        _kernels.served_weight(
            read_only(demand.model, np.int32),
            read_only(start, np.int64),
            read_only(stop, np.int64),
            read_only(pool, np.int32),
            read_only(demand.weight, np.int64),
            read_only(held[0], np.int64),
            read_only(held[1], np.int32),
            problem.n_models,
        )
    )


def hit_ratio(problem: PlacementProblem, x: ArrayLike) -> float:
    """Cache hit ratio of ``x`` (boolean [M, I]): demand served in time over all demand; 0 without demand."""
    total = problem.demand.total
    return served_weight(problem, held_from_dense(x, problem)) / total if total else 0.0


def used_bytes(problem: PlacementProblem, held: Held) -> NDArray[np.int64]:
    """int64[M]: storage of each server, the union of its models' *blocks* (atoms are not used: this is the check)."""
    graph = problem.graph
    used = _kernels.union_bytes(
        read_only(held[0], np.int64),
        read_only(held[1], np.int32),
        read_only(graph.indptr, np.int64),
        read_only(graph.indices, np.int32),
        read_only(graph.block_bytes, np.int64),
    )
    return np.asarray(used, dtype=np.int64)
