"""A request trace replayed against the caches of its sites: several policies, several capacities, by site and over time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from typing import Any

import numpy as np

from trimcache.errors import UsageError
from trimcache.graph import ModelBlockGraph
from trimcache.placement.named_pairs import endings
from trimcache.placement.online import OnlineResult, simulate_online
from trimcache.simulation.traces import Trace

__all__ = ["Replay", "for_models", "replay"]


@dataclass(frozen=True, eq=False)
class Replay:
    """What every policy did with one trace at every capacity.

    Attributes:
        trace: the requests replayed.
        warm_up_requests: how many of the first requests count in no total; the caches fill meanwhile.
        results: whole, warm-up included: capacity by capacity, within each policy by policy.
    """

    trace: Trace
    warm_up_requests: int
    results: tuple[OnlineResult, ...]

    def totals(self) -> list[OnlineResult]:
        """The results without the warm-up, in their order."""
        return [result.after(self.warm_up_requests) for result in self.results]

    def by_site(self) -> list[dict[str, Any]]:
        """One row a result and site that was asked, without the warm-up: ``site`` and what ``OnlineResult.to_dict`` gives. O(N log N)."""
        order = np.argsort(self.trace.site, kind="stable")  # within a site in order of time
        sites, starts = np.unique(self.trace.site[order], return_index=True)
        numbers = np.split(order, starts[1:]) if sites.size else []
        late = [mine[np.searchsorted(mine, self.warm_up_requests) :] for mine in numbers]
        return [
            {"site": self.trace.site_names[site], **result.only(mine).to_dict()}
            for result in self.results
            for site, mine in zip(sites.tolist(), late, strict=True)
        ]

    def over_time(self, windows: int = 20) -> list[dict[str, Any]]:
        """The hit ratio in equal windows of requests, warm-up included.

        Rows with ``policy``, ``capacity_bytes``, ``request`` (how many there were up to the end of the window), ``hit_ratio``.
        """
        ends = np.unique(np.linspace(0, self.trace.n_requests, windows + 1).astype(np.int64))
        rows = []
        for result in self.results:
            hits = np.concatenate([[0], np.cumsum(result.hit)])
            rows += [
                {"policy": result.policy, "capacity_bytes": result.capacity_bytes, "request": end,
                 "hit_ratio": float((hits[end] - hits[start]) / (end - start))}
                for start, end in pairwise(ends.tolist())
            ]  # fmt: skip
        return rows


def replay(
    graph: ModelBlockGraph,
    trace: Trace,
    policies: Sequence[str],
    capacities_bytes: Iterable[int],
    *,
    warm_up: float = 0.2,
    options: Mapping[str, float] | None = None,
) -> Replay:
    """Run each policy on the trace at each capacity, every site with a cache of its own that begins empty.

    Args:
        trace: its models are those of ``graph`` (see ``for_models``).
        policies: names of ``policy_names()``.
        capacities_bytes: of each site.
        warm_up: share of the requests, from the first on, that count in no total; in [0, 1).
        options: of the policies, see ``simulate_online``.

    Raises:
        UsageError: no policy, an unknown policy or option, a bad capacity or share, or a model that the graph does not have.
    """
    if not 0 <= warm_up < 1:
        raise UsageError("warm-up", f"{warm_up} is not a share of the requests below 1", "give for example 0.2")
    if not policies:
        raise UsageError("policies", "none is named", "give for example lru,lfu")
    results = [one for capacity in capacities_bytes for one in simulate_online(graph, trace, policies, capacity, options)]
    return Replay(trace, int(warm_up * trace.n_requests), tuple(results))


def for_models(
    trace: Trace, graph: ModelBlockGraph, *, known: Collection[str] = (), skip_unknown: bool = False
) -> tuple[Trace, dict[str, int]]:
    """The trace with the graph's own names, and the requests that were left out, by name.

    Logs name models as they like: whole names or unambiguous endings.

    Args:
        known: further names that may occur, such as adapters that the graph leaves out for want of their base; those requests are left out.
        skip_unknown: leave out requests for any other model too.

    Raises:
        UsageError: an unknown model (with the nearest) unless ``skip_unknown``, an ending of several models, or no request left.
    """
    index = {name: i for i, name in enumerate(graph.model_names)}
    ending, gone = endings(graph.model_names), set(known)
    code = np.full(len(trace.model_names), -1, dtype=np.int32)
    asked = np.bincount(trace.model, minlength=len(trace.model_names))
    left_out = {}
    for number, name in enumerate(trace.model_names):
        ways = [index[name]] if name in index else ending.get(name, [])
        if len(ways) == 1:
            code[number] = ways[0]
        elif len(ways) > 1:
            raise UsageError(f"trace: model {name!r}", f"is the ending of {len(ways)} models, such as {graph.model_names[ways[0]]!r}",
                             "write the whole name")  # fmt: skip
        elif asked[number]:
            if name not in gone and not skip_unknown:
                near = get_close_matches(name, graph.model_names, n=1, cutoff=0.4)
                hint = f"did you mean {near[0]}? " if near else ""
                raise UsageError(f"trace: model {name!r}", "is not in the catalog", f"{hint}--skip-unknown leaves such requests out")
            left_out[name] = int(asked[number])
    keep = code[trace.model] >= 0
    if trace.n_requests and not keep.any():
        raise UsageError("trace", "asks for no model of the catalog", "give names as trimcache stats --by model lists them")
    return Trace(trace.time_s[keep], trace.site[keep], code[trace.model[keep]], trace.site_names, graph.model_names), left_out
