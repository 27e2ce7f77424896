"""``trimcache compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trimcache.cli.options import PATH
from trimcache.cli.output import error_line, note_line, print_json, print_table, printable
from trimcache.sizes import format_size

if TYPE_CHECKING:
    from trimcache.sharing.compare import Comparison, TensorRow
    from trimcache.sharing.matching import Match


@click.command
@click.argument("catalog", type=PATH)
@click.argument("a", metavar="MODEL")
@click.argument("b", metavar="MODEL")
@click.option("--no-read", is_flag=True, help="Names and digests only: do not read changed tensors to see how far apart they are.")
@click.option("--rows", type=click.IntRange(min=0), default=20, metavar="N", help="Largest tensors listed of each kind; 0: all.")
@click.option("--json", "as_json", is_flag=True, help="Every tensor, as JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="No progress, no notes.")
def compare(
    catalog: Path,
    a: str,
    b: str,
    no_read: bool,
    rows: int,
    as_json: bool,
    quiet: bool,
) -> int:
    """What differs between two models of CATALOG, tensor by tensor, and how far changed tensors are apart.

    Exit code 1: a file has changed since the scan or cannot be read, so its distances are missing; the rest is done.
    """
    from trimcache.catalog.reader import open_catalog
    from trimcache.cli.progress import ScanProgress
    from trimcache.sharing.compare import compare as compare_models
    from trimcache.sharing.compare_headline import headline

    opened = open_catalog(catalog)
    with ScanProgress("comparing", quiet=quiet) as progress:
        found = compare_models(opened, a, b, read=not no_read, progress=progress)
    for error in found.errors:
        error_line(str(error))
    if as_json:
        print_json({"catalog": str(catalog), "headline": headline(found), **found.to_dict()})
    else:
        print(f"a: {printable(found.a)}\nb: {printable(found.b)}\n{printable(headline(found))}")
        _print_sums(found)
        _print_rows(found, rows)
    if found.unread is not None and not no_read:
        note_line(f"{catalog}: {found.unread}", quiet=quiet)
    if found.a == found.b:
        note_line("a and b are one model", quiet=quiet)
    for prefix, name in zip(found.prefixes, (found.a, found.b), strict=True):
        if prefix:
            note_line(f"names of {name} were compared without their {prefix!r}", quiet=quiet)
    return 1 if found.errors else 0


_WORDS = {"same": "same", "renamed": "same under another name", "changed": "changed", "only a": "only in a", "only b": "only in b"}


def _print_sums(found: Comparison) -> None:
    from trimcache.sharing.compare_headline import percent

    def share(part: int, whole: int) -> str:
        return percent(part / whole) if whole else ""

    lines = []
    for one in found.sums.values():
        shares = share(one.a_bytes, found.a_bytes), share(one.b_bytes, found.b_bytes)
        lines.append((_WORDS[one.status], f"{one.a_bytes:,}", shares[0], f"{one.b_bytes:,}", shares[1], str(one.rows)))
    lines.append(("all tensors", f"{found.a_bytes:,}", "", f"{found.b_bytes:,}", "", ""))
    print_table("", ("", "bytes of a", "share", "bytes of b", "share", "tensors"), lines)
    if found.estimated_extra_bytes is not None:
        print(f"beside a, b would take about {format_size(found.estimated_extra_bytes)} with changed tensors as compressed differences")


def _print_rows(found: Comparison, most: int) -> None:
    from trimcache.sharing.matching import Status

    for status in (Status.CHANGED, Status.ONLY_A, Status.ONLY_B, Status.RENAMED):
        rows = [row for row in found.rows if row.status == status]
        listed = rows[:most] if most else rows
        if not listed:
            continue
        more = f", the largest {len(listed)} of {len(rows)}" if len(listed) < len(rows) else ""
        columns = ["tensor", "dtype", "shape", "size"]
        if status == Status.CHANGED:
            columns += ["bytes equal", "relative difference", "compressed difference", "alone"]
        cells = [[*_tensor_cells(row.match, found.prefixes), *(_distance_cells(row) if status == Status.CHANGED else ())] for row in listed]
        print_table(f"{_WORDS[status]}{more}", columns, cells, text_columns=3)


def _tensor_cells(one: Match, prefixes: tuple[str, str]) -> tuple[str, ...]:
    sides = [tensor for tensor in (one.a, one.b) if tensor is not None]
    dtypes = dict.fromkeys(tensor.dtype for tensor in sides)
    shapes = dict.fromkeys("x".join(map(str, tensor.shape)) or "scalar" for tensor in sides)
    return _name(one, prefixes), " -> ".join(dtypes), " -> ".join(shapes), format_size(sides[-1].nbytes)


def _name(one: Match, prefixes: tuple[str, str]) -> str:
    """Of a pair what both names have in common, if that tells enough; of tied names one. The JSON holds all."""
    if one.a is None or one.b is None:
        lone = one.a or one.b
        return " = ".join(lone.names) if lone is not None else ""
    behind = {name.removeprefix(prefixes[1]) for name in one.b.names}
    common = [name for name in one.a.names if name in one.b.names or name.removeprefix(prefixes[0]) in behind]
    return common[0].removeprefix(prefixes[0]) if common else f"{one.a.name} -> {one.b.name}"


def _distance_cells(row: TensorRow) -> tuple[str, ...]:
    from trimcache.sharing.compare_headline import percent

    far = row.distance
    if far is None:
        return ("", "", "", "")
    shares = [far.equal_share, far.relative, far.difference_share, far.alone_share]
    cells = ["" if share is None else percent(share) if share <= 10 else f"{share:.3g} times" for share in shares]
    if row.rounded:
        cells[1] += " (rounding)"
    if far.n_not_finite:
        cells[1] += f" ({far.n_not_finite} not finite)"
    if row.shape_differs:
        cells[0] += " of common rows"
    return tuple(cells)
