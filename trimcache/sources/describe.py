"""What a model folder says about itself: architecture and declared base, from its configuration and model card."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trimcache.bytesource import PartFiles

# Real configurations and cards are a few kilobytes; anything larger is not worth trusting for a label.
_MAX_NBYTES = 1 << 20
_FRONT_MATTER_BASE = re.compile(r"^base_model:[ \t]*(?:\n[ \t]*-[ \t]*)?[\"']?([^\s\"'#\[\]]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Description:
    """Labels only: a wrong one misnames a model but changes no size and no block."""

    architecture: str | None
    declared_base: str | None


def describe(files: PartFiles) -> Description:
    """Architecture (``architectures[0]``, else ``_class_name`` or ``model_type``) and ``base_model`` of the model card, where stated."""
    names = files.names()
    config: dict[str, Any] = {}
    for candidate in ("config.json", "model_index.json"):
        if candidate in names:
            config = _read(files, candidate, _parse_object) or {}
            break
    card = _read(files, "README.md", _declared_base) if "README.md" in names else None
    return Description(_storable(_architecture(config)), _storable(card))


def _storable(label: str | None) -> str | None:
    """JSON may escape half a surrogate pair, which is no character and cannot be stored."""
    return None if label is None else label.encode("utf-8", errors="replace").decode("utf-8")


def _read(files: PartFiles, path: str, parse: Callable[[str], Any]) -> Any:
    with files.open(path) as source:
        if source.size > _MAX_NBYTES:
            return None
        return parse(source.read_at(0, source.size).decode("utf-8", errors="replace"))


def _parse_object(text: str) -> dict[str, Any] | None:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _architecture(config: dict[str, Any]) -> str | None:
    listed = config.get("architectures")
    if isinstance(listed, list) and listed and isinstance(listed[0], str):
        return listed[0]
    for key in ("_class_name", "model_type"):
        if isinstance(config.get(key), str):
            return str(config[key])
    return None


def _declared_base(text: str) -> str | None:
    """``base_model`` of the YAML block that opens a model card."""
    if not text.startswith("---"):
        return None
    front_matter = text[3:].partition("\n---")[0]
    found = _FRONT_MATTER_BASE.search(front_matter)
    return found[1] if found else None
