"""How long does `trimcache stats` take, by each breakdown, and how does that grow with the number of models?

python benchmarks/stats.py [--models 1000,3000,10000] [--presets hub-mixed,llm-lora] [--by model,kind,dtype,format,family] [--runs 3]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe

from trimcache.catalog.reader import open_catalog
from trimcache.synthesis.library import generate_preset


def measured(command: list[str]) -> tuple[float, float, int]:
    """Wall and processor seconds and peak bytes of a command as a whole process; it must succeed."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with exit code {process.returncode}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="1000,3000,10000")
    parser.add_argument("--presets", default="hub-mixed,llm-lora")
    parser.add_argument("--by", default="model,kind,dtype,format,family")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    breakdowns = options.by.split(",")
    print(f"{describe()}; the whole command, {options.runs} runs each, wall seconds (least processor seconds); largest peak memory\n")
    print(f"| preset | models | tensors | {' | '.join(breakdowns)} | peak |")
    print("|" + "---|" * (len(breakdowns) + 4))
    for preset in options.presets.split(","):
        for n in map(int, options.models.split(",")):
            with tempfile.TemporaryDirectory() as folder:
                root = Path(folder) / "catalog"
                generate_preset(preset, n, root)
                cells, peak = [], 0
                command = [sys.executable, "-m", "trimcache", "stats", str(root), "-q", "--by"]
                for by in breakdowns:
                    runs = [measured([*command, by]) for _ in range(options.runs)]
                    wall = [run[0] for run in runs]
                    cells.append(f"{min(wall):.1f} to {max(wall):.1f} ({min(run[1] for run in runs):.1f})")
                    peak = max(peak, *(run[2] for run in runs))
                rows = open_catalog(root).n_rows("tensors")
            print(f"| {preset} | {n:,} | {rows:,} | {' | '.join(cells)} | {peak / 1e9:.2f} GB |", flush=True)


if __name__ == "__main__":
    main()
