"""What the paper claims, as differences between means: are their intervals apart, and does the paired difference leave 0 out?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from paper.experiments import AS_READ, GB, MB, ROOMY, SLOW, TIGHT
from trimcache.simulation.summary import Estimate, estimate

__all__ = ["STORED_POINTS", "Rows", "Trend", "stored_rows", "trends"]

Rows = Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]
"""(experiment, panel) -> rows of results."""

STORED_POINTS = (("special-capacity", SLOW, 250 * MB), ("general-capacity", SLOW, 250 * MB))
"""Experiment, panel and capacity of the points whose rows are kept topology by topology, to be run again."""


@dataclass(frozen=True)
class Trend:
    """A claim that one mean is above another.

    Attributes:
        claim: in words.
        where: figure and panel.
        low, high: the two means and what they are of.
        difference: high minus low on the same topologies.
    """

    claim: str
    where: str
    low_is: str
    high_is: str
    low: Estimate
    high: Estimate
    difference: Estimate

    @property
    def apart(self) -> bool:
        """The two 95 % intervals do not overlap, the high one above."""
        return self.high.mean - (self.high.half_width or 0.0) > self.low.mean + (self.low.half_width or 0.0)

    def markdown(self) -> str:
        """A row of the table in docs/paper.md."""
        cells = [f"{v.mean:.3f} ± {v.half_width or 0.0:.3f}" for v in (self.low, self.high, self.difference)]
        verdict = "apart" if self.apart else "paired" if self.holds else "no"
        return f"| {self.claim} | {self.where} | {self.low_is}: {cells[0]} | {self.high_is}: {cells[1]} | {cells[2]} | {verdict} |"

    @property
    def holds(self) -> bool:
        """The interval of the paired difference lies above 0."""
        return self.difference.mean - (self.difference.half_width or 0.0) > 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, three decimals."""
        line: dict[str, Any] = {"claim": self.claim, "where": self.where, "low_is": self.low_is, "high_is": self.high_is}
        for name in ("low", "high", "difference"):
            value: Estimate = getattr(self, name)
            line |= {name: round(value.mean, 3), f"{name}_half": round(value.half_width or 0.0, 3)}
        return line | {"n": self.difference.n, "intervals_apart": self.apart, "paired_difference_above_0": self.holds}


_ALGORITHMS = {"special": ("gen", "spec"), "general": ("gen",), "real": ("gen",)}


def trends(found: Rows) -> list[Trend]:
    """The claims that the rows say something about."""
    return [*_against_parameters(found), *_between_algorithms(found), *_gap_closes(found), *_time(found), *_mobility(found)]


def stored_rows(found: Rows) -> list[Mapping[str, Any]]:
    """All rows of the stored points, with their library."""
    return [
        {**row, "library": f"paper-{name.removesuffix('-capacity')}"}
        for name, panel, capacity in STORED_POINTS
        for row in found[name, panel]
        if row["capacity_bytes"] == capacity
    ]


def _trend(claim: str, where: str, low: tuple[str, Mapping[int, float]], high: tuple[str, Mapping[int, float]]) -> Trend:
    both = sorted(low[1].keys() & high[1].keys())
    return Trend(
        claim, where, low[0], high[0], estimate(low[1][s] for s in both), estimate(high[1][s] for s in both),
        estimate(high[1][s] - low[1][s] for s in both),
    )  # fmt: skip


def _by_seed(rows: Sequence[Mapping[str, Any]], algorithm: str, column: str = "hit_ratio_fading", **point: Any) -> dict[int, float]:
    chosen = (row for row in rows if row["algorithm"] == algorithm and all(row[name] == value for name, value in point.items()))
    return {row["seed"]: row[column] for row in chosen}


def _against_parameters(found: Rows) -> Iterator[Trend]:
    """Up with Q and M, down with K."""
    for short, algorithms in _ALGORITHMS.items():
        tight = TIGHT if short != "real" else TIGHT.replace("250", "200")
        capacities = (100 * MB, 250 * MB, 500 * MB, GB) if short != "real" else (50 * MB, 100 * MB, 200 * MB, 400 * MB)
        for axis, panel, x, values, words, up in (
            ("capacity", SLOW, "capacity_bytes", capacities, "hit ratio up with capacity", True),
            ("servers", tight, "n_servers", (6, 10, 14), "hit ratio up with servers", True),
            ("users", tight, "n_users", (10, 30, 50), "hit ratio down with users", False),
        ):
            rows = found.get((f"{short}-{axis}", panel), ())
            for algorithm in algorithms:
                for a, b in pairwise(values):
                    ends = [(f"{algorithm}, {_words(x, v)}", _by_seed(rows, algorithm, **{x: v})) for v in (a, b)]
                    if all(len(of) > 1 for _, of in ends):
                        low, high = ends if up else ends[::-1]
                        yield _trend(words, f"{short}-{axis}, {panel}", low, high)


def _between_algorithms(found: Rows) -> Iterator[Trend]:
    for short, pairs in {
        "special": (("gen", "spec"), ("independent", "gen"), ("independent", "spec"), ("gen", "auto"), ("spec", "auto")),
        "general": (("independent", "gen"), ("gen", "spec-tree"), ("gen", "auto")),
        "real": (("independent", "gen"), ("gen", "spec-tree"), ("gen", "auto")),
    }.items():
        rows = found.get((f"{short}-capacity", SLOW), ())
        capacities = {"special": (250 * MB, 500 * MB), "general": (250 * MB,), "real": (200 * MB,)}[short]
        for capacity in capacities:
            for low, high in pairs:
                ends = [
                    (f"{name}, {_words('capacity_bytes', capacity)}", _by_seed(rows, name, capacity_bytes=capacity)) for name in (low, high)
                ]
                if all(len(of) > 1 for _, of in ends):
                    yield _trend(f"{high} above {low}", f"{short}-capacity, {SLOW}", *ends)


def _gap_closes(found: Rows) -> Iterator[Trend]:
    """Gen over Independent: less of it at the largest capacity than at the smaller one."""
    for short, panel, small, large in (
        ("special", SLOW, 250 * MB, 1500 * MB), ("special", AS_READ, 150 * MB, 1500 * MB), ("general", SLOW, 250 * MB, 1500 * MB),
        ("real", SLOW, 200 * MB, 600 * MB),
    ):  # fmt: skip
        rows = found.get((f"{short}-capacity", panel), ())
        gaps = []
        for capacity in (large, small):
            of = [_by_seed(rows, name, capacity_bytes=capacity) for name in ("gen", "independent")]
            gap = {seed: of[0][seed] - of[1][seed] for seed in of[0].keys() & of[1].keys()}
            gaps.append((f"gen - independent, {_words('capacity_bytes', capacity)}", gap))
        if all(len(gap) > 1 for _, gap in gaps):
            yield _trend("gap closes with capacity", f"{short}-capacity, {panel}", *gaps)


def _time(found: Rows) -> Iterator[Trend]:
    """Logarithms of seconds: what is compared are factors."""
    of = {case: found.get(("time", f"{case} case"), ()) for case in ("special", "general")}
    for n_models in (20, 30):
        ends = [
            (f"log10 s of spec, {case}, {n_models} models", _log(_by_seed(rows, "spec", "seconds", n_models=n_models)))
            for case, rows in of.items()
        ]
        if all(len(found_) > 1 for _, found_ in ends):
            yield _trend("Spec slower where sharing is general", "time", *ends)
    for case, rows in of.items():
        ends = [(f"log10 s of {name}, {case}, 30 models", _log(_by_seed(rows, name, "seconds", n_models=30))) for name in ("gen", "spec")]
        if all(len(found_) > 1 for _, found_ in ends):
            yield _trend("Spec slower than Gen", "time", *ends)


def _log(seconds: Mapping[int, float]) -> dict[int, float]:
    return {seed: float(np.log10(value)) for seed, value in seconds.items()}


def _mobility(found: Rows) -> Iterator[Trend]:
    """How much is lost: the start above the mean over two hours. Whether it is little is for the reader."""
    for name in ("mobility-waypoint", "mobility-direction"):
        for panel in (ROOMY, TIGHT):
            rows = found.get((name, panel), ())
            for column, algorithm in (("hit_ratio", "gen"), ("attainable", "gen")):
                later: dict[int, list[float]] = {}
                for row in rows:
                    if row["algorithm"] == algorithm and row["time_s"] > 0:
                        later.setdefault(row["seed"], []).append(row[column])
                start = _by_seed(rows, algorithm, column, time_s=0.0)
                if len(start) > 1:
                    what = algorithm if column == "hit_ratio" else "attainable"
                    mean = {seed: float(np.mean(values)) for seed, values in later.items()}
                    yield _trend(
                        "lost while users move", f"{name}, {panel}", (f"{what}, over two hours", mean), (f"{what}, at time 0", start)
                    )


def _words(x: str, value: float) -> str:
    if x == "capacity_bytes":
        return f"{value / GB:g} GB" if value >= GB else f"{value / MB:g} MB"
    return f"{value} {x.removeprefix('n_')}"
