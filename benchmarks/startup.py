"""How long does trimcache take before it does anything?

python benchmarks/startup.py
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe, in_turn, wall_s

RUNS = 11


def main() -> None:
    """Print the table."""
    print(f"{describe()}; median of {RUNS} runs in alternation\n")
    bare, imported, helped = in_turn(
        RUNS,
        lambda: wall_s([sys.executable, "-c", "pass"]),
        lambda: wall_s([sys.executable, "-c", "import trimcache"]),
        lambda: wall_s([sys.executable, "-m", "trimcache", "--help"]),
    )
    base = statistics.median(bare)
    print(f"{'bare python':<44}{base:8.3f} s")
    print(f"{'import trimcache, above bare python':<44}{statistics.median(imported) - base:8.3f} s")
    print(f"{'trimcache --help':<44}{statistics.median(helped):8.3f} s")
    print(f"{'first plan, kernels compiled from nothing':<44}{first_plan_s():8.3f} s")


def first_plan_s() -> float:
    """Seconds of ``trimcache plan`` on a small catalog with an empty cache of compiled kernels."""
    import numpy as np
    from safetensors.numpy import save_file

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("a", "b"):
            save_file({"shared": np.arange(1000.0), name: np.full(1000, ord(name))}, root / f"{name}.safetensors")
        catalog = root / "catalog"
        wall_s([sys.executable, "-m", "trimcache", "scan", folder, "-o", str(catalog), "-q"])
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(root / "numba")}
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "trimcache", "plan", str(catalog)], check=True, capture_output=True, env=environment)
        return time.perf_counter() - began


if __name__ == "__main__":
    main()
