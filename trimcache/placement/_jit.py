"""How placement compiles its inner loops: one signature each, cached on disk, asked for by the algorithms that need it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit, types

__all__ = ["F8", "I4", "I8", "U1", "W4", "W8", "WF8", "WU1", "N", "compile_kernels", "helper", "jit", "needs_compilation", "read_only"]

I4 = types.Array(types.int32, 1, "C", readonly=True)
I8 = types.Array(types.int64, 1, "C", readonly=True)
U1 = types.Array(types.uint8, 1, "C", readonly=True)
F8 = types.Array(types.float64, 1, "C", readonly=True)
W4 = types.Array(types.int32, 1, "C")
W8 = types.Array(types.int64, 1, "C")
WF8 = types.Array(types.float64, 1, "C")
WU1 = types.Array(types.uint8, 2, "C")
N = types.int64

_KERNELS: dict[str, tuple[Any, tuple[Any, ...], str]] = {}
"""Name -> (kernel, signature, file that defines it)."""

_MODULES = ("_kernels", "_kernels_ratio", "_kernels_tree", "_kernels_spec")
_ALWAYS = ("served_weight", "union_bytes")
_GREEDY = ("index_pairs", "greedy")
_RATIO = ("index_pairs", "greedy_ratio")
_TREE = (*_GREEDY, "greedy_ratio", "solve_servers")
_NEEDS: dict[str, tuple[str, ...]] = {
    "gen": _GREEDY,
    "independent": _GREEDY,
    "gen-ratio": _RATIO,
    "random": (),
    "exhaustive": (),
    "mip": (),
    "spec": ("spec_server",),
    "spec-tree": ("solve_servers",),
    "resolve": _TREE,
    "search": (*_TREE, "price_servers"),
    "auto": (*_TREE, "price_servers"),
}


def jit(*signature: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function when it is first called, or by ``compile_kernels``; ``signature`` is the one it is called with."""

    def decorate(function: Callable[..., Any]) -> Any:
        kernel = helper(function)
        _KERNELS[function.__name__] = (kernel, signature, function.__code__.co_filename)
        return kernel

    return decorate


def helper(function: Callable[..., Any]) -> Any:
    """A function that kernels call: compiled with them."""
    try:
        return njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # no folder to cache in: compile once a process instead
        return njit(nogil=True, error_model="numpy")(function)


def read_only(array: Any, dtype: type[np.generic]) -> Any:
    """A contiguous read-only view of ``array`` (a copy only where the type differs): what every kernel takes."""
    view = np.ascontiguousarray(array, dtype=dtype).view()
    view.flags.writeable = False
    return view


def compile_kernels(algorithms: Iterable[str] | None = None) -> float:
    """Compile the kernels that ``algorithms`` need (None: all), or load them from numba's cache; the seconds it took."""
    begin = time.perf_counter()
    for kernel, signature, _ in _needed(algorithms):
        kernel.compile(signature)
    return time.perf_counter() - begin


def needs_compilation(algorithms: Iterable[str] | None = None) -> bool:
    """Whether ``algorithms`` (None: all) have to compile first (seconds), so that the command line can say so."""
    return not all(kernel.signatures or _is_cached(kernel, file) for kernel, _, file in _needed(algorithms))


def _needed(algorithms: Iterable[str] | None) -> list[tuple[Any, tuple[Any, ...], str]]:
    for module in _MODULES:
        import_module(f"trimcache.placement.{module}")
    if algorithms is None:
        return list(_KERNELS.values())
    names = dict.fromkeys(name for algorithm in algorithms for name in (*_ALWAYS, *_NEEDS.get(algorithm, tuple(_KERNELS))))
    return [_KERNELS[name] for name in names]


def _is_cached(kernel: Any, file: str) -> bool:
    folder = getattr(kernel.stats, "cache_path", None)
    if not folder:
        return False
    written = [index.stat().st_mtime for index in Path(folder).glob(f"*.{kernel.py_func.__name__}-*.nbi")]
    return bool(written) and max(written) >= Path(file).stat().st_mtime
