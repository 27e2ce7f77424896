"""``trimcache scan``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trimcache.cli.output import error_line, note_line, print_json, warning_line
from trimcache.sizes import format_size


def scan(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="Weight files, model folders, or folders of models.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="CATALOG", help="Catalog to create or extend.")],
    granularity: Annotated[str, typer.Option(help="What becomes a block: tensor.")] = "tensor",
    digest: Annotated[str, typer.Option(help="blake3-256, or xxh3-128 for fast analysis of your own files.")] = "blake3-256",
    workers: Annotated[int | None, typer.Option(metavar="N", help="Threads; by default one a core.")] = None,
    include: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Only models whose name matches; repeatable.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Not models whose name matches; repeatable.")] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Forget models that are gone from the given sources.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="What was done, as JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notes.")] = False,
) -> int:
    """Find the models in SOURCE..., cut their files into blocks, and record both in CATALOG.

    Models that have not changed since the last scan are not read again.
    """
    from trimcache.catalog.reader import open_catalog
    from trimcache.cli.progress import ScanProgress
    from trimcache.rules import Rules
    from trimcache.scan import run_scan

    catalog_path = output.expanduser()
    with ScanProgress(quiet=quiet) as progress:
        report = run_scan(
            sources,
            catalog_path,
            Rules(digest, granularity),
            workers=workers,
            include=include or [],
            exclude=exclude or [],
            prune=prune,
            progress=progress,
        )
    for note in report.notes:
        note_line(note, quiet=quiet)
    for error in report.errors:
        error_line(str(error))
    missing = []
    if not report.nothing_done:
        missing = [model for model in open_catalog(catalog_path).models if model.missing is not None]
        for model in missing:
            warning_line(f"{model.name}: {model.missing}; it is listed, but left out of plans until its base is scanned")
    elif not report.errors:
        warning_line("no model matches --include and --exclude; the catalog is unchanged")
    document = {
        "catalog": str(catalog_path),
        "scanned": report.scanned,
        "unchanged": report.unchanged,
        "forgotten": report.forgotten,
        "read_bytes": report.nbytes_read,
        "incomplete": [model.name for model in missing],
        "errors": [str(error) for error in report.errors],
    }
    if as_json:
        print_json(document)
    else:
        parts = [f"{len(report.scanned)} scanned ({format_size(report.nbytes_read)})", f"{len(report.unchanged)} unchanged"]
        if report.forgotten:
            parts.append(f"{len(report.forgotten)} forgotten")
        if report.errors:
            parts.append(f"{len(report.errors)} could not be read")
        print(f"{catalog_path}: {', '.join(parts)}")
    if report.errors:
        return 2 if report.nothing_done else 1
    return 0
