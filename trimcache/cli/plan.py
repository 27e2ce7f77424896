"""``trimcache plan``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trimcache.cli.improving import PlanProgress
from trimcache.cli.options import PATH
from trimcache.cli.output import note_line, print_json, print_table, warning_line
from trimcache.errors import UsageError
from trimcache.sizes import format_size, parse_size

if TYPE_CHECKING:
    from trimcache.graph import ModelBlockGraph
    from trimcache.network import EdgeNetwork
    from trimcache.placement import Placement, PlacementProblem
    from trimcache.plan import Plan, PlanDiff

_DEFAULT_CAPACITY = "1GB"  # Q of the paper's setting (our assumption, like every number of the preset)


@click.command
@click.argument("catalog", type=PATH)
@click.option("--output", "-o", type=PATH, metavar="PLAN", help="Write the plan here (JSON).")
@click.option(
    "--algorithm",
    "-a",
    default="auto",
    metavar="NAME[,NAME]",
    help="auto, or several to compare: gen, gen-ratio, spec, spec-tree, independent, resolve, search, random, mip, exhaustive.",
)
@click.option(
    "--time-limit",
    type=float,
    metavar="SECONDS",
    help="For improving, each algorithm; if not given, about a second (some on a large network), the same on any machine.",
)
@click.option("--gap", type=float, default=0.0, metavar="SHARE", help="Stop when proven this near to the best; 0 is optimal.")
@click.option("--pin", multiple=True, metavar="SERVER=MODEL", help="Hold it in any case; * is every server.")
@click.option("--forbid", multiple=True, metavar="SERVER=MODEL", help="Never hold it there.")
@click.option("--lift", is_flag=True, help="With --from: what that plan pinned and forbade holds no longer.")
@click.option(
    "--target-hit-ratio",
    "target",
    type=float,
    metavar="RATIO",
    help="Find the least capacity, the same on every server, that reaches it.",
)
@click.option("--preset", help="Edge network: paper, paper-small, download (deadlines that grow with size), or urban (3GPP UMi).")
@click.option("--network", type=PATH, metavar="FILE", help="Your own edge network (TOML, see docs/networks.md) instead of a preset.")
@click.option("--servers", type=int, metavar="M", help="Edge servers of the preset; 10 in most if not given.")
@click.option("--users", type=int, metavar="K", help="Users of the preset; 30 in most if not given.")
@click.option("--capacity", metavar="SIZE", help="Of every server, like 500MB or 1GiB; if not given, what the network file says, else 1GB.")
@click.option("--zipf", type=float, help="Exponent of the demand, ranked anew for each user; 0.8 if not given.")
@click.option(
    "--popularity",
    type=PATH,
    metavar="FILE",
    help="How often each model is asked for, instead of --zipf: CSV or Parquet with columns model, weight. Models not in it: never.",
)
@click.option(
    "--demand",
    "demand_file",
    type=PATH,
    metavar="FILE",
    help="Who asks for what, instead of --zipf: CSV or Parquet with columns user (or site, a server), model, weight.",
)
@click.option("--seed", type=int, help="Of positions, deadlines and demand; 0 if not given.")
@click.option(
    "--from",
    "old",
    type=PATH,
    metavar="OLD",
    help="A plan to go on from: its network and capacity are the defaults, what it pinned and forbade goes on to hold, and what "
    "each server adds and drops is shown.",
)
@click.option("--switch-cost", type=float, metavar="RATIO", help="With --from: hit ratio that fetching 1 GB has to earn.")
@click.option("--json", "as_json", is_flag=True, help="The plan without its block table, as JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="No talk on stderr but warnings.")
def plan(
    catalog: Path,
    output: Path | None,
    algorithm: str,
    time_limit: float | None,
    gap: float,
    pin: tuple[str, ...],
    forbid: tuple[str, ...],
    lift: bool,
    target: float | None,
    preset: str | None,
    network: Path | None,
    servers: int | None,
    users: int | None,
    capacity: str | None,
    zipf: float | None,
    popularity: Path | None,
    demand_file: Path | None,
    seed: int | None,
    old: Path | None,
    switch_cost: float | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Choose which models every edge server of a network holds, so that most requests are served in time."""
    from trimcache.catalog.reader import open_catalog
    from trimcache.network.demand_table import demand_from_table
    from trimcache.network.diagnosis import binding_limit, empty_placement_reason, unconnected
    from trimcache.placement import compile_kernels, needs_compilation, place
    from trimcache.placement.named_pairs import named_pairs
    from trimcache.plan import carried_over, diff, make_plan, read_plan, write_plan
    from trimcache.synthesis.popularity import with_popularity

    names = [name.strip() for name in algorithm.split(",") if name.strip()]
    if not names:
        raise UsageError("--algorithm", "names none", "write for example --algorithm gen,independent")
    if switch_cost is not None and old is None:
        raise UsageError("--switch-cost", "weighs bytes moved from an old plan", "give that plan with --from OLD")
    if lift and old is None:
        raise UsageError("--lift", "lifts what an old plan pinned and forbade", "give that plan with --from OLD")
    if target is not None and (capacity is not None or switch_cost is not None):
        raise UsageError("--target-hit-ratio", "looks for the capacity itself", "leave out --capacity and --switch-cost")
    if popularity is not None and zipf is not None:
        raise UsageError("--popularity", "says how often each model is asked for", "leave out --zipf")
    if demand_file is not None and (popularity is not None or zipf is not None):
        raise UsageError("--demand", "says who asks for what", "leave out --zipf and --popularity")
    demand_said = demand_file is not None or popularity is not None or zipf is not None
    before = read_plan(old) if old else None
    if before is not None and before.document.demand.get("ranking") == "table" and not demand_said:
        raise UsageError(str(old), "was made for a demand table of its own", "give that table again with --demand, or --zipf")
    if before is not None and before.document.demand.get("ranking") == "weights" and not demand_said:
        raise UsageError(str(old), "was made for a popularity of its own", "give that table again with --popularity, or --zipf")
    opened = open_catalog(catalog)
    for model in opened.models:
        if model.missing is not None:
            warning_line(f"{model.name}: {model.missing}; it is left out of the plan")
    graph = opened.graph()
    edge = _network(preset, network, servers, users, seed, before)
    exponent = zipf if zipf is not None else _remembered(before, "zipf", 0.8)
    demand: dict[str, Any] = {"zipf": exponent, "ranking": "user"}
    if popularity is not None:
        graph = with_popularity(graph, popularity, known=[model.name for model in opened.models])
        demand = {"popularity": popularity.name, "ranking": "weights"}
        _note_unnamed(graph, quiet=quiet)
    requests = demand_from_table(demand_file, edge, graph) if demand_file is not None else None
    if demand_file is not None:
        demand = {"table": demand_file.name, "ranking": "table"}
    demand_seed = seed if seed is not None else (before.document.seed if before else 0)
    needed = [*names, *(["auto"] if target is not None or switch_cost is not None else [])]
    if needs_compilation(needed):
        note_line("compiling the placement kernels, once after installation (some seconds)", quiet=quiet)
    compile_kernels(needed)  # or load them, so that the times below are those of the algorithms
    capacities = _capacities(capacity, before if network is None else None, edge)
    problem = edge.problem(graph, capacities, exponent, demand_seed, ranking=demand["ranking"], demand=requests)
    names_of = (edge.server_names, graph.model_names)
    pinned, forbidden = named_pairs(pin, *names_of, "--pin"), named_pairs(forbid, *names_of, "--forbid")
    if before is not None and not lift:
        kept = carried_over(before, *names_of)
        pinned += kept.pinned
        forbidden += kept.forbidden
        for server, name in kept.lost:
            warning_line(f"{old}: pins {name} on {server}; there is no such model or server any more, so that pin is left out")
        if kept.pinned or kept.forbidden:
            counts = f"pins ({len(kept.pinned)}) and forbidden pairs ({len(kept.forbidden)})"
            note_line(f"{counts} of {old} go on to hold; --lift ends that", quiet=quiet)
    if pinned or forbidden:
        problem = problem.changed(pinned=pinned, forbidden=forbidden)
    extra: dict[str, Any] = {}
    with PlanProgress(quiet=quiet) as progress:
        if target is not None:
            placements = [_for_target(problem, target, demand_seed, time_limit, progress, extra)]
            problem = placements[0].problem
        elif switch_cost is not None and before is not None:
            placements = [_replanned(problem, before, edge, switch_cost, demand_seed, time_limit, extra)]
        else:
            placements = [place(problem, name, demand_seed, time_limit, gap=gap, progress=progress.improved) for name in names]
    made = make_plan(placements, edge, demand=demand, seed=demand_seed)
    if output is not None:
        write_plan(made, output)

    for line in unconnected(edge) if network is not None else ():
        warning_line(line)
    limit = binding_limit(problem, edge)
    if limit is not None:
        warning_line(str(limit))
    empty = empty_placement_reason(problem)
    if empty is not None:
        warning_line(empty)
    change = diff(before, made) if before is not None else None
    if as_json:
        print_json({**made.to_dict(), "optimal": made.document.gap == 0, **extra,
                    **({"changes": change.to_dict()} if change is not None else {})})  # fmt: skip
    else:
        _print_plan(made, placements, problem, edge, catalog)
        if "target" in extra:
            _print_target(extra["target"])
        if change is not None:
            _print_change(change, old)
        if output is not None:
            note_line(f"plan written to {output}", quiet=quiet)
    return 0


def _note_unnamed(graph: ModelBlockGraph, *, quiet: bool) -> None:
    assert graph.popularity is not None
    unnamed = int((graph.popularity == 0).sum())
    if unnamed:
        note_line(f"{unnamed} of {graph.n_models} models have no weight: nobody asks for them", quiet=quiet)


def _for_target(
    problem: PlacementProblem, target: float, seed: int, time_limit: float | None, progress: PlanProgress, extra: dict[str, Any]
) -> Placement:
    from trimcache.placement.target import least_capacity

    found = least_capacity(problem, target, seed=seed, time_limit_s=time_limit, progress=progress.narrowed)
    extra["target"] = {
        "hit_ratio": found.hit_ratio,
        "capacity_bytes": found.capacity_bytes,
        "proven_bytes": found.proven_bytes,
        "closed": found.closed,
    }
    return found.placement


def _replanned(
    problem: PlacementProblem,
    before: Plan,
    edge: EdgeNetwork,
    switch_cost: float,
    seed: int,
    time_limit: float | None,
    extra: dict[str, Any],
) -> Placement:
    from trimcache.placement.replan import blocks_present, replan

    graph = problem.graph
    index = {name: i for i, name in enumerate(graph.model_names)}
    rows = {server.name: m for m, server in enumerate(before.servers)}
    old: list[list[int]] = []
    present: list[Any] = []
    for name in edge.server_names:
        m = rows.get(name)
        old.append([] if m is None else [index[model] for model in before.servers[m].models if model in index])
        present.append([] if m is None else blocks_present(graph, before.block_digests[before.blocks_of(m)]))
    found = replan(problem, old, present, switch_cost, seed=seed, time_limit_s=time_limit)
    extra["replan"] = {"switch_cost": switch_cost, "fetched_bytes": found.fetched_bytes, "score": found.score}
    return found.placement


def _print_target(found: dict[str, Any]) -> None:
    text = f"hit ratio {found['hit_ratio']:g}: {format_size(found['capacity_bytes'])} ({found['capacity_bytes']} bytes) a server reach it; "
    print(text + ("proven the least" if found["closed"] else f"proven that below {format_size(found['proven_bytes'])} none does"))


def _network(
    preset: str | None, file: Path | None, servers: int | None, users: int | None, seed: int | None, before: Plan | None
) -> EdgeNetwork:
    from trimcache.network import EdgeNetwork

    if file is not None:
        if preset is not None or servers is not None or users is not None:
            raise UsageError("--network", "describes servers and users itself", "leave out --preset, --servers and --users")
        return EdgeNetwork.from_file(file)
    nothing_said = preset is None and servers is None and users is None and seed is None
    if before is not None and before.document.network is not None and nothing_said:
        return EdgeNetwork.from_dict(before.document.network)
    remembered = (before.document.network or {}).get("preset_name") if before is not None else None
    return EdgeNetwork.preset(
        preset or remembered or "paper",
        n_servers=servers,
        n_users=users,
        seed=0 if seed is None else seed,
    )


def _capacities(capacity: str | None, before: Plan | None, edge: EdgeNetwork) -> int | list[int] | None:
    if capacity is not None:
        return parse_size(capacity)
    if before is not None and tuple(server.name for server in before.servers) == edge.server_names:
        return [server.capacity_bytes for server in before.servers]
    return None if edge.capacity_bytes is not None else parse_size(_DEFAULT_CAPACITY)


def _remembered(before: Plan | None, key: str, default: float) -> float:
    value = before.document.demand.get(key) if before is not None else None
    return float(value) if isinstance(value, int | float) else default


def _print_plan(made: Plan, placements: list[Placement], problem: PlacementProblem, edge: EdgeNetwork, catalog: Path) -> None:
    synthetic = " (synthetic)" if problem.graph.synthetic else ""
    print(
        f"{problem.n_models} models of {catalog}{synthetic} ({format_size(problem.graph.unique_bytes)} unique) "
        f"on {problem.n_servers} edge servers for {edge.n_users} users"
    )
    print()
    print_table(
        "",
        ("algorithm", "hit ratio", "attainable", "gap at most", "stored", "models placed", "time"),
        [
            (
                row.algorithm,
                f"{row.hit_ratio:.4f}",
                f"{row.attainable:.4f}",
                f"{100 * row.gap:.1f} %",
                format_size(int(row.used_bytes.sum())),
                str(row.n_placed),
                f"{row.seconds:.3f} s",
            )
            for row in placements
        ],
    )
    print_table(
        f"the plan: {made.document.algorithm}",
        ("server", "models", "used", "of capacity", "full"),
        [
            (
                server.name,
                str(len(server.models)),
                format_size(server.used_bytes),
                format_size(server.capacity_bytes),
                f"{100 * server.used_bytes / server.capacity_bytes:.1f} %" if server.capacity_bytes else "",
            )
            for server in made.servers
        ],
    )


def _print_change(change: PlanDiff, old: Path | None) -> None:
    print_table(
        f"changes from {old}",
        ("server", "adds", "drops", "models added", "models dropped"),
        [
            (
                row.name,
                format_size(row.added_bytes),
                format_size(row.dropped_bytes),
                str(len(row.added_models)),
                str(len(row.dropped_models)),
            )
            for row in change.servers
        ],
    )
    print(f"all servers: {format_size(change.added_bytes)} to fetch, {format_size(change.dropped_bytes)} to free")
