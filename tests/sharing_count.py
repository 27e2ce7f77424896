"""Breakdowns of sizes counted again from the files of safetensors models, with ``blake3``, sets and fractions alone."""

from __future__ import annotations

import json
import random
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from independent_count import files, pieces
from tiny_models import floats, tensors_of, write_adapter, write_model

_DTYPES = {"F32": "float32", "F16": "float16", "I64": "int64", "I32": "int32", "U8": "uint8"}


@dataclass(frozen=True)
class Seen:
    """A block as one extent of a model folder shows it."""

    digest: bytes
    nbytes: int
    kind: str
    dtype: str
    format: str


@dataclass
class Row:
    """What a row of a breakdown must hold."""

    total: int = 0
    exclusive: int = 0
    shared: int = 0
    fair: Fraction = Fraction(0)
    exclusive_blocks: int = 0


def seen_in(folder: Path, kind_of: Callable[[Path, str], str] | None = None) -> list[Seen]:
    """Every extent of a folder; tensors are adapters in an adapter's folder and parameters elsewhere, unless ``kind_of`` knows better."""
    adapter = (folder / "adapter_config.json").exists()
    found = []
    for path in files(folder):
        dtypes = _dtypes(path) if path.suffix == ".safetensors" else {}
        for piece in pieces(path):
            if piece.tensor is not None:
                kind = "adapter" if adapter else kind_of(path, piece.tensor) if kind_of else "parameter"
                dtype = dtypes[piece.tensor]
            else:
                kind, dtype = ("header" if path.suffix == ".safetensors" else "file"), "none"
            found.append(Seen(piece.digest, piece.nbytes, kind, dtype, "peft" if adapter else "safetensors"))
    return found


def _dtypes(path: Path) -> dict[str, str]:
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return {name: _DTYPES[entry["dtype"]] for name, entry in json.loads(raw[8 : 8 + length]).items() if name != "__metadata__"}


class Count:
    """Models as lists of folders, counted block by block."""

    def __init__(self, models: Mapping[str, Sequence[Path]], kind_of: Callable[[Path, str], str] | None = None) -> None:
        per_folder = {folder: seen_in(folder, kind_of) for folders in models.values() for folder in folders}
        self.extents = {name: [seen for folder in folders for seen in per_folder[folder]] for name, folders in models.items()}
        self.blocks = {name: {seen.digest for seen in extents} for name, extents in self.extents.items()}
        self.nbytes = {seen.digest: seen.nbytes for extents in self.extents.values() for seen in extents}
        self.holders: dict[bytes, set[str]] = defaultdict(set)
        for name, blocks in self.blocks.items():
            for digest in blocks:
                self.holders[digest].add(name)

    @property
    def unique(self) -> int:
        return sum(self.nbytes.values())

    def bytes_of(self, digests: Iterable[bytes]) -> int:
        return sum(self.nbytes[digest] for digest in set(digests))

    def spectrum(self) -> list[tuple[int, int, int]]:
        """``(models, bytes, blocks)``."""
        rows: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        for digest, holders in self.holders.items():
            rows[len(holders)][0] += self.nbytes[digest]
            rows[len(holders)][1] += 1
        return [(r, *rows[r]) for r in sorted(rows)]

    def by_model(self) -> tuple[dict[str, Row], int]:
        """Rows, and the bytes held by several."""
        rows = {}
        for name, blocks in self.blocks.items():
            row = rows[name] = Row(sum(seen.nbytes for seen in self.extents[name]))
            for digest in blocks:
                n, nbytes = len(self.holders[digest]), self.nbytes[digest]
                row.fair += Fraction(nbytes, n)
                row.exclusive += nbytes if n == 1 else 0
                row.exclusive_blocks += n == 1
                row.shared += nbytes if n > 1 else 0
        return rows, sum(self.nbytes[digest] for digest, holders in self.holders.items() if len(holders) > 1)

    def by_family(self, family: Mapping[str, str]) -> tuple[dict[str, Row], int]:
        rows: dict[str, Row] = defaultdict(Row)
        for name, row in self.by_model()[0].items():
            rows[family[name]].total += row.total
            rows[family[name]].fair += row.fair
        return rows, self._exclusive(rows, {digest: {family[name] for name in holders} for digest, holders in self.holders.items()})

    def by(self, what: str) -> tuple[dict[str, Row], int]:
        """By ``kind``, ``dtype`` or ``format``."""
        rows: dict[str, Row] = defaultdict(Row)
        labels: dict[bytes, set[str]] = defaultdict(set)
        for extents in self.extents.values():
            for seen in extents:
                rows[getattr(seen, what)].total += seen.nbytes
                labels[seen.digest].add(getattr(seen, what))
        for digest, some in labels.items():
            for label in some:
                rows[label].fair += Fraction(self.nbytes[digest], len(some))
        return rows, self._exclusive(rows, labels)

    def _exclusive(self, rows: dict[str, Row], labels: Mapping[bytes, set[str]]) -> int:
        several = 0
        for digest, some in labels.items():
            if len(some) > 1:
                several += self.nbytes[digest]
                continue
            row = rows[next(iter(some))]
            row.exclusive += self.nbytes[digest]
            row.exclusive_blocks += 1
            row.shared += self.nbytes[digest] if len(self.holders[digest]) > 1 else 0
        return several


def random_zoo(root: Path, generator: random.Random) -> dict[str, list[Path]]:
    """Models and adapters that share tensors, files and bytes under several types and kinds."""
    models: dict[str, list[Path]] = {}
    for m in range(generator.randrange(1, 7)):
        tensors = {}
        for i in range(generator.randrange(5)):
            n, seed = generator.choice((0, 2, 16)), generator.randrange(5)
            dtype, shape = generator.choice((("F32", (n,)), ("I32", (n,)), ("F16", (2 * n,))))
            tensors[f"t{i}"] = (dtype, shape, floats(n, seed))
        if models and generator.random() < 0.4:
            base = generator.choice(sorted(models))
            folder = write_adapter(root / "org" / f"m{m}", f"org/{base}", tensors or tensors_of(lora_A=m))
            models[f"m{m}"] = [*models[base], folder]
        else:
            folder = write_model(root / "org" / f"m{m}", tensors, vocab_txt="v" * generator.randrange(3))
            models[f"m{m}"] = [folder]
        if generator.random() < 0.3:  # the bytes of a tensor, as a file of their own
            (folder / "notes.txt").write_bytes(floats(16, generator.randrange(5)))
    return models
