"""The Hugging Face cache: every cached revision of every model repository is a part.

Identity is ``hf://org/name@<commit>``. The name is ``org/name@main`` if ``refs/main`` names the commit, else ``org/name@<ref>`` if exactly
one ref does (and has no slash in it), else ``org/name@<first 12 digits of the commit>``. When a ref moves on, the older revision takes its
next name with the next scan; that is the only case in which an unchanged revision is read again.

Files are read where their links end. Links are followed only into the blobs of the same repository, into the blobs that the cache's
repositories share, or within the snapshot.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trimcache.errors import SourceError, SourceUnreadableError
from trimcache.sources.folders import Place, parts_of_tree
from trimcache.sources.hf_layout import is_commit, is_hub, is_repo, repo_id_of
from trimcache.sources.parts import PartSpec, local_uri
from trimcache.sources.walk import Listing, list_folder
from trimcache.sources.weights import weight_format

_MAIN = "main"
_REF_IN_NAME = re.compile(r"[\w.+-]+")
_KNOWN_HASHES = ((re.compile(r"[0-9a-f]{40}"), "git-sha1"), (re.compile(r"[0-9a-f]{64}"), "sha256"))
_INCOMPLETE = re.compile(r"(?P<etag>[^.]+)(?:\.[0-9a-f]{8})?\.incomplete")
# Listings of real repositories are a few hundred bytes a file; the largest have tens of thousands of files.
_MAX_TREE_NBYTES = 64 << 20


def default_cache() -> Path:
    """Where this user's Hugging Face libraries keep models: ``HF_HUB_CACHE``, ``HF_HOME`` and their defaults."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def with_default_cache(sources: Sequence[str]) -> list[str]:
    """``sources`` and this user's cache; the latter only if none of them is a cache."""
    if any(is_hub(Path(source).expanduser()) or is_repo(Path(source).expanduser().resolve()) for source in sources):
        return list(sources)
    return [*sources, str(default_cache())]


@dataclass(frozen=True, slots=True)
class _Repo:
    """One ``models--*`` folder, links resolved.

    Attributes:
        refs: commit -> names of the refs that stand for it.
        unfinished: names (etags) of blobs whose download did not end.
    """

    path: Path
    repo_id: str
    refs: dict[str, list[str]]
    unfinished: frozenset[str]

    def label_of(self, commit: str) -> str:
        """What stands behind ``@`` in the name of a revision."""
        refs = self.refs.get(commit, [])
        if _MAIN in refs:
            return _MAIN
        return refs[0] if len(refs) == 1 and _REF_IN_NAME.fullmatch(refs[0]) else commit[:12]


@dataclass
class _BlobLinks:
    """Follows links from a snapshot into the blobs of its cache."""

    snapshot: Path
    repo: Path
    notes: list[str]
    broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._blobs = str(self.repo / "blobs")
        self._blobs_is_link = os.path.islink(self._blobs)

    def follow(self, entry: os.DirEntry[str]) -> tuple[str, str | None] | None:
        # No folder on the way to a snapshot's entry is a link, so that .. means what it says.
        blob = os.path.normpath(os.path.join(os.path.dirname(entry.path), os.readlink(entry.path)))
        folder, name = os.path.split(blob)
        known_hash = _known_hash(name) if folder == self._blobs else None
        if folder == self._blobs and not self._blobs_is_link and _is_regular(blob):
            return blob, known_hash
        target = Path(os.path.realpath(blob))
        if not target.exists():
            self.broken.append(os.path.relpath(entry.path, self.snapshot))
            return None
        allowed = (self.repo / "blobs", self.repo.parent / "blobs", self.snapshot)
        if not any(target.is_relative_to(place) for place in allowed):
            self.notes.append(f"{entry.path}: skipped, a link that leaves the cache's blobs (to {target})")
            return None
        if not target.is_file():
            self.notes.append(f"{entry.path}: skipped, a link to something that is not a file")
            return None
        return str(target), known_hash


def _known_hash(blob: str) -> str | None:
    """From the name of a blob of the repository. The name of a shared blob is a Xet hash, which is no hash of the bytes."""
    return next((f"{algorithm}:{blob}" for pattern, algorithm in _KNOWN_HASHES if pattern.fullmatch(blob)), None)


def _is_regular(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def parts_of_repo(path: Path, listing: Listing, *, only: str | None = None, weights: str = "preferred") -> Iterator[PartSpec]:
    """The parts of one cached repository.

    Args:
        path: the folder ``models--org--name``.
        listing: takes problems (a revision that was not downloaded completely is one) and notes.
        only: the one commit to look at; None: all.
        weights: ``"preferred"`` or ``"all"`` copies of the weights.
    """
    real = path.resolve()
    repo = _Repo(real, repo_id_of(real), _refs(real), _unfinished(real))
    if (real / "snapshots").is_symlink():
        listing.notes.append(f"{real / 'snapshots'}: skipped, a link (name where it leads to scan it)")
        return
    snapshots = sorted(entry for entry in (real / "snapshots").iterdir() if not entry.name.startswith("."))
    for snapshot in snapshots:
        if only is not None and snapshot.name != only:
            continue
        if not is_commit(snapshot.name) or snapshot.is_symlink() or not snapshot.is_dir():
            listing.notes.append(f"{snapshot}: skipped, not a revision")
            continue
        try:
            yield from _parts_of_revision(repo, snapshot, listing, weights, lone=len(snapshots) == 1)
        except SourceError as error:
            listing.problems.append(error)


def _parts_of_revision(repo: _Repo, snapshot: Path, listing: Listing, weights: str, *, lone: bool) -> Iterator[PartSpec]:
    commit, label = snapshot.name, repo.label_of(snapshot.name)
    name = f"{repo.repo_id}@{label}"
    links = _BlobLinks(snapshot, repo.path, listing.notes)
    tree = list_folder(snapshot, links, listing)
    paths = list(tree.paths())
    _check_complete(repo, name, commit, links.broken, paths, lone=lone)
    if not any(_maybe_weights(path) for path in paths):
        listing.notes.append(f"{name}: skipped, no weights of it are cached ({len(paths)} other files are)")
        return
    place = Place(f"hf://{repo.repo_id}@{commit}", name, f"{name}/", local_uri(snapshot), revision=f"{commit}:{label}")
    yield from parts_of_tree(tree, place, listing, weights=weights, is_repo=True)


def _maybe_weights(path: str) -> bool:
    from trimcache.extraction import weight_suffixes

    return weight_format(path, weight_suffixes()) is not None


def _check_complete(repo: _Repo, name: str, commit: str, broken: list[str], paths: list[str], *, lone: bool) -> None:
    """Raise SourceUnreadableError if the revision was not downloaded completely, as far as the cache tells."""
    fix = f"finish it with: hf download {repo.repo_id} --revision {commit}"
    if broken:
        raise SourceUnreadableError(name, f"{broken[0]} is a link to a blob that is not there: its download did not end", fix)
    if not repo.unfinished:
        return
    tree = _tree(repo.path / "trees" / f"{commit}.json")
    here = set(paths)
    missing = sorted(path for path, etags in tree.items() if etags & repo.unfinished and path not in here)
    if missing:
        raise SourceUnreadableError(name, f"the download of {missing[0]} did not end", fix)
    # Older clients keep no listing; an unfinished blob can only be told to be this revision's if there is no other.
    if not tree and (lone or not any(_maybe_weights(path) for path in paths)):
        raise SourceUnreadableError(name, f"the download of blob {min(repo.unfinished)[:12]} did not end", fix)


def _refs(repo: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    root = repo / "refs"
    for folder, _, names in os.walk(root):
        for file_name in sorted(names):
            path = Path(folder) / file_name
            if path.is_symlink() or not path.is_file():
                continue
            try:
                with open(path, "rb") as file:
                    commit = file.read(64).decode("ascii", errors="replace").strip()
            except OSError:
                continue
            found.setdefault(commit, []).append(path.relative_to(root).as_posix())
    return found


def _unfinished(repo: Path) -> frozenset[str]:
    """Etags of blobs that are being downloaded, or were when their client ended. One that was downloaded after all does not count."""
    try:
        names = {entry.name for entry in (repo / "blobs").iterdir()}
    except OSError:
        return frozenset()
    etags = {match["etag"] for name in names if (match := _INCOMPLETE.fullmatch(name))}
    return frozenset(etags - names)


def _tree(path: Path) -> dict[str, set[str]]:
    """Path -> possible names of its blob, of every file that a revision has on the Hub; empty if that is not known."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _MAX_TREE_NBYTES:
            return {}
        parsed = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    files: Any = parsed.get("files") if isinstance(parsed, dict) else None
    if not isinstance(files, dict):
        return {}
    return {
        name: {value for key in ("lfs_sha256", "blob_id") if isinstance(value := entry.get(key), str)}
        for name, entry in files.items()
        if isinstance(entry, dict)
    }
