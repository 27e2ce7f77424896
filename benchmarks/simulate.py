"""How long does evaluating placements under fading take, beside placing them?

    python benchmarks/simulate.py [--topologies 20]

Library: 30 models drawn anew for each topology from 300 of the paper's special case (tests/placement/paper_library.py);
1,000 realisations of Rayleigh fading; five algorithms, and `attainable`, under the same fading.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import statistics
import sys
import time
from pathlib import Path

from machine import describe

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "placement"))

from paper_library import paper_special

from trimcache.simulation.fading import hit_ratio_under_fading
from trimcache.simulation.setting import Setting
from trimcache.simulation.topology import compile_for, solve

LIGHT = ("gen", "gen-ratio", "independent", "random", "spec-tree")
PAPER = Setting(
    n_models=30,
    capacity_bytes=250 * 10**6,
    algorithms=("gen", "gen-ratio", "spec", "independent", "resolve"),
    overrides={"backhaul_bps": 1e9},
)
CASES = {
    "paper: 10 servers, 30 users, 30 models": PAPER,
    "the same, a matrix of backhaul rates": dataclasses.replace(
        PAPER, overrides={"backhaul_bps": [[0.0 if m == n else 1e9 + 1e8 * (m + n) for n in range(10)] for m in range(10)]}
    ),
    "300 models": dataclasses.replace(PAPER, n_models=300, algorithms=LIGHT),
    "100 servers, 1,000 users, 300 models": dataclasses.replace(
        PAPER, n_servers=100, n_users=1000, n_models=300, requests_per_user=20, algorithms=LIGHT,
        overrides={"backhaul_bps": 1e9, "area_m": 3000.0},
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--topologies", type=int, default=20)
    n = parser.parse_args().topologies
    graph = paper_special(300, 0)
    began = time.perf_counter()
    compile_for(tuple({name for setting in CASES.values() for name in setting.algorithms}))
    print(f"{describe()}; kernels compiled or loaded in {time.perf_counter() - began:.1f} s")
    print(f"{PAPER.n_realisations} realisations, five algorithms, seconds a topology: median (worst) of {n}\n")
    print("| case | network, models and reach | placing, five algorithms | evaluating under fading | peak memory |")
    print("| --- " * 5 + "|")
    for case, setting in CASES.items():
        draw, place, fade = [], [], []
        for seed in range(n if setting.n_users is None else max(1, n // 10)):
            times = [time.perf_counter()]
            network = setting.edge_network(seed)
            problem = setting.problem(network, setting.models(graph, seed), seed)
            times.append(time.perf_counter())
            placements = [solve(problem, name, setting, seed) for name in setting.algorithms]
            times.append(time.perf_counter())
            hit_ratio_under_fading(problem, network, [*placements, None], setting.n_realisations, seed)
            times.append(time.perf_counter())
            for column, start, end in zip((draw, place, fade), times[:-1], times[1:], strict=True):
                column.append(end - start)
        cells = [f"{statistics.median(column):.3f} s ({max(column):.3f})" for column in (draw, place, fade)]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"| {case} | {' | '.join(cells)} | {peak:.0f} MB |", flush=True)


if __name__ == "__main__":
    main()
