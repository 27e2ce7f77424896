"""How do time, memory and bytes on disk grow with the number of generated models, and how long does a graph of them take to read?

python benchmarks/generate.py [--models 1000,10000,100000] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import describe

_GENERATE = """
from pathlib import Path
from trimcache.synthesis.library import generate_preset
generate_preset("hub-mixed", {n}, Path({root!r}))
"""
_READ = """
from trimcache.catalog.reader import open_catalog
graph = open_catalog({root!r}).graph()
result = {{"blocks": graph.n_blocks, "rows": len(graph.indices), "atoms": graph.atoms().n_atoms}}
"""
_MEASURE = """
import json, resource, time
began, result = time.perf_counter(), {{}}
{code}
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({{"seconds": time.perf_counter() - began, "cpu": time.process_time(), "peak": peak, **result}}))
"""


def measured(code: str) -> dict[str, float]:
    """Wall and processor seconds and peak bytes of ``code`` in a process of its own, imports included."""
    command = [sys.executable, "-c", _MEASURE.format(code=code)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="1000,10000,100000")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    print(f"{describe()}; hub-mixed, one run each, wall seconds (processor seconds)\n")
    print("| models | generate | peak memory | on disk | blocks | graph with atoms | peak memory | atoms |")
    print("|---|---|---|---|---|---|---|---|")
    for n in map(int, options.models.split(",")):
        folder = Path(tempfile.mkdtemp(dir=options.folder))
        root = folder / "catalog"
        made = measured(_GENERATE.format(n=n, root=str(root)))
        on_disk = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
        read = measured(_READ.format(root=str(root)))
        shutil.rmtree(folder)
        generated = f"{made['seconds']:.1f} s ({made['cpu']:.1f}) | {made['peak'] / 1e9:.2f} GB | {on_disk / 1e9:.2f} GB"
        graph = (
            f"{int(read['blocks']):,} | {read['seconds']:.1f} s ({read['cpu']:.1f}) | {read['peak'] / 1e9:.2f} GB | {int(read['atoms']):,}"
        )
        print(f"| {n:,} | {generated} | {graph} |", flush=True)


if __name__ == "__main__":
    main()
