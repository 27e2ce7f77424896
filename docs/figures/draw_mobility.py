"""Draw ``docs/figures/mobility.png`` and ``.svg``: python docs/figures/draw_mobility.py [TOPOLOGIES]

Results are kept in ``mobility.parquet.journal`` of the working folder while it runs: a run that was stopped goes on.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from trimcache.network.mobility import RandomWaypoint
from trimcache.report.over_time_figure import over_time
from trimcache.simulation.over_time import Timeline, rows_over_time
from trimcache.simulation.runner import run
from trimcache.simulation.setting import Setting

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from placement.paper_library import paper_special

if __name__ == "__main__":
    setting = Setting(capacity_bytes=250_000_000, overrides={"backhaul_bps": 1e9}, algorithms=("auto",), time_limit_s=0.2)
    rows = run(
        [setting],
        range(int(sys.argv[1]) if len(sys.argv) > 1 else 30),
        paper_special(30),
        partial(rows_over_time, mobility=RandomWaypoint(), timeline=Timeline(slot_s=30.0, switch_cost=0.05)),
        workers=2,
        results="mobility.parquet",
        progress=lambda done, total: print(f"{done}/{total}", end="\r", file=sys.stderr),
    )
    for ending in (".png", ".svg"):
        over_time(rows, Path(__file__).with_name(f"mobility{ending}"))
