"""What every model-block graph obeys: exact 64-bit sizes, read-only arrays, consistent rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimcache._graph_slices import row_slices, slices
from trimcache.errors import GraphError

if TYPE_CHECKING:
    from trimcache.graph import ModelBlockGraph

SUBJECT = "model-block graph"
_INT64_MAX = 2**63 - 1


def as_int64(values: ArrayLike, what: str) -> NDArray[np.int64]:
    """``values`` as int64 without losing anything: floats with a fraction, NaN and huge ints are refused."""
    try:
        array = np.asarray(values)
        if array.size == 0:
            return np.zeros(array.shape, dtype=np.int64)
        if array.dtype.kind == "u" and int(array.max()) > _INT64_MAX:
            raise OverflowError
        if array.dtype.kind not in "iu":
            raise TypeError
        return array.astype(np.int64)
    except (OverflowError, TypeError, ValueError) as error:
        raise GraphError(SUBJECT, f"{what} are not 64-bit integers", "give whole numbers below 2**63") from error


def frozen(values: Any, dtype: type[np.generic], what: str, ndim: int = 1) -> Any:
    """A read-only array of ``dtype``; integers pass only if they survive the conversion."""
    source = np.asarray(values)
    if source.dtype == dtype:
        array = source.copy() if source.flags.writeable else source
    elif issubclass(dtype, np.integer):
        wide = as_int64(source, what)
        info = np.iinfo(dtype)
        if wide.size and (wide.min() < info.min or wide.max() > info.max):
            raise GraphError(SUBJECT, f"{what} out of the range of {dtype.__name__}", "the arrays are inconsistent")
        array = wide.astype(dtype)
    else:
        try:
            array = source.astype(dtype)
        except (TypeError, ValueError) as error:
            raise GraphError(SUBJECT, f"{what} are not numbers", "give numbers") from error
    if array.ndim != ndim:
        raise GraphError(SUBJECT, f"{what} has {array.ndim} dimensions, not {ndim}", "the arrays are inconsistent")
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array


def check_sum(sizes: NDArray[np.int64], what: str) -> None:
    refuse_beyond(sum(float(sizes[piece].astype(np.float64).sum()) for piece in slices(sizes.size)), what)


def refuse_beyond(total: float, what: str) -> None:
    # A float sum is within a part in 2**20 of the true one at any length; far enough from 2**63 it decides.
    if total > 2.0**62:
        raise GraphError(SUBJECT, f"{what} add up beyond 2**62 bytes", "check the sizes")


def validate(graph: ModelBlockGraph) -> None:
    n_models, n_blocks = graph.n_models, graph.n_blocks
    fix = "the arrays are inconsistent"
    for name in graph.model_names:
        if not isinstance(name, str) or not name:
            raise GraphError(SUBJECT, f"model name {name!r} is not a non-empty string", "name every model")
    if len(set(graph.model_names)) != n_models:
        seen: set[str] = set()
        repeated = next(name for name in graph.model_names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise GraphError(f"model {repeated!r}", "appears twice", "model names are unique")
    if graph.indptr.size != n_models + 1 or graph.model_bytes.size != n_models:
        raise GraphError(SUBJECT, f"{n_models} names, {graph.indptr.size} row ends, {graph.model_bytes.size} sizes", fix)
    if graph.indptr[0] != 0 or graph.indptr[-1] != graph.indices.size or np.any(np.diff(graph.indptr) < 0):
        raise GraphError(SUBJECT, "row ends do not tile the block lists", fix)
    for what, sizes in (("block", graph.block_bytes), ("model", graph.model_bytes)):
        if sizes.size and sizes.min() < 0:
            raise GraphError(f"{what} {int(sizes.argmin())}", "has a negative size", "sizes are bytes >= 0")
        check_sum(sizes, f"the sizes of all {what}s")
    indices = graph.indices
    if indices.size and (indices.min() < 0 or indices.max() >= n_blocks):
        raise GraphError(SUBJECT, f"a model refers to a block outside 0..{n_blocks - 1}", fix)
    held = np.zeros(n_blocks, dtype=bool)
    all_bytes = 0.0
    for first, end in row_slices(graph.indptr):
        row_ends = graph.indptr[first:end] - graph.indptr[first]
        blocks = indices[graph.indptr[first] : graph.indptr[end]]
        rising = np.ones(blocks.size, dtype=bool)
        rising[1:] = blocks[1:] > blocks[:-1]
        rising[row_ends[row_ends < blocks.size]] = True
        if not rising.all():
            raise GraphError(SUBJECT, "a model's blocks are not ascending and unique", "use from_incidence")
        held[blocks] = True
        all_bytes += float(graph.block_bytes[blocks].astype(np.float64).sum())
    if not held.all():
        raise GraphError(f"block {int(held.argmin())}", "belongs to no model", "leave it out")
    refuse_beyond(all_bytes, "the sizes of all models' blocks")
    if graph.popularity is not None:
        if graph.popularity.size != n_models:
            raise GraphError(SUBJECT, f"{n_models} models but {graph.popularity.size} popularities", fix)
        if not (np.isfinite(graph.popularity).all() and (graph.popularity >= 0).all()):
            raise GraphError(SUBJECT, "a popularity is negative or not finite", "popularities are >= 0")
    if graph.block_ids is not None:
        if graph.block_ids.shape[0] != n_blocks or graph.block_ids.shape[1] == 0:
            raise GraphError(SUBJECT, f"{n_blocks} blocks but ids of shape {graph.block_ids.shape}", fix)
        if has_repeated_rows(graph.block_ids):
            raise GraphError(SUBJECT, "two blocks have one id", "merge rows of the same block")


def has_repeated_rows(rows: NDArray[np.uint8]) -> bool:
    """Whether two rows of uint8[n, w] are equal. Machine words sort many times faster than rows, and nearly always decide."""
    if rows.shape[1] >= 8:
        words = rows[:, :8].copy().view(np.uint64).reshape(-1)
        words.sort()
        if not bool((words[1:] == words[:-1]).any()):
            return False
    ids = np.sort(np.ascontiguousarray(rows).view(f"V{rows.shape[1]}").reshape(-1))
    return bool((ids[1:] == ids[:-1]).any())
