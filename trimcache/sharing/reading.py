"""Reading tensors of scanned parts again: by range, a chunk at a time, and only if their bytes are those that were scanned.

Stamps of files are no proof here: a hard link made beside a file changes its ctime. Every tensor is read whole anyway, so its digest is.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from trimcache.blocks.digests import digest_algorithm
from trimcache.bytesource import ByteSource, LocalFile
from trimcache.catalog.reader import Catalog, Part
from trimcache.errors import SourceChangedError, SourceNotFoundError
from trimcache.scanning.headers import Headers, read_headers
from trimcache.scanning.verify import find_again
from trimcache.sharing.model_tensors import StoredTensor
from trimcache.sources.parts import PartSpec, SourceFile
from trimcache.tensors import TensorRef

_READ_NBYTES = 1 << 20


class ScannedPart:
    """The files of one part of a catalog, opened on demand."""

    def __init__(self, catalog: Catalog, part: Part) -> None:
        self._catalog, self._part = catalog, part

    def open(self, path: str) -> LocalFile:
        """One file of the part.

        Raises:
            SourceNotFoundError: it is gone, or was a model in memory.
            SourceChangedError: its size is no longer the one that was scanned.
            SourceUnreadableError: it cannot be opened.
        """
        file = self._files.get(path)
        if file is None:
            raise SourceNotFoundError(f"{self._part.name}/{path}", "is no longer where it was scanned", "scan again")
        source = LocalFile(file.location)
        if source.size != self._sizes.get(path):
            source.close()
            raise _changed(source)
        return source

    def stream(self, tensor: StoredTensor, source: ByteSource) -> ScannedStream:
        """The canonical bytes of a tensor of an open file; what does not lie row-major is brought into order piece by piece.

        Raises:
            FormatError, SourceUnreadableError, SourceChangedError: the headers cannot be read again.
        """
        return ScannedStream(self._pieces(tensor, source), tensor.digest, self._catalog.rules.digest, source)

    def _pieces(self, tensor: StoredTensor, source: ByteSource) -> Iterator[bytes | memoryview]:
        if tensor.offset is not None:
            return _ranges(source, tensor.offset, tensor.nbytes)
        found: TensorRef | None = next((t for t in self._headers.tensors.get(tensor.file, ()) if t.name in tensor.names), None)
        if found is None:
            raise _changed(source)
        return found.pieces(source)

    @cached_property
    def _spec(self) -> PartSpec:
        if self._part.part.startswith("memory://"):
            raise SourceNotFoundError(self._part.name, "was a model in memory", "save it to a file and scan that to measure distances")
        return find_again(self._part)

    @cached_property
    def _files(self) -> dict[str, SourceFile]:
        return {file.path: file for file in self._spec.files}

    @cached_property
    def _headers(self) -> Headers:
        return read_headers(self._spec)

    @cached_property
    def _sizes(self) -> dict[str, int]:
        rows = self._catalog.live_rows("files", self._part.shard, ("path", "nbytes"))
        rows = rows.filter(pc.equal(rows["part"].cast(pa.string()), self._part.part))
        return dict(zip(rows["path"].to_pylist(), rows["nbytes"].to_pylist(), strict=True))


class ScannedStream:
    """Bytes in order from pieces of any size (:class:`trimcache.sharing.distance.Stream`), hashed as they pass."""

    def __init__(self, pieces: Iterator[bytes | memoryview], digest: bytes, algorithm: str, source: ByteSource) -> None:
        self._pieces, self._digest, self._source = pieces, digest, source
        self._hasher = digest_algorithm(algorithm).new()
        self._held = memoryview(b"")

    def read(self, n: int) -> bytes:
        """The next ``n`` bytes.

        Raises:
            SourceChangedError: there are not so many: the file is another one than was scanned.
            SourceUnreadableError, FormatError: from reading.
        """
        taken: list[memoryview] = []
        while n:
            if not self._held.nbytes and not self._next():
                raise _changed(self._source)
            taken.append(self._held[:n])
            self._held = self._held[n:]
            n -= taken[-1].nbytes
        return b"".join(taken)

    def check(self) -> None:
        """Read what is left and raise SourceChangedError unless all of it had the digest that was scanned."""
        while self._next():
            pass
        if self._hasher.digest() != self._digest:
            raise _changed(self._source)

    def _next(self) -> bool:
        piece = next(self._pieces, None)
        if piece is None:
            return False
        self._held = memoryview(piece)
        self._hasher.update(self._held)
        return True


def _ranges(source: ByteSource, offset: int, nbytes: int) -> Iterator[bytes]:
    for begin in range(0, nbytes, _READ_NBYTES):
        yield source.read_at(offset + begin, min(_READ_NBYTES, nbytes - begin))


def _changed(source: ByteSource) -> SourceChangedError:
    return SourceChangedError(source.uri, "changed since it was scanned", "scan it again")
