"""Names of algorithms, and the one function that runs them. A module is imported when its algorithm is asked for."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from typing import Protocol

from trimcache.errors import UsageError
from trimcache.placement.problem import PlacementProblem
from trimcache.placement.result import Placement

__all__ = ["Algorithm", "algorithm", "algorithm_names", "place"]


class Algorithm(Protocol):
    """The face of every algorithm: same problem, seed and limit, same placement."""

    def __call__(self, problem: PlacementProblem, *, seed: int = 0, time_limit_s: float | None = None) -> Placement:
        """Solve ``problem``."""
        ...


_HOMES = {
    "auto": "trimcache.placement.auto:auto",
    "exhaustive": "trimcache.placement.exhaustive:exhaustive",
    "gen": "trimcache.placement.gen:gen",
    "gen-ratio": "trimcache.placement.gen_ratio:gen_ratio",
    "independent": "trimcache.placement.independent:independent",
    "spec-tree": "trimcache.placement.spec_tree:spec_tree",
    "mip": "trimcache.placement.mip:mip",
    "resolve": "trimcache.placement.resolve:resolve",
    "search": "trimcache.placement.search:search",
    "spec": "trimcache.placement.spec:spec",
    "random": "trimcache.placement.random_placement:random_placement",
}


def algorithm_names() -> tuple[str, ...]:
    """Every name that ``place`` takes, sorted."""
    return tuple(sorted(_HOMES))


def algorithm(name: str) -> Algorithm:
    """The algorithm called ``name``; UsageError with the nearest name otherwise."""
    home = _HOMES.get(name)
    if home is None:
        near = get_close_matches(name, _HOMES, n=1, cutoff=0.4)
        fix = f"did you mean {near[0]}?" if near else f"there are {', '.join(algorithm_names())}"
        raise UsageError(f"algorithm {name!r}", "is unknown", fix)
    module, _, function = home.partition(":")
    found: Algorithm = getattr(import_module(module), function)
    return found


def place(
    problem: PlacementProblem,
    algorithm: str = "auto",
    seed: int = 0,
    time_limit_s: float | None = None,
    *,
    gap: float = 0.0,
    progress: Callable[[float, float], None] | None = None,
) -> Placement:
    """Solve ``problem`` with the algorithm of that name.

    Args:
        problem: the placement problem.
        algorithm: one of ``algorithm_names()``.
        seed: for algorithms that use chance; same seed, same placement.
        time_limit_s: for algorithms that improve while there is time, in seconds; None leaves it to them.
        gap: for ``auto``: stop once (upper_bound - hit_ratio) / upper_bound is at most this.
        progress: for ``auto``: called with (hit ratio, upper bound) whenever either improves.

    Raises:
        UsageError: an unknown algorithm, a time limit that is not positive, or a gap outside [0, 1).
    """
    if not 0 <= gap < 1:
        raise UsageError("gap", f"{gap} is not in [0, 1)", "give for example 0.01")
    if time_limit_s is not None and not time_limit_s > 0:
        raise UsageError("time limit", f"{time_limit_s} s is not positive", "give seconds > 0")
    if algorithm == "auto":
        from trimcache.placement.auto import auto

        return auto(problem, seed=seed, time_limit_s=time_limit_s, gap=gap, progress=progress)
    return _algorithm(algorithm)(problem, seed=seed, time_limit_s=time_limit_s)


_algorithm = algorithm  # `place` has an argument of that name
