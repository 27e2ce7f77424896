"""``trimcache stats``."""

from __future__ import annotations

from pathlib import Path

import click

from trimcache.cli.options import PATH
from trimcache.cli.output import print_json, print_table, warning_line
from trimcache.sizes import format_size


@click.command
@click.argument("catalog", type=PATH)
@click.option("--by", default="model", help="Break down by model, kind or format.")
@click.option("--json", "as_json", is_flag=True, help="Exact bytes, as JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="No warnings.")
def stats(
    catalog: Path,
    by: str,
    as_json: bool,
    quiet: bool,
) -> int:
    """What the models of CATALOG share, and how little storing them takes."""
    from trimcache.catalog.reader import open_catalog
    from trimcache.sharing.sizes import SEVERAL, SizeAnalysis

    opened = open_catalog(catalog)
    analysis = SizeAnalysis(opened)
    sizes, rows = analysis.headline, analysis.by(by)
    if as_json:
        document = {"catalog": str(catalog), "rules": opened.rules.to_dict(), **sizes.to_dict()}
        print_json({**document, "by": by, "rows": [row.to_dict() for row in rows]})
    else:
        kind = "synthetic catalog" if sizes.synthetic else "catalog"
        print(f"{kind} {catalog}: {sizes.models} models, {sizes.blocks} blocks ({opened.rules})")
        print()
        lines = []
        if sizes.disk_bytes is not None and sizes.saved_on_disk_bytes is not None:
            lines.append(("on disk now", sizes.disk_bytes, ""))
            lines.append(("saved on disk, each block once", sizes.saved_on_disk_bytes, _share(sizes.saved_on_disk_bytes, sizes.disk_bytes)))
        lines.append(("sum of all models", sizes.total_bytes, ""))
        lines.append(("saved against that sum", sizes.saved_bytes, _share(sizes.saved_bytes, sizes.total_bytes)))
        lines.append(("unique (each block once)", sizes.unique_bytes, ""))
        lines.append(("  shared by two or more models", sizes.shared_bytes, _share(sizes.shared_bytes, sizes.unique_bytes)))
        lines.append(("  specific to one model", sizes.specific_bytes, _share(sizes.specific_bytes, sizes.unique_bytes)))
        print_table("", ("", "size", "bytes", "share"), [(text, format_size(n), f"{n:,}", share) for text, n, share in lines])
        names = {"model": "this model alone", "kind": "each block once", "format": "each block once"}
        print_table(
            f"by {by}",
            (by, "total", names[by], "shared", "bytes shared"),
            [
                (
                    ("held by several" if row.name == SEVERAL else row.name) + ("" if row.complete else " (base missing)"),
                    format_size(row.total_bytes) if row.total_bytes else "",
                    format_size(row.unique_bytes),
                    format_size(row.shared_bytes),
                    _share(row.shared_bytes, row.total_bytes) if by == "model" and row.total_bytes else "",
                )
                for row in rows
            ],
        )
    if not quiet:
        for model in opened.models:
            if model.missing is not None:
                warning_line(f"{model.name}: {model.missing}; it is left out of plans")
    return 0


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""
