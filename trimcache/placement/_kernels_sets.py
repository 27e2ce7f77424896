"""The compiled enumeration of the sets of models that one server may hold and that can still matter."""

from __future__ import annotations

import numpy as np

from trimcache.placement._jit import F8, I4, I8, U1, W1, W8, WF8, WU1, N, jit

__all__ = ["STEPS", "list_sets"]

STEPS = 4_000_000
"""Nodes of the enumeration for one server at most: about 0.1 s."""


@jit(F8, U1, I4, I4, I4, I8, N, N, N, F8, I8, I8, I4, I8, U1, WF8, W8, W8, W1, WU1)
def list_sets(  # type: ignore[no-untyped-def]
    value, allowed, parent, end, leaf, charge, free, server, cells, least, private_bytes, shared_ptr, shared_atoms, shared_bytes, resident,
    table, work, held, take, found,
):  # fmt: skip
    """All sets that fit, to which no allowed model can be added, and whose value is above ``least[0]``: rows of ``found``; their number.

    -1 if there are more than rows, or if it takes more than ``STEPS`` steps. The tree is walked in depth-first order, each node taken or
    left out with all below it; a knapsack on a grid of ``cells`` sizes, rounded down, tells the most that the rest can add, so
    only beginnings of sets that can get above ``least`` are followed.

    Args:
        value, allowed: float64[I] (whole numbers), uint8[I].
        parent, end, leaf, charge: the tree; ``charge`` must not count too many bytes of any set.
        free, server: the room of the server, and its row of ``resident``.
        private_bytes ...: exact costs, as in ``greedy``; resident: uint8[S * M].
        table: scratch, (N + 1) (cells + 2). work: scratch, 6 N + 6. held: scratch, int64[S]; take: scratch, uint8[I].
    """
    n_nodes = leaf.size
    n_models = value.size
    n_servers = resident.size // max(shared_bytes.size, 1) if shared_bytes.size > 0 else 1
    unit = free // cells + 1
    width = free // unit + 1
    alive = work[0 : n_nodes + 1]  # allowed models at or below each node
    for n in range(n_nodes + 1):
        alive[n] = 0
    for n in range(n_nodes - 1, -1, -1):
        if leaf[n] >= 0:
            alive[n] = allowed[leaf[n]]
        if parent[n] >= 0:
            alive[parent[n]] += alive[n]
    for c in range(width):
        table[n_nodes * width + c] = 0.0
    for n in range(n_nodes - 1, -1, -1):
        skip = table[end[n] * width : end[n] * width + width]
        below = table[(n + 1) * width : (n + 1) * width + width]
        here = table[n * width : n * width + width]
        w = width if alive[n] == 0 else min(charge[n] // unit, width)
        v = value[leaf[n]] if leaf[n] >= 0 else 0.0
        for c in range(w):
            here[c] = skip[c]
        for c in range(w, width):
            here[c] = max(skip[c], below[c - w] + v)
    at = work[n_nodes + 1 : 2 * n_nodes + 2]  # the node of each level of the walk
    tried = work[2 * n_nodes + 2 : 3 * n_nodes + 3]  # 0: nothing yet, 1: taken, 2: left out
    room = work[3 * n_nodes + 3 : 4 * n_nodes + 4]  # by the charges of the tree
    before = work[4 * n_nodes + 4 : 5 * n_nodes + 5]  # models in the set when a node was taken; -1: it is not
    paid = work[5 * n_nodes + 5 : 6 * n_nodes + 6]  # exact bytes of the model taken at each level
    worth = np.empty(n_nodes + 1, np.float64)
    for n in range(n_nodes + 1):
        before[n] = -1
    for a in range(shared_bytes.size):
        held[a] = resident[a * n_servers + server]
    for i in range(n_models):
        take[i] = 0
    left = free
    models = 0
    n_found = 0
    level = 0
    at[0] = 0
    tried[0] = 0
    room[0] = free
    worth[0] = 0.0
    for _ in range(STEPS):
        if level < 0:
            return n_found
        n = at[level]
        if n >= n_nodes:
            maximal = 1
            for i in range(n_models):
                if allowed[i] != 0 and take[i] == 0:
                    more = private_bytes[i]
                    for a in range(shared_ptr[i], shared_ptr[i + 1]):
                        if held[shared_atoms[a]] == 0:
                            more += shared_bytes[shared_atoms[a]]
                    if more <= left:
                        maximal = 0
                        break
            if maximal == 1:
                if n_found >= found.shape[0]:
                    return -1
                for i in range(n_models):
                    found[n_found, i] = take[i]
                n_found += 1
            level -= 1
            continue
        if tried[level] == 0:
            tried[level] = 1
            fits = alive[n] > 0 and charge[n] <= room[level]
            if fits:
                v = worth[level] + (value[leaf[n]] if leaf[n] >= 0 else 0.0)
                fits = v + table[(n + 1) * width + (room[level] - charge[n]) // unit] > least[0]
            if fits and leaf[n] >= 0:
                i = leaf[n]
                more = private_bytes[i]
                for a in range(shared_ptr[i], shared_ptr[i + 1]):
                    if held[shared_atoms[a]] == 0:
                        more += shared_bytes[shared_atoms[a]]
                fits = more <= left
                if fits:
                    for a in range(shared_ptr[i], shared_ptr[i + 1]):
                        held[shared_atoms[a]] += 1
                    left -= more
                    paid[level] = more
                    take[i] = 1
                    before[n] = models
                    models += 1
            elif fits:
                before[n] = models
            if fits:
                at[level + 1] = n + 1
                tried[level + 1] = 0
                room[level + 1] = room[level] - charge[n]
                worth[level + 1] = worth[level] + (value[leaf[n]] if leaf[n] >= 0 else 0.0)
                level += 1
                continue
        if tried[level] == 1:
            tried[level] = 2
            if before[n] >= 0:
                before[n] = -1
                if leaf[n] >= 0:
                    i = leaf[n]
                    for a in range(shared_ptr[i], shared_ptr[i + 1]):
                        held[shared_atoms[a]] -= 1
                    left += paid[level]
                    take[i] = 0
                    models -= 1
            after = end[n]
            if worth[level] + table[after * width + room[level] // unit] > least[0]:
                p = parent[n]
                useful = 1  # a branch that is paid for and left without a model is the set without it, once more
                while p >= 0 and end[p] == after:
                    if before[p] == models:
                        useful = 0
                        break
                    p = parent[p]
                if useful == 1:
                    at[level + 1] = after
                    tried[level + 1] = 0
                    room[level + 1] = room[level]
                    worth[level + 1] = worth[level]
                    level += 1
                    continue
        level -= 1
    return -1
