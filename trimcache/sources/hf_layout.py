"""The folders of a Hugging Face cache, recognised by their names.

<cache>/                                    HF_HUB_CACHE, or HF_HOME/hub
  models--org--name/                        a repository; datasets--*, spaces--*, kernels--* hold no models
    refs/main                               the commit that a branch or tag stood for
    snapshots/<commit>/config.json          -> ../../blobs/<git sha1>
    snapshots/<commit>/model.safetensors    -> ../../blobs/<sha256>
    blobs/<git sha1 | sha256>               a file, or -> ../../blobs/<2 hex>/<Xet hash>
    blobs/<...>.incomplete                  a download that did not end
    trees/<commit>.json                     what the revision holds on the Hub, from newer clients
  blobs/<2 hex>/<Xet hash>                  files shared by repositories, from newer clients; <Xet hash>.refs and .lock beside them
"""

from __future__ import annotations

import re
from pathlib import Path

_COMMIT = re.compile(r"[0-9a-f]{40}")
_OTHER = re.compile(r"(?:datasets|spaces|kernels)--.+")
_SHARED_STORE_MARKER = ".huggingface-shared-blobs"


def is_commit(name: str) -> bool:
    """Whether a folder of that name can be a snapshot."""
    return _COMMIT.fullmatch(name) is not None


def is_repo(path: Path) -> bool:
    """Whether ``path`` is a cached model repository with at least one snapshot."""
    if not path.name.startswith("models--"):
        return False
    try:
        return any(is_commit(entry.name) for entry in (path / "snapshots").iterdir())
    except OSError:
        return False


def is_snapshot(path: Path) -> bool:
    """Whether ``path`` is one cached revision of a model repository."""
    return is_commit(path.name) and path.parent.name == "snapshots" and is_repo(path.parent.parent)


def is_hub(path: Path) -> bool:
    """Whether ``path`` is the folder that holds the repositories."""
    try:
        return any(is_repo(entry) for entry in path.iterdir())
    except OSError:
        return False


def is_other_cache_folder(path: Path) -> bool:
    """Whether ``path`` belongs to a cache and holds no models: data sets, spaces, the blobs that repositories share."""
    if _OTHER.fullmatch(path.name):
        return (path / "snapshots").is_dir()
    return path.name == "blobs" and ((path / _SHARED_STORE_MARKER).is_file() or ((path.parent / "snapshots").is_dir()))


def repo_id_of(repo: Path) -> str:
    """``org/name`` of ``models--org--name``."""
    return "/".join(repo.name.split("--")[1:])
