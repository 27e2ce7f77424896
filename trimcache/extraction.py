"""Finding the extractor for a file, among those installed under the entry-point group ``trimcache.extractors``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from trimcache.bytesource import PartFiles
from trimcache.errors import UsageError
from trimcache.tensors import Extractor, ObjectExtractor

GROUP = "trimcache.extractors"

# What pyproject.toml declares under that group, by name.
BUILT_IN = (
    "extractors.gguf:GgufExtractor",
    "extractors.module:ModuleExtractor",
    "extractors.npz:NpzExtractor",
    "extractors.onnx:OnnxExtractor",
    "extractors.peft:PeftExtractor",
    "extractors.safetensors:SafetensorsExtractor",
    "extractors.torch:TorchExtractor",
)


@cache
def _installed() -> tuple[Any, ...]:
    if _only_built_in():
        return tuple(getattr(import_module(module), name)() for module, name in (place.split(":") for place in BUILT_IN))
    # It parses mail headers, and importing that takes longer than reading the headers of a hundred models.
    from importlib.metadata import entry_points

    found = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            found.append(entry.load()())
        except (ImportError, AttributeError, TypeError) as error:
            raise UsageError(f"extractor {entry.name!r}", f"cannot be loaded ({error})", "update or uninstall its package") from error
    return tuple(found)


def _only_built_in() -> bool:
    """Whether a quick look rules out that another distribution declares extractors; False where a look cannot tell."""
    if any(hasattr(finder, "find_distributions") and finder is not PathFinder for finder in sys.meta_path):
        return False
    if any(os.path.isfile(place) for place in sys.path):  # a zip archive
        return False
    declared = [text for text in _entry_point_files() if GROUP in text]
    return len(declared) == 1 and all(place in declared[0] for place in BUILT_IN)


def _entry_point_files() -> Iterator[str]:
    """``entry_points.txt`` of every distribution in the folders of ``sys.path``."""
    for place in dict.fromkeys(sys.path):
        try:
            names = os.listdir(place or ".")
        except OSError:
            continue
        for name in names:
            if name.endswith((".dist-info", ".egg-info")):
                try:
                    yield Path(place, name, "entry_points.txt").read_text(encoding="utf-8", errors="replace")
                except OSError:
                    continue


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
