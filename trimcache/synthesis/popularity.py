"""How often each model is asked for: laws, and tables of a user's own.

    zipf:S              share of rank r proportional to r^-S
    zipf-mandelbrot:S,Q share of rank r proportional to (r + Q)^-S
    lognormal:SIGMA     independent lognormal weights
    uniform

With a law, popularity goes by family first: families are ranked by their size, with chance, and models within their family; so a
model of a popular base tends to be popular.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trimcache.errors import UsageError
from trimcache.synthesis.architectures import nearest

if TYPE_CHECKING:
    from trimcache.graph import ModelBlockGraph

Floats = NDArray[np.float64]
_LAWS = {"zipf": 1, "zipf-mandelbrot": 2, "lognormal": 1, "uniform": 0}


def weights_of_law(text: str, n: int, rng: np.random.Generator) -> Floats:
    """``n`` weights by rank, largest first (lognormal: sorted draws), adding up to one.

    Raises:
        UsageError: an unknown law, or numbers that it cannot have.
    """
    name, _, numbers = text.partition(":")
    if name not in _LAWS:
        raise UsageError(f"popularity {text!r}", "is neither a file nor a law", nearest(name, _LAWS))
    try:
        values = [float(number) for number in numbers.split(",")] if numbers else []
    except ValueError:
        values = [math.nan]
    if len(values) != _LAWS[name] or not all(math.isfinite(value) and value >= 0 for value in values):
        raise UsageError(
            f"popularity {text!r}", f"takes {_LAWS[name]} numbers from 0 up", "write for example zipf:0.8 or zipf-mandelbrot:0.9,10"
        )
    ranks = np.arange(1, n + 1, dtype=np.float64)
    if name == "zipf":
        weights = ranks ** -values[0]
    elif name == "zipf-mandelbrot":
        weights = (ranks + values[1]) ** -values[0]
    elif name == "lognormal":
        weights = np.sort(rng.lognormal(0.0, values[0], n))[::-1]
    else:
        weights = np.ones(n)
    return np.asarray(weights / weights.sum(), np.float64)


def by_family(text: str, families: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """One popularity a model, by a law over families and, within each, over its models; adding up to one."""
    numbers, member_of = np.unique(families, return_inverse=True)
    sizes = np.bincount(member_of)
    # Larger families come first, give or take a factor of e.
    order = np.argsort(-np.log(sizes) + rng.normal(0.0, 1.0, len(sizes)), kind="stable")
    share = np.empty(len(numbers))
    share[order] = weights_of_law(text, len(numbers), rng)
    shuffled = rng.permutation(len(families))
    grouped = shuffled[np.argsort(member_of[shuffled], kind="stable")]
    result = np.empty(len(families))
    start = 0
    for family, size in enumerate(sizes):
        result[grouped[start : start + size]] = share[family] * weights_of_law(text, int(size), rng)
        start += int(size)
    return np.asarray(result / result.sum(), np.float64)


def read_popularity(path: Path) -> dict[str, float]:
    """Model name to weight, from CSV or Parquet with columns ``model`` and ``popularity``, or a JSON object.

    Raises:
        UsageError: it cannot be read, or holds something else.
    """
    import pyarrow as pa

    try:
        rows = _pairs(path)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise UsageError(
            f"popularity {path}", f"cannot be read ({str(error).splitlines()[0][:120]})",
            "give CSV or Parquet with columns model and popularity, or a JSON object",
        ) from error  # fmt: skip
    for name, weight in rows.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise UsageError(f"popularity {path}", f"{name!r} has the weight {weight}", "weights are 0 or more")
    if not rows or not any(rows.values()):
        raise UsageError(f"popularity {path}", "gives no model a weight", "name at least one")
    return rows


def _pairs(path: Path) -> dict[str, float]:
    if path.suffix == ".json":
        document: Any = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): float(weight) for name, weight in document.items()}
    if path.suffix in (".parquet", ".pq"):
        import pyarrow.parquet as pq

        table = pq.read_table(path, columns=["model", "popularity"])
    else:
        from pyarrow import csv

        table = csv.read_csv(path).select(["model", "popularity"])
    pairs = zip(table["model"].to_pylist(), table["popularity"].to_pylist(), strict=True)
    return {str(name): float(weight) for name, weight in pairs}


def matched(weights: Mapping[str, float], names: Sequence[str]) -> Floats:
    """One weight a model, 0 where the table is silent.

    A name in the table is a model's or, if no model is called so, the place of a model from the most popular on: tables of another
    library (downloads of a hub, say) give their shape that way.

    Raises:
        UsageError: the table has fewer weights than there are models, and names none of them.
    """
    if any(name in weights for name in names):
        return np.array([weights.get(name, 0.0) for name in names])
    ranked = sorted(weights.values(), reverse=True)
    if len(ranked) < len(names):
        raise UsageError("popularity", f"names none of the {len(names)} models and has only {len(ranked)} weights", "give one a model")
    quantiles = (np.arange(len(names)) + 0.5) / len(names)
    return np.interp(quantiles, (np.arange(len(ranked)) + 0.5) / len(ranked), ranked)


def with_popularity(graph: ModelBlockGraph, path: Path) -> ModelBlockGraph:
    """The graph of any catalog, scanned or generated, with the popularity that a table gives its models.

    Raises:
        UsageError: the table cannot be read or has too few weights.
    """
    from dataclasses import replace

    return replace(graph, popularity=matched(read_popularity(path), graph.model_names))
