"""The compiled loop of the greedy by gain per new byte."""

from __future__ import annotations

import numpy as np

from trimcache.placement._jit import I4, I8, W8, WU1, N, helper, jit
from trimcache.placement._kernels_heap import missing_bytes, sift_down

__all__ = ["greedy_ratio"]


@helper
def _ratio(gain, missing):  # type: ignore[no-untyped-def]
    return np.inf if missing == 0 else gain / missing


@helper
def _rise(heap, key, place, base, position):  # type: ignore[no-untyped-def]
    """Move the entry at ``position`` of a server's heap up to where its key, then its number, belongs; ``place`` follows."""
    q = heap[base + position]
    k = key[base + position]
    while position > 0:
        parent = (position - 1) // 2
        other = heap[base + parent]
        over = key[base + parent]
        if over > k or (over == k and other < q):
            break
        heap[base + position] = other
        key[base + position] = over
        place[other] = position
        position = parent
    heap[base + position] = q
    key[base + position] = k
    place[q] = position


@helper
def _sink(heap, key, place, base, size, position):  # type: ignore[no-untyped-def]
    """The same, down."""
    q = heap[base + position]
    k = key[base + position]
    while True:
        child = 2 * position + 1
        if child >= size:
            break
        if child + 1 < size:
            a = key[base + child]
            b = key[base + child + 1]
            if b > a or (b == a and heap[base + child + 1] < heap[base + child]):
                child += 1
        other = heap[base + child]
        under = key[base + child]
        if under < k or (under == k and other > q):
            break
        heap[base + position] = other
        key[base + position] = under
        place[other] = position
        position = child
    heap[base + position] = q
    key[base + position] = k
    place[q] = position


@jit(I8, I8, I4, I4, I4, I8, I4, W8, W8, WU1, I8, I8, I4, I8, I8, I4, N)
def greedy_ratio(  # type: ignore[no-untyped-def]
    row_weight, row_ptr, row_pair, pair_server, pair_model, pair_ptr, pair_rows, gain,
    free, resident, private_bytes, shared_ptr, shared_atoms, shared_bytes, holders_ptr, holders, n_models,
):  # fmt: skip
    """Place the pair with the largest gain per new byte that fits, again and again; the pairs placed (int32[n]).

    Arguments as in ``greedy``; ``holders`` is the transpose of ``shared_atoms``, atom -> models. Each server has a heap of its pairs, small
    enough for the cache, and one heap of servers holds their best keys. Gains only fall, so a key is at most too high; but it *rises*
    when an atom of its model becomes resident, so then every pair of that server with one of them gets its new key. So no key
    is ever below the true one, and a pair on top of all whose key is current is the best. Ties go to the lowest server, then the lowest
    model. Time O(E + tries log P), and for each placement the atoms of the models that share with it.
    """
    n_pairs = pair_server.size
    n_servers = free.size
    served = np.zeros(row_weight.size, np.uint8)
    placed = np.empty(n_pairs, np.int32)
    n_placed = 0
    least = np.int64(2**62)
    for i in range(n_models):
        least = min(least, private_bytes[i])
    # pairs numbered anew: server by server, by ascending model
    server_ptr = np.zeros(n_servers + 1, np.int64)
    for p in range(n_pairs):
        server_ptr[pair_server[p] + 1] += 1
    for m in range(n_servers):
        server_ptr[m + 1] += server_ptr[m]
    fill = np.empty(n_servers, np.int64)
    for m in range(n_servers):
        fill[m] = server_ptr[m]
    pair_of = np.empty(n_pairs, np.int32)
    need = np.empty(n_pairs, np.int64)  # bytes that each pair misses
    heap = np.empty(n_pairs, np.int32)
    key = np.empty(n_pairs, np.float64)
    place = np.empty(n_pairs, np.int32)  # where each pair is in its server's heap, -1: dropped
    size = np.zeros(n_servers, np.int64)
    for p in range(n_pairs):
        m = pair_server[p]
        q = fill[m]
        fill[m] += 1
        pair_of[q] = p
        place[q] = -1
        need[q] = missing_bytes(m, pair_model[p], private_bytes, shared_ptr, shared_atoms, shared_bytes, resident, free)
        if gain[p] > 0 and need[q] <= free[m]:
            at = server_ptr[m] + size[m]
            heap[at] = q
            key[at] = _ratio(gain[p], need[q])
            place[q] = size[m]
            size[m] += 1
    servers = np.empty(n_servers, np.int32)
    best = np.empty(n_servers, np.float64)
    number = np.empty(n_servers, np.int32)
    n_open = np.int64(0)
    top = np.int64(0)  # a plain 0 would compile a second version
    for m in range(n_servers):
        number[m] = m
        for position in range(size[m] // 2 - 1, -1, -1):
            _sink(heap, key, place, server_ptr[m], size[m], position)
        if size[m] > 0:
            servers[n_open] = m
            best[n_open] = key[server_ptr[m]]
            n_open += 1
    for position in range(n_open // 2 - 1, -1, -1):
        sift_down(servers, best, n_open, position, number, number)
    while n_open > 0:
        m = servers[0]
        base = server_ptr[m]
        q = heap[base]
        p = pair_of[q]
        fits = gain[p] > 0 and need[q] <= free[m]
        now = _ratio(gain[p], need[q])
        if fits and now < key[base]:
            key[base] = now
            _sink(heap, key, place, base, size[m], top)
        else:
            size[m] -= 1
            place[q] = -1
            if size[m] > 0:
                heap[base] = heap[base + size[m]]
                key[base] = key[base + size[m]]
                _sink(heap, key, place, base, size[m], top)
            if fits:
                placed[n_placed] = p
                n_placed += 1
                free[m] -= need[q]
                for s in range(pair_ptr[p], pair_ptr[p + 1]):
                    r = pair_rows[s]
                    if served[r] == 0:
                        served[r] = 1
                        for e in range(row_ptr[r], row_ptr[r + 1]):
                            gain[row_pair[e]] -= row_weight[r]
                i = pair_model[p]
                for a in range(shared_ptr[i], shared_ptr[i + 1]):
                    atom = shared_atoms[a]
                    if resident[atom, m] != 0:
                        continue
                    resident[atom, m] = 1
                    for h in range(holders_ptr[atom], holders_ptr[atom + 1]):
                        j = holders[h]
                        low = base
                        high = server_ptr[m + 1]
                        while low < high:
                            middle = (low + high) // 2
                            if pair_model[pair_of[middle]] < j:
                                low = middle + 1
                            else:
                                high = middle
                        if low == server_ptr[m + 1] or pair_model[pair_of[low]] != j or place[low] < 0:
                            continue
                        need[low] -= shared_bytes[atom]
                        k = _ratio(gain[pair_of[low]], need[low])
                        if k > key[base + place[low]]:
                            key[base + place[low]] = k
                            _rise(heap, key, place, base, np.int64(place[low]))
        if size[m] > 0 and free[m] >= least:
            best[0] = key[base]
        else:
            n_open -= 1
            servers[0] = servers[n_open]
            best[0] = best[n_open]
        if n_open > 0:
            sift_down(servers, best, n_open, top, number, number)
    return placed[:n_placed]
