"""Names of policies, and the one function that runs several on the same trace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

from trimcache.errors import UsageError
from trimcache.graph import ModelBlockGraph
from trimcache.placement._jit import is_cached
from trimcache.placement.online import _kernels
from trimcache.placement.online.policy import Policy
from trimcache.placement.online.result import OnlineResult

if TYPE_CHECKING:
    from trimcache.simulation.traces import Trace

__all__ = ["needs_compilation", "policy_by_name", "policy_names", "policy_options", "simulate_online"]

_UNSHARED = "-unshared"
_HOMES = {"gdsf": "gdsf:Gdsf", "lfu": "lfu:Lfu", "lru": "lru:Lru", "replace": "replacement:Replace"}


def policy_names() -> tuple[str, ...]:
    """Every name that ``simulate_online`` takes, sorted: each policy, and each without sharing."""
    return tuple(sorted([*_HOMES, *(name + _UNSHARED for name in _HOMES)]))


def needs_compilation(policies: Iterable[str]) -> bool:
    """Whether these policies have to be compiled first (seconds), so that the command line can say so."""
    names = dict.fromkeys(name.removesuffix(_UNSHARED) for name in policies if name in policy_names())
    loops = [getattr(_kernels, f"serve_{name}") for name in names]
    return not all(loop.signatures or is_cached(loop, loop.py_func.__code__.co_filename) for loop in loops)


def policy_options(name: str) -> tuple[str, ...]:
    """The options that the policy called ``name`` has beside its cache, such as ``half_life_requests``."""
    return tuple(field.name for field in fields(_class_of(name)) if field.name not in ("graph", "capacity_bytes", "sharing"))


def policy_by_name(name: str, graph: ModelBlockGraph, capacity_bytes: int, options: Mapping[str, float] | None = None) -> Policy:
    """The policy called ``name``, with those of ``options`` that it has; UsageError with the nearest name otherwise."""
    kind = _class_of(name)
    mine = {key: value for key, value in (options or {}).items() if key in policy_options(name)}
    return kind(graph, capacity_bytes, sharing=not name.endswith(_UNSHARED), **mine)


def _class_of(name: str) -> type[Policy]:
    if name not in policy_names():
        raise UsageError(f"policy {name!r}", "is unknown", _near(name, policy_names()))
    module, _, kind = _HOMES[name.removesuffix(_UNSHARED)].partition(":")
    found: type[Policy] = getattr(import_module(f"trimcache.placement.online.{module}"), kind)
    return found


def _near(name: str, names: Iterable[str]) -> str:
    known = sorted(names)
    near = get_close_matches(name, known, n=1, cutoff=0.4)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"


def simulate_online(
    graph: ModelBlockGraph,
    trace: Trace,
    policies: Iterable[str | Callable[[ModelBlockGraph, int], Policy]],
    capacity_bytes: int,
    options: Mapping[str, float] | None = None,
) -> list[OnlineResult]:
    """Run each policy on the same trace, every site with a cache of its own that begins empty.

    Args:
        graph: the models.
        trace: requests, in order of time.
        policies: names of ``policy_names()``, or what makes a policy from (graph, capacity_bytes), such as
            ``functools.partial(Lfu, half_life_requests=10_000)``.
        capacity_bytes: of each site.
        options: of the policies that are named, such as ``{"half_life_requests": 10_000}``: each takes those that it has.

    Returns:
        One result a policy, in their order.

    Raises:
        UsageError: an unknown policy, an option that none of them has, a bad value, or a model in the trace that the graph does not have.
    """
    if isinstance(policies, str):
        raise UsageError("policies", f"{policies!r} is one name", "give a list of names")
    chosen = list(policies)
    known = {option for one in chosen if isinstance(one, str) for option in policy_options(one)}
    for option in options or {}:
        if option not in known:
            raise UsageError(f"option {option!r}", "is one of none of the policies", _near(option, known) if known else "leave it out")
    made = [policy_by_name(one, graph, capacity_bytes, options) if isinstance(one, str) else one(graph, capacity_bytes) for one in chosen]
    return [policy.run(trace) for policy in made]
