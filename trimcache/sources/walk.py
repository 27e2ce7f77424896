"""Listing a folder tree: its regular files with their versions, and which links may be followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from trimcache.bytesource import Stamp
from trimcache.errors import SourceError, SourceUnreadableError
from trimcache.sources.hf_layout import is_other_cache_folder, is_repo
from trimcache.sources.weights import weight_format

_MAX_DEPTH = 64


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A regular file: where it really is, its version, and what its place says of its content."""

    location: str
    stamp: Stamp
    known_hash: str | None = None


@dataclass
class Folder:
    """One listed folder: its regular files and its sub-folders."""

    path: Path
    files: dict[str, FoundFile] = field(default_factory=dict)
    folders: dict[str, Folder] = field(default_factory=dict)

    def paths(self) -> Iterator[str]:
        """Of all files at any depth, relative, with ``/``."""
        yield from self.files
        for name, sub in self.folders.items():
            yield from (f"{name}/{path}" for path in sub.paths())


class Links(Protocol):
    """Which symbolic links are followed."""

    def follow(self, entry: os.DirEntry[str]) -> tuple[str, str | None] | None:
        """``(location, known_hash)`` of the file that a link stands for, or None: it is skipped."""
        ...


@dataclass
class LinksInside:
    """Links to folders are never followed (inside the source they are reached anyway, and they can loop); links to files only inside
    the source, or into the blob folder that belongs to a Hugging Face snapshot."""

    root: Path
    notes: list[str]

    def follow(self, entry: os.DirEntry[str]) -> tuple[str, str | None] | None:
        target = Path(os.path.realpath(entry.path))
        if entry.is_dir():
            if not target.is_relative_to(self.root):
                self.notes.append(f"{entry.path}: skipped, a link to a folder outside the source (name {target} to scan it)")
            return None
        snapshot_blob = target.parent.name == "blobs" and self.root.is_relative_to(target.parent.parent)
        if not target.is_relative_to(self.root) and not snapshot_blob:
            self.notes.append(f"{entry.path}: skipped, a link to a file outside the source (name {target} to scan it)")
            return None
        return entry.path, None


@dataclass
class Listing:
    """What a walk collects beside the tree.

    Attributes:
        problems: what could not be listed or examined.
        notes: what was skipped, and why.
        repos: repository folders of a Hugging Face cache; they are not walked.
    """

    problems: list[SourceError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    repos: list[Path] = field(default_factory=list)


def list_folder(path: Path, links: Links, listing: Listing, depth: int = 0) -> Folder:
    """The tree below ``path``, without caches, ``.git`` and what a download or a desktop leaves behind."""
    folder = Folder(path)
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        listing.problems.append(SourceUnreadableError(str(path), f"cannot be listed ({error.strerror})", "check its permissions"))
        return folder
    for entry in entries:
        try:
            if _is_noise(entry):
                continue
            if not is_text(entry.name):
                listing.problems.append(SourceUnreadableError(entry.path, "has a name that is not UTF-8", "rename it"))
                continue
            if entry.is_symlink():
                followed = links.follow(entry)
                if followed is not None:
                    _add_file(folder, entry.name, *followed)
            elif entry.is_dir():
                _add_folder(folder, entry, links, listing, depth)
            elif entry.is_file():
                _add_file(folder, entry.name, entry.path, None)
        except OSError as error:
            listing.problems.append(
                SourceUnreadableError(entry.path, f"cannot be examined ({error.strerror})", "check the link or its disk")
            )
    return folder


def _is_noise(entry: os.DirEntry[str]) -> bool:
    """Hidden folders (``.git``, ``.cache``), and hidden files that are being written or are no part of a model. Others, such as
    ``.gitattributes``, are files like any other: whoever fetches the model fetches them."""
    name = entry.name
    if name == "__pycache__":
        return True
    if not name.startswith("."):
        return False
    unfinished = name.endswith((".lock", ".incomplete", ".partial", ".part", ".tmp")) or name.startswith((".tmp", "._"))
    return entry.is_dir() or unfinished or name == ".DS_Store" or weight_format(name) is not None


def is_text(name: str) -> bool:
    """Whether a file name is UTF-8. Python stands in for other bytes with half characters that no catalog could store."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _add_file(folder: Folder, name: str, location: str, known_hash: str | None) -> None:
    try:
        status = os.stat(location)
    except FileNotFoundError:
        return
    if stat.S_ISREG(status.st_mode):
        folder.files[name] = FoundFile(location, Stamp.of(status), known_hash)


def _add_folder(folder: Folder, entry: os.DirEntry[str], links: Links, listing: Listing, depth: int) -> None:
    path = Path(entry.path)
    if is_repo(path):
        listing.repos.append(path)
    elif is_other_cache_folder(path):
        return
    elif depth >= _MAX_DEPTH:
        listing.notes.append(f"{entry.path}: skipped, more than {_MAX_DEPTH} folders deep")
    else:
        folder.folders[entry.name] = list_folder(path, links, listing, depth + 1)
