"""``trimcache families``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trimcache.cli.options import PATH
from trimcache.cli.output import note_line, print_json, print_table, printable, warning_line
from trimcache.sizes import format_size

if TYPE_CHECKING:
    from trimcache.sharing.lineage import Disagreement, Edge, Forest

_LISTED = 20  # lines of one finding


@click.command
@click.argument("catalog", type=PATH)
@click.option("--lineage", "tree", is_flag=True, help="Also draw the forest: each model below its parent.")
@click.option("--check-merges/--no-check-merges", default=False, help="Read weights that differ, to recognise merged LoRA adapters.")
@click.option("--json", "as_json", is_flag=True, help="Families, lineage and disagreements whole, as JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="No progress, notes or warnings.")
def families(
    catalog: Path,
    tree: bool,
    check_merges: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Which models of CATALOG belong together, and who descends from whom: measured by shared weights, beside what models declare."""
    from trimcache.catalog.reader import open_catalog
    from trimcache.cli.counting import CountProgress
    from trimcache.sharing.families import family_sizes
    from trimcache.sharing.lineage import lineage, with_merges
    from trimcache.sharing.merges import find_merges
    from trimcache.sharing.relations import Kind

    opened = open_catalog(catalog)
    forest = lineage(opened)
    rows = family_sizes(opened, forest.families)
    search = None
    if check_merges:
        with CountProgress("comparing", "pairs", quiet=quiet) as progress:
            search = find_merges(opened, forest, progress.at)
        forest = with_merges(forest, {merge.model: (merge.base, merge.text) for merge in search.merges})
        if not quiet:
            for reason in search.unread:
                warning_line(f"weights could not be read: {reason}")
    if as_json:
        merges = None
        if search is not None:
            merges = {"compared": search.compared, "found": [m.to_dict() for m in search.merges], "unread": list(search.unread)}
        members: list[list[str]] = [[] for _ in rows]
        for name, label in zip(forest.names, forest.families.labels.tolist(), strict=True):
            members[label].append(name)
        document = {
            "catalog": str(catalog),
            "synthetic": opened.synthetic,
            "models": len(forest.names),
            "families": [{**row.to_dict(), "members": names} for row, names in zip(rows, members, strict=True)],
            "lineage": [edge.to_dict() for edge in forest.edges if edge is not None],
            "disagreements": [one.to_dict() for one in forest.disagreements],
            "merges": merges,
        }
        print_json(document)
        return 0
    together = [row for row in rows if row.models > 1]
    alone = len(rows) - len(together)
    kind = "synthetic catalog" if opened.synthetic else "catalog"
    sharing_none = "1 model that shares" if alone == 1 else f"{alone} models that share"
    counted = f"{len(forest.names)} models, {len(together)} families, {sharing_none} weights with none"
    print(f"{kind} {printable(str(catalog))}: {counted}")
    if together:
        print()
        columns = ("family", "models", "sum of models", "each block once", "held by several")
        cells = [
            (row.name, str(row.models), format_size(row.total_bytes), format_size(row.unique_bytes), format_size(row.shared_bytes))
            for row in together
        ]
        print_table("", columns, cells)
    if tree:
        for line in _drawn(forest):
            print(line)
        print()
    for line in _listed(forest.disagreements):
        print(line)
    if search is None and not opened.synthetic and any(edge is not None and edge.kind is Kind.PARTLY for edge in forest.edges):
        note_line("--check-merges reads the weights that differ and recognises merged adapters", quiet=quiet)
    return 0


def _drawn(forest: Forest) -> Iterator[str]:
    """A line a model, each below its parent; families in their order."""
    from trimcache.sharing.lineage import Finding

    children = forest.children()
    related = {one.model: f"   related to {one.other}, nothing shared" for one in forest.disagreements if one.finding is Finding.RELATED}
    labels = forest.families.labels
    roots = sorted((m for m in range(len(forest.names)) if forest.parent[m] < 0), key=lambda m: (int(labels[m]), forest.names[m]))
    for root in roots:
        waiting = [(root, "", "")]
        while waiting:
            model, indent, branch = waiting.pop()
            name = forest.names[model]
            yield indent + branch + printable(name + (_described(forest.edges[model]) or related.get(name, "")))
            below = indent + {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
            last = len(children[model]) - 1
            ordered = list(enumerate(sorted(children[model], key=lambda m: forest.names[m])))
            waiting += [(child, below, "└─ " if i == last else "├─ ") for i, child in reversed(ordered)]


def _described(edge: Edge | None) -> str:
    if edge is None:
        return ""
    shared = f"{100 * edge.share:.1f} % shared" if edge.shared_bytes else "nothing shared"
    return f"   {edge.kind}, {shared}, {edge.direction}"


def _listed(disagreements: tuple[Disagreement, ...]) -> Iterator[str]:
    """A line each under the heading of its finding; of many only the first."""
    by_finding: dict[str, list[Disagreement]] = {}
    for one in disagreements:
        by_finding.setdefault(one.finding, []).append(one)
    for finding, found in by_finding.items():
        yield f"{finding}: {len(found)}"
        for one in found[:_LISTED]:
            yield f"  {printable(one.model)} {printable(one.text)}"
        if len(found) > _LISTED:
            yield f"  ... and {len(found) - _LISTED} more: --json lists all"
