"""From placements to a plan."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trimcache._atoms import sorted_unique
from trimcache.errors import PlanError
from trimcache.graph import ModelBlockGraph
from trimcache.placement.result import Placement
from trimcache.plan.constraints import names_by_server
from trimcache.plan.document import Catalog, Comparison, Plan, PlanDocument, ServerPlan

if TYPE_CHECKING:
    from trimcache.network.edge_network import EdgeNetwork

__all__ = ["make_plan"]


def make_plan(
    placements: Placement | Sequence[Placement],
    network: EdgeNetwork | None = None,
    *,
    demand: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Plan:
    """The plan of the best placement, with a row of comparison for each.

    Args:
        placements: one, or several of one problem. Best: highest hit ratio, then fewest bytes, then first given.
        network: recorded whole, so the plan can be checked and made again; its names name the servers.
        demand: the parameters of the demand (plain values), such as ``{"zipf": 0.8, "ranking": "user"}``.
        seed: recorded.

    Raises:
        PlanError: no placement, placements of different graphs or capacities, or a network of another size.
    """
    rows = [placements] if isinstance(placements, Placement) else list(placements)
    if not rows:
        raise PlanError("plan", "has no placement", "name at least one algorithm")
    problem = rows[0].problem
    for row in rows[1:]:
        if row.problem.graph is not problem.graph or not np.array_equal(row.problem.capacity_bytes, problem.capacity_bytes):
            raise PlanError("plan", "compares placements of different problems", "solve one problem with each algorithm")
    if network is not None and network.n_servers != problem.n_servers:
        sizes = f"{network.n_servers} servers in the network, {problem.n_servers} in the problem"
        raise PlanError("plan", sizes, "give the network that the problem was made from")
    best = max(rows, key=lambda row: (row.hit_ratio, -int(row.used_bytes.sum())))
    names = network.server_names if network else tuple(f"server-{m}" for m in range(problem.n_servers))
    graph = problem.graph
    held = [_union(graph, best.models_on(m)) for m in range(problem.n_servers)]
    table = sorted_unique(np.concatenate([*held, np.zeros(0, dtype=np.int32)]))
    pinned, forbidden = names_by_server(problem, problem.pinned), names_by_server(problem, problem.forbidden)
    document = PlanDocument(
        algorithm=best.algorithm,
        hit_ratio=best.hit_ratio,
        attainable=best.attainable,
        upper_bound=best.upper_bound,
        gap=best.gap,
        servers=[
            ServerPlan(
                name=names[m],
                models=[graph.model_names[i] for i in best.models_on(m)],
                used_bytes=int(best.used_bytes[m]),
                capacity_bytes=int(problem.capacity_bytes[m]),
                pinned=pinned[m],
                forbidden=forbidden[m],
            )
            for m in range(problem.n_servers)
        ],
        comparison=[_comparison(row) for row in rows],
        catalog=Catalog(
            fingerprint=graph.fingerprint(),
            models=graph.n_models,
            unique_bytes=graph.unique_bytes,
            rules=dict(graph.meta),
            synthetic=graph.synthetic,
        ),
        demand=dict(demand or {}),
        seed=seed,
        network=network.to_dict() if network else None,
    )
    ends = np.concatenate(([0], np.cumsum([blocks.size for blocks in held], dtype=np.int64))).astype(np.int64)
    rows_of = [np.searchsorted(table, blocks).astype(np.int32) for blocks in held]
    return Plan(
        document,
        _digests(graph, table),
        graph.block_bytes[table],
        ends,
        np.concatenate([*rows_of, np.zeros(0, dtype=np.int32)]),
    )


def _comparison(placement: Placement) -> Comparison:
    return Comparison(
        algorithm=placement.algorithm,
        hit_ratio=placement.hit_ratio,
        attainable=placement.attainable,
        upper_bound=placement.upper_bound,
        gap=placement.gap,
        used_bytes=int(placement.used_bytes.sum()),
        models_placed=placement.n_placed,
        seconds=round(placement.seconds, 6),
    )


def _union(graph: ModelBlockGraph, models: NDArray[np.int32]) -> NDArray[np.int32]:
    if not models.size:
        return np.zeros(0, dtype=np.int32)
    return sorted_unique(np.concatenate([graph.blocks_of(int(i)) for i in models]))


def _digests(graph: ModelBlockGraph, table: NDArray[np.int32]) -> NDArray[np.uint8]:
    """The blocks' ids; for a graph without, names that hold for this very graph: hashes of (fingerprint, index)."""
    if graph.block_ids is not None:
        return graph.block_ids[table]
    root = graph.fingerprint().encode()
    raw = b"".join(hashlib.blake2b(b"%s %d" % (root, j), digest_size=32).digest() for j in table.tolist())
    return np.frombuffer(raw, dtype=np.uint8).reshape(-1, 32)
