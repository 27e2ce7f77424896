"""What an operator pinned and forbade: in a plan by name, so that the next plan goes on with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimcache.placement._pairs import rows_of
from trimcache.placement.problem import PlacementProblem
from trimcache.plan.document import Plan

__all__ = ["CarriedOver", "carried_over", "names_by_server"]


@dataclass(frozen=True)
class CarriedOver:
    """(server, model) index pairs that a plan's pins and forbidden pairs are in another problem, and the pins that are none there.

    Attributes:
        lost: ``(server, model)`` names of pins whose server or model does not exist any more; a forbidden pair that is gone needs no word.
    """

    pinned: tuple[tuple[int, int], ...]
    forbidden: tuple[tuple[int, int], ...]
    lost: tuple[tuple[str, str], ...]


def carried_over(plan: Plan, server_names: Sequence[str], model_names: Sequence[str]) -> CarriedOver:
    """What ``plan`` pinned and forbade, for servers and models of these names."""
    row = {name: m for m, name in enumerate(server_names)}
    column = {name: i for i, name in enumerate(model_names)}
    pinned, lost = [], []
    forbidden = []
    for server in plan.servers:
        m = row.get(server.name)
        for name in server.pinned:
            if m is None or name not in column:
                lost.append((server.name, name))
            else:
                pinned.append((m, column[name]))
        if m is not None:
            forbidden += [(m, column[name]) for name in server.forbidden if name in column]
    return CarriedOver(tuple(pinned), tuple(forbidden), tuple(lost))


def names_by_server(problem: PlacementProblem, keys: NDArray[np.int64]) -> list[list[str]]:
    """The names of the models of each server, of ``problem.pinned`` or ``problem.forbidden``."""
    ends, models = rows_of(keys, problem.n_servers, problem.n_models)
    names = [problem.graph.model_names[i] for i in models.tolist()]
    return [names[ends[m] : ends[m + 1]] for m in range(problem.n_servers)]
