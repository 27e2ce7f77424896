"""Finding the extractor for a file, among those installed under the entry-point group ``trimcache.extractors``."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import Any

from trimcache.bytesource import PartFiles
from trimcache.errors import UsageError
from trimcache.tensors import Extractor, ObjectExtractor

GROUP = "trimcache.extractors"


@cache
def _installed() -> tuple[Any, ...]:
    found = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            found.append(entry.load()())
        except (ImportError, AttributeError, TypeError) as error:
            raise UsageError(f"extractor {entry.name!r}", f"cannot be loaded ({error})", "update or uninstall its package") from error
    return tuple(found)


@cache
def file_extractors() -> tuple[Extractor, ...]:
    """Every installed file extractor, the one to ask first in front."""
    found = [extractor for extractor in _installed() if hasattr(extractor, "extract")]
    return tuple(sorted(found, key=lambda extractor: (-extractor.priority, extractor.format)))


@cache
def weight_suffixes() -> tuple[str, ...]:
    """File endings that some installed extractor reads."""
    return tuple(sorted({suffix for extractor in file_extractors() for suffix in extractor.suffixes}))


def extractor_for(path: str, files: PartFiles) -> Extractor | None:
    """The extractor that reads the file ``path`` of a part, or None if it is no weight file."""
    name = path.lower()
    for extractor in file_extractors():
        if name.endswith(extractor.suffixes) and extractor.claims(path, files):
            return extractor
    return None


def object_extractor_for(obj: Any) -> ObjectExtractor | None:
    """The extractor for a model held in memory, or None."""
    for extractor in _installed():
        if hasattr(extractor, "extract_object") and extractor.accepts(obj):
            return extractor  # type: ignore[no-any-return]
    return None
