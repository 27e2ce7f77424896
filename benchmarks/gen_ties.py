"""How much does Gen depend on how its ties are broken?

    python benchmarks/gen_ties.py [--topologies 20] [--case WORDS]

Gen as published takes the pair with the largest gain and does not say which of several. Where the backhaul is fast a model gains the
same on every server that can relay it in time, so most steps are ties. Here Gen is written the naive way: with the product's rule (the
lowest server, then the lowest model), which has to equal ``place(problem, "gen")``, with the highest, and with one drawn at random. Cases
and libraries are those of ``placement.py quality``.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import numpy as np
from machine import describe
from numpy.typing import NDArray
from placement import CASES, problem_of

from trimcache.placement import PlacementProblem, compile_kernels, place

Tie = Callable[[NDArray[np.intp]], int]
"""Which of n tied pairs, rows (server, model) in ascending order."""


def gen(problem: PlacementProblem, tie: Tie) -> tuple[float, int, float]:
    """Gen's hit ratio, its steps (each places a copy), and the share of them that were ties."""
    weight, reach = problem.demand.to_dense(), problem.reach.to_dense(problem.demand)
    atoms = problem.graph.atoms()
    needs = np.zeros((problem.n_models, atoms.n_atoms), dtype=bool)
    needs[np.repeat(np.arange(problem.n_models), np.diff(atoms.indptr)), atoms.indices] = True
    held = np.zeros((problem.n_servers, atoms.n_atoms), dtype=bool)
    placed = np.zeros((problem.n_servers, problem.n_models), dtype=bool)
    gain = np.einsum("mki,ki->mi", reach, weight)
    unserved, steps, ties = weight.copy(), 0, 0
    while True:
        used = held @ atoms.atom_bytes
        missing = (needs[None] & ~held[:, None]) @ atoms.atom_bytes
        allowed = np.where(placed | (used[:, None] + missing > problem.capacity_bytes[:, None]), 0, gain)
        best = np.argwhere(allowed == allowed.max())
        if allowed.max() == 0:
            return int(weight.sum() - unserved.sum()) / problem.demand.total, steps, ties / max(steps, 1)
        m, i = best[tie(best)]
        steps, ties = steps + 1, ties + (len(best) > 1)
        placed[m, i] = True
        held[m] |= needs[i]
        unserved[reach[m, :, i], i] = 0
        gain[:, i] = reach[:, :, i] @ unserved[:, i]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--topologies", type=int, default=20)
    parser.add_argument("--case", default="", help="only cases whose name holds these words")
    options = parser.parse_args()
    print(f"{describe()}\n")
    compile_kernels()
    columns = ["case", "steps that are ties", "gen", "gen, highest", "gen, at random", "auto", "auto/gen", "auto/gen, at random"]
    columns += ["copies placed, gen", "at random"]
    print("| " + " | ".join(columns) + " |\n" + "| --- " * len(columns) + "|")
    for case, (_, _, _, seconds, _, _) in CASES.items():
        if options.case not in case:
            continue
        rows = []
        for seed in range(options.topologies):
            problem = problem_of(case, seed)
            rng = np.random.default_rng([seed, 4])
            lowest, copies, tied = gen(problem, lambda pairs: 0)
            assert lowest == place(problem, "gen").hit_ratio, (case, seed)
            highest = gen(problem, lambda pairs: len(pairs) - 1)[0]
            drawn, fewer, _ = gen(problem, lambda pairs, rng=rng: int(rng.integers(len(pairs))))
            rows.append((tied, lowest, highest, drawn, place(problem, "auto", time_limit_s=seconds).hit_ratio, copies, fewer))
        tied, lowest, highest, drawn, best, copies, fewer = (statistics.mean(column) for column in zip(*rows, strict=True))
        cells = [f"{value:.3f}" for value in (lowest, highest, drawn, best, best / lowest, best / drawn)]
        cells += [f"{value:.1f}" for value in (copies, fewer)]
        print("| " + " | ".join([case, f"{tied:.0%}", *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
