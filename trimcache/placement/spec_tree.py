"""TrimCaching Spec with the sharing tree in place of the enumeration."""

from __future__ import annotations

import time

import numpy as np

from trimcache.placement._state import State, grid_steps
from trimcache.placement.problem import PlacementProblem
from trimcache.placement.result import Placement
from trimcache.placement.tree import sharing_tree_of

__all__ = ["spec_tree"]

_MERGED = 500_000  # entries of reach above which merging requests takes longer than it saves

_CELLS = 250_000  # of a table: a few thousand steps at the paper's size, and exact fills make up for the grid


def spec_tree(problem: PlacementProblem, *, seed: int = 0, time_limit_s: float | None = None) -> Placement:
    """Servers one after another in index order, each solved by the tree's dynamic program, then filled.

    The value of a model is the demand that it newly serves given the earlier servers. Sizes are rounded up to a grid, so
    what is chosen fits; what the grid, and the full charge of blocks that cross the forest, left free is filled by
    exact recount, and a few states of a branch and bound over the blocks that cross go on from there.
    ``extra["crossing_share"]`` is the share of shared bytes that is not laminar. ``seed`` and ``time_limit_s``
    change nothing.

    Guarantee: for laminar sharing 1/2 of the optimum, up to the grid (exact where capacities are below its number of
    steps); none where sharing crosses. Complexity: O(M (I + J) C), C steps of capacity, I models, J atoms.

    Reference: Qu et al., TrimCaching, arXiv 2404.14204, the successive greedy of the special case; the per-server step is a tree knapsack
    (Johnson, Niemi, 1983) instead of the enumeration.
    """
    begin = time.perf_counter()
    tree = sharing_tree_of(problem.instance)
    instance = problem.instance
    classes = instance.rows if instance.n_entries > _MERGED and "classes" not in instance.__dict__ else instance.classes
    state = State(instance, grid_steps(tree.n_nodes, _CELLS), classes)
    state.solve(np.arange(problem.n_servers), keep=False)
    extra = {"crossing_share": tree.crossing_share}
    return Placement(problem, state.held(), "spec-tree", time.perf_counter() - begin, extra=extra)
