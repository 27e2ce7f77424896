"""From what a user names to parts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from trimcache.errors import NoWeightsError, SourceError, SourceNotFoundError, SourceUnreadableError, UsageError
from trimcache.extraction import object_extractor_for, weight_suffixes
from trimcache.sources.copies import WEIGHTS
from trimcache.sources.folders import part_of_file, parts_of_folder
from trimcache.sources.hf_cache import parts_of_repo
from trimcache.sources.hf_layout import is_repo, is_snapshot
from trimcache.sources.parts import PartSpec, local_uri
from trimcache.sources.walk import Listing, is_text


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


def resolve(sources: Iterable[Any], *, include: Sequence[str] = (), exclude: Sequence[str] = (), weights: str = "preferred") -> Resolution:
    """Resolve sources: paths of files, folders and Hugging Face caches, models in memory, or ``(name, model)`` pairs.

    Args:
        weights: ``"preferred"``: one of several copies of the same weights; ``"all"``: each as its own variant.
        include: keep only parts whose name matches one of these globs (all, if empty).
        exclude: then drop those that match one of these.
    """
    if weights not in WEIGHTS:
        raise UsageError(f"weights {weights!r}", "is not offered", f"choose one of {', '.join(WEIGHTS)}")
    resolution = Resolution()
    seen: set[str] = set()
    for source in sources:
        try:
            parts = _resolve_one(source, resolution, weights)
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


def _resolve_one(source: Any, resolution: Resolution, weights: str) -> list[PartSpec]:
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
        listing = Listing()
        parts = list(_parts_of(path, listing, weights))
        resolution.errors.extend(listing.problems)
        resolution.notes.extend(listing.notes)
        if not listing.problems:
            resolution.sources.append(local_uri(path))
        if not parts and not listing.problems:
            raise NoWeightsError(text, _why_empty(path), f"name a folder or file with weights ({', '.join(weight_suffixes())})")
        return parts
    if not path.exists():
        raise SourceNotFoundError(text, "no such file or folder", "check the path")
    if not path.name.lower().endswith(weight_suffixes()):
        raise NoWeightsError(text, "is not a weight file of a known format", f"name one that ends in {', '.join(weight_suffixes())}")
    resolution.sources.append(local_uri(path))
    return [part_of_file(path)]


def _parts_of(path: Path, listing: Listing, weights: str) -> Iterator[PartSpec]:
    real = path.resolve()
    if is_repo(real):
        yield from parts_of_repo(real, listing, weights=weights)
    elif is_snapshot(real):
        yield from parts_of_repo(real.parent.parent, listing, only=real.name, weights=weights)
    elif real.name == "snapshots" and is_repo(real.parent):
        yield from parts_of_repo(real.parent, listing, weights=weights)
    else:
        yield from parts_of_folder(path, listing, weights=weights)
        for repo in listing.repos:
            yield from parts_of_repo(repo, listing, weights=weights)


def _why_empty(path: Path) -> str:
    return "the folder holds no weights that can be read" if any(path.iterdir()) else "the folder is empty"


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

    The name of a cached revision tells which ref stands for it, so it follows the ref instead.
    """
    parts = list(parts)
    for part in parts:
        if part.revision and taken.get(part.uri, "").partition("~")[0] != part.name:
            taken.pop(part.uri, None)
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
