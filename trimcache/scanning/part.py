"""Scanning one part: a pure function of its task, so that threads, processes and clusters run the same one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from trimcache.blocks.digests import digest_algorithm
from trimcache.blocks.engine import Cutter, Engine
from trimcache.blocks.granularity import blocks_at, cutter_for, is_cut
from trimcache.blocks.stream import Hashed
from trimcache.blocks.tiling import Extent, tile
from trimcache.bytesource import Buffers, ByteSource, LocalFile, MemoryBytes
from trimcache.dtypes import DTYPE_BITS
from trimcache.errors import NoWeightsError
from trimcache.extraction import object_extractor_for
from trimcache.rules import Rules
from trimcache.scanning.headers import open_same, read_headers
from trimcache.scanning.records import ExtentColumns, FileColumns, PartRecord, TensorColumns
from trimcache.sources.describe import Description, describe
from trimcache.sources.parts import OpenPart, PartSpec
from trimcache.tensors import Kind, TensorRef

if TYPE_CHECKING:
    from trimcache.blocks.mapped import MapWorkers

# Told the number of bytes done, from whichever thread did them.
Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class ScanTask:
    """What to scan and by which rules; picklable unless the part is a model in memory.

    Attributes:
        also: further rules to cut blocks by in the same pass; they share the digest of ``rules``.
        sequential: read in file order from one thread.
    """

    spec: PartSpec
    rules: Rules
    also: tuple[Rules, ...] = ()
    sequential: bool = False

    @property
    def can_map(self) -> bool:
        """Whether its bytes are hashed as they lie in files: nothing is cut, and nobody asked for reading in order."""
        return self.spec.obj is None and not self.sequential and not any(is_cut(one.granularity) for one in (self.rules, *self.also))


def scan_part(
    task: ScanTask, *, executor: Executor | None = None, advance: Advance | None = None, mapped: MapWorkers | None = None
) -> PartRecord:
    """Read one part: tensors from the headers of its files, blocks from their bytes.

    Args:
        executor: hashes runs of extents of one file at once; None: one after another.
        advance: progress in bytes.
        mapped: processes that may map local files, used with ``executor``.

    Raises:
        FormatError: a file breaks the rules of its format.
        NoWeightsError: no file of the part holds weights.
        SourceUnreadableError, SourceChangedError: from reading.
    """
    hashing = _Hashing.of(task, executor, advance, mapped)
    return _scan_object(task.spec, hashing) if task.spec.obj is not None else _scan_files(task.spec, hashing)


def _scan_files(spec: PartSpec, hashing: _Hashing) -> PartRecord:
    headers = read_headers(spec)
    record = _empty_record(spec, describe(OpenPart(spec.files)), hashing)
    record.format = headers.format
    record.notes += headers.notes
    record.needs_base = headers.declared_base is not None or headers.only_adapters
    if headers.declared_base:
        record.declared_base, record.base_revision = headers.declared_base, headers.base_revision
    for file in spec.files:
        with open_same(file) as source:
            _add_file(record, source, file.path, headers.formats.get(file.path), headers.tensors.get(file.path, ()), hashing)
            source.check_unchanged()
    return record


def _scan_object(spec: PartSpec, hashing: _Hashing) -> PartRecord:
    """A model in memory is a part of one virtual file, ``state``."""
    extractor = object_extractor_for(spec.obj)
    assert extractor is not None, "resolve() lets only models through"
    tensors = extractor.extract_object(spec.obj).tensors
    nowhere = MemoryBytes(b"", uri=spec.uri)  # tensors held in memory read nothing
    segments = {
        t.offset: (t.offset, t.nbytes, partial(t.whole, nowhere))
        for t in tensors
        if t.nbytes and t.offset is not None and t.data is not None
    }
    if not segments:
        raise NoWeightsError(spec.name, "the module has no weights", "pass a module with parameters")
    record = _empty_record(spec, Description(type(spec.obj).__name__, None), hashing)
    record.format = extractor.format
    with Buffers(list(segments.values()), uri=spec.uri) as source:
        _add_file(record, source, "state", extractor.format, tensors, hashing)
    return record


def _empty_record(spec: PartSpec, description: Description, hashing: _Hashing) -> PartRecord:
    return PartRecord(
        part=spec.uri,
        name=spec.name,
        source=spec.source,
        version=spec.version,
        format="",
        architecture=description.architecture,
        declared_base=description.declared_base,
        base_revision=None,
        needs_base=False,
        notes=spec.notes,
        files=FileColumns(),
        tensors=TensorColumns(),
        extents=ExtentColumns(),
        also=tuple(ExtentColumns() for _ in hashing.rules[1:]),
    )


def _add_file(
    record: PartRecord,
    source: ByteSource,
    path: str,
    file_format: str | None,
    tensors: Sequence[TensorRef],
    hashing: _Hashing,
) -> None:
    """Append one file, its extents and its tensors to ``record``. Every byte of the file is read once, for both."""
    files, columns = record.files, record.tensors
    files.path.append(path)
    files.nbytes.append(source.size)
    files.format.append(file_format)
    files.known_hash.append(source.known_hash)
    files.stamp.append(source.stamp if isinstance(source, LocalFile) else None)

    ranges = [
        tensor_extent(tensor, tensor.offset) if tensor.offset is not None else Extent(offset, nbytes, tensor.kind)
        for tensor in tensors
        for offset, nbytes in (((tensor.offset, tensor.nbytes),) if tensor.offset is not None else tensor.stored)
    ]
    gap_kind = Kind.HEADER if file_format is not None or ranges else Kind.FILE
    tiles = tile(source.size, ranges, gap_kind, source.uri)
    hashed = hashing.engine.hash_extents(source, tiles)
    by_range: dict[tuple[int | None, int], Hashed] = {(tile.offset, tile.nbytes): one for tile, one in zip(tiles, hashed, strict=True)}

    for rules, cutter, extents in zip(hashing.rules, hashing.cutter_of, (record.extents, *record.also), strict=True):
        blocks = list(blocks_at(rules.granularity, tiles, hashed, cutter, hashing.engine.algorithm))
        offsets, sizes, digests, kinds = zip(*blocks, strict=True) if blocks else ((), (), (), ())
        extents.file.extend([path] * len(blocks))
        extents.ordinal.extend(range(len(blocks)))
        extents.offset.extend(offsets)
        extents.nbytes.extend(sizes)
        extents.block.extend(digests)
        extents.kind.extend(kinds)
    results = [by_range.get((tensor.offset, tensor.nbytes)) or hashing.of_tensor(source, tensor) for tensor in tensors]
    columns.file.extend([path] * len(tensors))
    columns.name.extend([tensor.name for tensor in tensors])
    columns.kind.extend([tensor.kind for tensor in tensors])
    columns.dtype.extend([tensor.dtype for tensor in tensors])
    columns.shape.extend([tensor.shape for tensor in tensors])
    columns.offset.extend([tensor.offset for tensor in tensors])
    columns.nbytes.extend([tensor.nbytes for tensor in tensors])
    columns.digest.extend([result.digest for result in results])
    columns.constant.extend([result.constant for result in results])


_ITEMSIZES = {dtype: max(1, bits // 8) for dtype, bits in DTYPE_BITS.items()}


def itemsize(dtype: str) -> int:
    """Whole bytes of one element; 1 for types without a fixed width and for packed ones."""
    return _ITEMSIZES.get(dtype, 1)


def tensor_extent(tensor: TensorRef, offset: int) -> Extent:
    """The extent of a tensor that lies row-major at ``offset``."""
    rows = tensor.shape[0] if len(tensor.shape) > 1 else 0
    row_nbytes = tensor.nbytes // rows if rows and tensor.nbytes % rows == 0 else 0
    return Extent(offset, tensor.nbytes, tensor.kind, itemsize(tensor.dtype), row_nbytes, tensor.name.rpartition(".")[0])


@dataclass(frozen=True, slots=True)
class _Hashing:
    """How the bytes of one task are hashed, and by which rules they are cut.

    Attributes:
        rules: one or more; ``cutter_of`` names for each the engine's cutter that serves it, or None.
    """

    engine: Engine
    rules: tuple[Rules, ...]
    cutter_of: tuple[int | None, ...]

    @classmethod
    def of(cls, task: ScanTask, executor: Executor | None, advance: Advance | None, mapped: MapWorkers | None) -> _Hashing:
        algorithm = digest_algorithm(task.rules.digest)
        rules = (task.rules, *task.also)
        cutters: list[Cutter] = []
        cutter_of: list[int | None] = []
        for one in rules:
            cutter = cutter_for(one.granularity, one.parameters, algorithm)
            cutter_of.append(None if cutter is None else len(cutters))
            if cutter is not None:
                cutters.append(cutter)
        engine = Engine(algorithm, executor, task.sequential, tuple(cutters), advance, mapped if task.can_map else None)
        return cls(engine, rules, tuple(cutter_of))

    def of_tensor(self, source: ByteSource, tensor: TensorRef) -> Hashed:
        """For a tensor that is no extent of its own: empty, inside a larger range, or stored in another layout."""
        algorithm = self.engine.algorithm
        if tensor.offset is not None:
            [result] = Engine(algorithm).hash_extents(source, [tensor_extent(tensor, tensor.offset)])
            return result
        return self.engine.hash_pieces(tensor.pieces(source), itemsize(tensor.dtype))
