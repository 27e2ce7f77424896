"""Placement: which server holds which models, so that most demand is served in time.

    problem.py       graph + capacity + demand + reach, validated
    demand.py        request probabilities as exact integers, sparse
    reach.py, prefix_reach.py            request -> servers that can serve it in time
    gen.py, spec.py, search.py, ...      one module an algorithm, all with the same face; auto.py is the default
    bounds.py, prove.py, packings.py, mip.py     how far from the best a placement can be
    registry.py      name -> algorithm, loaded when asked for
    result.py        a placement, checked by exact recount when it is made
    evaluate.py      the cache hit ratio of any placement
    target.py, replan.py                 the least capacity for a hit ratio; going on from an old plan
    online/          policies that see one request after another
    _jit.py, _kernels*.py                the compiled inner loops, and compiling just those that an algorithm needs

Importing this package imports none of them: names are resolved on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimcache._lazy import lazy

if TYPE_CHECKING:
    from trimcache.placement._jit import compile_kernels, needs_compilation
    from trimcache.placement.demand import Demand
    from trimcache.placement.evaluate import hit_ratio
    from trimcache.placement.prefix_reach import PrefixReach
    from trimcache.placement.problem import PlacementProblem
    from trimcache.placement.reach import Reach
    from trimcache.placement.registry import algorithm_names, place
    from trimcache.placement.result import Placement

_HOMES = {
    "Demand": "demand",
    "Placement": "result",
    "PlacementProblem": "problem",
    "PrefixReach": "prefix_reach",
    "Reach": "reach",
    "algorithm_names": "registry",
    "compile_kernels": "_jit",
    "hit_ratio": "evaluate",
    "needs_compilation": "_jit",
    "place": "registry",
}

__all__ = [
    "Demand",
    "Placement",
    "PlacementProblem",
    "PrefixReach",
    "Reach",
    "algorithm_names",
    "compile_kernels",
    "hit_ratio",
    "needs_compilation",
    "place",
]

__getattr__, __dir__ = lazy(__name__, _HOMES)
