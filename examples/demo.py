"""The main job from end to end: build real fine-tunes, see what they share, and plan where to cache them.

    python examples/demo.py -o demo

Every step is a command that you can run by itself; the demo prints it before it runs it. What exists is used again.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import trimcache as tc
from trimcache.simulation.results import read_results
from trimcache.sizes import format_size

EXAMPLES = Path(__file__).resolve().parent
PRESET, SERVERS, USERS = "download", 10, 30
TOPOLOGIES = 20
# Fractions of what storing every block once would take; below, little fits, above, everything does.
FRACTIONS = (0.03, 0.05, 0.075, 0.1, 0.125, 0.15, 0.175, 0.2, 0.225, 0.25, 0.3, 0.4, 0.5)


def main() -> int:
    """Run the demo; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("demo"), help="folder for everything the demo writes")
    arguments = parser.parse_args()
    output: Path = arguments.output
    output.mkdir(parents=True, exist_ok=True)
    finetunes, catalog, plan = output / "finetunes", output / "zoo.catalog", output / "plan.json"
    results, figure = output / "hit-ratio.parquet", output / "hit-ratio.png"
    began = time.monotonic()

    step("1. Fine-tune real models (frozen backbones, LoRA, merged LoRA, full)")
    run(sys.executable, str(EXAMPLES / "build_finetunes.py"), "-o", str(finetunes))

    step("2. Scan them: cut every file into blocks, equal bytes are one block")
    run_trimcache("scan", str(finetunes), "-o", str(catalog), "--prune")

    step("3. What do they share?")
    run_trimcache("stats", str(catalog))
    run_trimcache("stats", str(catalog), "--by", "kind")
    sizes = json.loads(run_trimcache("stats", str(catalog), "--json", capture=True))

    step(f"4. Hit ratio against capacity, mean of {TOPOLOGIES} networks: with sharing (gen) and without (independent)")
    points = draw_curve(catalog, results, figure, int(sizes["unique_bytes"]))
    capacity = where_sharing_pays_most(points)

    step(f"5. Plan {SERVERS} servers of {format_size(capacity)} each, where sharing pays most")
    network = ("--preset", PRESET, "--servers", str(SERVERS), "--users", str(USERS))
    run_trimcache("plan", str(catalog), *network, "--capacity", str(capacity), "--algorithm", "gen,independent", "-o", str(plan))
    planned = json.loads(plan.read_text(encoding="utf-8"))

    step("In plain words")
    print(in_words(sizes, planned, capacity))
    print(f"\nWritten in {time.monotonic() - began:.0f} s:")
    for path, what in (
        (finetunes, "the models, and manifest.json with their tasks and scores"),
        (catalog, "the catalog: plain Parquet, any reader opens it"),
        (plan, "the plan: what each server holds"),
        (results, "the hit ratios, a row for each network, capacity and algorithm"),
        (figure, "the figure"),
    ):
        print(f"  {path}  {what}")
    return 0


def step(title: str) -> None:
    """Announce a step."""
    print(f"\n== {title}", flush=True)


def run(*command: str, capture: bool = False) -> str:
    """Run a command and stop the demo if it fails; returns its stdout if ``capture``."""
    if not capture:
        print(f"$ {shlex.join(('python', *command[1:]) if command[0] == sys.executable else command)}", flush=True)
    done = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE if capture else None)
    if done.returncode:
        sys.exit(f"demo: the command above ended with exit code {done.returncode}")
    return done.stdout or ""


def run_trimcache(*arguments: str, capture: bool = False) -> str:
    """Run the ``trimcache`` command of this environment."""
    if not capture:
        print(f"$ trimcache {shlex.join(arguments)}", flush=True)
    done = subprocess.run(
        (sys.executable, "-m", "trimcache", *arguments), check=False, text=True, stdout=subprocess.PIPE if capture else None
    )
    if done.returncode:
        sys.exit(f"demo: the command above ended with exit code {done.returncode}")
    return done.stdout or ""


def draw_curve(catalog: Path, results: Path, figure: Path, unique_bytes: int) -> list[dict[str, Any]]:
    """Hit ratio of both algorithms at each capacity, drawn, and its rows."""
    smallest = int(tc.open_catalog(catalog).graph().model_bytes.min())
    capacities = sorted({max(smallest, int(fraction * unique_bytes)) for fraction in FRACTIONS})
    # Finished topologies are kept for a run that goes on; this one starts anew, for the catalog may have changed.
    results.with_name(f"{results.name}.journal").unlink(missing_ok=True)
    run_trimcache(
        "simulate", str(catalog), "--preset", PRESET, "--set", f"servers={SERVERS}", "--set", f"users={USERS}",
        "--sweep", f"capacity={','.join(map(str, capacities))}", "--algorithms", "gen,independent", "--topologies", str(TOPOLOGIES),
        "-o", str(results), "--plot", str(figure),
    )  # fmt: skip
    return read_results(results)


def mean_hit_ratio(points: list[dict[str, Any]], algorithm: str, capacity: int) -> float:
    """Mean over the topologies."""
    return statistics.fmean(row["hit_ratio"] for row in points if (row["algorithm"], row["capacity_bytes"]) == (algorithm, capacity))


def where_sharing_pays_most(points: list[dict[str, Any]]) -> int:
    """The capacity at which gen is furthest above independent."""
    capacities = {row["capacity_bytes"] for row in points}
    return max(capacities, key=lambda capacity: mean_hit_ratio(points, "gen", capacity) - mean_hit_ratio(points, "independent", capacity))


def in_words(sizes: dict[str, Any], plan: dict[str, Any], capacity: int) -> str:
    """The result, for somebody who reads nothing else."""
    by_name = {row["algorithm"]: row for row in plan["comparison"]}
    gen, independent = by_name["gen"], by_name["independent"]
    return (
        f"Your {sizes['models']} models add up to {format_size(sizes['total_bytes'])}. Stored block by block they take "
        f"{format_size(sizes['unique_bytes'])}: {100 * sizes['saved_bytes'] / sizes['total_bytes']:.0f} % less, because frozen layers and "
        f"the bases of adapters are the same bytes.\n"
        f"On the disk now: {format_size(sizes['disk_bytes'])}, of which {format_size(sizes['saved_on_disk_bytes'])} are copies.\n"
        f"{SERVERS} edge servers of {format_size(capacity)} each, which know what is shared, serve {100 * gen['hit_ratio']:.1f} % of the "
        f"requests in time;\nservers that store every model whole serve {100 * independent['hit_ratio']:.1f} %. "
        f"No placement can serve more than {100 * gen['attainable']:.1f} %."
    )


if __name__ == "__main__":
    sys.exit(main())
