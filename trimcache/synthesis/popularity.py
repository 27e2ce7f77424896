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
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trimcache.errors import UsageError
from trimcache.synthesis.architectures import nearest

if TYPE_CHECKING:
    from trimcache.graph import ModelBlockGraph

Floats = NDArray[np.float64]
_WEIGHTS = ("weight", "popularity")
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
    """Model name to weight, from CSV or Parquet with columns ``model`` and ``weight`` (or ``popularity``), or a JSON object.

    Raises:
        UsageError: it cannot be read, holds something else, names a model twice, or has no weight above 0.
    """
    import pyarrow as pa

    subject = f"popularity {path}"
    try:
        pairs = _pairs(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
        raise UsageError(
            subject, f"cannot be read ({str(error).splitlines()[0][:120]})",
            "give CSV or Parquet with columns model and weight, or a JSON object",
        ) from error  # fmt: skip
    rows: dict[str, float] = {}
    for name, weight in pairs:
        if not (math.isfinite(weight) and weight >= 0):
            raise UsageError(subject, f"{name!r} has the weight {weight}", "weights are numbers from 0 up")
        if name in rows:
            raise UsageError(subject, f"names {name!r} twice", "give each model one weight")
        rows[name] = weight
    if not any(rows.values()):
        raise UsageError(subject, "gives no model a weight", "name at least one")
    return rows


def _pairs(path: Path) -> list[tuple[str, float]]:
    if path.suffix == ".json":
        document: Any = json.loads(path.read_text(encoding="utf-8"))
        return [(str(name), _number(weight)) for name, weight in document.items()]
    if path.suffix in (".parquet", ".pq"):
        import pyarrow.parquet as pq

        table = pq.ParquetFile(path).read()
    else:
        import pyarrow as pa
        from pyarrow import csv

        # A name may look like a number, and is a name still.
        table = csv.read_csv(path, convert_options=csv.ConvertOptions(column_types={"model": pa.string()}))
    weights = next((name for name in _WEIGHTS if name in table.column_names), None)
    if weights is None or "model" not in table.column_names:
        raise ValueError(f"its columns are {', '.join(table.column_names)}")
    return [(str(name), _number(weight)) for name, weight in zip(table["model"].to_pylist(), table[weights].to_pylist(), strict=True)]


def _number(weight: Any) -> float:
    return math.nan if weight is None else float(weight)


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


def with_popularity(graph: ModelBlockGraph, path: Path, *, known: Collection[str] = ()) -> ModelBlockGraph:
    """The graph of any catalog, scanned or generated, with the popularity that a table gives its models.

    A model that the table does not name has popularity 0: nobody asks for it.

    Args:
        known: further names that the table may hold, such as adapters that the graph leaves out for want of their base.

    Raises:
        UsageError: the table cannot be read, names a model that there is not, or none of the graph.
    """
    from dataclasses import replace

    weights = read_popularity(path)
    names = {*graph.model_names, *known}
    unknown = [name for name in weights if name not in names]
    if unknown:
        close = get_close_matches(unknown[0], names, n=3, cutoff=0.4)
        more = f" and {len(unknown) - 1} more names" if len(unknown) > 1 else ""
        hint = f"did you mean {', '.join(close)}?" if close else "give names as stats lists them"
        raise UsageError(f"popularity {path}", f"names {unknown[0]!r}{more}, and there is no such model", hint)
    popularity = np.array([weights.get(name, 0.0) for name in graph.model_names])
    if not popularity.any():
        raise UsageError(f"popularity {path}", "gives no model of the plan a weight", "name at least one that is complete")
    return replace(graph, popularity=popularity)
