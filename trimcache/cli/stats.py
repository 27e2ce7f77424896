"""``trimcache stats``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trimcache.cli.options import PATH
from trimcache.cli.output import error_line, print_json, print_table, printable, warning_line
from trimcache.cli.several_values import SeveralValues
from trimcache.sizes import format_size

if TYPE_CHECKING:
    from trimcache.sharing.size_rows import SizeRow
    from trimcache.sharing.sizes import Sizes
    from trimcache.sharing.spectrum import SpectrumRow
    from trimcache.sharing.what_if import IfAdded, IfDeleted


@click.command(cls=SeveralValues)
@click.argument("catalog", type=PATH)
@click.option("--by", default="model", help="Break down by model, family, kind, dtype or format.")
@click.option("--spectrum", is_flag=True, help="Also the bytes that exactly 1, 2, 3 ... models hold.")
@click.option("--if-deleted", multiple=True, metavar="MODEL...", help="What deleting these models together would free.")
@click.option("--if-added", multiple=True, metavar="SOURCE...", help="What scanning these sources too would bring; nothing is kept.")
@click.option("--json", "as_json", is_flag=True, help="Exact bytes, as JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="No warnings.")
def stats(
    catalog: Path,
    by: str,
    spectrum: bool,
    if_deleted: tuple[str, ...],
    if_added: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> int:
    """What the models of CATALOG share, how little storing them takes, and what deleting or adding some would change."""
    from trimcache.catalog.reader import open_catalog
    from trimcache.cli.progress import ScanProgress
    from trimcache.sharing.sizes import SizeAnalysis
    from trimcache.sharing.what_if import if_added as what_if_added
    from trimcache.sharing.what_if import if_deleted as what_if_deleted

    opened = open_catalog(catalog)
    analysis = SizeAnalysis(opened, expected=by)
    sizes = analysis.headline
    deleted = what_if_deleted(opened, if_deleted, analysis.graph) if if_deleted else None
    added = None
    if if_added:
        with ScanProgress(quiet=quiet) as progress:
            added = what_if_added(opened, if_added, analysis.graph, progress)
    asked = deleted is None and added is None
    rows = analysis.by(by) if as_json or asked else []
    if as_json:
        document = {"catalog": str(catalog), "rules": opened.rules.to_dict(), **sizes.to_dict(), "by": by}
        document["rows"] = [row.to_dict() for row in rows]
        document["spectrum"] = [row.to_dict() for row in analysis.spectrum]
        document.update({key: what.to_dict() for key, what in (("if_deleted", deleted), ("if_added", added)) if what is not None})
        print_json(document)
    else:
        kind = "synthetic catalog" if sizes.synthetic else "catalog"
        print(f"{kind} {catalog}: {sizes.models} models, {sizes.blocks} blocks ({opened.rules})")
        print()
        if asked:
            _print_headline(sizes)
            _print_rows(by, rows)
        if spectrum:
            _print_spectrum(analysis.spectrum, sizes.unique_bytes)
        if deleted is not None:
            _print_deleted(deleted, quiet=quiet)
        if added is not None:
            _print_added(added, quiet=quiet)
    for line in added.errors if added is not None else ():
        error_line(line)
    if not quiet:
        for model in opened.models:
            if model.missing is not None:
                warning_line(f"{model.name}: {model.missing}; it is left out of plans")
    return 1 if added is not None and added.errors else 0


def _print_headline(sizes: Sizes) -> None:
    lines = []
    if sizes.disk_bytes is not None and sizes.saved_on_disk_bytes is not None:
        lines.append(("on disk now", sizes.disk_bytes, ""))
        lines.append(("saved on disk, each block once", sizes.saved_on_disk_bytes, _share(sizes.saved_on_disk_bytes, sizes.disk_bytes)))
    lines.append(("sum of all models", sizes.total_bytes, ""))
    lines.append(("saved against that sum", sizes.saved_bytes, _share(sizes.saved_bytes, sizes.total_bytes)))
    lines.append(("unique (each block once)", sizes.unique_bytes, ""))
    lines.append(("  shared by two or more models", sizes.shared_bytes, _share(sizes.shared_bytes, sizes.unique_bytes)))
    lines.append(("  specific to one model", sizes.specific_bytes, _share(sizes.specific_bytes, sizes.unique_bytes)))
    _print_sizes(lines)


def _print_sizes(lines: Sequence[tuple[str, int, str]]) -> None:
    print_table("", ("", "size", "bytes", "share"), [(text, format_size(n), f"{n:,}", share) for text, n, share in lines])


def _print_rows(by: str, rows: Sequence[SizeRow]) -> None:
    """Whole bytes in the columns that add up to the ``unique_bytes`` of their last line."""
    lines: list[tuple[str, ...]] = [
        (
            ("held by several" if row.held_by_several else row.name) + ("" if row.complete else " (base missing)"),
            format_size(row.total_bytes) if row.total_bytes or not row.held_by_several else "",
            format_size(row.shared_bytes),
            _share(row.shared_bytes, row.total_bytes),
            f"{row.exclusive_bytes:,}",
            "" if row.held_by_several else f"{row.fair_share_bytes:,}",
        )
        for row in rows
    ]
    exclusive, fair = (f"{sum(column):,}" for column in zip(*((row.exclusive_bytes, row.fair_share_bytes) for row in rows), strict=True))
    lines.append(("all, each block once", format_size(sum(row.total_bytes for row in rows)), "", "", exclusive, fair))
    columns = [by, "total", "shared", "bytes shared", f"of this {by} alone", "fair share"]
    if by != "model":  # the shared bytes of a model are a part of its total; those of other rows count each block once
        columns, lines = columns[:3] + columns[4:], [line[:3] + line[4:] for line in lines]
    print_table(f"by {by}", columns, lines)


def _print_spectrum(rows: Sequence[SpectrumRow], unique: int) -> None:
    lines = [(str(row.models), format_size(row.nbytes), f"{row.nbytes:,}", _share(row.nbytes, unique), f"{row.blocks:,}") for row in rows]
    print_table("held by exactly so many models", ("models", "size", "bytes", "of unique", "blocks"), lines, text_columns=0)


def _print_deleted(what: IfDeleted, *, quiet: bool) -> None:
    lines = [
        ("freed, each block once", what.freed_bytes, _share(what.freed_bytes, what.unique_bytes + what.freed_bytes)),
        ("kept for adapters of the deleted", what.kept_for_adapters_bytes, ""),
        (f"unique, of the {what.models} models that remain", what.unique_bytes, ""),
        ("sum of these models", what.total_bytes, ""),
    ]
    if what.freed_on_disk_bytes is not None:
        lines.insert(1, ("freed on disk by removing the files", what.freed_on_disk_bytes, ""))
    print(f"if deleted: {printable(', '.join(what.deleted))}")
    _print_sizes(lines)
    for name in () if quiet else what.adapters:
        warning_line(f"{name} loses its base")


def _print_added(what: IfAdded, *, quiet: bool) -> None:
    lines = [
        ("new, each block once", what.new_bytes, _share(what.new_bytes, what.total_bytes)),
        (f"sum of the {len(what.scanned)} models scanned, bases included", what.total_bytes, ""),
        (f"unique, of the {what.models} models then", what.unique_bytes, ""),
    ]
    print(f"if added: {printable(', '.join(what.scanned)) or 'nothing new'}")
    if what.unchanged:
        print(f"in the catalog as they are: {printable(', '.join(what.unchanged))}")
    _print_sizes(lines)
    for name in () if quiet else what.incomplete:
        warning_line(f"{name} is an adapter whose base is neither in the catalog nor among the sources")


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""
