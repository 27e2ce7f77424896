"""What a report says of a plan: its servers, its network as a map or as links, and what other capacities would reach."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trimcache.errors import PlanError
from trimcache.network import EdgeNetwork
from trimcache.plan import carried_over, validate_against

if TYPE_CHECKING:
    from trimcache.graph import ModelBlockGraph
    from trimcache.plan import Plan

__all__ = ["CapacityPoint", "LinkRow", "PlanContent", "ServerRow", "plan_content"]

# Of each server's capacity in the plan. Gen places 1,000 models in milliseconds, so the curve costs next to nothing.
_FACTORS = (0.0625, 0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
_ALGORITHMS = ("gen", "independent")
_MOST_USERS = 2000  # dots on the map; more would hide one another
_MOST_LINKS = 500


@dataclass(frozen=True, slots=True)
class ServerRow:
    """One server: place in metres (None in a network of tables), coverage, what it holds, and the users it serves directly."""

    name: str
    x_m: float | None
    y_m: float | None
    radius_m: float | None
    covered_users: int | None
    used_bytes: int
    capacity_bytes: int
    model_bytes: int
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LinkRow:
    """The links of one server: to how many users, and their lowest, median and highest rate in bit/s."""

    server: str
    users: int
    low_bps: float
    median_bps: float
    high_bps: float


@dataclass(frozen=True, slots=True)
class CapacityPoint:
    """What an algorithm reaches with ``factor`` times the capacity of every server; ``capacity_bytes`` is the mean of the servers."""

    algorithm: str
    factor: float
    capacity_bytes: int
    hit_ratio: float


@dataclass(frozen=True, slots=True)
class PlanContent:
    """A plan as a report shows it.

    Attributes:
        comparison: the rows of the plan, one an algorithm.
        user_x_m, user_y_m, user_covered: places of users and whether any server covers them; of at most 2,000 users, evenly chosen.
        links: for networks of tables instead of places.
        capacity_curve: placed anew here, by the algorithms named in it; empty where the demand is not in the plan.
        curve_note: how the curve was made, or why there is none.
    """

    algorithm: str
    hit_ratio: float
    attainable: float
    upper_bound: float
    gap: float
    demand: dict[str, Any]
    n_users: int | None
    synthetic: bool
    servers: tuple[ServerRow, ...]
    comparison: tuple[dict[str, Any], ...]
    user_x_m: tuple[float, ...]
    user_y_m: tuple[float, ...]
    user_covered: tuple[bool, ...]
    links: tuple[LinkRow, ...]
    capacity_curve: tuple[CapacityPoint, ...]
    curve_note: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def plan_content(plan: Plan, graph: ModelBlockGraph) -> PlanContent:
    """What a report says of ``plan``, made for the models of ``graph``.

    Raises:
        PlanError: it was made for another catalog.
    """
    document = plan.document
    _check(plan, graph)
    network = None if document.network is None else EdgeNetwork.from_dict(document.network)
    curve, note = _capacity_curve(plan, network, graph)
    has_places = network is not None and network.server_positions_m is not None
    users = _users(network) if network is not None and network.user_positions_m is not None else ((), (), ())
    return PlanContent(
        document.algorithm,
        document.hit_ratio,
        document.attainable,
        document.upper_bound,
        document.gap,
        dict(document.demand),
        None if network is None else network.n_users,
        document.catalog.synthetic,
        _servers(plan, network, graph),
        tuple(row.model_dump(mode="json") for row in document.comparison),
        *users,
        () if network is None or has_places else _links(network),
        curve,
        note,
    )


def _check(plan: Plan, graph: ModelBlockGraph) -> None:
    if plan.document.demand.get("ranking") != "weights":
        validate_against(plan, graph)
        return
    # The fingerprint of such a plan covers popularities of a table that is not here: what does not depend on them is compared.
    known, catalog = set(graph.model_names), plan.document.catalog
    same = (catalog.models, catalog.unique_bytes) == (graph.n_models, graph.unique_bytes)
    if not same or any(not known.issuperset(s.models) or graph.set_bytes(s.models) != s.used_bytes for s in plan.servers):
        raise PlanError("plan", "was made for another catalog, or for an earlier state of it", "run trimcache plan again")


def _servers(plan: Plan, network: EdgeNetwork | None, graph: ModelBlockGraph) -> tuple[ServerRow, ...]:
    places = None if network is None else network.server_positions_m
    covered = None if network is None else network.covered_users
    rows = []
    for m, server in enumerate(plan.servers):
        x, y = (None, None) if places is None else (float(places[m, 0]), float(places[m, 1]))
        by_place = network is not None and network.links is None
        radius = float(np.broadcast_to(network.coverage_radius_m, len(plan.servers))[m]) if network is not None and by_place else None
        rows.append(
            ServerRow(
                server.name,
                x,
                y,
                radius,
                None if covered is None else int(covered[m]),
                server.used_bytes,
                server.capacity_bytes,
                sum(int(graph.model_bytes[i]) for i in graph.model_indices(server.models)),
                tuple(server.models),
            )
        )
    return tuple(rows)


def _users(network: EdgeNetwork) -> tuple[tuple[float, ...], tuple[float, ...], tuple[bool, ...]]:
    places = network.user_positions_m
    assert places is not None
    shown = np.unique(np.linspace(0, max(network.n_users - 1, 0), min(network.n_users, _MOST_USERS)).astype(np.int64))
    covered = np.zeros(network.n_users, bool)
    covered[network.mean_links().user] = True
    chosen = places[shown]
    return tuple(chosen[:, 0].tolist()), tuple(chosen[:, 1].tolist()), tuple(covered[shown].tolist())


def _links(network: EdgeNetwork) -> tuple[LinkRow, ...]:
    links = network.mean_links()
    rows = []
    for m, name in enumerate(network.server_names):
        rates = links.rate_bps[links.server == m]
        low, middle, high = np.quantile(rates, (0, 0.5, 1)).tolist() if rates.size else (0.0, 0.0, 0.0)
        rows.append(LinkRow(name, int(rates.size), low, middle, high))
    return tuple(rows[:_MOST_LINKS])


def _capacity_curve(plan: Plan, network: EdgeNetwork | None, graph: ModelBlockGraph) -> tuple[tuple[CapacityPoint, ...], str]:
    from trimcache.placement import place

    document = plan.document
    ranking, zipf = document.demand.get("ranking"), document.demand.get("zipf")
    if network is None:
        return (), "The plan does not hold its network, so other capacities were not tried."
    if ranking not in ("user", "global") or not isinstance(zipf, int | float):
        return (), "The plan was made for a demand table of its own, which it does not hold, so other capacities were not tried."
    if not plan.servers or not graph.n_models:
        return (), "There is nothing to place, so other capacities were not tried."
    capacity = np.array([server.capacity_bytes for server in plan.servers], dtype=np.float64)
    if not capacity.any():
        return (), "No server has any capacity, so other capacities were not tried."
    problem = network.problem(graph, capacity.astype(np.int64), float(zipf), document.seed, ranking=ranking)
    asked = carried_over(plan, network.server_names, graph.model_names)
    problem = problem.changed(pinned=asked.pinned, forbidden=asked.forbidden)
    least = np.array([graph.set_bytes(server.pinned) for server in plan.servers], dtype=np.int64)
    points = []
    for factor in _FACTORS:
        scaled = np.minimum(capacity * factor, 2.0**62).astype(np.int64)
        if bool((scaled < least).any()):
            continue  # what is pinned does not fit
        changed = problem.changed(capacity_bytes=scaled)
        points += [CapacityPoint(name, factor, round(float(scaled.mean())), place(changed, name).hit_ratio) for name in _ALGORITHMS]
    note = (
        "Placed anew for this report at each capacity, with the network and demand of the plan: by the algorithm gen, "
        "which counts shared blocks once, and by independent, which does not."
    )
    if asked.pinned or asked.forbidden:
        note += " What the plan pins and forbids holds here too; capacities that cannot hold what is pinned are left out."
    return tuple(points), note
