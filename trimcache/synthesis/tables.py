"""The layouts of a forest as columns, and rows of a catalog's tables cut from them without a Python object a row."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trimcache.catalog.layout import SCANNED
from trimcache.synthesis.keys import keys_of, writer_keys
from trimcache.synthesis.lineage import Forest

Ints = NDArray[np.int64]


class _Dictionary:
    """Codes for repeated texts."""

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}

    def code(self, text: str | None) -> int:
        """-1 for None."""
        return -1 if text is None else self.codes.setdefault(text, len(self.codes))

    def array(self, codes: NDArray[Any]) -> pa.Array:
        values = pa.array(list(self.codes), pa.string())
        missing = codes < 0
        return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32), mask=missing if missing.any() else None), values)


class _Rows:
    """Which rows of concatenated layouts belong to some parts, part after part."""

    def __init__(self, starts: Ints, counts: Ints, layouts: Ints) -> None:
        repeats = counts[layouts]
        ends = np.cumsum(repeats)
        self.part = np.repeat(np.arange(len(layouts), dtype=np.int32), repeats)
        first = np.repeat(starts[layouts] - (ends - repeats), repeats)
        self.row = first + np.arange(len(first))
        #: Where each part's rows begin among the rows.
        self.begin = ends - repeats


class Tables:
    """All layouts, writers and keys of one forest; :meth:`shard` cuts the tables of some of its nodes."""

    def __init__(self, forest: Forest, digest: str, seed: int, source: str, popularity: NDArray[np.float64] | None) -> None:
        self._forest = forest
        self._seed = seed
        self._source = source
        self._popularity = popularity
        self._parent = np.array(forest.parent, np.int64)
        self._layout = np.array(forest.layout, np.int64)
        self._written = np.array(forest.written, np.int64)
        self._writers = writer_keys(forest.name, seed, digest)
        self._texts = _Dictionary()
        self._index_slots()
        self._concatenate(digest)

    def _index_slots(self) -> None:
        """Number the slots of each trunk, and lay out for each set of written slots a mask over its trunk."""
        forest = self._forest
        trunk_of_layout: dict[int, str] = {}
        for layout, written in zip(forest.layout, forest.written, strict=True):
            trunk_of_layout.setdefault(layout, forest.writes[written].trunk)
        self._trunk_of_layout = trunk_of_layout
        slots: dict[str, dict[str, int]] = {}
        for layout, trunk in trunk_of_layout.items():
            known = slots.setdefault(trunk, {})
            for slot in forest.layouts[layout].slots:
                known.setdefault(slot, len(known))
        self._slots = slots
        sizes = [len(slots.get(written.trunk, ())) for written in forest.writes]
        self._mask_start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        masks = np.zeros(int(self._mask_start[-1]), bool)
        for start, size, kept in zip(self._mask_start.tolist(), sizes, forest.writes, strict=False):
            if kept.slots is None:
                masks[start : start + size] = True
            else:
                numbers = slots.get(kept.trunk, {})
                masks[[start + numbers[slot] for slot in kept.slots if slot in numbers]] = True
        self._masks = masks

    def _concatenate(self, digest: str) -> None:
        code = self._texts.code
        extents: list[tuple[int, int, int, int, int, int]] = []
        tensors: list[tuple[int, int, int, int, int]] = []
        shapes: list[int] = []
        shape_ends = [0]
        files: list[tuple[int, int, int]] = []
        contents: list[bytes] = []
        counts = {"extents": [], "tensors": [], "files": []}  # type: dict[str, list[int]]
        for number, layout in enumerate(self._forest.layouts):
            numbers = self._slots.get(self._trunk_of_layout.get(number, ""), {})
            trunk = self._trunk_of_layout.get(number, "")
            paths = [code(path) for path, _, _ in layout.files]
            files += [(path, nbytes, code(file_format)) for path, (_, nbytes, file_format) in zip(paths, layout.files, strict=True)]
            ordinal, last = 0, -1
            for extent in layout.extents:
                ordinal = ordinal + 1 if extent.file == last else 0
                last = extent.file
                slot = -1 if extent.slot is None else numbers[extent.slot]
                extents.append((paths[extent.file], ordinal, extent.offset, extent.nbytes, code(extent.kind.value), slot))
                place = b"" if extent.slot is None else (extent.slot if not extent.content else trunk).encode()
                contents.append(b"trimcache bytes\0%d\0%b\0%b" % (extent.nbytes, place, extent.content))
            for tensor in layout.tensors:
                row = layout.extents[tensor.extent]
                tensors.append((paths[row.file], code(tensor.name), code(row.kind.value), code(tensor.dtype), tensor.extent))
                shapes += tensor.shape
                shape_ends.append(len(shapes))
            for table, rows in (("extents", layout.extents), ("tensors", layout.tensors), ("files", layout.files)):
                counts[table].append(len(rows))
        self._counts = {table: np.array(values, np.int64) for table, values in counts.items()}
        self._starts = {table: np.cumsum(values) - values for table, values in self._counts.items()}
        self._extents = np.array(extents, np.int64).reshape(-1, 6).T.copy()
        self._tensors = np.array(tensors, np.int64).reshape(-1, 5).T.copy()
        self._files = np.array(files, np.int64).reshape(-1, 3).T.copy()
        self._shapes = pa.ListArray.from_arrays(pa.array(shape_ends, pa.int32()), pa.array(shapes, pa.int64()))
        unique = {text: i for i, text in enumerate(dict.fromkeys(contents))}
        keys = keys_of(list(unique), digest)
        self._content_keys = keys[np.array([unique[text] for text in contents], np.int64)] if contents else keys
        self._layout_nbytes = np.array([layout.nbytes for layout in self._forest.layouts], np.int64)

    def _blocks(self, nodes: Ints, rows: _Rows) -> NDArray[np.uint64]:
        """uint64[n, w]: digest of each extent row: its writer's key xor its content's."""
        slot = self._extents[5][rows.row]
        writer = nodes[rows.part]
        # Up the ancestry until the node that wrote the slot, for all rows at once; -1 slots have no writer.
        pending = np.flatnonzero(slot >= 0)
        while pending.size:
            at = writer[pending]
            wrote = self._masks[self._mask_start[self._written[at]] + slot[pending]] | (self._parent[at] < 0)
            pending = pending[~wrote]
            writer[pending] = self._parent[writer[pending]]
        writer[slot < 0] = len(self._writers) - 1
        blocks = self._writers[writer]
        blocks ^= self._content_keys[rows.row]
        return blocks

    def shard(self, nodes: Sequence[int] | Ints) -> dict[str, pa.Table]:
        """The rows of every table for some nodes, repeated texts as dictionaries."""
        chosen = np.asarray(nodes, np.int64)
        layouts = self._layout[chosen]
        uris = pa.array([f"synthetic://{self._source}/seed-{self._seed}/{self._forest.name[node]}" for node in chosen], pa.string())
        files = _Rows(self._starts["files"], self._counts["files"], layouts)
        extents = _Rows(self._starts["extents"], self._counts["extents"], layouts)
        tensors = _Rows(self._starts["tensors"], self._counts["tensors"], layouts)
        blocks = self._blocks(chosen, extents)
        text = self._texts.array
        e, t, f = self._extents[:, extents.row], self._tensors[:, tensors.row], self._files[:, files.row]
        extent_of_tensor = extents.begin[tensors.part] + t[4]
        n_files = len(files.row)
        return {
            "extents": pa.table({
                **_keyed(uris, extents), "file": text(e[0]), "ordinal": pa.array(e[1].astype(np.int32)), "offset": pa.array(e[2]),
                "nbytes": pa.array(e[3]), "block": _binary(blocks), "kind": text(e[4]),
            }),
            "tensors": pa.table({
                **_keyed(uris, tensors), "file": text(t[0]), "name": text(t[1]), "kind": text(t[2]), "dtype": text(t[3]),
                "shape": self._shapes.take(pa.array(tensors.row)), "offset": pa.array(e[2][extent_of_tensor]),
                "nbytes": pa.array(e[3][extent_of_tensor]), "digest": _binary(blocks[extent_of_tensor]),
                "constant": pa.array(np.zeros(len(tensors.row), bool)),
            }),
            "files": pa.table({
                **_keyed(uris, files), "path": text(f[0]), "nbytes": pa.array(f[1]), "format": text(f[2]),
                "known_hash": pa.nulls(n_files, pa.string()), "mtime_ns": pa.nulls(n_files, pa.int64()),
                "ctime_ns": pa.nulls(n_files, pa.int64()), "device": pa.nulls(n_files, pa.uint64()),
                "inode": pa.nulls(n_files, pa.uint64()),
            }),
            "models": self._models(chosen, uris),
            "parts": self._parts(chosen, uris),
        }  # fmt: skip

    def _models(self, nodes: Ints, uris: pa.Array) -> pa.Table:
        ends = pa.array(np.arange(len(nodes) + 1, dtype=np.int32))
        names = pa.array([self._forest.name[node] for node in nodes], pa.string())
        return pa.table({**_of_parts(uris), "model": names, "parts": pa.ListArray.from_arrays(ends, uris)})

    def _parts(self, nodes: Ints, uris: pa.Array) -> pa.Table:
        forest, n = self._forest, len(nodes)
        notes = [f"generated: {forest.regime[node]}" for node in nodes]
        popularity = pa.nulls(n, pa.float64()) if self._popularity is None else pa.array(self._popularity[nodes])
        return pa.table({
            **_of_parts(uris),
            "status": pa.array([SCANNED] * n, pa.string()),
            "name": pa.array([forest.name[node] for node in nodes], pa.string()),
            "source": pa.array([f"synthetic://{self._source}"] * n, pa.string()),
            "version": pa.array([f"seed {self._seed}"] * n, pa.string()),
            "format": pa.array([forest.layouts[forest.layout[node]].format for node in nodes], pa.string()),
            "architecture": pa.array([forest.architecture[node] for node in nodes], pa.string()),
            "declared_base": pa.array([forest.declared_base[node] for node in nodes], pa.string()),
            "base_revision": pa.nulls(n, pa.string()),
            "needs_base": pa.array([forest.needs_base[node] for node in nodes], pa.bool_()),
            "popularity": popularity,
            "nbytes": pa.array(self._layout_nbytes[self._layout[nodes]]),
            "notes": pa.ListArray.from_arrays(pa.array(np.arange(n + 1, dtype=np.int32)), pa.array(notes, pa.string())),
            "scanned_at": pa.array([datetime.now(UTC)] * n, pa.timestamp("us", tz="UTC")),
        })  # fmt: skip


def _of_parts(uris: pa.Array) -> dict[str, pa.Array]:
    return {"part": uris, "generation": pa.array(np.zeros(len(uris), np.int64))}


def _keyed(uris: pa.Array, rows: _Rows) -> dict[str, pa.Array]:
    part = pa.DictionaryArray.from_arrays(pa.array(rows.part), uris)
    return {"part": part, "generation": pa.array(np.zeros(len(rows.part), np.int64))}


def _binary(words: NDArray[np.uint64]) -> pa.Array:
    """Rows of words as fixed-size binary values, without a copy."""
    contiguous = np.ascontiguousarray(words)
    width = 8 * contiguous.shape[1]
    return pa.Array.from_buffers(pa.binary(width), len(contiguous), [None, pa.py_buffer(contiguous)])
