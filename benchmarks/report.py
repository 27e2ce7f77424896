"""How long a report takes and how large its page is, for growing synthetic catalogs (preset hub-mixed), each in a fresh process.

python benchmarks/report.py [--models 250,500,1000]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from machine import describe, wall_s

from trimcache.synthesis.library import generate_preset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="250,500,1000")
    arguments = parser.parse_args()
    print(describe())
    print("\n| models | page without plan | with a plan | size of the page with plan |\n|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for n in map(int, arguments.models.split(",")):
            catalog, plan, page = (Path(folder) / f"{n}.{ending}" for ending in ("catalog", "plan.json", "html"))
            generate_preset("hub-mixed", n, catalog)
            _run("plan", catalog, "--capacity", "100GB", "-a", "gen,independent", "-q", "-o", plan)
            bare = _run("report", catalog, "-q", "-o", page)
            planned = _run("report", catalog, "--plan", plan, "-q", "-o", page)
            print(f"| {n:,} | {bare:.1f} s | {planned:.1f} s | {page.stat().st_size / 1e6:.2f} MB |", flush=True)


def _run(*arguments: object) -> float:
    return wall_s([sys.executable, "-m", "trimcache", *map(str, arguments)])


if __name__ == "__main__":
    main()
