"""Rows of results of a figure: `trimcache.simulation` runs every panel, in processes, and goes on where it was stopped."""

from __future__ import annotations

import dataclasses
import functools
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import trimcache as tc
from paper.experiments import LIBRARIES, Experiment, Panel
from trimcache.errors import UsageError
from trimcache.graph import ModelBlockGraph
from trimcache.network.mobility import mobility
from trimcache.simulation.over_time import Timeline, rows_over_time
from trimcache.simulation.parameters import with_parameters
from trimcache.simulation.runner import run
from trimcache.simulation.setting import Setting
from trimcache.synthesis.library import generate_preset

__all__ = ["TIMELINE", "library", "panel_rows", "parameters", "say", "settings_of"]

TIMELINE = Timeline(slot_s=60.0, replace_every_s=None, record_every_s=120.0)
"""Two hours. Slots of a minute, not of 5 s as we read the paper: it changes how often is looked, not what is seen."""

_TIME_LIMIT_S = 0.1  # of ``auto``; the others are done before
_STOP_GAP = 0.005


@functools.cache
def library(name: str, finetunes: Path) -> ModelBlockGraph:
    """The graph of a generated library, or (``real``) of the models in ``finetunes``, scanned now.

    Raises:
        UsageError: there are no fine-tunes.
    """
    with tempfile.TemporaryDirectory(prefix="paper-") as folder:
        root = Path(folder) / "library.catalog"
        if name != "real":
            generate_preset(name, LIBRARIES[name], root, seed=0)
            return tc.open_catalog(root).graph()
        if not finetunes.is_dir():
            raise UsageError(str(finetunes), "does not exist", "run make demo first, or leave the real models out with --only")
        return tc.scan(finetunes, root).graph()


def settings_of(experiment: Experiment, panel: Panel, n_realisations: int) -> list[Setting]:
    """One for each value; for a panel over time the only one."""
    base = Setting(time_limit_s=_TIME_LIMIT_S, stop_gap=_STOP_GAP, n_realisations=n_realisations, algorithms=panel.algorithms)
    base = with_parameters(base, panel.parameters)
    if panel.mobility is not None:
        return [base]
    return [with_parameters(base, {experiment.x: value}) for value in panel.values]


def panel_rows(
    experiment: Experiment,
    panel: Panel,
    graph: ModelBlockGraph,
    seeds: Sequence[int],
    n_realisations: int,
    workers: int = 1,
    results: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """What ``trimcache simulate`` gives for one panel.

    Over time: at ``time_s`` 0 the placements where users began, then means over two minutes each, at their middle.
    """
    settings = settings_of(experiment, panel, n_realisations)
    arguments: dict[str, Any] = {"workers": 1 if experiment.timed else workers, "progress": progress}
    if panel.mobility is None:
        return run(settings, seeds, graph, results=results, **arguments)
    still = [dataclasses.replace(settings[0], n_realisations=0)]
    moving = functools.partial(rows_over_time, mobility=mobility(panel.mobility), timeline=TIMELINE)
    at_start = run(still, seeds, graph, results=results and results.with_stem(f"{results.stem}-start"), **arguments)
    later = run(still, seeds, graph, moving, results=results, **arguments)
    half = (TIMELINE.record_every_s or 0.0) / 2
    return [row | {"time_s": 0.0} for row in at_start] + [row | {"time_s": row["time_s"] + half} for row in later]


def say(text: str) -> Callable[[int, int], None]:
    """Progress on stderr."""

    def at(done: int, total: int) -> None:
        end = "\n" if done == total else "\r"
        print(f"{text}: {done} of {total} topologies", end=end, file=sys.stderr, flush=True)

    return at


def parameters(experiment: Experiment, panel: Panel, n_realisations: int) -> dict[str, Any]:
    """Every parameter of a panel in full, and the values that were swept."""
    columns = settings_of(experiment, panel, n_realisations)[0].to_dict()
    over_time = {} if panel.mobility is None else TIMELINE.columns() | {"mobility": panel.mobility}
    return {"panel": panel.title, "library": panel.library, "x": experiment.x, "values": list(panel.values)} | {
        name: value for name, value in (columns | over_time).items() if name != experiment.x and value is not None
    }
