"""Many small tensors: how many a second, and how long to find that nothing changed?

python benchmarks/small_tensors.py [--models 1000] [--tensors 300]
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from machine import describe, in_turn, wall_s


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--tensors", type=int, default=300)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_models(folder / "models", arguments.models, arguments.tensors)
        catalog = folder / "catalog"
        command = [sys.executable, "-m", "trimcache", "scan", str(folder / "models"), "-o", str(catalog), "-q"]

        def fresh() -> float:
            shutil.rmtree(catalog, ignore_errors=True)
            return wall_s(command)

        fresh()
        first, again, helped = in_turn(
            arguments.runs, fresh, lambda: wall_s(command), lambda: wall_s([sys.executable, "-m", "trimcache", "--help"])
        )
        n = arguments.models * arguments.tensors
        scan_s = statistics.median(first)
        print(f"{describe()}; {arguments.models} models of {arguments.tensors} tensors; median of {arguments.runs} runs in alternation\n")
        print(f"{'trimcache --help':<28}{statistics.median(helped):8.2f} s")
        print(f"{'first scan':<28}{scan_s:8.2f} s  {n / scan_s:10,.0f} tensors/s ({min(first):.2f} to {max(first):.2f} s)")
        print(f"{'scan again, unchanged':<28}{statistics.median(again):8.2f} s  ({min(again):.2f} to {max(again):.2f} s)")


def write_models(folder: Path, n_models: int, n_tensors: int) -> None:
    """Folders with a configuration and tensors of 256 B to 4 kB; a third of the tensors is shared with the model before."""
    import numpy as np
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    tensors: dict[str, np.ndarray] = {}
    for number in range(n_models):
        for index in range(n_tensors):
            if index % 3 or number == 0:
                tensors[f"layers.{index}.weight"] = rng.random(64 << (index % 5), dtype=np.float32)
        model = folder / f"model-{number:04d}"
        model.mkdir(parents=True)
        save_file(tensors, model / "model.safetensors")
        (model / "config.json").write_text("{}", encoding="utf-8")


if __name__ == "__main__":
    main()
