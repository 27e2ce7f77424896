"""Processes that compute tasks: each reads the graph once, from a file, and ends when the process that started it does."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from trimcache.errors import SimulationError
from trimcache.graph import ModelBlockGraph

__all__ = ["Rows", "in_processes"]

Rows = Callable[[Any, int, ModelBlockGraph], list[dict[str, Any]]]
"""(setting, seed, graph) -> rows; importable by name (or a ``partial`` of such a function), for it travels to processes."""

_AHEAD = 3  # tasks waiting for each process, so that none idles

_graph: ModelBlockGraph | None = None


def in_processes(
    rows: Rows, tasks: Sequence[tuple[Any, int]], graph_file: Path, workers: int, prepare: Callable[[], object]
) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """(index of the task, its rows) as they finish. Each process calls ``prepare`` first.

    Processes are spawned, not forked: compiled code and threads do not survive a fork.

    Raises:
        SimulationError: a process died. What a task raises comes through unchanged.
    """
    try:
        yield from _as_they_finish(rows, tasks, graph_file, workers, prepare)
        return
    except BrokenProcessPool:
        problem, fix = (
            "a worker process died (out of memory, or killed)",
            "finished topologies are kept: run it again with fewer --workers",
        )
        error: BaseException = SimulationError("simulation", problem, fix)
    except KeyboardInterrupt:
        error = KeyboardInterrupt()
    # Gone with the first exception is what held the pool: its semaphores are given back now, for a command ends without doing so.
    gc.collect()
    raise error


def _as_they_finish(
    rows: Rows, tasks: Sequence[tuple[Any, int]], graph_file: Path, workers: int, prepare: Callable[[], object]
) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(str(graph_file), prepare)) as pool:
        waiting: dict[Future[list[dict[str, Any]]], int] = {}
        left = iter(enumerate(tasks))
        try:
            while True:
                while len(waiting) < workers * (1 + _AHEAD) and (task := next(left, None)) is not None:
                    waiting[pool.submit(_compute, rows, *task[1])] = task[0]
                if not waiting:
                    return
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(future), future.result()
        except BaseException:  # not waited for: what they compute is lost anyway
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _begin(graph_file: str, prepare: Callable[[], object]) -> None:
    global _graph
    # The terminal sends Ctrl-C to all processes: these end at once and say nothing.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    prepare()
    _graph = ModelBlockGraph.load(graph_file)


def _end_with(parent: Any) -> None:
    """A killed parent closes no pipe that its children wait on, so they would wait for ever."""
    parent.join()
    os._exit(1)


def _compute(rows: Rows, setting: Any, seed: int) -> list[dict[str, Any]]:
    assert _graph is not None
    return rows(setting, seed, _graph)
