"""Walking a folder of models: which sub-folders are one model, which files stand alone.

A folder with a marker (``config.json``, ``model_index.json``, ``adapter_config.json``, a shard index) and weights is one part. Inside it,
a sub-folder that is a model of its own (an adapter, a ``checkpoint-N``, or any marked folder unless the outer one is composed of
components) is a part of its own. Elsewhere every weight file is one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from trimcache.bytesource import Stamp
from trimcache.errors import SourceError, SourceUnreadableError
from trimcache.extraction import weight_suffixes
from trimcache.sources.parts import PartSpec, SourceFile, local_uri
from trimcache.sources.weights import COPY_FOLDERS, is_marker, is_training_state, split_copies, weight_format

# Folders with these files are composed of components that have configurations of their own (diffusers, sentence-transformers).
_COMPOSED = ("model_index.json", "modules.json")
_MAX_DEPTH = 64


@dataclass
class Folder:
    """One listed folder: its regular files (links resolved) and its sub-folders."""

    path: Path
    files: dict[str, os.stat_result] = field(default_factory=dict)
    folders: dict[str, Folder] = field(default_factory=dict)

    def has_weights(self) -> bool:
        return any(weight_format(name) for name in self.files) or any(sub.has_weights() for sub in self.folders.values())

    def is_model(self) -> bool:
        return any(is_marker(name) for name in self.files) and self.has_weights()


def parts_of_folder(root: Path, problems: list[SourceError], notes: list[str]) -> Iterator[PartSpec]:
    """The parts below ``root``, in order of their names. What cannot be listed goes to ``problems``, what is skipped to ``notes``."""
    real_root = root.resolve()
    tree = _list(root, real_root, problems, notes, 0)
    yield from _parts(tree, "", real_root.name, real_root.as_uri())


def part_of_file(path: Path) -> PartSpec:
    """A weight file that is a part by itself.

    Raises:
        SourceUnreadableError: it cannot be examined.
    """
    try:
        stamp = Stamp.of(path.stat())
    except OSError as error:
        raise SourceUnreadableError(str(path), f"cannot be examined ({error.strerror})", "check its permissions") from error
    uri = local_uri(path)
    return PartSpec(uri, path.name, uri, (SourceFile(path.name, str(path), stamp),))


def _list(path: Path, root: Path, problems: list[SourceError], notes: list[str], depth: int) -> Folder:
    folder = Folder(path)
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        problems.append(SourceUnreadableError(str(path), f"cannot be listed ({error.strerror})", "check its permissions"))
        return folder
    for entry in entries:
        try:
            if entry.name.startswith(".") or entry.name == "__pycache__":
                continue
            if not is_text(entry.name):
                problems.append(SourceUnreadableError(entry.path, "has a name that is not UTF-8", "rename it"))
                continue
            if entry.is_symlink() and not _link_is_welcome(entry, root, notes):
                continue
            if entry.is_dir():
                if depth >= _MAX_DEPTH:
                    notes.append(f"{entry.path}: skipped, more than {_MAX_DEPTH} folders deep")
                else:
                    folder.folders[entry.name] = _list(Path(entry.path), root, problems, notes, depth + 1)
            elif entry.is_file():
                folder.files[entry.name] = entry.stat()
        except OSError as error:
            problems.append(SourceUnreadableError(entry.path, f"cannot be examined ({error.strerror})", "check the link or its disk"))
    return folder


def is_text(name: str) -> bool:
    """Whether a file name is UTF-8. Python stands in for other bytes with half characters that no catalog could store."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _link_is_welcome(entry: os.DirEntry[str], root: Path, notes: list[str]) -> bool:
    """Links to folders are never followed (inside the source they are reached anyway, and they can loop); links to files only inside
    the source, or into the blob folder that belongs to a Hugging Face snapshot."""
    target = Path(os.path.realpath(entry.path))
    if entry.is_dir():
        if not target.is_relative_to(root):
            notes.append(f"{entry.path}: skipped, a link to a folder outside the source (name {target} to scan it)")
        return False
    inside = target.is_relative_to(root)
    snapshot_blob = target.parent.name == "blobs" and root.is_relative_to(target.parent.parent)
    if not inside and not snapshot_blob:
        notes.append(f"{entry.path}: skipped, a link to a file outside the source (name {target} to scan it)")
        return False
    return True


def _parts(folder: Folder, prefix: str, name: str, source: str) -> Iterator[PartSpec]:
    if folder.is_model():
        own, nested = _own_files(folder)
        spec = _folder_part(folder, name, source, own)
        if any(weight_format(file.path) for file in spec.files):
            yield spec
        for below, sub in nested:
            yield from _parts(sub, f"{prefix}{below}/", f"{prefix}{below}", source)
        return
    for file_name in folder.files:
        if weight_format(file_name) and file_name.lower().endswith(weight_suffixes()):
            spec = part_of_file(folder.path / file_name)
            yield PartSpec(spec.uri, f"{prefix}{file_name}", source, spec.files)
    for below, sub in folder.folders.items():
        yield from _parts(sub, f"{prefix}{below}/", f"{prefix}{below}", source)


def _own_files(folder: Folder) -> tuple[dict[str, os.stat_result], list[tuple[str, Folder]]]:
    """Files of a model folder by relative path, and the sub-folders that are models of their own."""
    composed = any(name in folder.files for name in _COMPOSED)
    own = dict(folder.files)
    nested: list[tuple[str, Folder]] = []
    pending = list(folder.folders.items())
    while pending:
        below, sub = pending.pop(0)
        independent = "adapter_config.json" in sub.files or sub.path.name.startswith("checkpoint-") or not composed
        if sub.is_model() and independent and sub.path.name.lower() not in COPY_FOLDERS:
            nested.append((below, sub))
            continue
        own.update({f"{below}/{name}": status for name, status in sub.files.items()})
        pending.extend((f"{below}/{name}", deeper) for name, deeper in sub.folders.items())
    return own, nested


def _folder_part(folder: Folder, name: str, source: str, own: dict[str, os.stat_result]) -> PartSpec:
    served = [path for path in own if not is_training_state(path)]
    kept, copies = split_copies(served, weight_suffixes())
    notes = []
    if copies:
        notes.append(f"left out {len(copies)} further copies of the weights: {', '.join(copies[:4])}{', ...' if len(copies) > 4 else ''}")
    if len(served) < len(own):
        notes.append(f"left out {len(own) - len(served)} files of training state")
    files = tuple(SourceFile(path, str(folder.path / path), Stamp.of(own[path])) for path in kept)
    return PartSpec(local_uri(folder.path), name, source, files, tuple(notes))
