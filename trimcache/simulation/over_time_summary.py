"""What runs over time say in one line each: the mean over the slots, the begin, the end, and what was moved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trimcache.simulation.summary import Estimate, summarise

__all__ = ["OverTimeSummary", "summarise_over_time"]

_COLUMNS = ("hit_ratio_start", "hit_ratio", "hit_ratio_end", "attainable", "moved_bytes")


@dataclass(frozen=True)
class OverTimeSummary:
    """One algorithm under one policy at one point.

    Attributes:
        point: the swept parameters' values.
        values: hit_ratio and attainable, means over the slots with users; hit_ratio_start and hit_ratio_end, the first and
            last of these; moved_bytes over the whole time.
        differences: the same columns, this policy minus the first one (``"keep"``) of the same algorithm on the same
            topologies; empty for the first.
    """

    point: Mapping[str, Any]
    algorithm: str
    policy: str
    values: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, nested by column."""
        return {
            **self.point,
            "algorithm": self.algorithm,
            "policy": self.policy,
            **{name: asdict(value) for name, value in self.values.items()},
            "difference_to_first_policy": {name: asdict(value) for name, value in self.differences.items()},
        }


def summarise_over_time(rows: Iterable[Mapping[str, Any]], by: Sequence[str]) -> list[OverTimeSummary]:
    """Summarise rows of ``rows_over_time`` over slots, then over topologies.

    Args:
        by: the swept parameters.
    """
    runs: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["users"]:
            runs.setdefault((*(row[name] for name in by), row["algorithm"], row["policy"], row["seed"]), []).append(row)
    made = []
    for (*point, algorithm, policy, seed), slots in runs.items():
        ratios = [row["hit_ratio"] for row in slots]
        made.append({
            **dict(zip(by, point, strict=True)),
            "placed_by": algorithm,
            "algorithm": policy,  # so that policies are what is compared
            "seed": seed,
            "hit_ratio_start": ratios[0],
            "hit_ratio": float(np.mean(ratios)),
            "hit_ratio_end": ratios[-1],
            "attainable": float(np.mean([row["attainable"] for row in slots])),
            "moved_bytes": slots[-1]["moved_bytes"],
        })  # fmt: skip
    return [
        OverTimeSummary({name: row.point[name] for name in by}, row.point["placed_by"], row.algorithm, row.values, row.differences)
        for row in summarise(made, [*by, "placed_by"], _COLUMNS)
    ]
