"""From parts to models: an adapter model is its base's part and its own, completed when both are in the catalog."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from trimcache.catalog.reader import Part


@dataclass(frozen=True, slots=True)
class Model:
    """One servable thing.

    Attributes:
        name: of its last part.
        parts: URIs, base first.
        missing: why it cannot be served, or None if it can.
    """

    name: str
    parts: tuple[str, ...]
    missing: str | None = None


def resolve_models(parts: Sequence[Part]) -> tuple[Model, ...]:
    """One model a part, in the order of ``parts``; chains of adapters are followed to the end."""
    by_uri = {part.part: part for part in parts}
    bases: dict[str, str | None] = {}
    reasons: dict[str, str] = {}
    finder = _BaseFinder(parts)
    for part in parts:
        if not part.needs_base:
            continue
        found = finder.candidates(part)
        bases[part.part] = found[0].part if len(found) == 1 else None
        if not part.declared_base:
            reasons[part.part] = "it does not say which base it belongs to"
        elif not found:
            reasons[part.part] = f"its base {part.declared_base} is not in the catalog"
        elif len(found) > 1:
            names = ", ".join(candidate.name for candidate in found[:4])
            reasons[part.part] = f"its base {part.declared_base} could be any of {names}"
    models = []
    for part in parts:
        chain, missing = [part.part], None
        while chain[0] in bases:
            base = bases[chain[0]]
            if base is None or base in chain:
                missing = reasons.get(chain[0], "its bases form a circle")
                break
            chain.insert(0, base)
        models.append(Model(by_uri[part.part].name, tuple(chain), missing))
    return tuple(models)


class _BaseFinder:
    """Which part does an adapter mean by its base?

    An adapter was often written on another machine, so the base's path or hub name is compared from its end: the parts that agree with
    it in the most trailing components win. The last two must agree (``org/name``; one, if there is only one), because last components
    alone repeat (``base``, ``checkpoint-500``). A revision, if stated, must match where a part has one.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._by_last: dict[str, list[tuple[tuple[str, ...], Part]]] = {}
        for part in parts:
            # A part is known by its name and by where it is.
            for text in {_without_revision(part.name), _without_revision(_path_of(part.part))}:
                pieces = _pieces(text)
                if pieces:
                    self._by_last.setdefault(pieces[-1], []).append((pieces, part))

    def candidates(self, adapter: Part) -> list[Part]:
        wanted = _pieces(adapter.declared_base or "")
        if not wanted:
            return []
        best: dict[str, Part] = {}
        best_length = min(2, len(wanted))
        for pieces, part in self._by_last.get(wanted[-1], ()):
            if part.part == adapter.part or not _revision_fits(part.name, adapter.base_revision):
                continue
            length = _common_tail(pieces, wanted)
            if length > best_length:
                best, best_length = {}, length
            if length == best_length:
                best[part.part] = part
        return list(best.values())


def _pieces(text: str) -> tuple[str, ...]:
    return tuple(piece for piece in text.replace("\\", "/").split("/") if piece not in ("", ".", ".."))


def _path_of(uri: str) -> str:
    return str(Path(unquote(urlsplit(uri).path))) if uri.startswith("file://") else uri.partition("://")[2]


def _without_revision(name: str) -> str:
    return name.partition("#")[0].partition("@")[0]


def _revision_fits(name: str, revision: str | None) -> bool:
    stated = name.partition("#")[0].partition("@")[2]
    return not stated or not revision or stated.startswith(revision) or revision.startswith(stated)


def _common_tail(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    length = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        length += 1
    return length
