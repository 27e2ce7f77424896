"""The compiled loop of TrimCaching Spec: a knapsack by rounded values for each combination of shared blocks."""

from __future__ import annotations

import numpy as np

from trimcache.placement._jit import F8, I8, U1, N, helper, jit

__all__ = ["spec_server"]


@helper
def _by_value(items, value, size, room, eps, take):  # type: ignore[no-untyped-def]
    """0/1 knapsack by values rounded down to ``eps * largest / n``: at least (1 - eps) of the best; ``take`` is set."""
    n = items.size
    largest = np.int64(0)
    for k in range(n):
        largest = max(largest, value[items[k]])
    unit = max(1.0, eps * largest / n)
    rounded = np.empty(n, np.int64)
    total = np.int64(0)
    for k in range(n):
        rounded[k] = np.int64(value[items[k]] / unit)
        total += rounded[k]
    least = np.full(total + 1, np.int64(2**62))  # the least bytes of a set of that rounded value
    least[0] = 0
    used = np.zeros((n, total + 1), np.uint8)
    reached = 0
    for k in range(n):
        v = rounded[k]
        w = size[items[k]]
        for t in range(reached, -1, -1):
            if least[t] + w < least[t + v] and least[t] + w <= room:
                least[t + v] = least[t] + w
                used[k, t + v] = 1
        reached += int(v)
    t = int(total)
    while least[t] > room:
        t -= 1
    worth = np.int64(0)
    for k in range(n - 1, -1, -1):
        if used[k, t]:
            take[items[k]] = 1
            worth += value[items[k]]
            t -= int(rounded[k])
    return worth


@jit(U1, I8, I8, I8, N, F8)
def spec_server(inside, union_room, value, size, n_models, eps):  # type: ignore[no-untyped-def]
    """The best set of one server over all combinations of shared blocks: uint8[n].

    Args:
        inside: uint8[U * n], whether a model's shared blocks lie in a combination; union_room: int64[U], what its
            blocks leave; value, size: int64[n], demand and specific bytes; eps: float64[1].
    """
    best = np.int64(0)
    chosen = np.zeros(n_models, np.uint8)
    take = np.zeros(n_models, np.uint8)
    items = np.empty(n_models, np.int64)
    for u in range(union_room.size):
        room = union_room[u]
        n = 0
        worth = np.int64(0)
        need = np.int64(0)
        for i in range(n_models):
            take[i] = 0
            if inside[u * n_models + i] and value[i] > 0 and size[i] <= room:
                items[n] = i
                n += 1
                worth += value[i]
                need += size[i]
        if worth <= best:
            continue
        if need <= room:
            for k in range(n):
                take[items[k]] = 1
        else:
            worth = _by_value(items[:n], value, size, room, eps[0], take)
        if worth > best:
            best = worth
            for i in range(n_models):
                chosen[i] = take[i]
    return chosen
