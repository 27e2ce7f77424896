"""From parts to models: an adapter model is its base's part and its own, completed when both are in the catalog."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from trimcache.catalog.reader import Part

_MAIN = "main"
_REVISION = re.compile(r"@([^/#]+)")
_SHORT_COMMIT = re.compile(r"[0-9a-f]{7,40}")
# Where huggingface_hub keeps a revision; adapters trained from a cache record such a path.
_SNAPSHOT_PATH = re.compile(r"(?:^|/)models--(?P<repo>[^/]+)/snapshots/(?P<commit>[0-9a-f]{40})(?P<below>(?:/.*)?)$")


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
        found, elsewhere = finder.candidates(part)
        bases[part.part] = found[0].part if len(found) == 1 else None
        if not part.declared_base:
            reasons[part.part] = "it does not say which base it belongs to"
        elif not found and elsewhere:
            reasons[part.part] = f"its base {part.declared_base} is in the catalog only as {_some(elsewhere)}, at another revision"
        elif not found:
            reasons[part.part] = f"its base {part.declared_base} is not in the catalog"
        elif len(found) > 1:
            reasons[part.part] = f"its base {part.declared_base} could be any of {_some(found)}"
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


def declared_bases(parts: Sequence[Part]) -> dict[str, str | None]:
    """URI of every part that names a base, adapter or not, to the URI of the part it means; None if that is not in the catalog for sure."""
    claiming = [part if part.needs_base or not part.declared_base else replace(part, needs_base=True) for part in parts]
    finder = _BaseFinder(claiming)
    found: dict[str, str | None] = {}
    for part in claiming:
        if part.declared_base:
            candidates, _ = finder.candidates(part)
            found[part.part] = candidates[0].part if len(candidates) == 1 else None
    return found


class _BaseFinder:
    """Which part does an adapter mean by its base?

    An adapter was often written on another machine, so the base's path or hub name is compared from its end: the parts that agree with
    it in the most trailing components win. The last two must agree (``org/name``; one, if there is only one), because last components
    alone repeat (``base``, ``checkpoint-500``). A revision, if stated, must match where a part has one; the path of a snapshot in a
    Hugging Face cache states its commit. Of several revisions, the one that ``main`` stands for is meant if none is stated; of several
    variants of one part, the preferred one.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        # What an adapter names must agree in its last two components (one, if there is only one), so those find the parts.
        tails = {_pieces(_declared(part)[0])[-2:] for part in parts if part.needs_base} - {()}
        self._by_tail: dict[tuple[str, ...], list[tuple[tuple[str, ...], Part]]] = {tail: [] for tail in tails}
        self._agreeing: dict[tuple[str, ...], list[tuple[int, Part]]] = {}
        for part in parts if tails else ():
            # A part is known by its name and by where it is.
            # In a path, # and @ are ordinary characters.
            where = _path_of(part.part) if part.part.startswith("file://") else _without_revision(_path_of(part.part))
            for text in {part.name, _without_revision(part.name), where}:
                pieces = _pieces(text)
                for tail in {pieces[-2:], pieces[-1:]}:
                    if tail in self._by_tail:
                        self._by_tail[tail].append((pieces, part))

    def candidates(self, adapter: Part) -> tuple[list[Part], list[Part]]:
        """The parts that may be meant (the base is known if it is one), and those that would be at another revision."""
        base, revision = _declared(adapter)
        fitting: list[Part] = []
        others: list[Part] = []
        for part in self._named(adapter, _pieces(base)):
            (fitting if _revision_fits(part, revision) else others).append(part)
        narrowed = [part for part in fitting if "#" not in _fragment(part)] or fitting
        if not revision and len(narrowed) > 1:
            narrowed = [part for part in narrowed if _MAIN in _revisions(part)] or narrowed
        return narrowed, others

    def _named(self, adapter: Part, wanted: tuple[str, ...]) -> list[Part]:
        if not wanted:
            return []
        if wanted not in self._agreeing:  # adapters of one base ask the same
            self._agreeing[wanted] = [(_common_tail(pieces, wanted), part) for pieces, part in self._by_tail[wanted[-2:]]]
        others = [(length, part) for length, part in self._agreeing[wanted] if part.part != adapter.part]
        best_length = max((length for length, _ in others), default=0)
        return list({part.part: part for length, part in others if length == best_length}.values())


def _pieces(text: str) -> tuple[str, ...]:
    return tuple([piece for piece in text.replace("\\", "/").split("/") if piece not in ("", ".", "..")])


def _path_of(uri: str) -> str:
    return str(Path(unquote(urlsplit(uri).path))) if uri.startswith("file://") else uri.partition("://")[2]


def _declared(adapter: Part) -> tuple[str, str | None]:
    """The base of an adapter and its revision, as far as stated."""
    base = (adapter.declared_base or "").replace("\\", "/")
    cached = _SNAPSHOT_PATH.search(base)
    if cached is None:
        return base, adapter.base_revision
    return "/".join([*cached["repo"].split("--"), *_pieces(cached["below"])]), adapter.base_revision or cached["commit"]


def _some(parts: Sequence[Part]) -> str:
    return ", ".join(part.name for part in parts[:4]) + (", ..." if len(parts) > 4 else "")


def _fragment(part: Part) -> str:
    """What a part's URI says of its variant, with the ``#``; the URI of a model in memory is as its user named it."""
    return "" if part.part.startswith("memory://") else "".join(part.part.partition("#")[1:])


def _without_revision(name: str) -> str:
    """``org/name`` of ``org/name@revision#variant``, ``org/name/below`` of ``org/name@revision/below``."""
    if "@" not in name and "#" not in name:
        return name
    return _REVISION.sub("", name.partition("#")[0], count=1)


def _revisions(part: Part) -> set[str]:
    """The revisions that a part is known by: the ref or short commit of its name, the commit of its URI."""
    texts = [part.name.partition("#")[0].partition("~")[0]]
    if part.part.startswith("hf://"):
        texts.append(part.part.partition("#")[0])
    return {found[1] for text in texts if (found := _REVISION.search(text))}


def _revision_fits(part: Part, revision: str | None) -> bool:
    known = _revisions(part)
    return not known or not revision or any(_same_revision(one, revision) for one in known)


def _same_revision(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    return short == long or (_SHORT_COMMIT.fullmatch(short) is not None and long.startswith(short))


def _common_tail(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    length = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        length += 1
    return length
