"""What many topologies say together: means with 95 % intervals, and the paired differences between algorithms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

__all__ = ["Estimate", "SummaryRow", "confidence_interval_95", "estimate", "grouped", "summarise"]


@dataclass(frozen=True)
class Estimate:
    """Mean over n topologies; the true mean lies within ``half_width`` of it with 95 % confidence (None: n = 1 tells nothing)."""

    mean: float
    half_width: float | None
    n: int


@dataclass(frozen=True)
class SummaryRow:
    """One algorithm at one point.

    Attributes:
        point: the swept parameters' values.
        values: column -> estimate.
        differences: column -> estimate of this algorithm minus the first one on the same topologies; empty for the first.
    """

    point: Mapping[str, Any]
    algorithm: str
    values: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, nested by column."""
        return {
            **self.point,
            "algorithm": self.algorithm,
            **{name: asdict(value) for name, value in self.values.items()},
            "difference_to_first": {name: asdict(value) for name, value in self.differences.items()},
        }


def estimate(values: Iterable[float]) -> Estimate:
    """Mean and the half width of its 95 % interval, by Student's t on independent values."""
    from scipy.special import stdtrit

    sample = np.asarray(list(values), dtype=np.float64)
    if sample.size < 2:
        return Estimate(float(sample.mean()), None, sample.size)
    half = float(stdtrit(sample.size - 1, 0.975)) * float(sample.std(ddof=1)) / float(np.sqrt(sample.size))
    return Estimate(float(sample.mean()), half, sample.size)


def confidence_interval_95(values: Iterable[float]) -> tuple[float, float]:
    """Mean and half the width of its 95 % interval (Student's t); half 0 for a single value."""
    found = estimate(values)
    return found.mean, found.half_width or 0.0


def summarise(
    rows: Iterable[Mapping[str, Any]],
    by: Sequence[str],
    columns: Sequence[str] = ("hit_ratio", "hit_ratio_fading", "attainable", "attainable_fading", "gap", "seconds"),
) -> list[SummaryRow]:
    """Summarise rows of results over their topologies (seeds).

    Args:
        rows: mappings with ``seed``, ``algorithm``, the swept parameters and the columns; columns that hold None are left out.
        by: the swept parameters. Points and algorithms keep their order; the first algorithm is the one that others are compared with.
    """
    groups = grouped(rows, by)
    first = next((algorithm for _, algorithm in groups), "")
    made = []
    for (point, algorithm), seeds in groups.items():
        reference = groups.get((point, first), {})
        values, differences = {}, {}
        for column in columns:
            mine = {seed: row[column] for seed, row in seeds.items() if row.get(column) is not None}
            if not mine:
                continue
            values[column] = estimate(mine.values())
            both = [value - reference[seed][column] for seed, value in mine.items() if seed in reference]
            if algorithm != first and both:
                differences[column] = estimate(both)
        made.append(SummaryRow(dict(zip(by, point, strict=True)), algorithm, values, differences))
    return made


def grouped(rows: Iterable[Mapping[str, Any]], by: Sequence[str]) -> dict[tuple[tuple[Any, ...], str], dict[int, Mapping[str, Any]]]:
    """(values of ``by``, algorithm) -> seed -> row, in order of first appearance."""
    groups: dict[tuple[tuple[Any, ...], str], dict[int, Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((tuple(row[name] for name in by), row["algorithm"]), {})[row["seed"]] = row
    return groups
