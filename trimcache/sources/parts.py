"""A part before it is scanned: its name, its files, and the version they are at."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimcache.bytesource import ByteSource, LocalFile, Stamp
from trimcache.errors import FormatError


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a part.

    Attributes:
        path: relative to the part, with ``/``.
        location: where to open it: a local path.
        stamp: its version when it was resolved.
        known_hash: ``"algorithm:hex"`` if its place vouches for its content.
    """

    path: str
    location: str
    stamp: Stamp
    known_hash: str | None = None


@dataclass(frozen=True, slots=True)
class PartSpec:
    """One part, ready to be scanned.

    Attributes:
        uri: identity of the part across scans.
        name: what people call it; unique within one scan.
        source: URI of the source that it was found under.
        files: sorted by path; empty for a model in memory.
        notes: what was left out, and why.
        obj: the model in memory, if it is one.
        revision: the revision that its place says it is at, with what its name says of it; "" where there are none.
        lone: whether it is a weight file that was found by its ending alone: that it holds no weights is no error then.
    """

    uri: str
    name: str
    source: str
    files: tuple[SourceFile, ...]
    notes: tuple[str, ...] = ()
    obj: Any = None
    revision: str = ""
    lone: bool = False

    @property
    def version(self) -> str:
        """Text that changes whenever a file of the part was added, removed, written to or replaced; "" if that cannot be known."""
        if self.obj is not None:
            return ""
        stamps = version_of(self.files)
        return f"{self.revision}:{stamps}" if self.revision else stamps

    @property
    def nbytes(self) -> int:
        return sum(file.stamp.nbytes for file in self.files)


def version_of(files: Iterable[SourceFile]) -> str:
    """A digest over the names and stamps of ``files``."""
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        stamp = file.stamp
        fields = (file.path, stamp.nbytes, stamp.mtime_ns, stamp.ctime_ns, stamp.device, stamp.inode)
        digest.update(repr(fields).encode())
    return digest.hexdigest()


class OpenPart:
    """The files of a part as extractors see them (:class:`trimcache.bytesource.PartFiles`)."""

    def __init__(self, files: Iterable[SourceFile]) -> None:
        self._files = {file.path: file for file in files}

    def names(self) -> tuple[str, ...]:
        return tuple(self._files)

    def open(self, path: str) -> ByteSource:
        if path not in self._files:
            raise FormatError(path[:200], "is referred to but is not a file of the model", "download the missing file")
        file = self._files[path]
        return LocalFile(file.location, known_hash=file.known_hash)


def local_uri(path: Path) -> str:
    """The ``file://`` URI of a local path, links resolved."""
    return path.resolve().as_uri()
