"""How good, how near to proven best, and how fast is placement?

    python benchmarks/placement.py quality|proof|nonlaminar|optimum|general|scale|all [--topologies 20] [--first 0] [--case WORDS]

Library: for each topology 300 models of the synthesis preset `paper-special` (bases not among them), of which I are drawn; network
preset `paper`, unit gain, no fading, Zipf 0.8 ranked anew for each user.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np
from machine import describe, resident_bytes

from trimcache import open_catalog
from trimcache.errors import ProblemError
from trimcache.graph import ModelBlockGraph
from trimcache.network import EdgeNetwork
from trimcache.placement import Demand, PlacementProblem, PrefixReach, Reach, compile_kernels, place
from trimcache.placement._greedy import charge_missing_atoms
from trimcache.placement.tree import sharing_tree
from trimcache.synthesis.library import generate_preset

# name: models, backhaul in bit/s, capacity in bytes, seconds for auto's hit ratio, what Spec stands for, seconds for the proof
CASES = {
    "1 Gbit/s, 250 MB": (30, 1e9, 250 * 10**6, 1.0, "spec", 5.0),
    "1 Gbit/s, 500 MB": (30, 1e9, 500 * 10**6, 1.0, "spec", 5.0),
    "10 Gbit/s, 150 MB": (30, 10e9, 150 * 10**6, 1.0, "spec", 5.0),
    # Spec's enumeration does not end within 60 s at 300 models: the same algorithm with exact steps stands for it.
    "300 models, 10 Gbit/s, 500 MB": (300, 10e9, 500 * 10**6, 2.0, "spec-tree", 20.0),
}
DEMO = Path(__file__).parent.parent / "demo" / "zoo.catalog"  # `trimcache scan demo/finetunes` wrote it
# name: library, network preset, backhaul in bit/s, capacity in bytes or as a share of the library's unique bytes
NONLAMINAR: dict[str, tuple[str, str, float, float]] = {
    # At 1 Gbit/s every server of this preset reaches every user, and all methods tie.
    **{f"demo catalog, {share:.0%} of its bytes": ("demo", "download", 1e8, share) for share in (0.08, 0.15, 0.17, 0.20)},
    "paper-general, 30 models": ("paper-general", "paper", 1e9, 250 * 10**6),
    "paper-general, 300 models": ("paper-general", "paper", 1e9, 500 * 10**6),
    "hub-mixed, 300 models": ("hub-mixed", "download", 1e9, 0.05),
    "encoder x decoder, 100 models": ("pairs", "paper", 1e9, 250 * 10**6),
}


def problem_of(case: str, seed: int) -> PlacementProblem:
    n_models, backhaul_bps, capacity_bytes = CASES[case][:3]
    network = EdgeNetwork.preset("paper", n_servers=10, n_users=30, seed=seed, backhaul_bps=backhaul_bps)
    return network.problem(drawn("paper-special", n_models, seed), capacity_bytes, 0.8, seed)


def drawn(preset: str, n_models: int, seed: int) -> ModelBlockGraph:
    """``n_models`` of 300 that the preset generates with that seed."""
    whole = preset_library(preset, 300, seed)
    if n_models == whole.n_models:
        return whole
    return whole.subset(np.sort(np.random.default_rng([seed, 1]).choice(whole.n_models, n_models, replace=False)).tolist())


def quality(seeds: range, proof: bool, words: str) -> None:
    """Mean hit ratio and gap over topologies: for the seconds of the quality claims, or of the proof claims."""
    head("case")
    for case, (_, _, _, quick_s, stand_in, slow_s) in CASES.items():
        if words in case:
            compare(case, [problem_of(case, seed) for seed in seeds], slow_s if proof else quick_s, stand_in)


def nonlaminar(n: int, words: str) -> None:
    """The same where sharing crosses; `spec-tree` stands for Spec."""
    head("library (share of shared bytes that crosses)")
    for case, (library, preset, backhaul_bps, capacity) in NONLAMINAR.items():
        if words not in case:
            continue
        problems = []
        for seed in range(n):
            graph = library_of(library, 30 if " 30 " in case else 300, seed)
            capacity_bytes = int(capacity if capacity > 1 else capacity * graph.unique_bytes)
            network = EdgeNetwork.preset(preset, n_servers=10, n_users=30, seed=seed, backhaul_bps=backhaul_bps)
            problems.append(network.problem(graph, capacity_bytes, 0.8, seed))
        crossing = statistics.mean(sharing_tree(problem.graph.atoms()).crossing_share for problem in problems)
        for seconds in (2.0, 10.0):
            compare(f"{case} ({crossing:.1%})", problems, seconds, "spec-tree")


def library_of(library: str, n_models: int, seed: int) -> ModelBlockGraph:
    """The demo catalog, encoder-decoder pairs, or models of a synthesis preset."""
    if library == "demo":
        return open_catalog(DEMO).graph()
    return paired(seed) if library == "pairs" else drawn(library, n_models, seed)


def paired(seed: int, n_models: int = 100, n_parts: int = 15) -> ModelBlockGraph:
    """Models that join one of 15 encoders (10 to 40 MB) and one of 15 decoders (the same), with 2 MB of their own: sharing crosses."""
    rng = np.random.default_rng([seed, 3])
    encoder, decoder = np.divmod(rng.choice(n_parts**2, n_models, replace=False), n_parts)
    blocks = np.concatenate([encoder, n_parts + decoder, 2 * n_parts + np.arange(n_models)])
    sizes = np.concatenate([rng.integers(10, 41, 2 * n_parts) * 10**6, np.full(n_models, 2 * 10**6)])
    used, blocks = np.unique(blocks, return_inverse=True)
    names = [f"encoder-{e}-decoder-{d}" for e, d in zip(encoder, decoder, strict=True)]
    return ModelBlockGraph.from_incidence(names, np.tile(np.arange(n_models), 3), blocks, sizes[used], None)


def optimum(n: int, words: str, seconds: float = 30.0) -> None:
    """How far above Gen can anything be? The bound after 30 s a topology.

    Where all maximal sets can be listed it is that of an integer program over them.
    """
    print("| case | topologies | solved to the optimum | mean of the best known / gen | mean of the bound / gen |")
    print("| --- " * 5 + "|")
    for case in CASES:
        if words not in case:
            continue
        gen, best, bound = [], [], []
        for seed in range(n):
            problem = problem_of(case, seed)
            gen.append(place(problem, "gen").hit_ratio)
            proven = place(problem, "auto", time_limit_s=seconds)
            best.append(proven.hit_ratio)
            bound.append(proven.upper_bound)
        solved = sum(top - low <= 2e-6 for top, low in zip(bound, best, strict=True))  # the solver's tolerance
        ratios = [f"{statistics.mean(row) / statistics.mean(gen):.4f}" for row in (best, bound)]
        print("| " + " | ".join([case, str(n), str(solved), *ratios]) + " |", flush=True)


def head(what: str) -> None:
    columns = [what, "seconds", "attainable", "independent", "gen", "gen-ratio", "spec", "spec-tree", "auto", "auto/gen", "auto/spec"]
    print("| " + " | ".join([*columns, "bound/gen", "gap", "worst", "longest s"]) + " |")
    print("| --- " * 15 + "|")


def compare(case: str, problems: list[PlacementProblem], seconds: float, stand_in: str) -> None:
    """One row: means over the problems; ``auto`` is checked never to be below any of the others."""
    names = list(dict.fromkeys(["independent", "gen", "gen-ratio", stand_in, "spec-tree"]))
    rows: dict[str, list[float]] = {name: [] for name in [*names, "auto", "attainable", "bound", "gap", "seconds"]}
    for seed, problem in enumerate(problems):
        results = {name: place(problem, name) for name in names}
        best = place(problem, "auto", time_limit_s=seconds)
        for name, result in results.items():
            rows[name].append(result.hit_ratio)
            assert best.hit_ratio >= result.hit_ratio, (case, seed, name)
        for name, value in (("auto", best.hit_ratio), ("attainable", best.attainable), ("bound", best.upper_bound)):
            rows[name].append(value)
        rows["gap"].append(best.gap)
        rows["seconds"].append(best.seconds)
    mean = {name: statistics.mean(values) for name, values in rows.items()}
    shown = ("attainable", "independent", "gen", "gen-ratio", "spec", "spec-tree", "auto")
    hits = [f"{mean[name]:.3f}" if name in mean else "-" for name in shown]
    ratios = [f"{mean[a] / mean[b]:.3f}" for a, b in (("auto", "gen"), ("auto", stand_in), ("bound", "gen"))]
    gaps = [f"{100 * mean['gap']:.2f} %", f"{100 * max(rows['gap']):.2f} %", f"{max(rows['seconds']):.2f}"]
    print("| " + " | ".join([case, f"{seconds:g}", *hits, *ratios, *gaps]) + " |", flush=True)


def general(n: int) -> None:
    """Spec against Spec by the tree on the preset `paper-general`: I models drawn from 300, as in the paper.

    Seconds are each algorithm's own on a prepared problem: the median over topologies of the median of three runs, in alternation. The
    sharing tree belongs to the library: the last column adds building it.
    """
    print(
        "| models | backhaul | Q | spec | spec-tree | difference | seconds spec | seconds spec-tree | times faster | with its tree built |"
    )
    print("| --- " * 10 + "|")
    whole = preset_library("paper-general", 300)
    for n_models, backhaul_bps in ((20, 1e9), (30, 1e9), (30, 10e9), (40, 1e9), (60, 1e9)):
        for capacity_bytes in (100 * 10**6, 250 * 10**6, 500 * 10**6, 10**9):
            head = [str(n_models), f"{backhaul_bps / 1e9:g} Gbit/s", f"{capacity_bytes // 10**6} MB"]
            rows = []
            try:
                for seed in range(n):
                    rows.append(_spec_and_tree(whole, n_models, backhaul_bps, capacity_bytes, seed))
            except ProblemError as refused:
                print("| " + " | ".join([*head, refused.problem, *["-"] * 6]) + " |", flush=True)
                continue
            slow, fast = (statistics.mean(row[column] for row in rows) for column in (0, 1))
            slow_s, fast_s, tree_s = (statistics.median(row[column] for row in rows) for column in (2, 3, 4))
            print("| " + " | ".join([
                *head, f"{slow:.4f}", f"{fast:.4f}", f"{100 * (fast / slow - 1):+.2f} %", f"{slow_s:.3f}", f"{fast_s:.5f}",
                f"{slow_s / fast_s:.0f}", f"{slow_s / tree_s:.0f}",
            ]) + " |", flush=True)  # fmt: skip


def _spec_and_tree(whole: ModelBlockGraph, n_models: int, backhaul_bps: float, capacity_bytes: int, seed: int) -> tuple[float, ...]:
    """Hit ratios of both, median seconds of both, and seconds of the tree's with its tree built."""
    chosen = np.random.default_rng([seed, 2]).choice(whole.n_models, n_models, replace=False)
    network = EdgeNetwork.preset("paper", n_servers=10, n_users=30, seed=seed, backhaul_bps=backhaul_bps)
    problem = network.problem(whole.subset(np.sort(chosen).tolist()), capacity_bytes, 0.8, seed)
    assert problem.instance.classes.n_classes  # prepared for both
    charge_missing_atoms(problem.graph)
    built = place(problem, "spec-tree").seconds
    slow, fast = zip(*((place(problem, "spec"), place(problem, "spec-tree")) for _ in range(3)), strict=True)
    seconds = (statistics.median(row.seconds for row in rows) for rows in (slow, fast))
    return (slow[0].hit_ratio, fast[0].hit_ratio, *seconds, built)


@cache
def preset_library(name: str, n_models: int, seed: int = 0) -> ModelBlockGraph:
    """A preset's models, generated; all equally popular, for each user ranks them anew."""
    with tempfile.TemporaryDirectory() as folder:
        generate_preset(name, n_models, Path(folder) / "catalog", seed=seed)
        graph = open_catalog(Path(folder) / "catalog").graph()
    return ModelBlockGraph(graph.model_names, graph.block_bytes, graph.indptr, graph.indices, graph.model_bytes)


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
    """Gen on four sizes, then the default's starts on the largest, each in a process of its own: seconds and memory of ``place()``."""
    from growth_figure import draw_growth

    print("| servers x users x models | entries | reach | placements | seconds | processor seconds | GB added |")
    print("| --- " * 7 + "|")
    rows = []
    for size in ("30,1000,1000", "100,10000,10000", "300,30000,30000", "1000,100000,100000"):
        for form in ("list", "prefix"):
            done = subprocess.run([sys.executable, __file__, "one", size, form], check=True, capture_output=True, text=True)
            print(done.stdout.strip(), flush=True)
            rows.append([cell.strip() for cell in done.stdout.strip().strip("|").split("|")])
    print(f"\ndrawn: {', '.join(path.name for path in draw_growth(rows))}")
    print("\n| algorithm, largest size, prefix | entries | reach | placements | seconds | processor seconds | GB added |")
    print("| --- " * 7 + "|")
    for name in ("gen", "gen-ratio", "independent", "spec-tree", "auto"):
        command = [sys.executable, __file__, "one", "1000,100000,100000", "prefix", name]
        row = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().split("|")
        print("| " + " | ".join([name, *(cell.strip() for cell in row[2:-1])]) + " |", flush=True)


def one(size: str, form: str, algorithm: str = "gen") -> None:
    compile_kernels([algorithm])
    n_servers, n_users, n_models = (int(part) for part in size.split(","))
    problem = large(n_servers, n_users, n_models, prefix=form == "prefix")
    place(large(30, 1000, 1000, prefix=True), algorithm, time_limit_s=0.1)
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:  # the peak is counted from here
        file.write("5")
    before, begin, cpu = resident_bytes("VmRSS"), time.perf_counter(), time.process_time()
    placed = place(problem, algorithm)
    seconds, busy = time.perf_counter() - begin, time.process_time() - cpu
    added = (resident_bytes("VmHWM") - before) / 1e9
    again = min(_again(problem) for _ in range(3)) if algorithm == "gen" else seconds
    entries = problem.instance.n_entries
    row = [f"{n_servers} x {n_users} x {n_models}", entries, form, placed.n_placed]
    print("| " + " | ".join([*map(str, row), f"{min(seconds, again):.3f}", f"{busy:.3f}", f"{added:.3f}"]) + " |")


def _again(problem: PlacementProblem) -> float:
    begin = time.perf_counter()
    place(problem, "gen")
    return time.perf_counter() - begin


def main() -> None:
    """Print the tables asked for."""
    if sys.argv[1:2] == ["one"]:
        one(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", choices=["quality", "proof", "nonlaminar", "optimum", "general", "scale", "all"])
    parser.add_argument("--topologies", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="seed of the first topology, for quality and proof")
    parser.add_argument("--case", default="", help="only cases whose name holds these words")
    options = parser.parse_args()
    print(f"{describe()}\n")
    begin = time.perf_counter()
    compile_kernels()
    print(f"kernels compiled or loaded in {time.perf_counter() - begin:.1f} s\n")
    seeds = range(options.first, options.first + options.topologies)
    tables = {
        "quality": lambda: quality(seeds, False, options.case),
        "proof": lambda: quality(seeds, True, options.case),
        "nonlaminar": lambda: nonlaminar(min(options.topologies, 5), options.case),
        "optimum": lambda: optimum(options.topologies, options.case),
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
