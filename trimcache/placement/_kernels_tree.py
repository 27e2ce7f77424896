"""The compiled loops over the sharing tree: one server's knapsack, servers one after another, and pricing."""

from __future__ import annotations

import numpy as np

from trimcache.placement._jit import F8, I4, I8, U1, W4, WF8, WU1, N, helper, jit

__all__ = ["price_servers", "solve_servers"]


@helper
def _knapsack(value, parent, end, leaf, charge, toll, free, steps, up, table, take, work):  # type: ignore[no-untyped-def]
    """The most valuable models for one server by the tree; ``take`` uint8[I] marks them; the value is returned.

    ``value`` float64[I] of each model (whole numbers below 2**53, so sums are exact); ``charge`` int64[N] bytes of each
    node, ``toll`` float64[N] what it takes off the value (empty: nothing). Sizes are counted on a grid of at most
    ``steps`` steps, rounded ``up`` (what is marked fits) or down (the value is a bound). Branches without a valuable
    model that fits are left out, and a node with one branch is joined to it before rounding. ``table`` float64 scratch
    of at least (N + 1) (steps + 1), ``work`` int32[3, N]. O(nodes left x steps).
    """
    n_nodes = leaf.size
    take[:] = 0
    kept_below, compact_end, compact_node = work[0], work[1], work[2]
    path = np.empty(n_nodes, np.int64)
    for n in range(n_nodes):
        path[n] = charge[n] + (path[parent[n]] if parent[n] >= 0 else 0)
        kept_below[n] = 0
    for n in range(n_nodes - 1, -1, -1):
        i = leaf[n]
        if i >= 0:
            kept_below[n] = 1 if value[i] > 0 and path[n] <= free else 0
        if kept_below[n] and parent[n] >= 0:
            kept_below[parent[n]] += kept_below[n]
    size = 0
    weight = np.empty(n_nodes, np.int64)
    cost = np.zeros(n_nodes, np.float64)
    for n in range(n_nodes):
        if kept_below[n] == 0:
            continue
        # joined to the branch above if that has no other leaf
        if size > 0 and leaf[compact_node[size - 1]] < 0:
            above = compact_node[size - 1]
            if n < end[above] and kept_below[above] == kept_below[n]:
                weight[size - 1] += charge[n]
                if toll.size:
                    cost[size - 1] += toll[n]
                compact_node[size - 1] = n
                continue
        compact_node[size] = n
        weight[size] = charge[n]
        if toll.size:
            cost[size] = toll[n]
        size += 1
    if size == 0:
        return 0.0
    for j in range(size - 1, -1, -1):
        n = compact_node[j]
        if leaf[n] >= 0:
            compact_end[j] = j + 1
        else:
            k = j + 1
            while k < size and compact_node[k] < end[n]:
                k = compact_end[k]
            compact_end[j] = k
    unit = free // steps + 1
    room = free // unit
    total = np.int64(0)
    for j in range(size):
        weight[j] = (weight[j] + unit - 1) // unit if up else weight[j] // unit
        total += weight[j]
    best = 0.0
    if total <= room and toll.size == 0:
        for j in range(size):
            i = leaf[compact_node[j]]
            if i >= 0:
                take[i] = 1
                best += value[i]
        return best
    width = room + 1
    after = size * width
    for c in range(width):
        table[after + c] = 0.0
    for j in range(size - 1, -1, -1):
        i = leaf[compact_node[j]]
        v = (value[i] if i >= 0 else 0.0) - cost[j]
        w = min(weight[j], width)
        skip = table[compact_end[j] * width : compact_end[j] * width + width]
        below = table[(j + 1) * width : (j + 1) * width + width]
        here = table[j * width : j * width + width]
        for c in range(w):
            here[c] = skip[c]
        for c in range(w, width):
            a = skip[c]
            b = below[c - w] + v
            here[c] = b if b > a else a
    best = table[room]
    c = room
    j = 0
    while j < size:
        if table[j * width + c] == table[compact_end[j] * width + c]:
            j = compact_end[j]
        else:
            i = leaf[compact_node[j]]
            if i >= 0:
                take[i] = 1
            c -= weight[j]
            j += 1
    return best


@jit(I4, N, I4, I8, I8, I4, I4, I4, I4, I8, F8, I8, N, I8, I8, I4, I8, U1, WU1, W4, WF8)
def solve_servers(  # type: ignore[no-untyped-def]
    order, keep, class_model, class_weight, server_ptr, server_classes, parent, end, leaf, charge, toll, free, steps,
    private_bytes, shared_ptr, shared_atoms, shared_bytes, resident, x, count, table,
):  # fmt: skip
    """Solve the servers ``order`` one after another, the others as they are; the change of served weight is returned.

    A server's old models are taken out, the value of each model is the weight of its classes that no other server
    serves, the tree gives a set, and what its grid and its charges left free is filled by exact recount, the best
    value first. With ``keep`` the old set stays unless the new one is worth more.

    Args:
        class_model, class_weight, server_ptr, server_classes: the demand, as in ``Classes``.
        parent, end, leaf: the tree; ``charge`` int64[M or 1 rows of N] its full charges.
        toll: float64, empty or as ``charge``: what paying a node costs in units of value (then nothing is filled).
        free: int64[M]; steps: the grid. private_bytes ...: exact costs as in ``greedy``; resident: uint8[S * M].
        x: uint8[M, I], count: int32[R] (servers that serve each class): read and brought up to date.
        table: scratch, (N + 1) (steps + 1) numbers.
    """
    n_models = private_bytes.size
    n_nodes = leaf.size
    n_servers = free.size
    take = np.zeros(n_models, np.uint8)
    work = np.empty((3, n_nodes), np.int32)
    value = np.zeros(n_models, np.float64)
    held = np.zeros(shared_bytes.size, np.uint8)
    change = np.int64(0)
    for o in range(order.size):
        m = order[o]
        for i in range(n_models):
            value[i] = 0.0
        old = np.int64(0)
        for s in range(server_ptr[m], server_ptr[m + 1]):
            c = server_classes[s]
            i = class_model[c]
            count[c] -= x[m, i]
            if count[c] == 0:
                value[i] += class_weight[c]
                if x[m, i]:
                    old += class_weight[c]
        row = m * n_nodes if charge.size > n_nodes else 0
        own_toll = toll[row : row + n_nodes] if toll.size > n_nodes else toll
        _knapsack(value, parent, end, leaf, charge[row : row + n_nodes], own_toll, free[m], steps, True, table, take, work)
        for a in range(shared_bytes.size):
            held[a] = resident[a * n_servers + m]
        left = free[m]
        new = np.int64(0)
        for i in range(n_models):
            if take[i]:
                new += np.int64(value[i])
                left -= private_bytes[i]
                for a in range(shared_ptr[i], shared_ptr[i + 1]):
                    if held[shared_atoms[a]] == 0:
                        held[shared_atoms[a]] = 1
                        left -= shared_bytes[shared_atoms[a]]
        while toll.size == 0:
            best = -1
            for i in range(n_models):
                if take[i] == 0 and value[i] > 0 and private_bytes[i] <= left and (best < 0 or value[i] > value[best]):
                    missing = private_bytes[i]
                    for a in range(shared_ptr[i], shared_ptr[i + 1]):
                        if held[shared_atoms[a]] == 0:
                            missing += shared_bytes[shared_atoms[a]]
                    if missing <= left:
                        best = i
            if best < 0:
                break
            take[best] = 1
            new += np.int64(value[best])
            left -= private_bytes[best]
            for a in range(shared_ptr[best], shared_ptr[best + 1]):
                if held[shared_atoms[a]] == 0:
                    held[shared_atoms[a]] = 1
                    left -= shared_bytes[shared_atoms[a]]
        if not keep or new > old:
            change += new - old
            for i in range(n_models):
                x[m, i] = take[i]
        for s in range(server_ptr[m], server_ptr[m + 1]):
            c = server_classes[s]
            count[c] += x[m, class_model[c]]
    return change


@jit(F8, I4, I8, I4, I4, I4, I4, I8, F8, I8, N, WU1, WF8, WF8)
def price_servers(  # type: ignore[no-untyped-def]
    price, class_model, server_ptr, server_classes, parent, end, leaf, charge, no_toll, free, steps, x, copies, table
):
    """Each server's best set when serving class ``c`` pays ``price[c]``, sizes rounded down: the sum of their values.

    ``charge`` are the tree's *shares*, so the sum is never below the true one. ``x`` uint8[M, I] receives the sets and
    ``copies`` float64[R] how many servers serve each class. ``no_toll`` is empty. Other arguments as in ``solve_servers``.
    """
    n_nodes = leaf.size
    n_models = x.shape[1]
    take = np.zeros(n_models, np.uint8)
    work = np.empty((3, n_nodes), np.int32)
    value = np.zeros(n_models, np.float64)
    copies[:] = 0.0
    total = 0.0
    for m in range(free.size):
        for i in range(n_models):
            value[i] = 0.0
        for s in range(server_ptr[m], server_ptr[m + 1]):
            c = server_classes[s]
            value[class_model[c]] += price[c]
        row = m * n_nodes if charge.size > n_nodes else 0
        total += _knapsack(value, parent, end, leaf, charge[row : row + n_nodes], no_toll, free[m], steps, False, table, take, work)
        for i in range(n_models):
            x[m, i] = take[i]
        for s in range(server_ptr[m], server_ptr[m + 1]):
            c = server_classes[s]
            copies[c] += take[class_model[c]]
    return total
