"""Names of policies, and the one function that runs several on the same trace."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

from trimcache.errors import UsageError
from trimcache.graph import ModelBlockGraph
from trimcache.placement.online.policy import Policy
from trimcache.placement.online.result import OnlineResult

if TYPE_CHECKING:
    from trimcache.simulation.traces import Trace

__all__ = ["policy_by_name", "policy_names", "simulate_online"]

_UNSHARED = "-unshared"
_HOMES = {"gdsf": "gdsf:Gdsf", "lfu": "lfu:Lfu", "lru": "lru:Lru", "replace": "replacement:Replace"}


def policy_names() -> tuple[str, ...]:
    """Every name that ``simulate_online`` takes, sorted: each policy, and each without sharing."""
    return tuple(sorted([*_HOMES, *(name + _UNSHARED for name in _HOMES)]))


def policy_by_name(name: str, graph: ModelBlockGraph, capacity_bytes: int) -> Policy:
    """The policy called ``name`` with its default options; UsageError with the nearest name otherwise."""
    if name not in policy_names():
        near = get_close_matches(name, policy_names(), n=1, cutoff=0.4)
        fix = f"did you mean {near[0]}?" if near else f"there are {', '.join(policy_names())}"
        raise UsageError(f"policy {name!r}", "is unknown", fix)
    module, _, kind = _HOMES[name.removesuffix(_UNSHARED)].partition(":")
    made: Policy = getattr(import_module(f"trimcache.placement.online.{module}"), kind)(
        graph, capacity_bytes, sharing=not name.endswith(_UNSHARED)
    )
    return made


def simulate_online(
    graph: ModelBlockGraph,
    trace: Trace,
    policies: Iterable[str | Callable[[ModelBlockGraph, int], Policy]],
    capacity_bytes: int,
) -> list[OnlineResult]:
    """Run each policy on the same trace, every site with a cache of its own that begins empty.

    Args:
        graph: the models.
        trace: requests, in order of time.
        policies: names of ``policy_names()``, or what makes a policy from (graph, capacity_bytes), such as
            ``functools.partial(Lfu, half_life_requests=10_000)``.
        capacity_bytes: of each site.

    Returns:
        One result a policy, in their order.

    Raises:
        UsageError: an unknown policy, a bad capacity, or a model in the trace that the graph does not have.
    """
    if isinstance(policies, str):
        raise UsageError("policies", f"{policies!r} is one name", "give a list of names")
    made = [policy_by_name(one, graph, capacity_bytes) if isinstance(one, str) else one(graph, capacity_bytes) for one in policies]
    return [policy.run(trace) for policy in made]
