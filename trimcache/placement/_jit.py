"""How placement compiles its inner loops: one signature each, cached on disk, asked for by the algorithms that need it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import types

__all__ = [
    "F8", "I4", "I8", "U1", "W1", "W4", "W8", "WF8", "WU1", "N", "compile_kernels", "entry", "helper", "is_cached", "jit",
    "needs_compilation", "read_only",
]  # fmt: skip

njit: Any = numba.njit  # its published types lack some of its options

I4 = types.Array(types.int32, 1, "C", readonly=True)
I8 = types.Array(types.int64, 1, "C", readonly=True)
U1 = types.Array(types.uint8, 1, "C", readonly=True)
F8 = types.Array(types.float64, 1, "C", readonly=True)
W4 = types.Array(types.int32, 1, "C")
W8 = types.Array(types.int64, 1, "C")
WF8 = types.Array(types.float64, 1, "C")
WU1 = types.Array(types.uint8, 2, "C")
W1 = types.Array(types.uint8, 1, "C")
N = types.int64

_KERNELS: dict[str, tuple[Any, tuple[Any, ...], str]] = {}
"""Name -> (kernel, signature, file that defines it)."""

_MODULES = ("_kernels", "_kernels_ratio", "_kernels_tree", "_kernels_spec", "_kernels_crossing", "_kernels_sets")
_SECOND_PROCESS = ("_kernels_tree", "_kernels_ratio")  # about half of the work; what the tree's compile on the way no other kernel needs
_COMPILE = "import json, sys; sys.path, names = json.loads(sys.argv[1]); from trimcache.placement import _jit; _jit.compile_named(names)"
_SILENT: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
_ALWAYS = ("served_weight", "union_bytes")
_GREEDY = ("index_pairs", "greedy")
_RATIO = ("index_pairs", "greedy_ratio")
_SERVERS = ("solve_servers", "branch", "price_servers")
_TREE = (*_GREEDY, "greedy_ratio", *_SERVERS)
_NEEDS: dict[str, tuple[str, ...]] = {
    "gen": _GREEDY,
    "independent": _GREEDY,
    "gen-ratio": _RATIO,
    "random": (),
    "exhaustive": (),
    "mip": (),
    "spec": ("spec_server",),
    "spec-tree": _SERVERS,
    "resolve": _TREE,
    "search": (*_TREE, "list_sets"),
    "auto": (*_TREE, "list_sets"),
}


def jit(*signature: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function when it is first called, or by ``compile_kernels``; ``signature`` is the one it is called with."""

    def decorate(function: Callable[..., Any]) -> Any:
        kernel = _compiled(function, no_cfunc_wrapper=True)
        _KERNELS[function.__name__] = (kernel, signature, function.__code__.co_filename)
        return kernel

    return decorate


def helper(function: Callable[..., Any]) -> Any:
    """A function that only kernels call: compiled into them, and cached with them. Called from Python, it would crash."""
    return njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)


def entry(function: Callable[..., Any]) -> Any:
    """A function that Python calls: compiled at its first call for the types it is called with, and cached."""
    return _compiled(function)


def _compiled(function: Callable[..., Any], **options: bool) -> Any:
    try:
        kernel = njit(cache=True, nogil=True, error_model="numpy", **options)(function)
    except RuntimeError:  # no folder to cache in: compile once a process instead
        return njit(nogil=True, error_model="numpy", **options)(function)
    # numba looks whether the kernel's own file has changed; its helpers are in the files beside it. (No public way; without it, nothing.)
    index = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
    if index is not None and hasattr(index, "_source_stamp"):
        index._source_stamp = (index._source_stamp, _stamps(str(Path(function.__code__.co_filename).parent)))
    return kernel


@cache
def _stamps(folder: str) -> tuple[tuple[str, int, int], ...]:
    """Name, time of change and size of the files with kernels or their helpers in a folder."""
    files = [(path.name, path.stat()) for path in sorted(Path(folder).glob("_*kernel*.py"))]
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in files)


def read_only(array: Any, dtype: type[np.generic]) -> Any:
    """A contiguous read-only view of ``array`` (a copy only where the type differs): what every kernel takes."""
    view = np.ascontiguousarray(array, dtype=dtype).view()
    view.flags.writeable = False
    return view


def compile_kernels(algorithms: Iterable[str] | None = None) -> float:
    """Compile the kernels that ``algorithms`` need (None: all), or load them from numba's cache; the seconds it took.

    Compiling is bound to one core, so a second process, where there is a core for it, compiles those of the tree into the
    cache meanwhile. What it could not do is compiled here.
    """
    begin = time.perf_counter()
    needed = _needed(algorithms)
    missing = [row for row in needed if not row[0].signatures and not is_cached(row[0], row[2])]
    elsewhere = [row for row in missing if row[0].py_func.__module__.endswith(_SECOND_PROCESS)]
    if len(missing) - len(elsewhere) and elsewhere and _cores() > 1 and sys.executable:
        names = [row[0].py_func.__name__ for row in elsewhere]
        with subprocess.Popen([sys.executable, "-c", _COMPILE, json.dumps([sys.path, names])], **_SILENT):
            for kernel, signature, _ in needed:
                if kernel.py_func.__name__ not in names:
                    kernel.compile(signature)
    for kernel, signature, _ in needed:
        kernel.compile(signature)
    return time.perf_counter() - begin


def compile_named(names: Iterable[str]) -> None:
    """Compile kernels by name: what the second process does."""
    _needed(())
    for name in names:
        _KERNELS[name][0].compile(_KERNELS[name][1])


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def needs_compilation(algorithms: Iterable[str] | None = None) -> bool:
    """Whether ``algorithms`` (None: all) have to compile first (seconds), so that the command line can say so."""
    return not all(kernel.signatures or is_cached(kernel, file) for kernel, _, file in _needed(algorithms))


def _needed(algorithms: Iterable[str] | None) -> list[tuple[Any, tuple[Any, ...], str]]:
    for module in _MODULES:
        import_module(f"trimcache.placement.{module}")
    if algorithms is None:
        return list(_KERNELS.values())
    names = dict.fromkeys(name for algorithm in algorithms for name in (*_ALWAYS, *_NEEDS.get(algorithm, tuple(_KERNELS))))
    return [_KERNELS[name] for name in names]


def is_cached(kernel: Any, file: str) -> bool:
    """Whether numba's cache holds ``kernel``, compiled since the files of kernels beside ``file``, which defines it, changed last."""
    folder = getattr(kernel.stats, "cache_path", None)
    if not folder:
        return False
    written = [index.stat().st_mtime_ns for index in Path(folder).glob(f"*.{kernel.py_func.__name__}-*.nbi")]
    return bool(written) and max(written) >= max(changed for _, changed, _ in _stamps(str(Path(file).parent)))
