"""Scanning one part: a pure function of its task, so that threads, processes and clusters run the same one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from trimcache.blocks.digests import DigestAlgorithm, digest_algorithm
from trimcache.blocks.engine import Hashed, hash_extents, is_constant
from trimcache.blocks.tiling import Extent, tile
from trimcache.bytesource import Buffers, ByteSource, LocalFile
from trimcache.dtypes import DTYPE_BITS
from trimcache.errors import NoWeightsError, SourceChangedError
from trimcache.extraction import extractor_for, object_extractor_for
from trimcache.records import ExtentColumns, FileColumns, PartRecord, TensorColumns
from trimcache.rules import Rules
from trimcache.sources.describe import Description, describe
from trimcache.sources.parts import OpenPart, PartSpec, SourceFile
from trimcache.tensors import Kind, TensorRef

# Told the number of bytes done, from whichever thread did them.
Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class ScanTask:
    """What to scan and by which rules; picklable unless the part is a model in memory."""

    spec: PartSpec
    rules: Rules


def scan_part(task: ScanTask, *, executor: Executor | None = None, advance: Advance | None = None) -> PartRecord:
    """Read one part: tensors from the headers of its files, blocks from their bytes.

    Args:
        executor: hashes runs of extents of one file at once; None: one after another.
        advance: progress in bytes.

    Raises:
        FormatError: a file breaks the rules of its format.
        NoWeightsError: no file of the part holds weights.
        SourceUnreadableError, SourceChangedError: from reading.
    """
    hashing = _Hashing(digest_algorithm(task.rules.digest), executor, advance)
    return _scan_object(task.spec, hashing) if task.spec.obj is not None else _scan_files(task.spec, hashing)


def _scan_files(spec: PartSpec, hashing: _Hashing) -> PartRecord:
    files = OpenPart(spec.files)
    record = _empty_record(spec, describe(files))
    tensors: dict[str, list[TensorRef]] = {}
    formats: dict[str, str] = {}
    for file in spec.files:
        extractor = extractor_for(file.path, files)
        if extractor is None:
            continue
        with _open_same(file) as source:
            extraction = extractor.extract(source, files)
        formats[file.path] = extractor.format
        for tensor in extraction.tensors:
            tensors.setdefault(tensor.file or file.path, []).append(tensor)
        record.notes += extraction.notes
        if extraction.declared_base:
            record.declared_base, record.base_revision, record.needs_base = extraction.declared_base, extraction.base_revision, True
    if not formats:
        raise NoWeightsError(spec.name, "holds no weights that can be read", "name a folder or file with weights")
    record.format = "+".join(sorted(set(formats.values())))
    for file in spec.files:
        with _open_same(file) as source:
            _add_file(record, source, file.path, formats.get(file.path), tensors.get(file.path, ()), hashing)
            source.check_unchanged()
    return record


def _scan_object(spec: PartSpec, hashing: _Hashing) -> PartRecord:
    """A model in memory is a part of one virtual file, ``state``."""
    extractor = object_extractor_for(spec.obj)
    assert extractor is not None, "resolve() lets only models through"
    tensors = extractor.extract_object(spec.obj).tensors
    segments = {t.offset: (t.offset, t.nbytes, t.data) for t in tensors if t.nbytes and t.offset is not None and t.data is not None}
    if not segments:
        raise NoWeightsError(spec.name, "the module has no weights", "pass a module with parameters")
    record = _empty_record(spec, Description(type(spec.obj).__name__, None))
    record.format = extractor.format
    with Buffers(list(segments.values()), uri=spec.uri) as source:
        _add_file(record, source, "state", extractor.format, tensors, hashing)
    return record


def _open_same(file: SourceFile) -> LocalFile:
    """Open a file and make sure that it is still the one that was resolved."""
    source = LocalFile(file.location, known_hash=file.known_hash)
    if source.stamp != file.stamp:
        source.close()
        raise SourceChangedError(file.location, "changed while it was scanned", "scan again when nothing writes to it")
    return source


def _empty_record(spec: PartSpec, description: Description) -> PartRecord:
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
    files, extents, columns = record.files, record.extents, record.tensors
    files.path.append(path)
    files.nbytes.append(source.size)
    files.format.append(file_format)
    files.known_hash.append(source.known_hash)
    files.stamp.append(source.stamp if isinstance(source, LocalFile) else None)

    ranges = [
        Extent(offset, nbytes, tensor.kind, itemsize(tensor.dtype) if tensor.offset is not None else 0)
        for tensor in tensors
        for offset, nbytes in (((tensor.offset, tensor.nbytes),) if tensor.offset is not None else tensor.stored)
    ]
    gap_kind = Kind.HEADER if file_format is not None or ranges else Kind.FILE
    tiles = tile(source.size, ranges, gap_kind, source.uri)
    hashed = hashing.of_extents(source, tiles)
    by_range = {(extent.offset, extent.nbytes): result for extent, result in zip(tiles, hashed, strict=True)}

    extents.file.extend([path] * len(tiles))
    extents.ordinal.extend(range(len(tiles)))
    extents.offset.extend(extent.offset for extent in tiles)
    extents.nbytes.extend(extent.nbytes for extent in tiles)
    extents.block.extend(result.digest for result in hashed)
    extents.kind.extend(extent.kind.value for extent in tiles)
    for tensor in tensors:
        same_range = by_range.get((tensor.offset, tensor.nbytes)) if tensor.offset is not None else None
        result = same_range or hashing.of_tensor(source, tensor)
        columns.file.append(path)
        columns.name.append(tensor.name)
        columns.kind.append(tensor.kind.value)
        columns.dtype.append(tensor.dtype)
        columns.shape.append(tensor.shape)
        columns.offset.append(tensor.offset)
        columns.nbytes.append(tensor.nbytes)
        columns.digest.append(result.digest)
        columns.constant.append(result.constant)


def itemsize(dtype: str) -> int:
    """Whole bytes of one element; 1 for types without a fixed width and for packed ones."""
    return max(1, DTYPE_BITS.get(dtype, 0) // 8)


@dataclass(frozen=True, slots=True)
class _Hashing:
    """How the bytes of one task are hashed."""

    algorithm: DigestAlgorithm
    executor: Executor | None
    advance: Advance | None

    def of_extents(self, source: ByteSource, extents: Sequence[Extent]) -> list[Hashed]:
        return hash_extents(source, extents, self.algorithm, executor=self.executor, advance=self.advance)

    def of_tensor(self, source: ByteSource, tensor: TensorRef) -> Hashed:
        """For a tensor that is no extent of its own: empty, inside a larger range, or stored in another layout."""
        if tensor.offset is not None:
            [result] = hash_extents(source, [Extent(tensor.offset, tensor.nbytes, tensor.kind, itemsize(tensor.dtype))], self.algorithm)
            return result
        assert tensor.data is not None, "a tensor without an offset brings its bytes"
        data = tensor.data()
        return Hashed(self.algorithm.of(data), is_constant(data, itemsize(tensor.dtype)))
