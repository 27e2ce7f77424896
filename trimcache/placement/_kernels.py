"""The compiled inner loops of placement, and the question whether they are compiled yet.

numba compiles each function once and caches it on disk. Every array goes in read-only and contiguous, so there is one
compiled version of each. The first call after installation compiles; ``compile_kernels`` does it in advance.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit, types

__all__ = ["KERNELS", "compile_kernels", "needs_compilation", "read_only"]


def read_only(array: Any, dtype: type[np.generic]) -> Any:
    """A contiguous read-only view of ``array`` (a copy only where the type differs): what every kernel takes."""
    view = np.ascontiguousarray(array, dtype=dtype).view()
    view.flags.writeable = False
    return view


def _jit(function: Callable[..., Any]) -> Any:
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no folder to cache in: compile once a process instead
        return njit(nogil=True)(function)


@_jit
def index_pairs(request_model, indptr, servers, weight, n_servers, n_models):  # type: ignore[no-untyped-def]
    """Candidate pairs (server, model) with a request between them, with their requests and gains.

    Args:
        request_model int32[R], indptr int64[R+1], servers int32[E]: the reach; weight int64[R]: the demand.

    Returns:
        pair_server int32[P], pair_model int32[P], pair_ptr int64[P+1] and pair_requests int32[E] (requests of each
        pair), entry_pair int32[E] (the pair of each reach entry), gain int64[P].
    """
    n_requests = request_model.size
    n_entries = servers.size
    start = np.zeros(n_models + 1, np.int64)
    for r in range(n_requests):
        start[request_model[r] + 1] += 1
    for i in range(n_models):
        start[i + 1] += start[i]
    by_model = np.empty(n_requests, np.int32)
    fill = start[:-1].copy()
    for r in range(n_requests):
        i = request_model[r]
        by_model[fill[i]] = r
        fill[i] += 1

    pair_at = np.full(n_servers, -1, np.int64)  # pair of each server with the model in hand, if >= its first pair
    entry_pair = np.empty(n_entries, np.int32)
    pair_server = np.empty(n_entries, np.int32)
    pair_model = np.empty(n_entries, np.int32)
    n_pairs = 0
    for i in range(n_models):
        first = n_pairs
        for q in range(start[i], start[i + 1]):
            r = by_model[q]
            for e in range(indptr[r], indptr[r + 1]):
                m = servers[e]
                if pair_at[m] < first:
                    pair_at[m] = n_pairs
                    pair_server[n_pairs] = m
                    pair_model[n_pairs] = i
                    n_pairs += 1
                entry_pair[e] = pair_at[m]
    pair_ptr = np.zeros(n_pairs + 1, np.int64)
    for e in range(n_entries):
        pair_ptr[entry_pair[e] + 1] += 1
    for p in range(n_pairs):
        pair_ptr[p + 1] += pair_ptr[p]
    pair_requests = np.empty(n_entries, np.int32)
    gain = np.zeros(n_pairs, np.int64)
    cursor = pair_ptr[:-1].copy()
    for q in range(n_requests):
        r = by_model[q]
        for e in range(indptr[r], indptr[r + 1]):
            p = entry_pair[e]
            pair_requests[cursor[p]] = r
            cursor[p] += 1
            gain[p] += weight[r]
    return pair_server[:n_pairs].copy(), pair_model[:n_pairs].copy(), pair_ptr, pair_requests, entry_pair, gain


@_jit
def missing_bytes(p, pair_server, pair_model, private_bytes, shared_ptr, shared_atoms, shared_bytes, resident, free):  # type: ignore[no-untyped-def]
    """What placing pair ``p`` takes now; only its private bytes if these alone do not fit."""
    m = pair_server[p]
    i = pair_model[p]
    missing = private_bytes[i]
    if missing <= free[m]:
        for a in range(shared_ptr[i], shared_ptr[i + 1]):
            if resident[m, shared_atoms[a]] == 0:
                missing += shared_bytes[shared_atoms[a]]
    return missing


@_jit
def greedy(  # type: ignore[no-untyped-def]
    pair_server, pair_model, pair_ptr, pair_requests, entry_pair, first_gain, indptr, weight,
    capacity, private_bytes, shared_ptr, shared_atoms, shared_bytes,
):  # fmt: skip
    """Place the pair with the largest gain that fits, again and again; the pairs placed, in order (int32[n]).

    ``private_bytes`` int64[I] is what a model costs on any server; on top comes each of its shared atoms
    (``shared_ptr``, ``shared_atoms``, sizes ``shared_bytes``) that the server does not hold yet.

    A max-heap holds the gains as last seen. Gains only fall, so a pair whose gain has fallen goes back with the new
    one, and a pair on top whose gain is current is the best. What a server holds only grows and missing bytes count
    against what is free, so a pair that does not fit once never will and is dropped. Ties go to the lowest server,
    then the lowest model. Time O(E + P log P) plus the atoms of pairs tried.

    Once servers are full most pairs are dead but would be popped one by one, so after many pops that placed nothing
    the heap is swept: dead pairs leave, gains are brought up to date, and it is made a heap again.
    """
    n_pairs = pair_server.size
    gain = first_gain.copy()
    free = capacity.copy()
    resident = np.zeros((capacity.size, shared_bytes.size), np.uint8)
    served = np.zeros(weight.size, np.uint8)
    placed = np.empty(n_pairs, np.int32)
    n_placed = 0

    heap = np.empty(n_pairs, np.int32)
    key = np.empty(n_pairs, np.int64)  # by heap position: the gain as last seen
    size = n_pairs
    for p in range(n_pairs):
        heap[p] = p
    wasted = 0  # pops since the last sweep that placed nothing
    sweep = True
    building = -1  # while >= 0 the heap is being made: sift positions size//2-1 .. 0, then work on the top
    while size > 0:
        position = 0
        if sweep or (building < 0 and wasted > 256 + size // 4):
            sweep = False
            kept = 0
            for h in range(size):
                p = heap[h]
                if gain[p] > 0:
                    missing = missing_bytes(
                        p, pair_server, pair_model, private_bytes, shared_ptr, shared_atoms, shared_bytes, resident, free
                    )
                    if missing <= free[pair_server[p]]:
                        heap[kept] = p
                        key[kept] = gain[p]
                        kept += 1
            size = kept
            wasted = 0
            building = size // 2 - 1
            if size == 0:
                break
        if building >= 0:
            position = building
            building -= 1
        else:
            p = heap[0]
            m = pair_server[p]
            i = pair_model[p]
            missing = missing_bytes(p, pair_server, pair_model, private_bytes, shared_ptr, shared_atoms, shared_bytes, resident, free)
            fits = gain[p] > 0 and missing <= free[m]
            wasted += 1
            if fits and key[0] != gain[p]:
                key[0] = gain[p]
            else:
                if fits:
                    wasted -= 1
                    placed[n_placed] = p
                    n_placed += 1
                    free[m] -= missing
                    for a in range(shared_ptr[i], shared_ptr[i + 1]):
                        resident[m, shared_atoms[a]] = 1
                    for q in range(pair_ptr[p], pair_ptr[p + 1]):
                        r = pair_requests[q]
                        if served[r] == 0:
                            served[r] = 1
                            for e in range(indptr[r], indptr[r + 1]):
                                gain[entry_pair[e]] -= weight[r]
                size -= 1
                heap[0] = heap[size]
                key[0] = key[size]
                if size == 0:
                    break
        # sift down from `position`
        p = heap[position]
        k = key[position]
        while True:
            child = 2 * position + 1
            if child >= size:
                break
            c = heap[child]
            if child + 1 < size:
                d = heap[child + 1]
                if key[child + 1] > key[child] or (
                    key[child + 1] == key[child]
                    and (pair_server[d] < pair_server[c] or (pair_server[d] == pair_server[c] and pair_model[d] < pair_model[c]))
                ):
                    child += 1
                    c = d
            if key[child] > k or (
                key[child] == k
                and (pair_server[c] < pair_server[p] or (pair_server[c] == pair_server[p] and pair_model[c] < pair_model[p]))
            ):
                heap[position] = c
                key[position] = key[child]
                position = child
            else:
                break
        heap[position] = p
        key[position] = k
    return placed[:n_placed].copy()


@_jit
def served_weight(request_model, indptr, servers, weight, held_ptr, held_models, n_models):  # type: ignore[no-untyped-def]
    """Exact demand weight of the requests with a server in reach that holds the model (CSR server -> models)."""
    n_servers = held_ptr.size - 1
    row_bytes = (n_models + 7) // 8
    held = np.zeros((n_servers, row_bytes), np.uint8)
    for m in range(n_servers):
        for q in range(held_ptr[m], held_ptr[m + 1]):
            held[m, held_models[q] >> 3] |= np.uint8(1 << (held_models[q] & 7))
    total = 0
    for r in range(request_model.size):
        i = request_model[r]
        for e in range(indptr[r], indptr[r + 1]):
            if (held[servers[e], i >> 3] >> (i & 7)) & 1:
                total += weight[r]
                break
    return total


@_jit
def union_bytes(held_ptr, held_models, model_ptr, model_blocks, block_bytes):  # type: ignore[no-untyped-def]
    """int64[M]: bytes of the union of the blocks of each server's models, block by block."""
    n_servers = held_ptr.size - 1
    used = np.zeros(n_servers, np.int64)
    last = np.full(block_bytes.size, -1, np.int64)
    for m in range(n_servers):
        for q in range(held_ptr[m], held_ptr[m + 1]):
            for b in range(model_ptr[held_models[q]], model_ptr[held_models[q] + 1]):
                block = model_blocks[b]
                if last[block] != m:
                    last[block] = m
                    used[m] += block_bytes[block]
    return used


_I4 = types.Array(types.int32, 1, "C", readonly=True)
_I8 = types.Array(types.int64, 1, "C", readonly=True)
_N = types.int64

KERNELS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "index_pairs": (index_pairs, (_I4, _I8, _I4, _I8, _N, _N)),
    "greedy": (greedy, (_I4, _I4, _I8, _I4, _I4, _I8, _I8, _I8, _I8, _I8, _I8, _I4, _I8)),
    "served_weight": (served_weight, (_I4, _I8, _I4, _I8, _I8, _I4, _N)),
    "union_bytes": (union_bytes, (_I8, _I4, _I8, _I4, _I8)),
}
"""Every kernel and the one signature it is called with."""


def compile_kernels() -> float:
    """Compile every kernel, or load it from numba's cache; the seconds it took."""
    begin = time.perf_counter()
    for kernel, signature in KERNELS.values():
        kernel.compile(signature)
    return time.perf_counter() - begin


def needs_compilation() -> bool:
    """Whether the next placement has to compile first (seconds), so that the command line can say so."""
    return not all(kernel.signatures or _is_cached(kernel) for kernel, _ in KERNELS.values())


def _is_cached(kernel: Any) -> bool:
    folder = getattr(kernel.stats, "cache_path", None)
    if not folder:
        return False
    written = [index.stat().st_mtime for index in Path(folder).glob(f"*.{kernel.py_func.__name__}-*.nbi")]
    return bool(written) and max(written) >= Path(__file__).stat().st_mtime
