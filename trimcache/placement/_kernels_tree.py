"""The compiled loops over servers, each solved by the sharing tree: one after another, and by prices."""

from __future__ import annotations

import numpy as np

from trimcache.placement._jit import F8, I4, I8, U1, W4, WF8, WU1, N, jit
from trimcache.placement._kernels_fill import fill
from trimcache.placement._kernels_knapsack import POOL, knapsack

__all__ = ["price_servers", "solve_servers"]


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
    take = np.empty(n_models, np.uint8)
    value = np.empty(n_models, np.float64)
    work = np.empty(6 * n_nodes + 6, np.int64)
    worth = np.empty(n_nodes, np.float64)
    pool_weight = np.empty(table.size // POOL, np.int64)
    pool_link = np.empty(table.size // POOL, np.int32)
    one = np.int64(1)
    held = np.empty(shared_bytes.size, np.uint8)
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
        toll_row = row if toll.size > n_nodes else 0
        knapsack(
            value,
            parent,
            end,
            leaf,
            charge,
            row,
            toll,
            toll_row,
            free[m],
            steps,
            one,
            one,
            table,
            take,
            work,
            worth,
            pool_weight,
            pool_link,
        )
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
        if toll.size == 0:
            new += np.int64(fill(take, value, left, held, private_bytes, shared_ptr, shared_atoms, shared_bytes))
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

    Where ``charge`` never counts too many bytes, the sum is never below the true one. ``x`` uint8[M, I] receives the sets and
    ``copies`` float64[R] how many servers serve each class. ``no_toll`` is empty. Other arguments as in ``solve_servers``.
    """
    n_nodes = leaf.size
    n_models = x.shape[1]
    take = np.empty(n_models, np.uint8)
    value = np.empty(n_models, np.float64)
    work = np.empty(6 * n_nodes + 6, np.int64)
    worth = np.empty(n_nodes, np.float64)
    pool_weight = np.empty(table.size // POOL, np.int64)
    pool_link = np.empty(table.size // POOL, np.int32)
    one = np.int64(1)
    zero = np.int64(0)
    for c in range(copies.size):
        copies[c] = 0.0
    total = 0.0
    for m in range(free.size):
        for i in range(n_models):
            value[i] = 0.0
        for s in range(server_ptr[m], server_ptr[m + 1]):
            c = server_classes[s]
            value[class_model[c]] += price[c]
        row = m * n_nodes if charge.size > n_nodes else 0
        total += knapsack(
            value, parent, end, leaf, charge, row, no_toll, one, free[m], steps, zero, one, table, take, work, worth, pool_weight, pool_link
        )
        for i in range(n_models):
            x[m, i] = take[i]
        for s in range(server_ptr[m], server_ptr[m + 1]):
            c = server_classes[s]
            copies[c] += take[class_model[c]]
    return total
