"""Parts of a folder tree: which sub-folders are one model, which files stand alone.

A folder with a marker (``config.json``, ``model_index.json``, ``modules.json``, ``adapter_config.json``, a shard index) and weights is one
part; so is one with a marker that an extractor declares and weights of that extractor's. Inside it, a sub-folder that is a model of its
own is a part of its own: an adapter, a ``checkpoint-N``, any marked folder. Where the outer folder is composed of components
(:mod:`trimcache.sources.composed`), the components are no models of their own; what else lies beside them is. Elsewhere every weight file
is one, the shards of a split file together. Which of several copies of its weights a part holds: :mod:`trimcache.sources.copies`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import quote

from trimcache.bytesource import Stamp
from trimcache.errors import SourceError, SourceUnreadableError
from trimcache.extraction import file_extractors, weight_suffixes
from trimcache.sources.composed import components_of, is_component, is_composed, is_pipeline
from trimcache.sources.copies import variants_of
from trimcache.sources.parts import PartSpec, SourceFile, local_uri
from trimcache.sources.walk import Folder, FoundFile, LinksInside, Listing, list_folder
from trimcache.sources.weights import COPY_FOLDERS, is_marker, is_training_state, missing_shards, weight_format, without_shard


@dataclass(frozen=True, slots=True)
class Place:
    """Where the parts of a tree are and what they are called.

    Attributes:
        uri: of the folder at hand.
        name: of a part that is that folder.
        prefix: what stands before the names of parts below it.
        source: URI of the source.
        revision: the revision it is at, if the place knows revisions.
    """

    uri: str
    name: str
    prefix: str
    source: str
    revision: str = ""

    def below(self, name: str) -> Place:
        return replace(self, uri=f"{self.uri}/{quote(name)}", name=f"{self.prefix}{name}", prefix=f"{self.prefix}{name}/")


def parts_of_folder(root: Path, listing: Listing, *, weights: str = "preferred") -> Iterator[PartSpec]:
    """The parts below ``root``, in order of their names. ``listing`` takes what cannot be listed and what is skipped."""
    real_root = root.resolve()
    tree = list_folder(root, LinksInside(real_root, listing.notes), listing)
    yield from parts_of_tree(tree, Place(real_root.as_uri(), real_root.name, "", real_root.as_uri()), listing, weights=weights)


def part_of_file(path: Path) -> PartSpec:
    """A weight file that is a part by itself, with the other shards of it and the data of an ONNX graph.

    Raises:
        SourceUnreadableError: it cannot be examined, or a shard is missing.
    """
    name = without_shard(path.name)
    members = [path.name]
    try:
        if name != path.name or name.lower().endswith(".onnx"):
            siblings = sorted(other for other in os.listdir(path.parent) if (path.parent / other).is_file())
            members = [other for other in siblings if other == path.name or (name != path.name and without_shard(other) == name != other)]
            members += [other for other in siblings if other not in members and _is_data_of(other, members)]
        files = tuple(SourceFile(member, str(path.parent / member), Stamp.of((path.parent / member).stat())) for member in sorted(members))
    except OSError as error:
        raise SourceUnreadableError(str(path), f"cannot be examined ({error.strerror})", "check its permissions") from error
    missing = missing_shards(members)
    if missing:
        raise SourceUnreadableError(str(path), f"{missing[0]} is missing", "download it again")
    uri = local_uri(path.parent / members[0])
    return PartSpec(uri, name, uri, files)


def parts_of_tree(
    folder: Folder, place: Place, listing: Listing, *, weights: str = "preferred", is_repo: bool = False
) -> Iterator[PartSpec]:
    """The parts of a listed tree, the folder itself first.

    Args:
        is_repo: the folder is a model even if nothing marks it; then weights with different stems are different variants of it.
    """
    marked = _is_model(folder)
    if marked or is_repo:
        yield from _model(folder, place, listing, weights, collection=not marked)
    else:
        yield from _lone_files(folder, place, listing)
        for name, sub in folder.folders.items():
            yield from parts_of_tree(sub, place.below(name), listing, weights=weights)


def _is_weights(path: str) -> bool:
    return weight_format(path, weight_suffixes()) is not None


def _is_model(folder: Folder) -> bool:
    if any(is_marker(name) for name in folder.files):
        return any(_is_weights(path) for path in folder.paths())
    return any(
        any(fnmatchcase(name, glob) for name in folder.files for glob in markers)
        and any(path.lower().endswith(suffixes) for path in folder.paths())
        for markers, suffixes in _declared_markers()
    )


def _declared_markers() -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """``(markers, suffixes)`` of every installed extractor that declares which folders are one model of its format."""
    for extractor in file_extractors():
        markers: tuple[str, ...] = getattr(extractor, "markers", ())
        if markers:
            yield markers, extractor.suffixes


def _model(folder: Folder, place: Place, listing: Listing, weights: str, *, collection: bool) -> Iterator[PartSpec]:
    """The variants of a model folder, then the models inside it."""
    components = components_of(folder)
    own, nested = _own_files(folder, components)
    if any(_is_weights(path) for path in own):
        try:
            yield from _variants(own, place, weights, pipeline=is_pipeline(folder, components), collection=collection)
        except SourceError as error:
            listing.problems.append(error)
    for below, sub in nested:
        inside = place
        for name in below.split("/"):
            inside = inside.below(name)
        yield from parts_of_tree(sub, inside, listing, weights=weights)


def _own_files(folder: Folder, components: frozenset[str] | None) -> tuple[dict[str, FoundFile], list[tuple[str, Folder]]]:
    """Files of a model folder by relative path, and the sub-folders that are models of their own."""
    own = dict(folder.files)
    nested: list[tuple[str, Folder]] = []
    pending = list(folder.folders.items())
    while pending:
        below, sub = pending.pop(0)
        top = below.partition("/")[0]
        if top.lower() not in COPY_FOLDERS and sub.path.name.lower() not in COPY_FOLDERS:
            apart = "adapter_config.json" in sub.files or sub.path.name.startswith("checkpoint-")
            if not is_component(folder, components, top):
                # Beside the components of a composed model, weights are another model even where nothing marks them.
                apart = apart or (is_composed(folder) and any(_is_weights(path) for path in sub.paths())) or _is_model(sub)
            if apart and any(_is_weights(path) for path in sub.paths()):
                nested.append((below, sub))
                continue
        own.update({f"{below}/{name}": file for name, file in sub.files.items()})
        pending.extend((f"{below}/{name}", deeper) for name, deeper in sub.folders.items())
    return own, nested


def _variants(own: dict[str, FoundFile], place: Place, weights: str, *, pipeline: bool, collection: bool) -> Iterator[PartSpec]:
    served = [path for path in own if not is_training_state(path)]
    state = (f"left out {len(own) - len(served)} files of training state",) if len(served) < len(own) else ()
    variants = variants_of(served, weight_suffixes(), name=place.name, weights=weights, pipeline=pipeline, collection=collection)
    for variant in variants:
        mark = f"#{variant.label}" if variant.label else ""
        uri = f"{place.uri}#{quote(variant.label, safe='/')}" if mark else place.uri
        files = _source_files(own, variant.paths)
        yield PartSpec(uri, f"{place.name}{mark}", place.source, files, (*variant.notes, *state), revision=place.revision)
        state = ()


def _lone_files(folder: Folder, place: Place, listing: Listing) -> Iterator[PartSpec]:
    """Weight files of a folder that is no model, each a part; shards of one file and the data of an ONNX graph belong together."""
    readable = weight_suffixes()
    groups: dict[tuple[str, bool], list[str]] = {}
    unreadable = []
    for name in folder.files:
        family = weight_format(name, readable)
        if family is None:
            continue
        if name.lower().endswith(readable):
            groups.setdefault((without_shard(name), without_shard(name) != name), []).append(name)
        elif family != "onnx" or name.lower().endswith(".onnx"):
            unreadable.append(name)
    if unreadable:
        more = f" and {len(unreadable) - 1} more" if len(unreadable) > 1 else ""
        listing.notes.append(f"{folder.path / unreadable[0]}{more}: skipped, no installed extractor reads it")
    for (name, _), members in groups.items():
        missing = missing_shards(members)
        if missing:
            listing.problems.append(SourceUnreadableError(str(folder.path / members[0]), f"{missing[0]} is missing", "download it again"))
            continue
        data = [other for other in folder.files if other not in members and _is_data_of(other, members)]
        first = folder.files[members[0]]
        uri = place.below(members[0]).uri if place.revision else local_uri(Path(first.location))
        files = _source_files(folder.files, sorted([*members, *data]))
        yield PartSpec(uri, f"{place.prefix}{name}", place.source, files, revision=place.revision, lone=True)


def _is_data_of(name: str, members: Iterable[str]) -> bool:
    """Whether ``name`` holds tensors of an ONNX graph, by the names that exporters give such files."""
    return any(
        member.lower().endswith(".onnx") and name.startswith((f"{member}_data", f"{member}.data", f"{os.path.splitext(member)[0]}.data"))
        for member in members
    )


def _source_files(found: dict[str, FoundFile], paths: Iterable[str]) -> tuple[SourceFile, ...]:
    return tuple(SourceFile(path, found[path].location, found[path].stamp, found[path].known_hash) for path in paths)


__all__ = ["Place", "part_of_file", "parts_of_folder", "parts_of_tree"]
