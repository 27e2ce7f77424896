"""``trimcache replay``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trimcache.cli.options import PATH
from trimcache.cli.output import note_line, print_json, print_table, warning_line
from trimcache.errors import UsageError
from trimcache.sizes import format_size, parse_size

if TYPE_CHECKING:
    from trimcache.placement.online import OnlineResult
    from trimcache.simulation.replay import Replay
    from trimcache.simulation.traces import Trace

_POLICIES = "lru,gdsf,lfu,replace,lru-unshared,gdsf-unshared,lfu-unshared,replace-unshared"


@click.command
@click.argument("catalog", type=PATH)
@click.option("--trace", type=PATH, metavar="FILE", help="Requests, CSV or Parquet with columns time, site, model.")
@click.option("--requests", type=click.IntRange(min=1), metavar="N", help="Draw so many requests instead.")
@click.option("--zipf", type=float, help="With --requests: exponent of the popularity; 0.8 if not given.")
@click.option("--sites", type=click.IntRange(min=1), metavar="M", help="With --requests: edge servers; 1 if not given.")
@click.option(
    "--swap-every",
    type=click.IntRange(min=0),
    metavar="N",
    help="With --requests: popularity drifts after every N; 0, never, if not given.",
)
@click.option("--swap-share", type=float, metavar="SHARE", help="With --swap-every: ranks that exchange their models; 0.02 if not given.")
@click.option(
    "--burst-every", type=click.IntRange(min=0), metavar="N", help="With --requests: after every N one model is asked for far more."
)
@click.option("--burst-requests", type=click.IntRange(min=0), metavar="N", help="With --burst-every: how many requests a burst lasts.")
@click.option("--seed", type=click.IntRange(min=0), metavar="S", help="With --requests: same seed, same trace; 0 if not given.")
@click.option("--save-trace", type=PATH, metavar="FILE", help="Write the requests replayed here, .parquet or .csv.")
@click.option(
    "--capacity", metavar="SIZE[,SIZE]", default="1GB", show_default=True, help="Of the cache of each site; several are compared."
)
@click.option(
    "--policies",
    "-p",
    metavar="NAME[,NAME]",
    default=_POLICIES,
    help=f"The others are compared with the first; all if not given: {_POLICIES}.",
)
@click.option(
    "--set", "assignments", multiple=True, metavar="NAME=VALUE", help="An option of the policies, such as half_life_requests=10000."
)
@click.option("--warm-up", type=float, default=0.2, show_default=True, metavar="SHARE", help="First requests that count in no total.")
@click.option("--skip-unknown", is_flag=True, help="Leave out requests for models that the catalog does not have.")
@click.option("--output", "-o", type=PATH, metavar="RESULTS", help="A row each policy, capacity and site: .parquet or .csv.")
@click.option(
    "--plot", type=PATH, metavar="FILE", help="Draw the hit ratio over time, or against capacity if there are several: .png or .svg."
)
@click.option("--json", "as_json", is_flag=True, help="The totals as JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="No talk on stderr but warnings.")
def replay(
    catalog: Path,
    trace: Path | None,
    requests: int | None,
    save_trace: Path | None,
    capacity: str,
    policies: str,
    assignments: tuple[str, ...],
    warm_up: float,
    skip_unknown: bool,
    output: Path | None,
    plot: Path | None,
    as_json: bool,
    quiet: bool,
    **drawing: Any,
) -> int:
    """Replay requests against a cache at each site, policy by policy: what an edge server gains that knows no future."""
    import numpy as np

    from trimcache.catalog.reader import open_catalog
    from trimcache.placement.online.simulate import needs_compilation
    from trimcache.report.style import check_ending
    from trimcache.simulation.replay import for_models
    from trimcache.simulation.replay import replay as run
    from trimcache.simulation.results import check_results_path, write_results

    for path, check in ((output, check_results_path), (save_trace, check_results_path), (plot, check_ending)):
        if path is not None:
            check(path)
    names = [name.strip() for name in policies.split(",") if name.strip()]
    capacities = [parse_size(text) for text in capacity.split(",") if text.strip()]
    if not capacities:
        raise UsageError("--capacity", "names none", "write for example --capacity 500MB,1GB")
    options = dict(map(_option, assignments))
    opened = open_catalog(catalog)
    graph = opened.graph()
    asked = _trace(trace, requests, drawing, graph.model_names)
    asked, left_out = for_models(asked, graph, known=[model.name for model in opened.models], skip_unknown=skip_unknown)
    if left_out:
        most = max(left_out, key=lambda name: left_out[name])
        gone = f"{_count(len(left_out), 'model')} asked for cannot be served, such as {most}"
        warning_line(f"{_count(sum(left_out.values()), 'request')} left out: {gone}")
    if save_trace is not None:
        asked.save(save_trace)
    if needs_compilation(names):
        note_line("compiling the policies, once after installation (some seconds)", quiet=quiet)
    done = run(graph, asked, names, capacities, warm_up=warm_up, options=options)
    if output is not None:
        write_results(done.by_site(), output)
    if plot is not None:
        _draw(done, capacities, plot, f"{catalog.name}: {asked.n_requests} requests")
    totals = done.totals()
    if as_json:
        print_json({
            "requests": asked.n_requests,
            "warm_up_requests": done.warm_up_requests,
            "left_out_requests": sum(left_out.values()),
            "sites": np.unique(asked.site).size,
            "models": np.unique(asked.model).size,
            "results": [result.to_dict() for result in totals],
        })  # fmt: skip
        return 0
    _print(totals, asked, done.warm_up_requests, len(names), several=len(capacities) > 1)
    for written, what in ((save_trace, "trace"), (output, "results"), (plot, "figure")):
        if written is not None:
            note_line(f"{what} written to {written}", quiet=quiet)
    return 0


def _trace(file: Path | None, requests: int | None, drawing: dict[str, Any], models: Sequence[str]) -> Trace:
    from trimcache.simulation.traces import SWAP_SHARE, Trace, generate_trace, swapped_ranks

    if (file is None) == (requests is None):
        raise UsageError("replay", "needs either --trace FILE or --requests N", "see trimcache replay --help")
    given = {name: value for name, value in drawing.items() if value is not None}
    if file is not None:
        for name in given:
            raise UsageError(
                f"--{name.replace('_', '-')}", "is about requests that are drawn", "leave it out, or give --requests instead of --trace"
            )
        return Trace.from_file(file)
    assert requests is not None
    if given.get("swap_every") and not swapped_ranks(len(models), given.get("swap_share", SWAP_SHARE)):
        warning_line(
            f"--swap-share: less than two of {len(models)} models exchange ranks, so popularity does not drift; give a larger share"
        )
    if "swap_share" in given and not given.get("swap_every"):
        raise UsageError("--swap-share", "says how far popularity drifts, not when", "give --swap-every N too")
    if bool(given.get("burst_every")) != bool(given.get("burst_requests")):
        raise UsageError("--burst-every", "and --burst-requests make bursts together", "give both")
    return generate_trace(models, requests, **given)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _option(text: str) -> tuple[str, float]:
    name, equals, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        equals = ""
    if not equals:
        raise UsageError(f"--set {text!r}", "is not NAME=NUMBER", "write for example --set half_life_requests=10000")
    return name.strip(), int(number) if number.is_integer() else number


def _print(totals: Sequence[OnlineResult], trace: Trace, warm_up: int, n_policies: int, *, several: bool) -> None:
    import numpy as np

    sites, models = np.unique(trace.site).size, np.unique(trace.model).size
    counted = f", the first {warm_up} not counted" if warm_up else ""
    print(f"{_count(trace.n_requests, 'request')} for {_count(models, 'model')} at {_count(sites, 'site')}{counted}")
    rows = []
    for n, result in enumerate(totals):
        first = totals[n - n % n_policies]
        rows.append([
            *([format_size(result.capacity_bytes)] if several else []),
            result.policy,
            f"{result.hit_ratio:.4f}",
            f"{result.hits / first.hits:.2f}" if first.hits else "",
            f"{result.byte_hit_ratio:.4f}",
            format_size(result.written_bytes),
            f"{100 * result.written_bytes / first.written_bytes:.2f} %" if first.written_bytes else "",
        ])  # fmt: skip
    base = totals[0].policy
    columns = [
        *(["capacity"] if several else []),
        "policy",
        "hit ratio",
        f"hits / {base}",
        "byte hit ratio",
        "written",
        f"written / {base}",
    ]
    print_table("", columns, rows, text_columns=len(columns) - 5)


def _draw(done: Replay, capacities: Sequence[int], plot: Path, title: str) -> None:
    from trimcache.report.figures import curves

    over_time = len(capacities) == 1
    rows = done.over_time() if over_time else [result.to_dict() for result in done.totals()]
    curves(
        [{**row, "algorithm": row["policy"], "seed": 0} for row in rows],
        plot,
        "request" if over_time else "capacity_bytes",
        "hit_ratio",
        title=title,
        note="in windows of a twentieth of the requests" if over_time else "after the warm-up",
    )
