"""The compiled loop of the greedy by gain per new byte."""

from __future__ import annotations

import numpy as np

from trimcache.placement._jit import I4, I8, W8, WU1, N, helper, jit
from trimcache.placement._kernels_heap import before, missing_bytes, sift_down

__all__ = ["greedy_ratio"]


@helper
def _ratio(gain, missing):  # type: ignore[no-untyped-def]
    return np.inf if missing == 0 else gain / missing


@jit(I8, I8, I4, I4, I4, I8, I4, W8, W8, WU1, I8, I8, I4, I8, I8, I4, N)
def greedy_ratio(  # type: ignore[no-untyped-def]
    row_weight, row_ptr, row_pair, pair_server, pair_model, pair_ptr, pair_rows, gain,
    free, resident, private_bytes, shared_ptr, shared_atoms, shared_bytes, holders_ptr, holders, n_models,
):  # fmt: skip
    """Place the pair with the largest gain per new byte that fits, again and again; the pairs placed (int32[n]).

    Arguments as in ``greedy``; ``holders`` is the transpose of ``shared_atoms``, atom -> models. A pair's key *rises* when an atom of its
    model becomes resident, so whenever atoms do, every waiting pair of that server with one of them goes on the
    heap again with its new key. Then no key on the heap is below the true one, and a pair on top whose key is current is the best.
    """
    n_pairs = pair_server.size
    n_servers = free.size
    served = np.zeros(row_weight.size, np.uint8)
    placed = np.empty(n_pairs, np.int32)
    n_placed = 0
    # server -> its pairs, by ascending model
    server_ptr = np.zeros(n_servers + 1, np.int64)
    for p in range(n_pairs):
        server_ptr[pair_server[p] + 1] += 1
    for m in range(n_servers):
        server_ptr[m + 1] += server_ptr[m]
    fill = np.empty(n_servers, np.int64)
    for m in range(n_servers):
        fill[m] = server_ptr[m]
    server_pairs = np.empty(n_pairs, np.int32)
    for p in range(n_pairs):
        server_pairs[fill[pair_server[p]]] = p
        fill[pair_server[p]] += 1

    heap = np.empty(n_pairs + 64, np.int32)
    key = np.empty(n_pairs + 64, np.float64)
    top = np.int64(0)  # a plain 0 would compile a second sift_down
    size = np.int64(0)
    for p in range(n_pairs):
        missing = missing_bytes(pair_server[p], pair_model[p], private_bytes, shared_ptr, shared_atoms, shared_bytes, resident, free)
        if gain[p] > 0 and missing <= free[pair_server[p]]:
            heap[size] = p
            key[size] = _ratio(gain[p], missing)
            size += 1
    for position in range(size // 2 - 1, -1, -1):
        sift_down(heap, key, size, position, pair_server, pair_model)
    seen = np.full(n_models, -1, np.int64)
    while size > 0:
        p = heap[0]
        m = pair_server[p]
        i = pair_model[p]
        missing = missing_bytes(m, i, private_bytes, shared_ptr, shared_atoms, shared_bytes, resident, free)
        fits = gain[p] > 0 and missing <= free[m]
        now = _ratio(gain[p], missing)
        stale = fits and now < key[0]
        if stale:
            key[0] = now
        else:
            size -= 1
            heap[0] = heap[size]
            key[0] = key[size]
        if size > 0:
            sift_down(heap, key, size, top, pair_server, pair_model)
        if stale or not fits:
            continue
        placed[n_placed] = p
        n_placed += 1
        free[m] -= missing
        for s in range(pair_ptr[p], pair_ptr[p + 1]):
            q = pair_rows[s]
            if served[q] == 0:
                served[q] = 1
                for e in range(row_ptr[q], row_ptr[q + 1]):
                    gain[row_pair[e]] -= row_weight[q]
        risen = False
        for a in range(shared_ptr[i], shared_ptr[i + 1]):
            if resident[shared_atoms[a], m] == 0:
                resident[shared_atoms[a], m] = 2  # new
                risen = True
        if not risen:
            continue
        for a in range(shared_ptr[i], shared_ptr[i + 1]):
            atom = shared_atoms[a]
            if resident[atom, m] != 2:
                continue
            resident[atom, m] = 1
            for h in range(holders_ptr[atom], holders_ptr[atom + 1]):
                j = holders[h]
                if seen[j] == n_placed:
                    continue
                seen[j] = n_placed
                low = server_ptr[m]
                high = server_ptr[m + 1]
                while low < high:
                    middle = (low + high) // 2
                    if pair_model[server_pairs[middle]] < j:
                        low = middle + 1
                    else:
                        high = middle
                if low == server_ptr[m + 1] or pair_model[server_pairs[low]] != j:
                    continue
                other = server_pairs[low]
                if gain[other] <= 0:
                    continue
                # atoms still marked 2 count as resident here, as they are
                missing = missing_bytes(m, j, private_bytes, shared_ptr, shared_atoms, shared_bytes, resident, free)
                if missing > free[m]:
                    continue
                if size == heap.size:
                    longer = np.empty(2 * size, np.int32)
                    longer_key = np.empty(2 * size, np.float64)
                    for h in range(size):
                        longer[h] = heap[h]
                        longer_key[h] = key[h]
                    heap = longer
                    key = longer_key
                position = size  # type: ignore[assignment]
                size += 1
                k = _ratio(gain[other], missing)
                while position > 0:
                    parent = (position - 1) // 2
                    if not before(k, other, key[parent], heap[parent], pair_server, pair_model):
                        break
                    heap[position] = heap[parent]
                    key[position] = key[parent]
                    position = parent
                heap[position] = other
                key[position] = k
    return placed[:n_placed]
