"""Why little demand can be served, whatever is placed: coverage or deadlines, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trimcache.network.channel import covered
from trimcache.network.edge_network import EdgeNetwork
from trimcache.network.latency import deadlines_s, seconds_per_byte
from trimcache.placement.problem import PlacementProblem
from trimcache.sizes import format_size

__all__ = ["BindingLimit", "binding_limit", "empty_placement_reason"]

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
    has_cover = np.zeros(network.n_users, dtype=bool)
    step = max(1, 4_000_000 // max(1, network.n_servers))
    for start in range(0, network.n_users, step):
        has_cover[start : start + step] = covered(network, slice(start, start + step)).any(axis=0)
    in_cover = has_cover[demand.user]
    covered_share = int(demand.weight[in_cover].sum()) / demand.total
    percent = f"only {100 * problem.attainable:.3g} % of demand is attainable"
    if covered_share < below:
        text = f"{percent}: only {100 * covered_share:.3g} % comes from users that a server covers"
        return BindingLimit("coverage", text, "use more servers (--servers) or a larger coverage_radius_m (--network)")
    model_bytes = problem.graph.model_bytes[demand.model]
    heaviest_first = np.argsort(-demand.weight * in_cover, kind="stable")[:2000]  # a sample is enough for a message
    deadline_s = deadlines_s(network, demand.user, demand.model, model_bytes)
    typical_bytes = int(np.median(model_bytes[heaviest_first]))
    typical_s = float(np.median(deadline_s[heaviest_first]))
    text = f"{percent}: a model of {format_size(typical_bytes)} has to arrive within {typical_s:.3g} s"
    if network.n_servers * network.n_users <= 4_000_000:  # more is not worth the wait for a message
        best_bps = 8.0 / float(np.median(seconds_per_byte(network).min(axis=0)[has_cover]))
        text += f" at about {best_bps / 1e6:.3g} Mbit/s"
    if network.deadline_bps is None:
        return BindingLimit("deadline", text, "use --preset download, whose deadline grows with the size of the model")
    return BindingLimit("deadline", text, "use later deadlines (deadline_low_s, deadline_bps in --network)")


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
