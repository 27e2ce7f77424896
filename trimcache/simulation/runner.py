"""Run a simulation: every topology of every setting, in processes, resumable, into one tidy table."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from trimcache._version import __version__
from trimcache.errors import UsageError
from trimcache.graph import ModelBlockGraph
from trimcache.simulation import topology
from trimcache.simulation._workers import Rows, in_processes
from trimcache.simulation.journal import Journal, journal_path
from trimcache.simulation.results import check_results_path, write_results
from trimcache.simulation.setting import Setting

__all__ = ["available_cores", "run"]

Progress = Callable[[int, int], None]
"""Called with (tasks done, tasks in all); a task is one topology of one setting."""


def run(
    settings: Sequence[Setting],
    seeds: Sequence[int],
    graph: ModelBlockGraph,
    rows: Rows = topology.rows,
    *,
    workers: int = 1,
    results: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """The rows of every setting on every seed, in that order, whatever the number of ``workers``.

    Args:
        settings: the points; each sees the same seeds.
        seeds: one topology each.
        graph: the models of the catalog.
        rows: what to compute for one (setting, seed, graph); a function that can be imported by name, or a ``partial`` of one.
        workers: processes; 1 computes in this one. A script that asks for more must guard its main part by ``__name__``.
        results: a .parquet or .csv to write; finished topologies are kept beside it (``RESULTS.journal``), and the same call
            goes on where a killed one stopped, also with other seeds. None: nothing is written.
        progress: called at the start and after each task.

    Raises:
        UsageError: no setting, no seed, a repeated one, or a result that is neither Parquet nor CSV.
        SimulationError: a worker died, or the journal holds another simulation.
        TrimcacheError: what a setting asks for and cannot be had.
    """
    for what, values in (("settings", settings), ("seeds", seeds)):
        if not values or any(value in values[:n] for n, value in enumerate(values)):
            raise UsageError(what, "are none, or repeat", "give each once")
    if workers < 1:
        raise UsageError("workers", f"{workers} is not positive", "give at least 1")
    for setting in settings:
        setting.check(graph)
    target = Path(results) if results is not None else None
    if target is not None:
        check_results_path(target)
    tasks = [(n, seed) for seed in seeds for n in range(len(settings))]  # seed by seed: half a run covers half of every curve
    parameters = [setting.columns() for setting in settings]
    done: dict[tuple[int, int], list[dict[str, Any]]] = {}
    definition = _definition(settings, graph, rows)
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(journal_path(target), definition)) if target is not None else None
        for task in tasks:
            if journal is not None and task in journal.done:
                done[task] = [parameters[task[0]] | row for row in journal.done[task]]
        left = [task for task in tasks if task not in done]
        if progress:
            progress(len(done), len(tasks))
        for task, found in _computed(settings, left, graph, rows, min(workers, len(left)), stack):
            if journal is not None:  # parameters are in the first line already
                known = parameters[task[0]]
                journal.add(task, [{k: v for k, v in row.items() if k not in known or known[k] != v} for row in found])
            done[task] = found
            if progress:
                progress(len(done), len(tasks))
        table = [row for n in range(len(settings)) for seed in seeds for row in done[n, seed]]
        if target is not None:
            write_results(table, target, definition)
    return table


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _computed(
    settings: Sequence[Setting], left: Sequence[tuple[int, int]], graph: ModelBlockGraph, rows: Rows, workers: int, stack: ExitStack
) -> Iterator[tuple[tuple[int, int], list[dict[str, Any]]]]:
    if not left:
        return
    prepare = functools.partial(topology.compile_for, tuple(dict.fromkeys(name for setting in settings for name in setting.algorithms)))
    prepare()  # here first: processes then load what is compiled
    if workers <= 1:
        for n, seed in left:
            yield (n, seed), rows(settings[n], seed, graph)
        return
    file = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trimcache-"))) / "graph.npz"
    graph.save(file)
    for index, found in in_processes(rows, [(settings[n], seed) for n, seed in left], file, workers, prepare):
        yield left[index], found


def _definition(settings: Sequence[Setting], graph: ModelBlockGraph, rows: Rows) -> dict[str, Any]:
    """What results depend on, seeds apart."""
    networks = {s.network: s.edge_network(0).to_dict() for s in settings if s.network is not None}
    return {
        "trimcache": __version__,
        "rows": _name(rows),
        "graph": graph.fingerprint(),
        "networks": {file: hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest() for file, values in networks.items()},
        "settings": [setting.to_dict() for setting in settings],
    }


def _name(rows: Any) -> str:
    if isinstance(rows, functools.partial):
        return f"{_name(rows.func)}{rows.args}{sorted(rows.keywords.items())}"
    return f"{rows.__module__}.{rows.__qualname__}"
