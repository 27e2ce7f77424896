"""Sets of (server, model) pairs, as the operator pins or forbids them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimcache._atoms import sorted_unique
from trimcache.errors import ProblemError

__all__ = ["Pairs", "as_pairs", "rows_of"]

Pairs = ArrayLike | Iterable[tuple[int, int]]
"""A boolean array [M, I], or (server, model) pairs."""


def as_pairs(pairs: Any, n_servers: int, n_models: int, what: str) -> NDArray[np.int64]:
    """The pairs as ascending keys ``server * n_models + model``, each once, read-only.

    Raises:
        ProblemError: an array of another shape, or a pair out of range.
    """
    if pairs is None:
        table: Any = np.zeros((0, 2), dtype=np.int64)
    else:
        table = np.asarray(pairs if isinstance(pairs, np.ndarray) else list(pairs))
    if table.dtype == np.bool_ and table.size:
        if table.shape != (n_servers, n_models):
            raise ProblemError(what, f"has shape {table.shape}, not {(n_servers, n_models)}", "give servers x models")
        table = np.argwhere(table)
    if table.size == 0:
        table = np.zeros((0, 2), dtype=np.int64)
    if table.ndim != 2 or table.shape[1] != 2 or table.dtype.kind not in "iu":
        raise ProblemError(what, "is neither a boolean array servers x models nor pairs", "give (server, model) pairs")
    for name, column, count in (("server", table[:, 0], n_servers), ("model", table[:, 1], n_models)):
        if column.size and (column.min() < 0 or column.max() >= count):
            bad = int(column.min()) if column.min() < 0 else int(column.max())
            raise ProblemError(what, f"refers to {name} {bad}, there are {count}", "use indices from 0")
    keys = sorted_unique(table[:, 0].astype(np.int64) * max(n_models, 1) + table[:, 1].astype(np.int64))
    keys.flags.writeable = False
    return keys


def rows_of(keys: NDArray[np.int64], n_servers: int, n_models: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """CSR server -> ascending models of ascending keys: ``int64[M+1]`` and ``int32[n]``."""
    server, model = np.divmod(keys, max(n_models, 1))
    ends = np.zeros(n_servers + 1, dtype=np.int64)
    np.cumsum(np.bincount(server, minlength=n_servers), out=ends[1:])
    return ends, model.astype(np.int32)
