"""The compiled loop of one server's knapsack where sharing crosses: branch and bound over the atoms that cross the forest.

An atom is paid (its bytes are taken off the room, its groups pay nothing more), banned (its models are out), or open: then its groups pay
shares (``divide``), which count too few bytes. So a price for a byte bounds what is below. The open atom whose shares fall
shortest of its size is decided both ways, the most promising bound first. Where the shares are about right the tree's knapsack gives
the bound: the loop stops and asks for it, so that it need not be compiled once more.
"""

from __future__ import annotations

import numpy as np

from trimcache.placement._jit import F8, I4, I8, U1, W1, W8, WF8, N, helper, jit
from trimcache.placement._kernels_fill import repair
from trimcache.placement._kernels_shares import divide

__all__ = ["BEST", "BOUND", "LIMIT", "OPEN", "ROOM", "STEP", "branch"]

_BANNED = -1e300  # what a banned node is worth: no branch with it gains
_FIRST_SWEEPS, _SWEEPS = 8, 3
_SHORT, _SHORT_ROOM = 0.05, 0.005  # of an atom's size, and of the room: below, its shares are about right
_REPAIRED = 8  # states whose sets are made to fit; then each eighth
_ROUNDED_UP = 1 + 1e-9  # far above the rounding of sums

BEST, BOUND, LIMIT, OPEN, STEP, ROOM = range(6)
"""What ``memo`` holds: the best value found, the highest bound of what is not looked into any more, that of the state at work, how many
states are open, how many were looked into, and the bytes left in the state at work."""


@helper
def _shortest(ptr, group, size, decided, share, inside, least, fewest):  # type: ignore[no-untyped-def]
    """The open atom whose shares of the nodes ``inside`` fall shortest of it, by more than ``least`` and ``fewest`` bytes; -1: none."""
    which = -1
    most = fewest
    for c in range(size.size):
        if decided[c] == 0:
            paid = 0.0
            used = False
            for e in range(ptr[c], ptr[c + 1]):
                if inside[group[e]] != 0:
                    paid += np.floor(share[e])
                    used = True
            if used and size[c] - paid > max(most, least * size[c]):
                most = size[c] - paid
                which = c
    return which


@jit(F8, I4, I4, I8, N, I8, I8, I8, N, WF8, N, N, N, N, I8, I8, I4, I8, U1, F8, WF8, WF8, W8, WF8, W8, W1, W1)
def branch(  # type: ignore[no-untyped-def]
    value, parent, leaf, base, row, cross_ptr, cross_group, cross_bytes, cross_row, share, share_row, free, server, n_servers,
    private_bytes, shared_ptr, shared_atoms, shared_bytes, resident, solved_value, memo, bound, decided, scratch, charge, take, found,
):  # fmt: skip
    """Look into states until the best set is proven, or as many were looked into as there is room for: 0; or a knapsack is wanted: 1.

    At first ``memo`` holds the value of ``found`` uint8[I], a set that fits, and one open state. Wanted is the best set by the tree with
    ``charge`` int64[N] and ``memo[ROOM]`` bytes: the next call gets it in ``take`` and its value in ``solved_value`` [1] (empty: none).

    Args:
        value, parent, leaf: float64[I], and the tree, as in ``knapsack``.
        base: int64, ``base[row:]`` bytes of each node without crossing atoms.
        cross_ptr, cross_group: CSR crossing atom -> nodes; ``cross_bytes[cross_row:]`` int64[X] their sizes, 0: there already.
        share: ``share[share_row:]`` float64[E], kept from call to call: they hardly change while values hardly do.
        free: bytes; private_bytes ... resident: exact costs, as in ``solve_servers``, for ``server`` of ``n_servers``.
        bound, decided: float64[L], int64[L X]: open states, and the decision on each atom (1: paid, -1: banned, 0: open).
        scratch: float64[6 N].
    """
    n_nodes = leaf.size
    n_models = value.size
    n_atoms = cross_ptr.size - 1
    n_shares = cross_group.size
    worth = scratch[0:n_nodes]
    weight = scratch[n_nodes : 2 * n_nodes]
    rest = scratch[2 * n_nodes : 3 * n_nodes]
    gain = scratch[3 * n_nodes : 4 * n_nodes]
    inside = scratch[4 * n_nodes : 5 * n_nodes]
    floor = scratch[5 * n_nodes : 6 * n_nodes]
    mine = share[share_row : share_row + n_shares]
    size = cross_bytes[cross_row : cross_row + n_atoms]
    now = decided[bound.size * n_atoms :]
    n_open = int(memo[OPEN])
    most = bound.size // 2
    pending = solved_value.size > 0
    while True:
        solved = pending
        pending = False
        if not solved:
            top = 0
            for k in range(1, n_open):
                if bound[k] > bound[top]:
                    top = k
            if n_open == 0 or bound[top] <= memo[BEST] or memo[STEP] >= most:
                break
            memo[STEP] += 1
            memo[LIMIT] = bound[top]
            n_open -= 1
            for c in range(n_atoms):
                now[c] = decided[top * n_atoms + c]
                decided[top * n_atoms + c] = decided[n_open * n_atoms + c]
            bound[top] = bound[n_open]
            room = free
            for n in range(n_nodes):
                worth[n] = value[leaf[n]] if leaf[n] >= 0 else 0.0
                floor[n] = base[row + n]
                charge[n] = base[row + n]
            for c in range(n_atoms):
                if size[c] == 0:
                    now[c] = 1
                if now[c] > 0:
                    room -= size[c]
                elif now[c] < 0:
                    for e in range(cross_ptr[c], cross_ptr[c + 1]):
                        worth[cross_group[e]] = _BANNED
                        charge[cross_group[e]] = free + 1
            if room < 0:
                continue
            first = memo[STEP] == 1
            sweeps = _FIRST_SWEEPS if first else _SWEEPS
            v = divide(room, sweeps, parent, floor, worth, cross_ptr, cross_group, size, now, mine, weight, rest, gain, inside)
            memo[LIMIT] = min(memo[LIMIT], v * _ROUNDED_UP)
            if memo[LIMIT] <= memo[BEST]:
                continue
            which = _shortest(cross_ptr, cross_group, size, now, mine, inside, _SHORT, _SHORT_ROOM * free)
            if which < 0 or first:
                for c in range(n_atoms):
                    if now[c] == 0:
                        for e in range(cross_ptr[c], cross_ptr[c + 1]):
                            charge[cross_group[e]] += np.int64(mine[e])
                memo[ROOM] = room
                memo[OPEN] = n_open
                return 1
            for n in range(n_nodes):
                if leaf[n] >= 0:
                    take[leaf[n]] = inside[n] != 0 and value[leaf[n]] > 0
        else:
            memo[LIMIT] = min(memo[LIMIT], solved_value[0])
            if memo[LIMIT] <= memo[BEST]:
                continue
            for n in range(n_nodes):
                inside[n] = 0
            for n in range(n_nodes):
                if leaf[n] >= 0 and take[leaf[n]] != 0:
                    k = n
                    while k >= 0 and inside[k] == 0:
                        inside[k] = 1
                        k = parent[k]
            which = _shortest(cross_ptr, cross_group, size, now, mine, inside, 0.0, 0.0)
        if solved or memo[STEP] < _REPAIRED or memo[STEP] % _REPAIRED == 0:
            v = repair(take, value, free, resident, server, n_servers, private_bytes, shared_ptr, shared_atoms, shared_bytes)
            if v > memo[BEST]:
                memo[BEST] = v
                for i in range(n_models):
                    found[i] = take[i]
            if memo[LIMIT] <= memo[BEST]:
                continue
        if which < 0:
            memo[BOUND] = max(memo[BOUND], memo[LIMIT])
            continue
        for decision in (1, -1):
            for c in range(n_atoms):
                decided[n_open * n_atoms + c] = now[c]
            decided[n_open * n_atoms + which] = decision
            bound[n_open] = memo[LIMIT]
            n_open += 1
    memo[BOUND] = max(memo[BOUND], memo[BEST])
    for k in range(n_open):
        memo[BOUND] = max(memo[BOUND], bound[k])
    return 0
