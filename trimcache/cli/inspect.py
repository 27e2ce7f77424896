"""``trimcache inspect``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from trimcache.cli.output import error_line, note_line, print_json, print_table
from trimcache.sizes import format_size


@click.command
@click.argument("source")
@click.option("--hash", "hash_tensors", is_flag=True, help="Read the tensors too and print their digests.")
@click.option("--digest", default="blake3-256", help="blake3-256 or xxh3-128.")
@click.option("--weights", default="preferred", metavar="preferred|all", help="As for scan.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="No notes.")
def inspect(
    source: str,
    hash_tensors: bool,
    digest: str,
    weights: str,
    as_json: bool,
    quiet: bool,
) -> int:
    """The tensors of SOURCE: name, kind, dtype, shape, bytes and where they lie; read from headers alone unless --hash."""
    from trimcache.scanning.inspection import inspect as inspect_source

    parts = list(inspect_source(source, hash_tensors=hash_tensors, digest=digest, weights=weights))
    bad = [part.error for part in parts if part.error is not None]
    good = [part for part in parts if part.error is None]
    for error in bad:
        error_line(str(error))
    for part in good:
        for note in part.notes:
            note_line(f"{part.name}: {note}", quiet=quiet)
    if as_json:
        print_json({"source": source, "models": [{**_plain(asdict(part)), "error": None} for part in good]})
    else:
        for part in good:
            columns = ["tensor", "kind", "dtype", "shape", "size", "bytes", "begin", "end", "file", *(["digest"] if hash_tensors else [])]
            print_table(
                f"{part.name}: {part.format}, {len(part.tensors)} tensors, {format_size(part.nbytes)}",
                columns,
                [
                    (
                        t.name,
                        t.kind,
                        t.dtype,
                        "x".join(map(str, t.shape)) or "scalar",
                        format_size(t.nbytes),
                        str(t.nbytes),
                        "" if t.offset is None else str(t.offset),
                        "" if t.offset is None else str(t.offset + t.nbytes),
                        t.file,
                        *([t.digest.hex() if t.digest else ""] if hash_tensors else []),
                    )
                    for t in part.tensors
                ],
                text_columns=4,
            )
    if bad:
        return 1 if good else 2
    return 0


def _plain(value: Any) -> Any:
    """``value`` with digests as hex, for JSON."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
