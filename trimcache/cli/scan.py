"""``trimcache scan``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trimcache.cli.output import error_line, note_line, print_json, warning_line
from trimcache.errors import UsageError
from trimcache.sizes import format_size

if TYPE_CHECKING:
    from trimcache.rules import Rules


def scan(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="CATALOG", help="Catalog to create or extend.")],
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE...", help="Weight files, model folders, folders of models, Hugging Face caches.", show_default=False
        ),
    ] = None,
    hf_cache: Annotated[
        bool, typer.Option("--hf-cache", help="Also every revision in your Hugging Face cache (in SOURCE, if that is a cache).")
    ] = False,
    weights: Annotated[
        str, typer.Option(metavar="preferred|all", help="Of several copies of the same weights: the preferred one, or each as a variant.")
    ] = "preferred",
    granularity: Annotated[
        str, typer.Option(metavar="NAME[,NAME]", help="Blocks: tensor, layer, file, row or chunk; several make one catalog each.")
    ] = "tensor",
    digest: Annotated[str, typer.Option(help="blake3-256, or xxh3-128 for fast analysis of your own files.")] = "blake3-256",
    workers: Annotated[int | None, typer.Option(metavar="N", help="Threads; by default one a core.")] = None,
    sequential: Annotated[bool, typer.Option("--sequential", help="Read in file order: for spinning disks and network mounts.")] = False,
    include: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Only models whose name matches; repeatable.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Not models whose name matches; repeatable.")] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Forget models that are gone from the given sources.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="What was done, as JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notes.")] = False,
) -> int:
    """Find the models in SOURCE..., cut their files into blocks, and record both in CATALOG.

    Models that have not changed since the last scan are not read again.
    """
    from trimcache.cli.progress import ScanProgress
    from trimcache.scanning.run import run_scan
    from trimcache.sources.hf_cache import with_default_cache

    if not sources and not hf_cache:
        raise UsageError("scan", "nothing to scan", "name a SOURCE, or use --hf-cache")
    catalogs = _catalogs(output.expanduser(), granularity, digest)
    catalog_path, rules = next(iter(catalogs.items()))
    with ScanProgress(quiet=quiet) as progress:
        report = run_scan(
            with_default_cache(sources or []) if hf_cache else sources or [],
            catalog_path,
            rules,
            workers=workers,
            include=include or [],
            exclude=exclude or [],
            prune=prune,
            weights=weights,
            sequential=sequential,
            also={path: other for path, other in catalogs.items() if path != catalog_path},
            progress=progress,
        )
    for note in report.notes:
        note_line(note, quiet=quiet)
    for error in report.errors:
        error_line(str(error))
    missing = []
    if not report.nothing_done:
        # Not above: it takes a third of a second to import, which a scan spends while it hashes.
        from trimcache.catalog.reader import open_catalog

        missing = [model for model in open_catalog(catalog_path).models if model.missing is not None]
        for model in missing:
            warning_line(f"{model.name}: {model.missing}; it is listed, but left out of plans until its base is scanned")
    elif not report.errors:
        warning_line("no model matches --include and --exclude; the catalog is unchanged")
    document = {
        "catalog": str(catalog_path),
        "catalogs": [str(path) for path in catalogs],
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
        print(f"{', '.join(map(str, catalogs))}: {', '.join(parts)}")
    if report.errors:
        return 2 if report.nothing_done else 1
    return 0


def _catalogs(output: Path, granularity: str, digest: str) -> dict[Path, Rules]:
    """Where to write by which rules: ``zoo.catalog``, or ``zoo.tensor.catalog``, ``zoo.chunk.catalog`` for several granularities."""
    from trimcache.rules import Rules

    names = list(dict.fromkeys(name.strip() for name in granularity.split(",") if name.strip()))
    if not names:
        raise UsageError("--granularity", "names none", "write for example --granularity tensor,chunk")
    if len(names) == 1:
        return {output: Rules(digest, names[0])}
    return {output.with_name(f"{output.stem}.{name}{output.suffix}"): Rules(digest, name) for name in names}
