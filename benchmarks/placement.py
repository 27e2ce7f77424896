"""How good, how near to proven best, and how fast is placement?

    python benchmarks/placement.py quality|proof|general|scale|all [--topologies 20]

Library: the paper's special case (tests/placement/paper_library.py: sizes computed from the architectures, bases not
among the models), network preset `paper`, unit gain, no fading, Zipf 0.8 ranked anew for each user.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from machine import describe

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "placement"))

from paper_library import paper_general, paper_special

from trimcache.errors import ProblemError
from trimcache.graph import ModelBlockGraph
from trimcache.network import EdgeNetwork
from trimcache.placement import Demand, PlacementProblem, PrefixReach, Reach, compile_kernels, place
from trimcache.placement.tree import sharing_tree

# name: models, backhaul in bit/s, capacity in bytes, seconds for auto's hit ratio, what Spec stands for, seconds for the proof
CASES = {
    "1 Gbit/s, 250 MB": (30, 1e9, 250 * 10**6, 1.0, "spec", 5.0),
    "1 Gbit/s, 500 MB": (30, 1e9, 500 * 10**6, 1.0, "spec", 5.0),
    "10 Gbit/s, 150 MB": (30, 10e9, 150 * 10**6, 1.0, "spec", 5.0),
    # Spec's enumeration does not end within 60 s at 300 models: the same algorithm with exact steps stands for it.
    "300 models, 10 Gbit/s, 500 MB": (300, 10e9, 500 * 10**6, 2.0, "spec-tree", 20.0),
}


def problem_of(case: str, seed: int) -> PlacementProblem:
    n_models, backhaul_bps, capacity_bytes = CASES[case][:3]
    network = EdgeNetwork.preset("paper", n_servers=10, n_users=30, seed=seed, backhaul_bps=backhaul_bps)
    return network.problem(paper_special(n_models, seed), capacity_bytes, 0.8, seed)


def quality(n: int, proof: bool) -> None:
    """Mean hit ratio and gap over topologies: for the seconds of the quality claims, or of the proof claims."""
    print("| case | seconds | attainable | independent | gen | gen-ratio | spec | spec-tree | auto | auto/gen | auto/spec | gap | worst |")
    print("| --- " * 13 + "|")
    for case, (_, _, _, quick_s, stand_in, slow_s) in CASES.items():
        seconds = slow_s if proof else quick_s
        names = list(dict.fromkeys(["independent", "gen", "gen-ratio", stand_in, "spec-tree"]))
        hits: dict[str, list[float]] = {name: [] for name in [*names, "auto", "attainable", "gap"]}
        for seed in range(n):
            problem = problem_of(case, seed)
            results = {name: place(problem, name) for name in names}
            best = place(problem, "auto", time_limit_s=seconds)
            for name in names:
                hits[name].append(results[name].hit_ratio)
                assert best.hit_ratio >= results[name].hit_ratio, (case, seed, name)
            hits["auto"].append(best.hit_ratio)
            hits["attainable"].append(best.attainable)
            hits["gap"].append(best.gap)
        mean = {name: statistics.mean(values) for name, values in hits.items()}
        row = [
            f"{mean[name]:.3f}" if name in mean else "-" for name in ("attainable", "independent", "gen", "gen-ratio", "spec", "spec-tree")
        ]
        ratios = [f"{mean['auto'] / mean['gen']:.3f}", f"{mean['auto'] / mean[stand_in]:.3f}"]
        gaps = [f"{100 * mean['gap']:.2f} %", f"{100 * max(hits['gap']):.2f} %"]
        print("| " + " | ".join([case, f"{seconds:g}", *row, f"{mean['auto']:.3f}", *ratios, *gaps]) + " |", flush=True)


def general(n: int) -> None:
    """Spec against Spec by the tree on the two-round library."""
    print("| Q | topologies | spec | spec-tree | difference | seconds spec | seconds spec-tree | times faster |")
    print("| --- " * 8 + "|")
    for capacity_bytes in (250 * 10**6, 500 * 10**6):
        slow, fast = [], []
        for seed in range(n):
            network = EdgeNetwork.preset("paper", n_servers=10, n_users=30, seed=seed, backhaul_bps=1e9)
            problem = network.problem(paper_general(30, seed), capacity_bytes, 0.8, seed)
            try:
                slow.append(place(problem, "spec"))
            except ProblemError as refused:
                print(f"seed {seed}: {refused}")
                continue
            fast.append(place(problem, "spec-tree"))
        if not slow:
            continue
        hits = [statistics.mean(row.hit_ratio for row in rows) for rows in (slow, fast)]
        seconds = [statistics.median(row.seconds for row in rows) for rows in (slow, fast)]
        print(f"| {capacity_bytes // 10**6} MB | {len(slow)} | {hits[0]:.4f} | {hits[1]:.4f} | {100 * (hits[1] / hits[0] - 1):+.2f} % "
              f"| {seconds[0]:.3f} | {seconds[1]:.4f} | {seconds[0] / seconds[1]:.0f} |", flush=True)  # fmt: skip


def large(n_servers: int, n_users: int, n_models: int, *, prefix: bool, asked: int = 20, reached: int = 6) -> PlacementProblem:
    """Families of 100 models with 8 prefix levels; each user asks for 20 models, 6 servers reach it."""
    rng = np.random.default_rng(0)
    levels = rng.integers(1, 9, n_models)
    first = np.repeat(np.arange(n_models) // 100 * 8, levels)
    shared = first + np.concatenate([np.arange(level) for level in levels])
    n_shared = -(-n_models // 100) * 8
    owner = np.concatenate([np.repeat(np.arange(n_models), levels), np.arange(n_models)])
    names, blocks = np.unique(np.concatenate([shared, n_shared + np.arange(n_models)]), return_inverse=True)
    sizes = np.where(names < n_shared, 20_000_000, 5_000_000)
    graph = ModelBlockGraph.from_incidence([str(i) for i in range(n_models)], owner, blocks, sizes, None)
    model = (rng.random((n_users, asked)) ** 3 * n_models).astype(int)
    demand = Demand.from_requests(n_users, n_models, np.repeat(np.arange(n_users), asked), model.ravel(), rng.random(model.size))
    near = (rng.integers(0, n_servers, n_users)[:, None] + np.arange(reached) * 7) % n_servers
    if prefix:
        ends = np.arange(n_users + 1) * reached
        reach: Reach = PrefixReach(n_servers, ends, near.ravel(), demand.user, np.full(demand.n_requests, reached))
    else:
        reach = Reach(n_servers, np.arange(demand.n_requests + 1) * reached, near[demand.user].ravel())
    return PlacementProblem(graph, 10**9, demand, reach)


def scale() -> None:
    """Gen on four sizes, each in a process of its own: seconds of ``place()`` and memory that it adds, index included."""
    print("| servers x users x models | entries | reach | placements | seconds | processor seconds | GB added |")
    print("| --- " * 7 + "|")
    for size in ("30,1000,1000", "100,10000,10000", "300,30000,30000", "1000,100000,100000"):
        for form in ("list", "prefix"):
            done = subprocess.run([sys.executable, __file__, "one", size, form], check=True, capture_output=True, text=True)
            print(done.stdout.strip(), flush=True)


def one(size: str, form: str) -> None:
    compile_kernels(["gen"])
    n_servers, n_users, n_models = (int(part) for part in size.split(","))
    problem = large(n_servers, n_users, n_models, prefix=form == "prefix")
    place(large(30, 1000, 1000, prefix=True), "gen")
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:  # the peak is counted from here
        file.write("5")
    before, begin, cpu = resident_bytes("VmRSS"), time.perf_counter(), time.process_time()
    placed = place(problem, "gen")
    seconds, busy = time.perf_counter() - begin, time.process_time() - cpu
    added = (resident_bytes("VmHWM") - before) / 1e9
    again = min(_again(problem) for _ in range(3))
    entries = problem.instance.n_entries
    row = [f"{n_servers} x {n_users} x {n_models}", entries, form, placed.n_placed]
    print("| " + " | ".join([*map(str, row), f"{min(seconds, again):.3f}", f"{busy:.3f}", f"{added:.3f}"]) + " |")


def _again(problem: PlacementProblem) -> float:
    begin = time.perf_counter()
    place(problem, "gen")
    return time.perf_counter() - begin


def resident_bytes(which: str) -> int:
    with open("/proc/self/status", encoding="ascii") as file:
        line = next((line for line in file if line.startswith(which)), None)
    return int(line.split()[1]) * 1024 if line else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Print the tables asked for."""
    if sys.argv[1:2] == ["one"]:
        one(*sys.argv[2:4])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", choices=["quality", "proof", "general", "scale", "all"])
    parser.add_argument("--topologies", type=int, default=20)
    options = parser.parse_args()
    print(f"{describe()}\n")
    begin = time.perf_counter()
    compile_kernels()
    print(f"kernels compiled or loaded in {time.perf_counter() - begin:.1f} s; ", end="")
    print(f"non-laminar share of the special library {sharing_tree(paper_special(300).atoms()).crossing_share:.1%}\n")
    tables = {
        "quality": lambda: quality(options.topologies, proof=False),
        "proof": lambda: quality(options.topologies, proof=True),
        "general": lambda: general(min(options.topologies, 5)),
        "scale": scale,
    }
    for name, table in tables.items():
        if options.table in (name, "all"):
            print(f"## {name}\n")
            table()
            print()


if __name__ == "__main__":
    main()
