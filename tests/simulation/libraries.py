"""Small libraries of models that share blocks, for simulations."""

from __future__ import annotations

import os
from typing import Any

from trimcache.errors import ProblemError
from trimcache.graph import ModelBlockGraph
from trimcache.simulation.setting import Setting
from trimcache.simulation.topology import rows


def families(n_models: int = 12, per_family: int = 4) -> ModelBlockGraph:
    """Models of 45 MB, of which 40 MB are shared within a family."""
    models = {f"m{i}": [f"base{i // per_family}", f"own{i}"] for i in range(n_models)}
    sizes = {block: 40_000_000 if block[0] == "b" else 5_000_000 for blocks in models.values() for block in blocks}
    return ModelBlockGraph.from_blocks(models, sizes)


def dying_rows(setting: Setting, seed: int, graph: ModelBlockGraph) -> list[dict[str, Any]]:
    """Rows, unless the seed is 3: then the process ends as if it had been killed."""
    if seed == 3:
        os._exit(9)
    return rows(setting, seed, graph)


def failing_rows(setting: Setting, seed: int, graph: ModelBlockGraph) -> list[dict[str, Any]]:
    """Rows, unless the seed is 3: then an error of ours."""
    if seed == 3:
        raise ProblemError("topology 3", "is odd", "leave it out")
    return rows(setting, seed, graph)
