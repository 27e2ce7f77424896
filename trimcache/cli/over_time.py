"""``trimcache simulate --mobility``: its options, and what it prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from trimcache.cli.output import note_line, print_json, print_table
from trimcache.errors import UsageError
from trimcache.sizes import format_size

if TYPE_CHECKING:
    from trimcache.simulation._workers import Rows
    from trimcache.simulation.over_time_summary import OverTimeSummary
    from trimcache.simulation.summary import Estimate

__all__ = ["OPTION_NAMES", "options", "present", "rows_function"]

_Command = TypeVar("_Command", bound=Callable[..., Any])
_OPTIONS = (
    click.option("--mobility", metavar="MODEL|FILE", help="Users move: random-waypoint, random-direction, or floating-car data of SUMO."),
    click.option("--duration", metavar="TIME", help="With --mobility: how long; 2h if not given."),
    click.option("--slot", metavar="TIME", help="With --mobility: hit ratios are taken this often; 5s if not given."),
    click.option("--replace-every", metavar="TIME", help="With --mobility: also place again this often, anew and by re-planning."),
    click.option(
        "--replan-cost", type=float, metavar="RATIO", help="Hit ratio that moving 1 GB earns when re-planning; 0.01 if not given."
    ),
    click.option("--record-every", metavar="TIME", help="With --mobility: a row of results is the mean over this long; 1min if not given."),
)
OPTION_NAMES = ("mobility", "duration", "slot", "replace_every", "replan_cost", "record_every")
"""Keyword arguments that ``options`` adds to a command."""


def options(command: _Command) -> _Command:
    """The options of mobility, for a click command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def rows_function(given: Mapping[str, Any], swept: Sequence[str], plot: Path | None) -> Rows | None:
    """What the runner is to compute for the values of ``OPTION_NAMES``; None: nobody moves.

    Raises:
        UsageError: an option of mobility without it, a value that is no span of time, or a figure of several settings.
        NetworkError: a file of floating-car data that cannot be read.
    """
    from trimcache.durations import parse_duration
    from trimcache.network.mobility import mobility
    from trimcache.simulation.over_time import Timeline, rows_over_time

    if given["mobility"] is None:
        for name in OPTION_NAMES:
            if given[name] is not None:
                raise UsageError(f"--{name.replace('_', '-')}", "is about users that move", "give --mobility random-waypoint, or another")
        return None
    if plot is not None and swept:
        raise UsageError("--plot", "with --mobility draws one setting over time", "leave out --sweep, or draw the results yourself")
    if given["replan_cost"] is not None and given["replace_every"] is None:
        raise UsageError("--replan-cost", "weighs the bytes of re-placements", "give --replace-every, for example 10min")
    usual = Timeline()
    slot_s = usual.slot_s if given["slot"] is None else parse_duration(given["slot"])
    timeline = Timeline(
        duration_s=usual.duration_s if given["duration"] is None else parse_duration(given["duration"]),
        slot_s=slot_s,
        replace_every_s=None if given["replace_every"] is None else parse_duration(given["replace_every"]),
        switch_cost=usual.switch_cost if given["replan_cost"] is None else given["replan_cost"],
        record_every_s=max(60.0, slot_s) if given["record_every"] is None else parse_duration(given["record_every"]),
    )
    return partial(rows_over_time, mobility=mobility(given["mobility"]), timeline=timeline)


def present(
    rows: Sequence[Mapping[str, Any]],
    swept: Sequence[str],
    algorithms: Sequence[str],
    cell: Callable[[str, Any], str],
    *,
    output: Path | None,
    plot: Path | None,
    title: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Draw and print what was simulated; ``cell`` writes a swept value."""
    from trimcache.simulation.over_time_summary import summarise_over_time

    summary = summarise_over_time(rows, swept)
    if plot is not None:
        from trimcache.report.over_time_figure import over_time

        over_time(rows, plot, title)
    seeds = sorted({row["seed"] for row in rows})
    if as_json:
        print_json({
            "results": None if output is None else str(output),
            "rows": len(rows),
            "topologies": len(seeds),
            "realisations": 0,
            "seed": seeds[0],
            "swept": list(swept),
            "algorithms": list(algorithms),
            "summary": [row.to_dict() for row in summary],
        })  # fmt: skip
        return
    _print_summary(summary, swept, len(seeds), cell)
    for written, what in ((output, "results"), (plot, "figure")):
        if written is not None:
            note_line(f"{what} written to {written}", quiet=quiet)


def _print_summary(summary: Sequence[OverTimeSummary], swept: Sequence[str], topologies: int, cell: Callable[[str, Any], str]) -> None:
    table = []
    for row in summary:
        difference = row.differences.get("hit_ratio")
        table.append([
            *(cell(name, row.point[name]) for name in swept),
            row.algorithm,
            row.policy,
            _interval(row.values["hit_ratio"]),
            "" if difference is None else _interval(difference, "+"),
            f"{row.values['hit_ratio_start'].mean:.4f}",
            f"{row.values['hit_ratio_end'].mean:.4f}",
            f"{row.values['attainable'].mean:.4f}",
            format_size(round(row.values["moved_bytes"].mean)),
        ])  # fmt: skip
    print(f"mean of {topologies} topologies +- half of the 95 % interval, on expected rates")
    columns = [*swept, "algorithm", "policy", "hit ratio over time", "difference to keep", "at first", "at last", "attainable", "moved"]
    print_table("", columns, table, text_columns=len(swept) + 2)


def _interval(value: Estimate, sign: str = "") -> str:
    mean = f"{value.mean:{sign}.4f}"
    return mean if value.half_width is None else f"{mean} +- {value.half_width:.4f}"
