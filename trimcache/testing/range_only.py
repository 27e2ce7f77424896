"""Bytes as an extractor must be content with them: no path, no whole-file access, every request counted."""

from __future__ import annotations

from collections.abc import Mapping

from trimcache.bytesource import ByteSource
from trimcache.errors import FormatError


class RangeOnlySource(ByteSource):
    """Answers ``read_at`` and ``read_into`` and nothing else, like an object behind HTTP range requests.

    Attributes:
        n_reads, nbytes_read: what was asked for and answered.
        refused: requests ``(offset, n)`` that did not lie inside the file.
    """

    def __init__(self, data: bytes, uri: str) -> None:
        self._data = data
        self.uri = uri
        self.size = len(data)
        self.n_reads = 0
        self.nbytes_read = 0
        self.refused: list[tuple[int, int]] = []

    def check_range(self, offset: int, n: int) -> None:
        if offset < 0 or n < 0 or offset + n > self.size:
            self.refused.append((offset, n))
        super().check_range(offset, n)

    def _read_into(self, offset: int, buffer: memoryview) -> None:
        self.n_reads += 1
        self.nbytes_read += buffer.nbytes
        buffer[:] = self._data[offset : offset + buffer.nbytes]


class RangeOnlyPart:
    """The files of a part (:class:`trimcache.bytesource.PartFiles`) as range-only sources; remembers every one it handed out."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = dict(sorted(files.items()))
        self.opened: list[RangeOnlySource] = []

    def names(self) -> tuple[str, ...]:
        return tuple(self._files)

    def open(self, path: str) -> RangeOnlySource:
        if path not in self._files:
            raise FormatError(path[:200], "is referred to but is not a file of the model", "download the missing file")
        source = RangeOnlySource(self._files[path], uri_of(path))
        self.opened.append(source)
        return source

    @property
    def nbytes_read(self) -> int:
        return sum(source.nbytes_read for source in self.opened)

    @property
    def refused(self) -> list[tuple[int, int]]:
        return [request for source in self.opened for request in source.refused]


class UnreadablePart(RangeOnlyPart):
    """Only names can be seen: what ``claims`` must be content with."""

    def open(self, path: str) -> RangeOnlySource:
        raise AssertionError(f"{path} was opened although only names may be looked at")


def uri_of(path: str) -> str:
    """The URI of a file of the part; errors must repeat it."""
    return f"ranges://part/{path}"
