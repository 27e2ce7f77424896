"""Better prices from a linear program over the sets found so far: the master of a column generation.

Polyak steps come near the best prices quickly and then crawl. The sets that pricing met on the way are by then nearly all that
matter, so the linear program that mixes them ::

    maximise sum_r weight[r] served[r]   with   served[r] <= sum of the mixed sets that serve r,   one mixture a server

has dual prices next to the best. They are priced again, which gives a proven bound whatever the solver's tolerances, and the sets met
there join, until none is new: then the bound is the best that these prices can prove (Gilmore, Gomory, 1961). Dual prices jump about while
sets are missing, so the first try lies between them and the best so far (Wentges, 1997).
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from trimcache.placement.bounds import LagrangianBound
from trimcache.placement.columns import set_rows

__all__ = ["is_small", "mixed_sets_pay", "reprice"]

_MOST_CLASSES, _MOST_ROWS = 300, 2_500  # classes of requests, and times groups of servers: beyond, a program takes too long
_MOST_SETS = 800
_SHORTEST_S = 0.05  # that a solver is started for
_CENTRE = 0.5  # how far from the dual prices, towards the best so far, the first try lies
_FEWEST_STEPS = 60  # of Polyak before the first program


def is_small(lagrangian: LagrangianBound) -> bool:
    """Whether a program over sets has few enough rows to end soon."""
    n_classes = lagrangian.instance.classes.n_classes
    return n_classes <= _MOST_CLASSES and len(lagrangian.groups) * n_classes <= _MOST_ROWS


def mixed_sets_pay(lagrangian: LagrangianBound) -> bool:
    """Whether the program is small, and sets enough have been met to make one."""
    return is_small(lagrangian) and not lagrangian.converged and lagrangian.steps >= _FEWEST_STEPS


def reprice(lagrangian: LagrangianBound, best_known: int, *, stop: float | None = None, rounds: int = 20, gap: float = 0.0) -> None:
    """Lower the bound of ``lagrangian`` by prices from the program, until it is the best there is or ``rounds`` or ``stop`` end it."""
    groups = lagrangian.groups
    known: dict[object, dict[bytes, None]] = {group.room: {} for group in groups}
    most = _MOST_SETS // len(groups) + 1
    for group, seen in zip(groups, lagrangian.columns, strict=True):
        known[group.room].update(dict.fromkeys(sorted(seen, key=lambda key: (-seen[key], key))[:most]))
    took = 0.0  # by the last program, in seconds: the solver looks at its limit only now and then, so a short rest is not started on
    for _ in range(rounds):
        begin = time.perf_counter()
        left = None if stop is None else stop - begin
        if lagrangian.weight - best_known <= gap * lagrangian.weight or (left is not None and left < max(_SHORTEST_S, took)):
            return
        dual, mixed = _dual_prices(lagrangian, [list(known[group.room]) for group in groups], left)
        took = time.perf_counter() - begin
        if dual is None:
            return
        before = sum(map(len, known.values()))
        for share in (_CENTRE, 0.1, 0.0):
            if not lagrangian.in_time(stop):
                return
            for group, packed in zip(groups, lagrangian.try_prices(np.rint(share * lagrangian.price + (1 - share) * dual)), strict=True):
                known[group.room][packed] = None
            if sum(map(len, known.values())) > before:
                break
        met = abs(lagrangian.weight - mixed) <= 1e-7 * lagrangian.weight  # the mixture is above the bound where sets do not quite fit
        if met or (sum(map(len, known.values())) == before and not lagrangian.next_grid()):
            lagrangian.converged = True
            return


def _dual_prices(
    lagrangian: LagrangianBound, packed: list[list[bytes]], time_limit_s: float | None
) -> tuple[NDArray[np.float64] | None, float]:
    """Prices for the classes, and what the best mixture of the sets (``packed``, by group) serves; None if the solver did not end."""
    from scipy.optimize import linprog

    instance, groups = lagrangian.instance, lagrangian.groups
    classes, n_models = instance.classes, instance.problem.n_models
    sets = []
    for rows in packed:
        bits = np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(len(rows), -1)
        sets.append(np.unpackbits(bits, axis=1, count=n_models).astype(bool))
    matrix, _ = set_rows(instance, groups, sets)
    n_y = classes.n_classes
    n_z = matrix.shape[1] - n_y
    scale = float(classes.weight.sum()) / 100
    result = linprog(
        np.concatenate([np.zeros(n_z), -classes.weight / scale]),
        A_ub=matrix,
        b_ub=np.concatenate([np.zeros(n_y), [len(group.servers) for group in groups]]),
        bounds=np.stack([np.zeros(n_z + n_y), np.concatenate([np.full(n_z, np.inf), np.ones(n_y)])], axis=1),
        method="highs",
        options={} if time_limit_s is None else {"time_limit": max(0.01, time_limit_s)},
    )
    if result.status != 0:
        return None, 0.0
    dual = np.clip(-result.ineqlin.marginals[:n_y] * scale, 0, classes.weight)
    return dual, instance.pinned_weight - result.fun * scale
