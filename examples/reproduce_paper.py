"""Rerun the evaluation of the TrimCaching paper, on generated libraries and on the demo's real fine-tunes.

    python examples/reproduce_paper.py --quick                  # a few minutes, few topologies
    python examples/reproduce_paper.py                          # the figures of docs/paper.md
    python examples/reproduce_paper.py --only real-capacity     # one figure
    python examples/reproduce_paper.py --redraw                 # figures again from the stored tables

Every curve is made by ``trimcache.simulation``, the library behind ``trimcache simulate``; finished topologies are kept in --work, so that
a run that was stopped goes on, and one with more topologies adds the new ones. docs/paper.md says what the figures show.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paper.experiments import EXPERIMENTS, Experiment
from paper.figures import draw
from paper.running import library, panel_rows, parameters, say
from paper.tables import read_table, summary_table, write_table
from paper.trends import stored_rows, trends

from trimcache.errors import TrimcacheError
from trimcache.simulation.results import write_results
from trimcache.simulation.runner import available_cores

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10 topologies and 100 fading realisations instead of 100 and 1,000")
    parser.add_argument("--topologies", type=int, help="of each point")
    parser.add_argument("--realisations", type=int, help="of the fading")
    parser.add_argument("--only", nargs="+", metavar="FIGURE", choices=[e.name for e in EXPERIMENTS], help="these figures only")
    parser.add_argument("--redraw", action="store_true", help="draw from the tables in --output; nothing is simulated")
    parser.add_argument("--workers", type=int, default=available_cores(), help="processes")
    parser.add_argument("--finetunes", type=Path, default=ROOT / "demo" / "finetunes", help="real models, as make demo builds them")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "paper", help="results by topology; may be deleted afterwards")
    parser.add_argument("-o", "--output", type=Path, help="tables and figures; docs/paper, with --quick a folder in --work")
    given = parser.parse_args(arguments)
    n = given.topologies or (10 if given.quick else 100)
    realisations = given.realisations or (100 if given.quick else 1000)
    output = given.output or (given.work / "quick" if given.quick else ROOT / "docs" / "paper")
    chosen = [e for e in EXPERIMENTS if given.only is None or e.name in given.only]
    try:
        if not given.redraw:
            simulate(chosen, n, realisations, given.workers, given.finetunes, given.work / f"{realisations}-realisations", output)
        for experiment in chosen:
            for path in draw(experiment, read_table(output / f"{experiment.name}.csv"), output):
                print(path)
    except TrimcacheError as error:
        print(f"reproduce_paper: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def simulate(chosen: Sequence[Experiment], n: int, realisations: int, workers: int, finetunes: Path, work: Path, output: Path) -> None:
    """Run the figures and write their tables: NAME.csv, and of all figures settings.json, trends.csv and rows.parquet."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    settings: dict[str, Any] = {}
    for experiment in chosen:
        seeds = range(min(n, experiment.topologies or n))
        whole: list[dict[str, Any]] = []
        for number, panel in enumerate(experiment.panels):
            graph = library(panel.library, finetunes.resolve())
            results = work / f"{experiment.name}-{number}.parquet"
            progress = say(f"{experiment.name}, {panel.title}")
            rows = panel_rows(experiment, panel, graph, seeds, realisations, workers, results, progress)
            found.setdefault((experiment.name, panel.title), []).extend(rows)
            whole += [row | {"panel": panel.title} for row in rows]
            settings.setdefault(experiment.name, []).append(parameters(experiment, panel, realisations))
        write_table(summary_table(whole, experiment.x), output / f"{experiment.name}.csv")
    if len(chosen) < len(EXPERIMENTS):
        return  # what follows is about all of them
    (output / "settings.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    write_table([trend.to_dict() for trend in trends(found)], output / "trends.csv")
    write_results(stored_rows(found), output / "rows.parquet")


if __name__ == "__main__":
    sys.exit(main())
