"""Your own sites: what to cache where, and how much storage a hit ratio takes.

    python examples/plan_my_sites.py [CATALOG]

Three sites and six groups of users in ``examples/my_sites/``: a network file (``sites.toml``) with a table of rates and one of backhaul,
and a table of demand by site. Put your own files in their place. CATALOG is one that ``trimcache scan`` wrote, or models to scan; if it
is not given, the fine-tunes of ``make demo``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import trimcache as tc
from trimcache.errors import TrimcacheError
from trimcache.graph import ModelBlockGraph
from trimcache.network.demand_table import demand_from_table
from trimcache.network.diagnosis import unconnected
from trimcache.placement.target import least_capacity
from trimcache.plan import make_plan, write_plan
from trimcache.sizes import format_size

HERE = Path(__file__).resolve().parent
SITES = HERE / "my_sites"
FINETUNES = HERE.parent / "demo" / "finetunes"


def main() -> int:
    """Plan; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalog", nargs="?", type=Path, default=FINETUNES, help="a catalog, or a folder of models")
    parser.add_argument("--network", type=Path, default=SITES / "sites.toml", help="the sites, their links and users")
    parser.add_argument("--demand", type=Path, default=SITES / "demand.csv", help="who asks for what")
    parser.add_argument("--target", type=float, default=0.9, help="hit ratio to find the capacity for, as a share of what is attainable")
    parser.add_argument("-o", "--output", type=Path, help="write the plan here")
    arguments = parser.parse_args()
    if not arguments.catalog.exists():
        print(f"plan_my_sites: {arguments.catalog} does not exist; run make demo, or name a catalog or a folder of models", file=sys.stderr)
        return 2
    try:
        plan_sites(graph_of(arguments.catalog), arguments.network, arguments.demand, arguments.target, arguments.output)
    except TrimcacheError as error:
        print(f"plan_my_sites: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def graph_of(source: Path) -> ModelBlockGraph:
    """The models of a catalog, or of a folder that is scanned now."""
    if (source / "catalog.json").exists():
        return tc.open_catalog(source).graph()
    with tempfile.TemporaryDirectory() as folder:
        return tc.scan(source, Path(folder) / "zoo.catalog").graph()


def plan_sites(graph: ModelBlockGraph, network_file: Path, demand_file: Path, share: float, output: Path | None) -> None:
    """Print what each site holds, against sites that know nothing of sharing, and the capacity that the target takes."""
    network = tc.EdgeNetwork.from_file(network_file)
    print(f"{network.n_servers} sites, {network.n_users} user groups, {graph.n_models} models ({format_size(graph.unique_bytes)} unique)")
    for line in unconnected(network):
        print(f"note: {line}")
    problem = network.problem(graph, demand=demand_from_table(demand_file, network, graph))

    best, unaware = (tc.place(problem, algorithm=name) for name in ("auto", "independent"))
    print(f"\nattainable if every site held everything: {best.attainable:.3f}")
    print(f"hit ratio with whole models in each site: {unaware.hit_ratio:.3f}")
    print(f"hit ratio when shared blocks are stored once: {best.hit_ratio:.3f} (no placement exceeds {best.upper_bound:.3f})\n")
    for site, name in enumerate(network.server_names):
        used, capacity = format_size(int(best.used_bytes[site])), format_size(int(problem.capacity_bytes[site]))
        print(f"{name}: {used} of {capacity}")
        print("".join(f"    {graph.model_names[i]}\n" for i in best.models_on(site).tolist()), end="")

    # The same capacity everywhere: least_capacity asks how much it must be.
    target = share * best.attainable
    print(f"\nfor a hit ratio of {target:.3f} ({100 * share:g} % of what is attainable) every site needs", end=" ")
    found = least_capacity(problem, target)
    proof = "no less will do" if found.closed else f"less than {format_size(found.proven_bytes)} cannot do"
    print(f"{format_size(found.capacity_bytes)}: {proof}")
    if output is not None:
        write_plan(make_plan([best, unaware], network, demand={"table": demand_file.name, "ranking": "table"}), output)
        print(f"\nplan written to {output}")


if __name__ == "__main__":
    sys.exit(main())
