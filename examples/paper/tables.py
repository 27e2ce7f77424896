"""What many topologies say together: a row for each panel, value and algorithm, as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trimcache.simulation.summary import Estimate, summarise

__all__ = ["read_table", "summary_table", "write_table"]

_COLUMNS = ("hit_ratio_fading", "attainable_fading", "hit_ratio", "attainable", "gap", "seconds")


def summary_table(rows: Iterable[Mapping[str, Any]], x: str) -> list[dict[str, Any]]:
    """Means over topologies with half of the 95 % interval, and the paired difference to the first algorithm (``gen``).

    Args:
        rows: of results, with the panel's title as ``panel``.

    Returns:
        One dict a (panel, value of x, algorithm): the columns of results, each also with the ending ``_half``; ``minus_gen`` and its
        half; n topologies, whose seeds are 0 to n - 1.
    """
    table = []
    for row in summarise(rows, ["panel", x], _COLUMNS):
        line: dict[str, Any] = {**row.point, "algorithm": row.algorithm}
        for column, value in row.values.items():
            line |= _pair(column, value)
        main = "hit_ratio_fading" if "hit_ratio_fading" in row.values else "hit_ratio"
        line |= _pair("minus_gen", row.differences.get(main))
        table.append(line | {"n": row.values[main].n})
    return table


def _pair(column: str, value: Estimate | None) -> dict[str, float | None]:
    if value is None:
        return {column: None, f"{column}_half": None}
    return {column: _rounded(value.mean), f"{column}_half": None if value.half_width is None else _rounded(value.half_width)}


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def write_table(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """CSV with a heading; no value is an empty cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_table(path: Path) -> list[dict[str, Any]]:
    """What ``write_table`` wrote: numbers as numbers, empty cells as None."""
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: _value(text) for name, text in row.items()} for row in csv.DictReader(file)]


def _value(text: str) -> Any:
    if text == "":
        return None
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() and "." not in text and "e" not in text else number
