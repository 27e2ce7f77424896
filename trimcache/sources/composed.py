"""Models composed of components in sub-folders: diffusers pipelines (``model_index.json``), sentence-transformers (``modules.json``)."""

from __future__ import annotations

import json
from typing import Any

from trimcache.sources.walk import Folder, FoundFile

PIPELINE = "model_index.json"
MODULES = "modules.json"
# Modules that choose among others, which only their own configuration lists.
_ROUTER = "router_config.json"
_MAX_NBYTES = 1 << 20


def is_composed(folder: Folder) -> bool:
    """Whether the sub-folders of ``folder`` are components of one model."""
    return PIPELINE in folder.files or MODULES in folder.files


def is_component(folder: Folder, components: frozenset[str] | None, name: str) -> bool:
    """Whether the direct sub-folder ``name`` is part of the model; ``components`` as :func:`components_of` gives it."""
    return is_composed(folder) and (components is None or name in components)


def components_of(folder: Folder) -> frozenset[str] | None:
    """Names of the direct sub-folders that a composed model lists; None if it lists none, or cannot be understood: then all are."""
    if PIPELINE in folder.files:
        parsed = _read(folder.files[PIPELINE])
        if not isinstance(parsed, dict):
            return None
        # Every component is a pair [library, class]; a pair of nulls is one that was left out.
        listed = {name for name, value in parsed.items() if isinstance(value, list) and any(value)}
        return frozenset(listed) & folder.folders.keys() or None
    if MODULES in folder.files and _ROUTER not in folder.files:
        parsed = _read(folder.files[MODULES])
        if not isinstance(parsed, list):
            return None
        paths = (module.get("path") for module in parsed if isinstance(module, dict))
        listed = {path.replace("\\", "/").strip("/").split("/")[0] for path in paths if isinstance(path, str)}
        return frozenset(listed - {"", "."}) & folder.folders.keys() or None
    return None


def is_pipeline(folder: Folder, components: frozenset[str] | None) -> bool:
    """Whether all weights that serve lie in sub-folders, so that weights beside ``model_index.json`` are the whole model once more."""
    return PIPELINE in folder.files and components is not None


def _read(file: FoundFile) -> Any:
    if file.stamp.nbytes > _MAX_NBYTES:
        return None
    try:
        with open(file.location, "rb") as opened:
            return json.loads(opened.read(_MAX_NBYTES))
    except (OSError, ValueError, RecursionError):
        return None
