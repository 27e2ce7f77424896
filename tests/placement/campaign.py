"""One campaign of random tiny placement problems against their optimum, in a process of its own.

    python -m placement.campaign N SEED     (with tests/ on the path)

Prints a JSON object: how many problems of each kind, how often each algorithm was compared, how many claims of optimality were
confirmed, and the first problems that broke a rule. A problem is named by its seed and kind, so it can be made again.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from placement.cases import hit_ratio, in_every_form, naive_greedy, storage_bytes, tiny_problem

from trimcache.placement import Placement, PlacementProblem, place
from trimcache.placement.bounds import upper_bound
from trimcache.placement.mip import mip_bound
from trimcache.placement.spec import EPSILON
from trimcache.placement.tree import sharing_tree

TOLERANCE = 2e-6  # of the MIP solver
ALGORITHMS = ("gen", "gen-ratio", "independent", "random", "spec", "spec-tree", "resolve", "auto", "search")
FORMS = ("dense", "list", "prefix")


@dataclass
class Result:
    """What a campaign found."""

    problems: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    placements: int = 0
    optimal_confirmed: int = 0
    matches_optimum: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)


def run(n: int, seed: int) -> Result:
    """Make ``n`` problems and hold every algorithm and bound against their optimum."""
    result, begin = Result(), time.perf_counter()
    for number in range(seed * 1_000_000, seed * 1_000_000 + n):
        try:
            check(number, result)
        except Exception:  # noqa: BLE001 - finding any exception is what the campaign is for
            if len(result.broken) < 5:
                result.broken.append(f"problem {number}\n{traceback.format_exc()[-1500:]}")
        result.problems += 1
    result.seconds = time.perf_counter() - begin
    return result


def check(number: int, result: Result) -> None:
    """One problem: of each third, dense reach of any shape, or a prefix reach in every form."""
    if number % 3 == 0:
        same = in_every_form(number)
        for name in ("gen", "spec-tree", "auto"):
            first, *others = (place(problem, name, seed=number) for problem in same)
            for other in others:
                assert other.x.tolist() == first.x.tolist(), f"{name}: another form of reach, another placement"
                assert other.upper_bound == first.upper_bound
        form = number // 3 % 3
        problem = same[form]
    else:
        form = 0
        n_servers = 1 if number % 11 == 0 else None
        problem = tiny_problem(
            number, laminar=number // 3 % 3 == 0, pins=bool(number // 9 % 2), n_models=3 + number % 5, n_servers=n_servers
        )
    laminar = sharing_tree(problem.graph.atoms()).crossing_bytes == 0
    bound_by_pins = problem.pinned.size > 0 or problem.forbidden.size > 0
    result.kinds["reach " + FORMS[form]] += 1
    result.kinds["laminar" if laminar else "crossing"] += 1
    result.kinds["pins or forbidden pairs" if bound_by_pins else "free"] += 1
    truth(problem, number, result, laminar=laminar)
    if not bound_by_pins:
        assert np.array_equal(place(problem, "gen").x, naive_greedy(problem, storage_bytes)), "lazy gen is not the naive one"
        result.kinds["lazy gen held against naive gen"] += 1


def truth(problem: PlacementProblem, number: int, result: Result, *, laminar: bool) -> None:
    """Exhaustive search equals the MIP, nothing exceeds it, no bound is below it, every proof is right."""
    best = place(problem, "exhaustive")
    solved = place(problem, "mip")
    assert best.optimal
    assert abs(solved.hit_ratio - best.hit_ratio) <= TOLERANCE, f"mip {solved.hit_ratio}, exhaustive {best.hit_ratio}"
    assert mip_bound(problem) >= best.hit_ratio
    assert upper_bound(problem, steps=20, best_known=best.hit_ratio) >= best.hit_ratio
    for name in ALGORITHMS:
        found = place(problem, name, seed=number)
        assert found.hit_ratio <= best.hit_ratio <= found.upper_bound, f"{name}: {found.hit_ratio} {best.hit_ratio} {found.upper_bound}"
        _counted_right(problem, found)
        result.placements += 1
        result.matches_optimum[name] += found.hit_ratio == best.hit_ratio
        if found.optimal:
            assert solved.hit_ratio <= found.hit_ratio + TOLERANCE, f"{name} claims an optimum that it has not"
            result.optimal_confirmed += 1
        if name == "spec":
            assert found.hit_ratio >= (1 - EPSILON) / 2 * best.hit_ratio
        if name == "spec-tree" and laminar:
            assert found.hit_ratio >= best.hit_ratio / 2
            if problem.n_servers == 1:
                assert found.hit_ratio == best.hit_ratio, "the tree is not exact on one server"
                result.kinds["tree held against the optimum of one server"] += 1


def _counted_right(problem: PlacementProblem, found: Placement) -> None:
    assert found.hit_ratio == hit_ratio(problem, found.x)
    for m in range(problem.n_servers):
        assert storage_bytes(problem, found.models_on(m)) <= problem.capacity_bytes[m]
    keys = np.flatnonzero(found.x.reshape(-1))
    assert np.isin(problem.pinned, keys).all()
    assert not np.isin(problem.forbidden, keys).any()


if __name__ == "__main__":
    outcome = run(int(sys.argv[1]), int(sys.argv[2]))
    print(json.dumps(outcome.__dict__))
