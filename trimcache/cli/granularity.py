"""``trimcache granularity``."""

from __future__ import annotations

from pathlib import Path

import click

from trimcache.cli.options import PATH
from trimcache.cli.output import error_line, note_line, print_json, print_table
from trimcache.errors import UsageError
from trimcache.sizes import format_size


@click.command
@click.argument("sources", metavar="SOURCE...", nargs=-1)
@click.option("--granularities", default="file,layer,tensor,row,chunk", metavar="NAME[,NAME]", help="Which to cut and compare.")
@click.option("--time-each", is_flag=True, help="Also scan once more at each granularity alone, and show how long that takes.")
@click.option("--digest", default="blake3-256", help="blake3-256, or xxh3-128 for fast analysis of your own files.")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Threads; by default one a core.")
@click.option("--plot", type=PATH, metavar="FILE", help="Draw savings against index entries: .png or .svg.")
@click.option("--json", "as_json", is_flag=True, help="Exact bytes, as JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="No progress, no notes.")
def granularity(
    sources: tuple[str, ...],
    granularities: str,
    time_each: bool,
    digest: str,
    workers: int | None,
    plot: Path | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Is sharing whole tensors enough for SOURCE...? What blocks of each size would save, and what their index costs.

    All granularities are cut in one pass; nothing is kept.
    """
    from trimcache.cli.progress import ScanProgress
    from trimcache.report.style import check_ending
    from trimcache.sharing.compare_headline import percent
    from trimcache.sharing.granularity_study import study

    if not sources:
        raise UsageError("granularity", "nothing to scan", "name a SOURCE")
    if plot is not None:
        check_ending(plot)
    names = [name.strip() for name in granularities.split(",") if name.strip()]
    with ScanProgress(quiet=quiet) as progress:
        found = study(sources, names, digest=digest, workers=workers, time_each=time_each, progress=progress)
    for note in found.notes:
        note_line(note, quiet=quiet)
    for error in found.errors:
        error_line(str(error))
    if plot is not None:
        from trimcache.report.granularity_figure import savings_against_index

        savings_against_index(found, plot, f"{found.models} models, {format_size(found.total_bytes)}")
        note_line(f"figure written to {plot}", quiet=quiet)
    if as_json:
        print_json({"sources": list(sources), "digest": digest, **found.to_dict()})
    else:
        print(f"{found.models} models, {format_size(found.total_bytes)} in all; one pass over all granularities took {found.seconds:.2f} s")
        columns = ["granularity", "saved", "share", "unique", "blocks", "index entries", "index", *(["scan alone"] if time_each else [])]
        print_table(
            "",
            columns,
            [
                (
                    row.granularity,
                    format_size(row.saved_bytes),
                    percent(found.saved_share(row)),
                    f"{row.unique_bytes:,}",
                    f"{row.blocks:,}",
                    f"{row.index_entries:,}",
                    format_size(row.index_bytes),
                    *([f"{row.seconds:.2f} s"] if row.seconds is not None else []),
                )
                for row in found.rows
            ],
        )
    return 1 if found.errors else 0
