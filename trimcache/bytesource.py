"""Where bytes come from: one small seam between storage and formats.

An extractor is handed a :class:`ByteSource` and nothing else, so the same code reads a local file, a buffer in memory or, later, an
object behind HTTP range requests. A source knows its exact size and answers ``read_at(offset, n)``; it has no cursor, so threads share it.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from trimcache.errors import FormatError, SourceChangedError, SourceNotFoundError, SourceUnreadableError


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a file system says of one version of a file; any change of content changes at least one field.

    ``ctime_ns`` and ``inode`` are there because ``size`` and ``mtime_ns`` survive a careful replacement (``cp -p``, ``rsync -t``).
    """

    nbytes: int
    mtime_ns: int
    ctime_ns: int
    device: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino)


class ByteSource(ABC):
    """Random access to the bytes of one file at one version.

    Attributes:
        uri: where the bytes are, as a URI; names the source in every error.
        size: exact length in bytes.
        version: opaque text that changes when the bytes may have changed, or None.
        local_path: the file on this machine, or None.
        known_hash: ``"algorithm:hex"`` if the place already vouches for the content (a Hugging Face blob name), or None.
    """

    uri: str
    size: int
    version: str | None = None
    local_path: Path | None = None
    known_hash: str | None = None

    @abstractmethod
    def _read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill all of ``buffer`` from ``offset``; the range is already known to lie inside the source."""

    def read_at(self, offset: int, n: int) -> bytes:
        """The ``n`` bytes from ``offset``.

        Raises:
            FormatError: the range is not inside the source: whatever asked for it was told so by the file itself.
            SourceUnreadableError: the storage failed.
            SourceChangedError: the source is shorter than it was when it was opened.
        """
        self.check_range(offset, n)
        buffer = bytearray(n)
        self._read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` (a writable byte view) from ``offset``. Raises as :meth:`read_at`."""
        self.check_range(offset, buffer.nbytes)
        self._read_into(offset, buffer)

    def check_range(self, offset: int, n: int) -> None:
        """Raise FormatError unless ``[offset, offset + n)`` lies inside the source."""
        if offset < 0 or n < 0 or offset + n > self.size:
            raise FormatError(
                self.uri,
                f"truncated: {n} bytes are expected at offset {offset}, but it holds {self.size}",
                "download or copy it again",
            )

    def close(self) -> None:  # noqa: B027 - most sources hold nothing open
        """Release what the source holds open; reading afterwards is an error. Harmless when called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


class PartFiles(Protocol):
    """The files of one part, as an extractor may see them: by name, never by path on disk."""

    def names(self) -> Sequence[str]:
        """Paths of the files relative to the part, with ``/``, sorted."""
        ...

    def open(self, path: str) -> ByteSource:
        """The bytes of one file of the part.

        Raises:
            FormatError: the part has no file of that name (a name taken from inside a checkpoint can claim anything).
        """
        ...


class LocalFile(ByteSource):
    """A regular file on this machine, read with ``pread``.

    Mapping the file would save one copy in cache, but a file that shrinks under a map kills the process with SIGBUS; ``pread`` returns
    short instead, and that is an ordinary error.
    """

    def __init__(self, path: Path | str, *, uri: str | None = None, known_hash: str | None = None) -> None:
        self.local_path = Path(path)
        self.uri = uri or str(path)
        self.known_hash = known_hash
        self._fd = -1
        try:
            # O_NONBLOCK: opening a FIFO for reading would otherwise wait for a writer for ever.
            self._fd = os.open(self.local_path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            status = os.fstat(self._fd)
        except FileNotFoundError as error:
            raise SourceNotFoundError(self.uri, "no such file", "check the path") from error
        except OSError as error:
            raise SourceUnreadableError(self.uri, f"cannot be opened ({error.strerror})", "check its permissions") from error
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise SourceUnreadableError(self.uri, "is not a regular file", "name a file or a folder")
        self.stamp = Stamp.of(status)
        self.size = self.stamp.nbytes
        self.version = f"{self.stamp.nbytes}-{self.stamp.mtime_ns}-{self.stamp.ctime_ns}-{self.stamp.inode}"

    def _read_into(self, offset: int, buffer: memoryview) -> None:
        done = 0
        while done < len(buffer):
            try:
                got = os.preadv(self._fd, [buffer[done:]], offset + done)
            except OSError as error:
                raise SourceUnreadableError(self.uri, f"reading failed ({error.strerror})", "check the disk") from error
            if got == 0:
                raise SourceChangedError(self.uri, "became shorter while it was read", "scan again when nothing writes to it")
            done += got

    def check_unchanged(self) -> None:
        """Raise SourceChangedError if the file was written to or replaced since it was opened."""
        try:
            now = Stamp.of(os.fstat(self._fd))
            there = Stamp.of(os.stat(self.local_path or ""))
        except OSError as error:
            raise SourceChangedError(self.uri, "was removed while it was read", "scan again") from error
        if now != self.stamp or there != self.stamp:
            raise SourceChangedError(self.uri, "changed while it was read", "scan again when nothing writes to it")

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.close()


class MemoryBytes(ByteSource):
    """Bytes already in memory; the buffer is borrowed, not copied."""

    def __init__(self, data: bytes | bytearray | memoryview, *, uri: str = "memory://bytes") -> None:
        self._view = memoryview(data).cast("B")
        self.uri = uri
        self.size = self._view.nbytes

    def _read_into(self, offset: int, buffer: memoryview) -> None:
        buffer[:] = self._view[offset : offset + buffer.nbytes]


class Buffers(ByteSource):
    """A virtual file made of buffers that are only fetched when they are read: a model in memory, say on another device.

    Args:
        segments: ``(offset, nbytes, fetch)`` that tile the file in order; ``fetch()`` gives the bytes of one segment.
    """

    def __init__(self, segments: Sequence[tuple[int, int, Callable[[], memoryview]]], *, uri: str) -> None:
        self._segments = [segment for segment in segments if segment[1]]
        self._starts = [offset for offset, _, _ in self._segments]
        self.uri = uri
        self.size = sum(nbytes for _, nbytes, _ in self._segments)

    def _read_into(self, offset: int, buffer: memoryview) -> None:
        index = bisect_right(self._starts, offset) - 1
        done = 0
        while done < buffer.nbytes:
            start, nbytes, fetch = self._segments[index]
            begin = offset + done - start
            n = min(nbytes - begin, buffer.nbytes - done)
            buffer[done : done + n] = fetch()[begin : begin + n]
            done += n
            index += 1
