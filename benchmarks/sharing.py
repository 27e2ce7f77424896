"""How long do families and shared bytes of every two models take, and how does that grow with the number of models?

python benchmarks/sharing.py [--models 1000,3000,10000] [--presets hub-mixed,llm-lora,paper-general]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import describe

from trimcache.synthesis.library import generate_preset

_MEASURE = """
import json, resource, time
from trimcache.catalog.reader import open_catalog
from trimcache.sharing.families import families
from trimcache.sharing.lineage import lineage
from trimcache.sharing.pairs import shared_pairs

def timed(work):
    began, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, [time.perf_counter() - began, time.process_time() - cpu]

catalog = open_catalog({root!r})
catalog.models
pairs, to_pairs = timed(lambda: shared_pairs(catalog))
written, to_write = timed(lambda: sum(len(i) for i, _, _ in pairs.slices()))
found, to_families = timed(lambda: families(catalog, pairs))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
forest, to_forest = timed(lambda: lineage(catalog, pairs=pairs))
print(json.dumps({{
    "rows": catalog.n_rows("tensors"), "profiles": pairs.n_profiles, "pairs": written, "families": len(found),
    "to_pairs": to_pairs, "to_write": to_write, "to_families": to_families, "to_forest": to_forest, "peak": peak,
}}))
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="1000,3000,10000")
    parser.add_argument("--presets", default="hub-mixed,llm-lora,paper-general")
    options = parser.parse_args()
    print(f"{describe()}; one run each, wall seconds (processor seconds)\n")
    print("| preset | models | tensors | profiles | pairs that share | sums | pairs written out | families | together | peak | lineage |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for preset in options.presets.split(","):
        for n in map(int, options.models.split(",")):
            with tempfile.TemporaryDirectory() as folder:
                root = Path(folder) / "catalog"
                generate_preset(preset, n, root)
                command = [sys.executable, "-c", _MEASURE.format(root=str(root))]
                m = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            steps = [m["to_pairs"], m["to_write"], m["to_families"]]
            cells = [f"{wall:.1f} ({cpu:.1f})" for wall, cpu in [*steps, [sum(column) for column in zip(*steps, strict=True)]]]
            cells += [f"{m['peak'] / 1e9:.2f} GB", f"{m['to_forest'][0]:.1f} ({m['to_forest'][1]:.1f})"]
            counts = f"{n:,} | {m['rows']:,} | {m['profiles']:,} | {m['pairs']:,}"
            print(f"| {preset} | {counts} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
