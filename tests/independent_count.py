"""Sizes of safetensors models counted again from the files, with ``struct``, ``json`` and ``blake3`` alone.

Nothing of trimcache is used: not its parts, not its tiling, not its catalog. A model is given as the list of its folders (an adapter
model: its base's folder, then its own).
"""

from __future__ import annotations

import json
import os
import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3


@dataclass(frozen=True)
class Piece:
    """A range of a file that must be one block."""

    offset: int
    nbytes: int
    digest: bytes
    tensor: str | None


def pieces(path: Path) -> list[Piece]:
    """Header and tensors of a safetensors file, or the whole of any other; empty ranges are no blocks."""
    raw = path.read_bytes()
    if path.suffix != ".safetensors":
        return [Piece(0, len(raw), blake3(raw).digest(), None)] if raw else []
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__", None)
    found = [Piece(0, 8 + length, blake3(raw[: 8 + length]).digest(), None)]
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        if end > begin:
            found.append(Piece(begin, end - begin, blake3(raw[begin:end]).digest(), name))
    return found


def files(folder: Path) -> Iterator[Path]:
    """The files of a model folder that is prepared for this count: no copies, no training state."""
    yield from sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")


def count(models: Mapping[str, Sequence[Path]]) -> dict[str, int]:
    """The sizes that ``trimcache stats --json`` must print."""
    size_of: dict[bytes, int] = {}
    holders: Counter[bytes] = Counter()
    physical: dict[tuple[int, int], int] = {}
    total = 0
    cached: dict[Path, list[Piece]] = {}
    for folders in models.values():
        blocks: set[bytes] = set()
        for path in (path for folder in folders for path in files(folder)):
            status = os.stat(path)
            physical[status.st_dev, status.st_ino] = status.st_size
            total += status.st_size
            if path not in cached:
                cached[path] = pieces(path)
            found = cached[path]
            blocks.update(piece.digest for piece in found)
            size_of.update((piece.digest, piece.nbytes) for piece in found)
        holders.update(blocks)
    unique = sum(size_of.values())
    shared = sum(size_of[digest] for digest, n in holders.items() if n > 1)
    disk = sum(physical.values())
    return {
        "models": len(models),
        "blocks": len(size_of),
        "total_bytes": total,
        "disk_bytes": disk,
        "unique_bytes": unique,
        "shared_bytes": shared,
        "specific_bytes": unique - shared,
        "saved_bytes": total - unique,
        "saved_on_disk_bytes": disk - unique,
    }
