"""From what a user names to parts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from trimcache.errors import NoWeightsError, SourceError, SourceNotFoundError, SourceUnreadableError
from trimcache.extraction import object_extractor_for, weight_suffixes
from trimcache.sources.folders import is_text, part_of_file, parts_of_folder
from trimcache.sources.parts import PartSpec, local_uri


@dataclass
class Resolution:
    """What a list of sources resolved to.

    Attributes:
        parts: every part once, in order of the sources; names are unique.
        sources: URIs of the sources that could be looked into completely.
        errors: sources that could not, one error each.
        notes: what was skipped, and why.
    """

    parts: list[PartSpec] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    errors: list[SourceError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def resolve(sources: Iterable[Any], *, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> Resolution:
    """Resolve sources: paths of files and folders, models in memory, or ``(name, model)`` pairs.

    Args:
        include: keep only parts whose name matches one of these globs (all, if empty).
        exclude: then drop those that match one of these.
    """
    resolution = Resolution()
    seen: set[str] = set()
    for source in sources:
        try:
            parts = _resolve_one(source, resolution)
        except SourceError as error:
            resolution.errors.append(error)
            continue
        for part in parts:
            if part.uri not in seen and _wanted(part.name, include, exclude):
                seen.add(part.uri)
                resolution.parts.append(part)
    return resolution


def _wanted(name: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    if include and not any(fnmatchcase(name, glob) for glob in include):
        return False
    return not any(fnmatchcase(name, glob) for glob in exclude)


def _resolve_one(source: Any, resolution: Resolution) -> list[PartSpec]:
    if not isinstance(source, (str, os.PathLike)):
        return [_memory_part(source)]
    text = os.fspath(source)
    if "://" in text:
        scheme = text.split("://", 1)[0]
        raise SourceNotFoundError(text, f"sources of the kind {scheme}:// are not supported", "download it and name the folder")
    path = Path(text).expanduser()
    if not is_text(path.resolve().name):
        raise SourceUnreadableError(text, "has a name that is not UTF-8", "rename it")
    if path.is_dir():
        problems: list[SourceError] = []
        parts = list(parts_of_folder(path, problems, resolution.notes))
        resolution.errors.extend(problems)
        if not problems:
            resolution.sources.append(local_uri(path))
        if not parts and not problems:
            raise NoWeightsError(text, _why_empty(path), f"name a folder or file with weights ({', '.join(weight_suffixes())})")
        return parts
    if not path.exists():
        raise SourceNotFoundError(text, "no such file or folder", "check the path")
    if not path.name.lower().endswith(weight_suffixes()):
        raise NoWeightsError(text, "is not a weight file of a known format", f"name one that ends in {', '.join(weight_suffixes())}")
    resolution.sources.append(local_uri(path))
    return [part_of_file(path)]


def _why_empty(path: Path) -> str:
    return "the folder holds no weights" if any(path.iterdir()) else "the folder is empty"


def _memory_part(source: Any) -> PartSpec:
    name, obj = source if isinstance(source, tuple) and len(source) == 2 else (type(source).__name__, source)
    if object_extractor_for(obj) is None:
        raise NoWeightsError(str(name), f"an object of type {type(obj).__name__} is not a model", "pass a path or an nn.Module")
    uri = f"memory://{name}"
    return PartSpec(uri, str(name), uri, (), obj=obj)


def rename_clashes(parts: Iterable[PartSpec], taken: dict[str, str]) -> list[PartSpec]:
    """Give every part a name of its own: one that a catalog already knows keeps its name, a clash gets the suffix ``~2``, ``~3``, ...

    Args:
        taken: uri -> name of the parts already in the catalog; extended in place.
    """
    used = {name: uri for uri, name in taken.items()}
    renamed = []
    for part in parts:
        name = taken.get(part.uri, part.name)
        number = 1
        while used.get(name, part.uri) != part.uri:
            number += 1
            name = f"{part.name}~{number}"
        used[name] = part.uri
        taken[part.uri] = name
        renamed.append(replace(part, name=name))
    return renamed
