"""``trimcache verify``."""

from __future__ import annotations

from pathlib import Path

import click

from trimcache.cli.options import PATH
from trimcache.cli.output import error_line, note_line, print_json


@click.command
@click.argument("catalog", type=PATH)
@click.option("--workers", type=int, metavar="N", help="Threads; by default one a core.")
@click.option("--json", "as_json", is_flag=True, help="Every model with its verdict, as JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="No progress, no notes.")
def verify(
    catalog: Path,
    workers: int | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Read every file that CATALOG describes again and report what changed, rotted or is gone.

    Exit code 0: everything is as it was scanned. 1: something is not.
    """
    from trimcache.catalog.reader import open_catalog
    from trimcache.cli.progress import ScanProgress
    from trimcache.scanning.verify import Verdict
    from trimcache.scanning.verify import verify as verify_catalog

    opened = open_catalog(catalog)
    results = []
    with ScanProgress("verifying", quiet=quiet) as progress:
        progress.start(len(opened.parts), sum(part.nbytes for part in opened.parts))
        for result in verify_catalog(opened, workers=workers, advance=progress.advance):
            progress.part_done(result.name)
            results.append(result)
    bad = [result for result in results if not result.good]
    for result in bad:
        files = f" ({', '.join(result.files[:4])}{', ...' if len(result.files) > 4 else ''})" if result.files else ""
        error_line(f"{result.name}: {result.verdict}{files}; {result.detail}")
    if as_json:
        rows = [{"model": r.name, "verdict": str(r.verdict), "files": list(r.files), "detail": r.detail} for r in results]
        print_json({"catalog": str(catalog), "verified": len(results), "bad": len(bad), "models": rows})
    else:
        touched = sum(result.verdict == Verdict.TOUCHED for result in results)
        if touched:
            note_line(f"{touched} models were written again with the same bytes", quiet=quiet)
        print(f"{catalog}: {len(results) - len(bad)} of {len(results)} models are as they were scanned")
    return 1 if bad else 0
