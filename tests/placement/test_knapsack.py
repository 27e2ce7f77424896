"""One server's knapsack over the sharing tree, with most of it decided beforehand, against brute force and against the grid."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from trimcache.placement._kernels_tree import price_servers


def random_tree(rng, n_nodes):
    """A forest in depth-first order: parent and end of each node; leaves are models, numbered in order."""
    parent = np.full(n_nodes, -1, np.int32)
    for n in range(1, n_nodes):
        at = n - 1
        while at >= 0 and rng.random() < 0.45:
            at = int(parent[at])
        parent[n] = at
    end = np.arange(1, n_nodes + 1, dtype=np.int32)
    for n in range(n_nodes - 1, -1, -1):
        if parent[n] >= 0:
            end[parent[n]] = max(end[parent[n]], end[n])
    leaf = np.full(n_nodes, -1, np.int32)
    tips = np.flatnonzero(end == np.arange(1, n_nodes + 1))
    leaf[tips] = np.arange(tips.size)
    return parent, end, leaf


def solve(parent, end, leaf, charge, value, room, steps):
    """Value and set of one server that serves model ``i`` for ``value[i]``; sizes count from below where the grid is used."""
    n_models = value.size
    views = [np.ascontiguousarray(a) for a in (value.astype(float), np.arange(n_models, dtype=np.int32), np.array([0, n_models]),
                                               np.arange(n_models, dtype=np.int32), parent, end, leaf, charge.astype(np.int64),
                                               np.zeros(0), np.array([room], np.int64))]  # fmt: skip
    for view in views:
        view.flags.writeable = False
    x, copies, table = np.zeros((1, n_models), np.uint8), np.zeros(n_models), np.empty((leaf.size + 1) * (max(steps, 3) + 1))
    best = price_servers(*views, steps, x, copies, table)
    assert (copies == x[0]).all()
    return best, x[0].astype(bool)


def nbytes(parent, leaf, charge, chosen):
    paid = set()
    for n in np.flatnonzero(leaf >= 0).tolist():
        while n >= 0 and (chosen[leaf[n]] if leaf[n] >= 0 else True):
            paid.add(n)
            n = int(parent[n])
    return int(charge[sorted(paid)].sum())


@pytest.mark.parametrize("lumps", [1, 40], ids=["fine", "lumpy"])
def test_it_is_exact(lumps):
    rng = np.random.default_rng(lumps)
    for _ in range(250):
        parent, end, leaf = random_tree(rng, int(rng.integers(1, 22)))
        n_models = int((leaf >= 0).sum())
        if n_models > 11:
            continue
        charge = rng.integers(0, 60 // lumps + 2, leaf.size) * lumps
        value = rng.integers(0, 1000, n_models) * (rng.random(n_models) < 0.8)
        room = int(charge.sum() * rng.random() * 0.9)
        best, chosen = solve(parent, end, leaf, charge, value, room, 4000)
        sets = [np.array(row, bool) for row in product((0, 1), repeat=n_models)]
        assert best == max(int(value[row].sum()) for row in sets if nbytes(parent, leaf, charge, row) <= room)
        assert value[chosen].sum() == best
        assert nbytes(parent, leaf, charge, chosen) <= room


def test_a_coarse_grid_never_counts_too_little():
    """Hundreds of models, far too many sets to be exact: rounding sizes down can only add value."""
    rng = np.random.default_rng(7)
    for _ in range(6):
        parent, end, leaf = random_tree(rng, 900)
        charge = rng.integers(1, 10**9, leaf.size)
        value = rng.integers(1, 10**6, int((leaf >= 0).sum()))
        room = int(charge.sum() * 0.2)
        fine, chosen = solve(parent, end, leaf, charge, value, room, 8000)
        coarse, _ = solve(parent, end, leaf, charge, value, room, 3)
        assert nbytes(parent, leaf, charge, chosen) <= room * 1.1
        assert fine <= coarse
        assert value[chosen].sum() == fine
