"""The compiled loops of the greedy algorithms and of the recount."""

from __future__ import annotations

import math

import numpy as np

from trimcache.placement._jit import I4, I8, W8, WU1, N, compile_kernels, helper, jit, needs_compilation, read_only
from trimcache.placement._kernels_heap import missing_bytes, sift_down

__all__ = ["compile_kernels", "greedy", "index_pairs", "needs_compilation", "read_only", "served_weight", "union_bytes"]

_BUCKETS = 4096  # by the leading bits of the gain: an exponent and six bits of it


@jit(I4, I8, I8, I4, I8, N, N)
def index_pairs(request_model, start, stop, pool, weight, n_servers, n_models):  # type: ignore[no-untyped-def]
    """Candidate pairs (server, model) with a request between them, with their requests and gains.

    Args:
        request_model int32[R], start, stop int64[R], pool int32[n]: the reach; weight int64[R]: the demand.

    Returns:
        Requests renumbered so that those of one model are neighbours (hot loops then stay within a model):
        row_weight int64[R], row_ptr int64[R+1] and row_pair int32[E], the pairs that can serve each; and pairs, those of a
        model neighbours: pair_server int32[P], pair_model int32[P], pair_ptr int64[P+1] and pair_rows int32[E],
        the requests of each, gain int64[P].
    """
    n_requests = request_model.size
    first = np.zeros(n_models + 1, np.int64)
    n_entries = 0
    for r in range(n_requests):
        if weight[r] > 0 and stop[r] > start[r]:
            first[request_model[r] + 1] += 1
            n_entries += stop[r] - start[r]
    for i in range(n_models):
        first[i + 1] += first[i]
    n_rows = first[n_models]
    by_model = np.empty(n_rows, np.int32)
    fill = np.empty(n_models, np.int64)
    for i in range(n_models):
        fill[i] = first[i]
    for r in range(n_requests):
        if weight[r] > 0 and stop[r] > start[r]:
            i = request_model[r]
            by_model[fill[i]] = r
            fill[i] += 1

    row_weight = np.empty(n_rows, np.int64)
    row_ptr = np.empty(n_rows + 1, np.int64)
    row_ptr[0] = 0
    row_pair = np.empty(n_entries, np.int32)
    pair_rows = np.empty(n_entries, np.int32)
    pair_server = np.empty(n_entries, np.int32)
    pair_model = np.empty(n_entries, np.int32)
    pair_ptr = np.empty(n_entries + 1, np.int64)
    pair_ptr[0] = 0
    gain = np.empty(n_entries, np.int64)
    pair_at = np.full(n_servers, -1, np.int64)  # pair of each server with the model in hand, if >= its first pair
    cursor = np.empty(n_servers, np.int64)
    n_pairs = 0
    e = 0
    for i in range(n_models):
        first_pair = n_pairs
        first_entry = e
        for q in range(first[i], first[i + 1]):
            r = by_model[q]
            row_weight[q] = weight[r]
            for s in range(start[r], stop[r]):
                m = pool[s]
                if pair_at[m] < first_pair:
                    pair_at[m] = n_pairs
                    pair_server[n_pairs] = m
                    pair_model[n_pairs] = i
                    gain[n_pairs] = 0
                    cursor[n_pairs - first_pair] = 0
                    n_pairs += 1
                p = pair_at[m]
                row_pair[e] = p
                gain[p] += weight[r]
                cursor[p - first_pair] += 1
                e += 1
            row_ptr[q + 1] = e
        at = first_entry
        for p in range(first_pair, n_pairs):
            n = cursor[p - first_pair]
            cursor[p - first_pair] = at
            at += n
            pair_ptr[p + 1] = at
        for q in range(first[i], first[i + 1]):
            for s in range(row_ptr[q], row_ptr[q + 1]):
                p = row_pair[s] - first_pair
                pair_rows[cursor[p]] = q
                cursor[p] += 1
    return row_weight, row_ptr, row_pair, pair_server[:n_pairs], pair_model[:n_pairs], pair_ptr[: n_pairs + 1], pair_rows, gain[:n_pairs]


@helper
def _bucket(gain):  # type: ignore[no-untyped-def]
    """A number that never falls as ``gain`` > 0 (below 2**53) rises: its exponent and the six bits below the leading one."""
    fraction, exponent = math.frexp(float(gain))
    return exponent * 64 + int((fraction - 0.5) * 128.0)


@jit(I8, I8, I4, I4, I4, I8, I4, W8, W8, WU1, I8, I8, I4, I8, N)
def greedy(  # type: ignore[no-untyped-def]
    row_weight, row_ptr, row_pair, pair_server, pair_model, pair_ptr, pair_rows, gain,
    free, resident, private_bytes, shared_ptr, shared_atoms, shared_bytes, batch,
):  # fmt: skip
    """Place the pair with the largest gain that fits, again and again; the pairs placed, in order (int32[n]).

    ``private_bytes`` int64[I] is what a model costs on any server; on top comes each of its shared atoms
    (``shared_ptr``, ``shared_atoms``, sizes ``shared_bytes``) that the server does not hold yet (``resident`` uint8[S, M]).
    ``gain``, ``free`` and ``resident`` are brought up to date.

    Gains only fall, and what a server holds only grows while missing bytes count against what is free, so a pair that
    does not fit once never will. Pairs are therefore worked off in falling order of their first gain, in batches of
    about ``batch``: those of a batch, and earlier ones that fell into its range, go on a max-heap small enough for the
    cache; no pair outside can gain more than its range. A pair on top whose gain is current is the best of all. Ties go to the
    lowest server, then the lowest model. Time O(E + P log batch) plus the shared atoms of pairs tried.
    """
    n_pairs = pair_server.size
    served = np.zeros(row_weight.size, np.uint8)
    placed = np.empty(n_pairs, np.int32)
    n_placed = 0
    whole = np.empty(private_bytes.size, np.int64)  # what a model takes at most
    least = np.int64(2**62)
    for i in range(private_bytes.size):
        whole[i] = private_bytes[i]
        least = min(least, private_bytes[i])
        for a in range(shared_ptr[i], shared_ptr[i + 1]):
            whole[i] += shared_bytes[shared_atoms[a]]

    # counting sort by bucket, highest first
    ends = np.zeros(_BUCKETS + 1, np.int64)
    for p in range(n_pairs):
        if gain[p] > 0:
            ends[_BUCKETS - _bucket(gain[p])] += 1
    for b in range(_BUCKETS):
        ends[b + 1] += ends[b]
    fill = np.zeros(_BUCKETS + 1, np.int64)
    for b in range(_BUCKETS):
        fill[b + 1] = ends[b]
    order = np.empty(ends[_BUCKETS], np.int32)
    for p in range(n_pairs):
        if gain[p] > 0:
            b = _BUCKETS - _bucket(gain[p])
            order[fill[b]] = p
            fill[b] += 1

    later = np.empty(0, np.int32)  # pairs of earlier batches that fell below their batch's range
    heap = np.empty(0, np.int32)
    key = np.empty(0, np.float64)  # gains: whole numbers below 2**53, so exact
    top = np.int64(0)  # a plain 0 would compile a second sift_down
    done = 0
    b = 0
    while b < _BUCKETS:
        roomiest = np.int64(-1)
        for m in range(free.size):
            roomiest = max(roomiest, free[m])
        if roomiest < least:
            break
        last = b + 1
        while last < _BUCKETS and ends[last] - done < batch:
            last += 1
        floor = _BUCKETS - last  # this batch holds gains in buckets >= floor
        if ends[last] - done + later.size > heap.size:
            heap = np.empty(ends[last] - done + later.size, np.int32)
            key = np.empty(heap.size, np.float64)
        size = np.int64(0)
        kept = 0
        for h in range(later.size + ends[last] - done):
            p = later[h] if h < later.size else order[done + h - later.size]
            if gain[p] <= 0:
                continue
            m = pair_server[p]
            i = pair_model[p]
            if free[m] < whole[i] and (
                free[m] < private_bytes[i]
                or missing_bytes(m, i, private_bytes, shared_ptr, shared_atoms, shared_bytes, resident, free) > free[m]
            ):
                continue
            if _bucket(gain[p]) >= floor:
                heap[size] = p
                key[size] = gain[p]
                size += 1
            else:
                heap[heap.size - 1 - kept] = p  # the far end of the heap, free by count, holds what waits
                kept += 1
        for position in range(size // 2 - 1, -1, -1):
            sift_down(heap, key, size, position, pair_server, pair_model)
        while size > 0:
            p = heap[0]
            m = pair_server[p]
            i = pair_model[p]
            missing = missing_bytes(m, i, private_bytes, shared_ptr, shared_atoms, shared_bytes, resident, free)
            fits = gain[p] > 0 and missing <= free[m]
            if fits and key[0] != gain[p] and _bucket(gain[p]) >= floor:
                key[0] = gain[p]
            else:
                waits = fits and key[0] != gain[p]
                if fits and not waits:
                    placed[n_placed] = p
                    n_placed += 1
                    free[m] -= missing
                    for a in range(shared_ptr[i], shared_ptr[i + 1]):
                        resident[shared_atoms[a], m] = 1
                    for s in range(pair_ptr[p], pair_ptr[p + 1]):
                        q = pair_rows[s]
                        if served[q] == 0:
                            served[q] = 1
                            for e in range(row_ptr[q], row_ptr[q + 1]):
                                gain[row_pair[e]] -= row_weight[q]
                size -= 1
                heap[0] = heap[size]
                key[0] = key[size]
                if waits:
                    heap[heap.size - 1 - kept] = p
                    kept += 1
            if size > 0:
                sift_down(heap, key, size, top, pair_server, pair_model)
        later = np.empty(kept, np.int32)
        for h in range(kept):
            later[h] = heap[heap.size - kept + h]
        done = ends[last]
        b = last
    return placed[:n_placed]


@jit(I4, I8, I8, I4, I8, I8, I4, N)
def served_weight(request_model, start, stop, pool, weight, held_ptr, held_models, n_models):  # type: ignore[no-untyped-def]
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
        for s in range(start[r], stop[r]):
            if (held[pool[s], i >> 3] >> (i & 7)) & 1:
                total += weight[r]
                break
    return total


@jit(I8, I4, I8, I4, I8)
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
