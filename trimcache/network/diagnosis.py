"""Why little demand can be served, whatever is placed: coverage or deadlines, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimcache.network.coverage import user_slices
from trimcache.network.edge_network import EdgeNetwork
from trimcache.network.latency import deadlines_s
from trimcache.placement.problem import PlacementProblem
from trimcache.sizes import format_size

__all__ = ["BindingLimit", "binding_limit", "empty_placement_reason", "unconnected"]

LOW_ATTAINABLE = 0.1  # below this share of demand the user is told what binds


@dataclass(frozen=True)
class BindingLimit:
    """What keeps ``attainable`` low: ``limit`` is ``"demand"``, ``"coverage"`` or ``"deadline"``; one line each."""

    limit: str
    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.problem}; {self.fix}"


def binding_limit(problem: PlacementProblem, network: EdgeNetwork, below: float = LOW_ATTAINABLE) -> BindingLimit | None:
    """The limit that binds when ``attainable`` is less than ``below``; None when it is not.

    Capacity never lowers ``attainable``: it is the hit ratio of servers that hold everything.
    """
    demand = problem.demand
    if problem.attainable >= below:
        return None
    if demand.total == 0:
        return BindingLimit("demand", "there is no demand", "give users and requests")
    best_bps, _ = _best_links(network)
    has_cover = best_bps > 0
    in_cover = has_cover[demand.user]
    covered_share = int(demand.weight[in_cover].sum()) / demand.total
    percent = f"only {100 * problem.attainable:.3g} % of demand is attainable"
    if covered_share < below:
        text = f"{percent}: only {100 * covered_share:.3g} % comes from users that a server covers"
        fix = "use more servers (--servers) or a larger coverage_radius_m (--network)"
        return BindingLimit("coverage", text, "give more rates (--network)" if network.links is not None else fix)
    model_bytes = problem.graph.model_bytes[demand.model]
    heaviest_first = np.argsort(-demand.weight * in_cover, kind="stable")[:2000]  # a sample is enough for a message
    deadline_s = deadlines_s(network, demand.user, demand.model, model_bytes)
    typical_bytes = int(np.median(model_bytes[heaviest_first]))
    typical_s = float(np.median(deadline_s[heaviest_first]))
    text = f"{percent}: a model of {format_size(typical_bytes)} has to arrive within {typical_s:.3g} s"
    text += f" at about {float(np.median(best_bps[has_cover])) / 1e6:.3g} Mbit/s"
    if network.deadline_bps is None and network.preset_name is not None:
        return BindingLimit("deadline", text, "use --preset download, whose deadline grows with the size of the model")
    return BindingLimit("deadline", text, "use later deadlines (deadline_low_s, deadline_bps in --network)")


def unconnected(network: EdgeNetwork) -> list[str]:
    """A line for users that no server has a link to, and one for servers that no user can be reached from; none if all is well."""
    best_bps, serves = _best_links(network)
    lines = []
    alone = np.flatnonzero(best_bps == 0).tolist()
    if alone:
        why = "have no link to any server" if network.links is not None else "are outside the coverage of every server"
        lines.append(f"{_counted(alone, network.user_names, 'user')} {why}: what they ask for is never served in time")
    # A server may also reach users over servers that it can reach.
    linked = network.backhaul_bps > 0
    ways = np.broadcast_to(linked, (network.n_servers, network.n_servers)).astype(np.int64)
    relaying = serves.copy()
    for _ in range(1 if network.relays == "one-hop" else network.n_servers):
        before = relaying
        relaying = relaying | (ways @ relaying.astype(np.int64) > 0)
        if np.array_equal(before, relaying):
            break
    idle = np.flatnonzero(~relaying).tolist()
    if idle:
        who = _counted(idle, network.server_names, "server")
        lines.append(f"{who} have no link to any user, nor to a server that has: they serve nobody")
    return lines


def _counted(which: list[int], names: tuple[str, ...], what: str) -> str:
    shown = ", ".join(repr(names[i]) for i in which[:3])
    return f"{len(which)} of {len(names)} {what}s ({shown}{', ...' if len(which) > 3 else ''})"


def _best_links(network: EdgeNetwork) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """float64[K], rate of each user's fastest direct link or 0; bool[M], whether a server has a direct link."""
    best_bps, serves = np.zeros(network.n_users), np.zeros(network.n_servers, dtype=np.bool_)
    for users in user_slices(network.n_servers, network.n_users):
        links = network.mean_links(users)
        np.maximum.at(best_bps, links.user + users.start, links.rate_bps)
        serves[links.server[links.rate_bps > 0]] = True
    return best_bps, serves


def empty_placement_reason(problem: PlacementProblem) -> str | None:
    """One line saying why every placement is empty, if it is: no server, no model, or none fits; otherwise None."""
    if problem.n_servers == 0:
        return "the network has no server; the plan is empty"
    if problem.n_models == 0:
        return "the catalog has no model to place; the plan is empty"
    if not problem.models_that_fit().any():
        least, largest = int(problem.graph.closed_bytes().min()), int(problem.capacity_bytes.max())
        sizes = f"capacity {format_size(largest)}, the smallest model needs {format_size(least)}"
        return f"no model fits: {sizes}; the plan is empty; raise --capacity"
    return None
