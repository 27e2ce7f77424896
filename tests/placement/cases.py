"""Random small problems, and the formulas of the paper written the slow, obvious way."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from trimcache.graph import ModelBlockGraph
from trimcache.placement import PlacementProblem, PrefixReach, Reach


@st.composite
def problems(draw) -> PlacementProblem:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_servers, n_users, n_models = (int(rng.integers(low, high)) for low, high in ((1, 6), (0, 9), (1, 6)))
    n_blocks = int(rng.integers(1, 9))
    models = {f"m{i}": [f"b{b}" for b in np.flatnonzero(rng.random(n_blocks) < 0.45)] for i in range(n_models)}
    used = sorted({b for blocks in models.values() for b in blocks})
    graph = ModelBlockGraph.from_blocks(models, {b: int(rng.integers(0, 20)) for b in used})
    if rng.random() < 0.3:  # equal bytes at two places: a model moves more than its blocks
        more = graph.model_bytes + rng.integers(0, 8, n_models)
        graph = ModelBlockGraph(graph.model_names, graph.block_bytes, graph.indptr, graph.indices, more)
    demand = rng.integers(0, 4, (n_users, n_models))  # many ties, many zeros
    feasible = rng.random((n_servers, n_users, n_models)) < rng.choice([0.3, 0.7, 1.0])
    return PlacementProblem(graph, rng.integers(0, 50, n_servers), demand, feasible)


def hit_ratio(problem: PlacementProblem, x: np.ndarray) -> float:
    """U(X) of the paper, section 1, as it is printed."""
    weight, feasible = problem.demand.to_dense(), problem.reach.to_dense(problem.demand)
    served = 0
    for k in range(problem.n_users):
        for i in range(problem.n_models):
            missed = 1
            for m in range(problem.n_servers):
                missed *= 1 - int(x[m, i]) * int(feasible[m, k, i])
            served += int(weight[k, i]) * (1 - missed)
    return served / int(weight.sum()) if weight.sum() else 0.0


def storage_bytes(problem: PlacementProblem, models) -> int:
    """g_m(X_m) of the paper: each block once."""
    blocks = {int(b) for i in models for b in problem.graph.blocks_of(int(i))}
    return sum(int(problem.graph.block_bytes[b]) for b in blocks)


def charged_bytes(problem: PlacementProblem, models) -> int:
    """Storage without sharing: all bytes of every model."""
    own = problem.graph.closed_bytes()
    return sum(max(int(problem.graph.model_bytes[i]), int(own[i])) for i in models)


def naive_greedy(problem: PlacementProblem, storage) -> np.ndarray:
    """The greedy of the paper, section 2: try every pair again at every step."""
    weight, feasible = problem.demand.to_dense(), problem.reach.to_dense(problem.demand)
    x = np.zeros((problem.n_servers, problem.n_models), dtype=bool)
    served = np.zeros_like(weight, dtype=bool)
    while True:
        best = (0, 0, 0)
        for m in range(problem.n_servers):
            for i in range(problem.n_models):
                gain = int((weight[:, i] * (feasible[m, :, i] & ~served[:, i])).sum())
                fits = storage(problem, [*np.flatnonzero(x[m]), i]) <= problem.capacity_bytes[m]
                if not x[m, i] and fits and gain > best[0]:
                    best = (gain, m, i)
        if best[0] == 0:
            return x
        _, m, i = best
        x[m, i] = True
        served[:, i] |= feasible[m, :, i]


def tiny_problem(seed: int, *, laminar: bool, pins: bool, n_models: int | None = None, n_servers: int | None = None) -> PlacementProblem:
    """A random problem that exhaustive search takes, sharing a forest or crossing, some with pins and forbidden pairs."""
    rng = np.random.default_rng([seed, 99])
    n_servers = int(rng.integers(1, 4)) if n_servers is None else n_servers
    n_models = int(rng.integers(1, 7)) if n_models is None else n_models
    n_users = int(rng.integers(1, 7))
    models: dict[str, list[str]] = {f"m{i}": [f"own{i}"] for i in range(n_models)}
    if laminar:
        groups = [list(range(n_models))]
        while groups:
            group = groups.pop()
            for i in group:
                models[f"m{i}"].append(f"g{len(groups)}-{'-'.join(map(str, group))}")
            if len(group) > 1:
                cut = int(rng.integers(1, len(group)))
                groups += [part for part in (group[:cut], group[cut:]) if rng.random() < 0.8]
    else:
        for b in range(int(rng.integers(1, 6))):
            for i in np.flatnonzero(rng.random(n_models) < 0.5):
                models[f"m{i}"].append(f"b{b}")
    sizes = {block: int(rng.integers(0, 15)) for blocks in models.values() for block in blocks}
    graph = ModelBlockGraph.from_blocks(models, sizes)
    demand = rng.integers(0, 5, (n_users, n_models))
    feasible = rng.random((n_servers, n_users, n_models)) < rng.choice([0.4, 0.8, 1.0])
    capacity = rng.integers(0, 70, n_servers)
    pinned, forbidden = [], []
    for m in range(n_servers if pins else 0):
        for i in rng.permutation(n_models)[:2].tolist():
            if rng.random() < 0.5:
                forbidden.append((m, i))
            elif graph.set_bytes([*[j for n, j in pinned if n == m], i]) <= capacity[m]:
                pinned.append((m, i))
    objective = "bytes" if seed % 5 == 0 else "requests"
    return PlacementProblem(graph, capacity, demand, feasible, pinned, forbidden, objective)


def in_every_form(seed: int) -> list[PlacementProblem]:
    """One problem three times: its reach dense, as lists, and as prefixes of each user's own order of servers."""
    rng = np.random.default_rng([seed, 5])
    base = tiny_problem(seed, laminar=bool(seed % 2), pins=bool(seed % 3 == 0))
    n_servers, n_users, demand = base.n_servers, base.n_users, base.requests
    order = np.stack([rng.permutation(n_servers) for _ in range(n_users)])
    count = rng.integers(0, n_servers + 1, demand.n_requests)
    prefix = PrefixReach(n_servers, np.arange(n_users + 1) * n_servers, order.reshape(-1), demand.user, count)
    table = np.zeros((n_servers, n_users, base.n_models), dtype=bool)
    for k, i, n in zip(demand.user, demand.model, count, strict=True):
        table[order[k, :n], k, i] = True
    forms = [table, Reach.from_dense(table, demand), prefix]
    rows = base._unpacked
    return [
        PlacementProblem(base.graph, base.capacity_bytes, demand, reach, rows(base.pinned), rows(base.forbidden), base.objective)
        for reach in forms
    ]
