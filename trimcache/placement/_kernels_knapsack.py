"""The compiled loops of one server's knapsack over the sharing tree: exact while that is cheap, else on a grid of sizes."""

from __future__ import annotations

import numpy as np

from trimcache.placement._jit import helper
from trimcache.placement._kernels_reduce import reduce_nodes

__all__ = ["POOL", "knapsack"]

_GRID_NUMBERS_A_SET = 16  # an exact set takes as long as about 30 numbers of the grid's table; being exact is worth some of it
_ROOM = 20_000  # sets that may always be tried: a fraction of a millisecond
POOL = 8  # numbers of the table for each entry of the pool, at most


@helper
def _branches(value, parent, end, leaf, charge, row, toll, toll_row, free, node, close, weight, worth, path):  # type: ignore[no-untyped-def]
    """The nodes that matter, in depth-first order: ``node``, ``close`` (the first after its branch), ``weight``, ``worth``.

    Branches without a valuable model that fits are left out, and a node with one branch is joined to it. Their number.
    """
    n_nodes = leaf.size
    kept = close  # models below each node; overwritten from the front, never ahead of what is read
    for n in range(n_nodes):
        path[n] = charge[row + n]
        if parent[n] >= 0:
            path[n] += path[parent[n]]
        kept[n] = 0
    for n in range(n_nodes - 1, -1, -1):
        if leaf[n] >= 0 and value[leaf[n]] > 0 and path[n] <= free:
            kept[n] = 1
        if parent[n] >= 0:
            kept[parent[n]] += kept[n]
    size = 0
    last_kept = 0
    last_end = 0  # of the node before, if that is no leaf
    for n in range(n_nodes):
        if kept[n] == 0:
            continue
        below = kept[n]
        if n < last_end and below == last_kept:
            size -= 1
        else:
            weight[size] = 0
            worth[size] = 0.0
        node[size] = n
        weight[size] += charge[row + n]
        if toll.size > 0:
            worth[size] -= toll[toll_row + n]
        last_kept = below
        last_end = end[n]
        if leaf[n] >= 0:
            worth[size] += value[leaf[n]]
            last_end = 0
        size += 1
    for j in range(size - 1, -1, -1):
        k = j + 1
        while k < size and node[k] < end[node[j]]:
            k = close[k]
        close[j] = k
    return size


@helper
def _exact(size, free, close, weight, worth, above, first, last, table, pool_weight, pool_link, room):  # type: ignore[no-untyped-def]
    """The knapsack on exact bytes: sets from node ``j`` on of which none beats another in both bytes and value, last node first.

    Entries ``first[j]`` to ``last[j]`` of the pool (``pool_weight``, values in ``table``) are those of ``j``, by rising bytes and value. An
    entry links to the one that it is made from; by the complement where it takes ``j``. The entry of the best set is
    returned, -1 as soon as ``room`` entries seem too few.
    """
    for j in range(size):
        above[j] = 0
    for j in range(size):
        for k in range(j + 1, close[j]):
            above[k] += weight[j]
    pool_weight[0] = 0
    pool_link[0] = 0
    table[0] = 0.0
    first[size] = 0
    last[size] = 1
    top = last[size]
    for j in range(size - 1, -1, -1):
        limit = free - above[j]
        a = first[close[j]]
        b = first[j + 1]
        a_last = last[close[j]]
        b_last = last[j + 1]
        # Lists seldom get shorter on the way, but where branches end: an eighth of these two for each node to come is the least.
        if top + (a_last - a + b_last - b) * (1 + j // 8) > room:
            return -1
        first[j] = top
        best = -np.inf
        heavy = pool_weight[a]
        more = pool_weight[b] + weight[j]
        while True:
            if a < a_last and heavy <= limit and (b == b_last or heavy <= more):
                w = heavy
                v = table[a]
                link = a
                a += 1
                if a < a_last:
                    heavy = pool_weight[a]
            elif b < b_last and more <= limit:
                w = more
                v = table[b] + worth[j]
                link = -1 - b
                b += 1
                if b < b_last:
                    more = pool_weight[b] + weight[j]
            else:
                break
            if v > best:
                if top > first[j] and pool_weight[top - 1] == w:
                    top -= 1
                best = v
                pool_weight[top] = w
                table[top] = v
                pool_link[top] = link
                top += 1
        last[j] = top
    return top - 1


@helper
def _on_grid(size, free, steps, up, close, weight, worth, table):  # type: ignore[no-untyped-def]
    """The knapsack on a grid of at most ``steps`` sizes: row ``j`` of ``table`` is the best from node ``j`` on for each room left.

    Sizes are rounded ``up`` (what is chosen fits) or down (the value is a bound); ``weight`` becomes that. The width of a row.
    """
    unit = free // steps + 1
    width = free // unit + 1
    for j in range(size):
        weight[j] = (weight[j] + (unit - 1) * up) // unit
    after = size * width
    for c in range(width):
        table[after + c] = 0.0
    for j in range(size - 1, -1, -1):
        v = worth[j]
        w = weight[j]
        w = min(w, width)
        skip = table[close[j] * width : close[j] * width + width]
        below = table[(j + 1) * width : (j + 1) * width + width]
        here = table[j * width : j * width + width]
        for c in range(w):
            here[c] = skip[c]
        for c in range(w, width):
            a = skip[c]
            b = below[c - w] + v
            here[c] = b if b > a else a
    return width


@helper
def knapsack(  # type: ignore[no-untyped-def]
    value, parent, end, leaf, charge, row, toll, toll_row, free, steps, up, exact, table, take, work, worth, pool_weight, pool_link
):
    """The most valuable models for one server by the tree; ``take`` uint8[I] marks them; the value is returned.

    ``value`` float64[I] of each model (whole numbers below 2**53, so sums are exact); ``charge[row:]`` int64[N] bytes of each
    node, ``toll[toll_row:]`` float64[N] what it takes off the value (empty: nothing). What a bound decides is settled
    first (``reduce_nodes``); the rest is exact in bytes while few sets matter
    (``exact`` 1, and the pool suffices); else sizes are counted on a grid of at most ``steps`` steps, rounded ``up`` (1: what
    is marked fits; 0: the value is a bound). ``table`` float64 scratch of at least (N + 1) (steps + 1) and of the pool's size, ``work``
    int64[6 N + 6], ``worth`` float64[N]. O(nodes left x steps).
    """
    n_nodes = leaf.size
    for i in range(take.size):
        take[i] = 0
    node = work[0:n_nodes]
    close = work[n_nodes : 2 * n_nodes]
    weight = work[2 * n_nodes : 3 * n_nodes]
    path = work[3 * n_nodes : 4 * n_nodes]
    first = work[4 * n_nodes : 5 * n_nodes + 1]
    last = work[5 * n_nodes + 1 : 6 * n_nodes + 2]
    size = _branches(value, parent, end, leaf, charge, row, toll, toll_row, free, node, close, weight, worth, path)
    if size == 0:
        return 0.0
    total = weight[0]
    everything = 0.0
    for j in range(size):
        total += weight[j]
        everything += worth[j]
    if total - weight[0] <= free and toll.size == 0:
        for j in range(size):
            if leaf[node[j]] >= 0:
                take[leaf[node[j]]] = 1
        return everything
    size, free, value_taken, value_known = reduce_nodes(size, free, node, close, weight, worth, leaf, path, first, last, table, take)
    best = value_taken
    if size > 0:
        best += _chosen(
            size, free, steps, up, exact, node, close, weight, worth, leaf, path, first, last, table, pool_weight, pool_link, take
        )
    known = up == 1 and best < value_known  # the grid may miss what is known to fit
    for i in range(take.size):
        take[i] = take[i] >> 1 if known else take[i] & 1
    return value_known if known else best


@helper
def _chosen(  # type: ignore[no-untyped-def]
    size, free, steps, up, exact, node, close, weight, worth, leaf, above, first, last, table, pool_weight, pool_link, take
):
    """The best of the nodes left; their models are marked in ``take``, and the value is returned."""
    entry = -1
    room = min(max(size * (steps + 1) // _GRID_NUMBERS_A_SET, _ROOM), pool_weight.size)
    if exact:
        entry = _exact(size, free, close, weight, worth, above, first, last, table, pool_weight, pool_link, room)
    if entry >= 0:
        best = table[entry]
        j = 0
        while entry > 0:
            while entry < first[j] or entry >= last[j]:
                j = close[j]
            link = pool_link[entry]
            if link >= 0:
                entry = link
            else:
                entry = -1 - link
                if leaf[node[j]] >= 0:
                    take[leaf[node[j]]] |= 1
                j += 1
        return best
    width = _on_grid(size, free, steps, up, close, weight, worth, table)
    c = width - 1
    best = table[c]
    j = 0
    while j < size:
        if table[j * width + c] == table[close[j] * width + c]:
            j = close[j]
        else:
            if leaf[node[j]] >= 0:
                take[leaf[node[j]]] |= 1
            c -= weight[j]
            j += 1
    return best
