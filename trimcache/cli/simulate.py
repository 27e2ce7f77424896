"""``trimcache simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trimcache.cli import over_time
from trimcache.cli.counting import CountProgress
from trimcache.cli.options import PATH
from trimcache.cli.output import note_line, print_json, print_table, warning_line
from trimcache.errors import UsageError
from trimcache.sizes import format_size

if TYPE_CHECKING:
    from trimcache.simulation.setting import Setting
    from trimcache.simulation.summary import Estimate, SummaryRow


@click.command
@click.argument("catalog", type=PATH)
@click.option("--output", "-o", type=PATH, metavar="RESULTS", help="Table of results, .parquet or .csv; finished topologies lie beside it.")
@click.option(
    "--sweep",
    multiple=True,
    metavar="NAME=V,V",
    help="Vary a parameter: capacity=0.5GB,1GB, servers=6,8,10, zipf=0.5,0.8, backhaul=1Gbit/s,10Gbit/s; of several every combination.",
)
@click.option("--zip", "together", is_flag=True, help="Vary several together: first values, second values, ...")
@click.option(
    "--algorithms",
    "-a",
    default="auto,gen,independent",
    metavar="NAME[,NAME]",
    help="All see the same topologies; the others are compared with the first.",
)
@click.option("--topologies", type=click.IntRange(min=1), default=100, metavar="N", help="Random topologies of each point.")
@click.option(
    "--realisations",
    type=click.IntRange(min=0),
    default=1000,
    metavar="N",
    help="Fading realisations of each topology; 0: expected rates only.",
)
@click.option("--preset", default="paper", metavar="NAME", help="Edge network: paper, download (deadlines that grow with size), ...")
@click.option("--network", type=PATH, metavar="FILE", help="Your own edge network (TOML) instead of a preset.")
@click.option("--models", type=click.IntRange(min=1), metavar="N", help="Drawn from the catalog anew for each topology; all if not given.")
@click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE", help="Fix any other parameter, by the names of --sweep.")
@click.option("--time-limit", type=float, metavar="SECONDS", help="Of each placement; results then depend on the machine.")
@over_time.options
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Processes; one a core if not given.")
@click.option("--seed", type=click.IntRange(min=0), default=0, metavar="S", help="Of the first topology; the others follow.")
@click.option("--plot", type=PATH, metavar="FILE", help="Draw it: .png or .svg.")
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="No talk on stderr but warnings.")
def simulate(
    catalog: Path,
    output: Path | None,
    sweep: tuple[str, ...],
    together: bool,
    algorithms: str,
    topologies: int,
    realisations: int,
    preset: str,
    network: Path | None,
    models: int | None,
    assignments: tuple[str, ...],
    time_limit: float | None,
    workers: int | None,
    seed: int,
    plot: Path | None,
    as_json: bool,
    quiet: bool,
    **moving: Any,
) -> int:
    """Place a CATALOG on many random edge networks, evaluate under fading, and compare algorithms."""
    from trimcache.catalog.reader import open_catalog
    from trimcache.placement import needs_compilation
    from trimcache.report.style import check_ending
    from trimcache.simulation import topology
    from trimcache.simulation.parameters import sweep_settings, with_assignments
    from trimcache.simulation.results import check_results_path
    from trimcache.simulation.runner import available_cores, run
    from trimcache.simulation.setting import Setting
    from trimcache.simulation.summary import summarise

    for path, check in ((output, check_results_path), (plot, check_ending)):
        if path is not None:
            check(path)
    names = tuple(name.strip() for name in algorithms.split(",") if name.strip())
    base = Setting(
        preset=preset,
        network=None if network is None else str(network),
        n_models=models,
        capacity_bytes=None if network is not None else Setting.capacity_bytes,
        algorithms=names,
        time_limit_s=time_limit,
        n_realisations=realisations,
    )
    swept, settings = sweep_settings(with_assignments(base, assignments), sweep, together=together)
    moves = over_time.rows_function(moving, swept, plot)
    opened = open_catalog(catalog)
    for model in opened.models:
        if model.missing is not None:
            warning_line(f"{model.name}: {model.missing}; it is left out")
    graph = opened.graph()
    if needs_compilation(names):
        note_line("compiling the placement kernels, once after installation (some seconds)", quiet=quiet)
    with CountProgress("simulating", "topologies", quiet=quiet) as progress:
        seeds = range(seed, seed + topologies)
        of_one = moves or topology.rows
        rows = run(settings, seeds, graph, of_one, workers=workers or available_cores(), results=output, progress=progress.at)
    if moves is not None:
        title = f"{catalog.name}: {_what(settings[0])}"
        over_time.present(rows, swept, names, _cell, output=output, plot=plot, title=title, as_json=as_json, quiet=quiet)
        return 0
    summary = summarise(rows, swept)
    if plot is not None:
        _draw(rows, swept[:1] if together else swept, plot, f"{catalog.name}: {_what(settings[0])}")
    if as_json:
        print_json({
            "results": None if output is None else str(output),
            "rows": len(rows),
            "topologies": topologies,
            "realisations": realisations,
            "seed": seed,
            "swept": swept,
            "algorithms": list(names),
            "summary": [row.to_dict() for row in summary],
        })  # fmt: skip
        return 0
    _print_summary(summary, swept, names[0], topologies, realisations)
    for written, what in ((output, "results"), (plot, "figure")):
        if written is not None:
            note_line(f"{what} written to {written}", quiet=quiet)
    return 0


def _print_summary(summary: list[SummaryRow], swept: list[str], first: str, topologies: int, realisations: int) -> None:
    value, ceiling = ("hit_ratio_fading", "attainable_fading") if realisations else ("hit_ratio", "attainable")
    fading = ["under fading"] if realisations else []
    table = []
    for row in summary:
        table.append([
            *(_cell(name, row.point[name]) for name in swept),
            row.algorithm,
            *([f"{row.values['hit_ratio'].mean:.4f}"] if realisations else []),
            _interval(row.values[value]),
            _interval(row.differences[value], sign="+") if value in row.differences else "",
            f"{row.values[ceiling].mean:.4f}",
            f"{row.values['seconds'].mean:.3f} s",
        ])  # fmt: skip
    under = f"; {realisations} fading realisations each" if realisations else ""
    print(f"mean of {topologies} topologies +- half of the 95 % interval{under}")
    columns = [*swept, "algorithm", "hit ratio", *fading, f"minus {first}", "attainable", "time"]
    print_table("", columns, table, text_columns=len(swept) + 1)


def _interval(value: Estimate, sign: str = "") -> str:
    mean = f"{round(value.mean, 4) + 0.0:{sign}.4f}"  # + 0.0: no -0.0000
    return mean if value.half_width is None else f"{mean} +- {value.half_width:.4f}"


def _cell(name: str, value: Any) -> str:
    from trimcache.report.style import short_value

    if name.endswith("_bytes") and isinstance(value, int):
        return format_size(value)
    return f"{value:g}" if isinstance(value, float) else short_value(value)


def _draw(rows: list[dict[str, Any]], swept: list[str], plot: Path, title: str) -> None:
    from trimcache.report.figures import curves

    if len(swept) > 2:
        problem = f"cannot draw {len(swept)} swept parameters in one figure"
        raise UsageError("--plot", problem, "sweep one or two, or draw from the results with trimcache.report.figures.curves")
    curves(rows, plot, *swept[:1], panels=swept[1] if len(swept) == 2 else None, title=title)


def _what(setting: Setting) -> str:
    return f"network {setting.network}" if setting.network is not None else f"preset {setting.preset}"
