"""``trimcache scan``."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trimcache.cli.options import PATH
from trimcache.cli.output import error_line, note_line, print_json, warning_line
from trimcache.errors import UsageError
from trimcache.sizes import format_size

if TYPE_CHECKING:
    from trimcache.rules import Rules


@click.command
@click.argument("sources", metavar="SOURCE...", nargs=-1)
@click.option("--output", "-o", type=PATH, required=True, metavar="CATALOG", help="Catalog to create or extend.")
@click.option("--hf-cache", is_flag=True, help="Also every revision in your Hugging Face cache (in SOURCE, if that is a cache).")
@click.option(
    "--weights",
    default="preferred",
    metavar="preferred|all",
    help="Of several copies of the same weights: the preferred one, or each as a variant.",
)
@click.option(
    "--granularity",
    default="tensor",
    metavar="NAME[,NAME]",
    help="Blocks: tensor, layer, file, row or chunk; several make one catalog each.",
)
@click.option("--digest", default="blake3-256", help="blake3-256, or xxh3-128 for fast analysis of your own files.")
@click.option("--workers", type=int, metavar="N", help="Threads, and processes that map large files; by default one a core.")
@click.option("--sequential", is_flag=True, help="Read in file order: for spinning disks and network mounts.")
@click.option("--include", multiple=True, metavar="GLOB", help="Only models whose name matches; repeatable.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Not models whose name matches; repeatable.")
@click.option("--prune", is_flag=True, help="Forget models that are gone from the given sources.")
@click.option("--json", "as_json", is_flag=True, help="What was done, as JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="No progress, no notes.")
def scan(
    sources: tuple[str, ...],
    output: Path,
    hf_cache: bool,
    weights: str,
    granularity: str,
    digest: str,
    workers: int | None,
    sequential: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    prune: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Find the models in SOURCE..., cut their files into blocks, and record both in CATALOG.

    A SOURCE is a weight file, a model folder, a folder of models or a Hugging Face cache.
    Models that have not changed since the last scan are not read again.
    """
    if not sources and not hf_cache:
        raise UsageError("scan", "nothing to scan", "name a SOURCE, or use --hf-cache")
    # numpy comes along with pyarrow; a scan does no linear algebra, and starting threads for it takes them from hashing.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from trimcache.catalog.publisher import publishing_process

    # A catalog that exists is read first, which imports here what the process would import there.
    with nullcontext() if output.expanduser().exists() else publishing_process() as publish:
        # Only now: it takes a while too, and the two go on beside each other.
        from trimcache.cli.progress import ScanProgress
        from trimcache.scanning.run import run_scan
        from trimcache.sources.hf_cache import with_default_cache

        catalogs = _catalogs(output.expanduser(), granularity, digest)
        catalog_path, rules = next(iter(catalogs.items()))
        with ScanProgress(quiet=quiet) as progress:
            report = run_scan(
                with_default_cache(sources) if hf_cache else sources,
                catalog_path,
                rules,
                workers=workers,
                include=include,
                exclude=exclude,
                prune=prune,
                weights=weights,
                sequential=sequential,
                also={path: other for path, other in catalogs.items() if path != catalog_path},
                progress=progress,
                publish=publish,
            )
    for note in report.notes:
        note_line(note, quiet=quiet)
    for error in report.errors:
        error_line(str(error))
    missing = []
    if report.has_adapters:
        # Only then: importing it takes as long as hashing a gigabyte.
        from trimcache.catalog.reader import open_catalog

        missing = [model for model in open_catalog(catalog_path).models if model.missing is not None]
        for model in missing:
            warning_line(f"{model.name}: {model.missing}; it is listed, but left out of plans until its base is scanned")
    if report.nothing_done and not report.errors:
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
