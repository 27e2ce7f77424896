"""External data: tensors whose bytes are in a file beside the model.

Rules: https://github.com/onnx/onnx/blob/main/docs/ExternalData.md. A location is a path relative to the model's folder; it must be a
file of the part, so nothing outside can be reached, and paths that try are refused by name.
"""

from __future__ import annotations

import re

from trimcache.bytesource import ByteSource, PartFiles
from trimcache.errors import FormatError
from trimcache.tensors import path_of

_NUMBER = re.compile(r"[0-9]{1,19}")
_COMPLETE = "download the complete model"


class ExternalFiles:
    """The files beside one model, found by location; each is opened once, for its size."""

    def __init__(self, source: ByteSource, files: PartFiles) -> None:
        self._source = source
        self._files = files
        self._folder: str | None = None
        self._sizes: dict[str, tuple[str, int]] = {}

    def place(self, entries: dict[str, str], nbytes: int, label: str) -> tuple[str, int]:
        """``(path in the part, offset)`` of the ``nbytes`` bytes of a tensor.

        Raises:
            FormatError: the location escapes or does not exist, or the range is not in the file or has another length.
        """
        path, size = self._find(entries.get("location", ""), label)
        offset = self._number(entries, "offset", label) or 0
        length = self._number(entries, "length", label)
        if length is not None and length != nbytes:
            text = f"{label} takes {nbytes} bytes by its type and shape, its external data has {length}"
            raise FormatError(self._source.uri, text, _COMPLETE)
        if offset + nbytes > size:
            text = f"{label} lies at bytes {offset} to {offset + nbytes} of {path[:200]!r}, which holds {size}"
            raise FormatError(self._source.uri, text, _COMPLETE)
        return path, offset

    def _number(self, entries: dict[str, str], key: str, label: str) -> int | None:
        text = entries.get(key)
        if text is None:
            return None
        if not _NUMBER.fullmatch(text):
            raise FormatError(self._source.uri, f"{label} has the external {key} {text[:40]!r}, which is no size", "export it again")
        return int(text)

    def _find(self, location: str, label: str) -> tuple[str, int]:
        found = self._sizes.get(location)
        if found is None:
            segments = [segment for segment in location.split("/") if segment not in ("", ".")]
            if not segments or ".." in segments or location.startswith("/") or "\\" in location or ":" in segments[0] or "\0" in location:
                text = f"{label} has its data at {location[:80]!r}, which is no path below the folder of the model"
                raise FormatError(self._source.uri, text, "move the data beside the model and export it again")
            path = "/".join((*self._own_folder(), *segments))
            if path not in self._files.names():
                raise FormatError(self._source.uri, f"{label} has its data in {path[:200]!r}, which is not there", _COMPLETE)
            with self._files.open(path) as data:
                found = self._sizes[location] = (path, data.size)
        return found

    def _own_folder(self) -> tuple[str, ...]:
        """Folders from the part's root down to the model: its external data is named from there."""
        if self._folder is None:
            self._folder = path_of(self._source, self._files).rpartition("/")[0]
        return tuple(self._folder.split("/")) if self._folder else ()
