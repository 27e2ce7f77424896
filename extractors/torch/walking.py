"""Finding the tensors in what a pickle describes, each under the dotted name that leads to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from extractors.torch.inert import Composite, NoBytes, Opaque, Table, Tensor
from trimcache.errors import FormatError
from trimcache.tensors import Kind

_MAX_DEPTH = 200
_MAX_NAME = 4096
_MAX_NAMES_TOTAL = 64 << 20
# A value may be reached in several ways (tied weights, a module under two names), but a small file does not hold a million of them.
_FREE_STEPS = 10_000
_STEPS_PER_BYTE = 2
# Flags that PyTorch keeps in the state of every module; a module is recognised by all three tables.
_MODULE_TABLES = ("_parameters", "_buffers", "_modules")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A tensor under its name; ``kind`` where the file itself says it."""

    name: str
    tensor: Tensor
    kind: Kind | None = None


class Walker:
    """Walks one file's values; what it may cost in all is bounded by the size of the pickle.

    Args:
        uri: names the file in errors.
        pickle_nbytes: bytes of the pickle(s) that the values came from.
        special: asked first for each opaque object; gives ``(name, value, kind)`` of its children, or None if it is nothing special.

    Attributes:
        without_bytes: names of tensors whose bytes the file does not hold, and why.
        optimizers: names of optimizer states that were passed by.
    """

    def __init__(
        self,
        uri: str,
        pickle_nbytes: int,
        special: Callable[[Opaque], list[tuple[str, Any, Kind | None]] | None] = lambda _: None,
    ) -> None:
        self._uri = uri
        self._special = special
        self._steps = _FREE_STEPS + _STEPS_PER_BYTE * pickle_nbytes
        self._text = min(_MAX_NAMES_TOTAL, (1 << 20) + 16 * pickle_nbytes)
        self._path: set[int] = set()
        self._visited: set[int] = set()
        self.without_bytes: list[tuple[str, str]] = []
        self.optimizers: list[str] = []

    def leaves(self, value: Any, name: str = "", kind: Kind | None = None, depth: int = 0) -> Iterator[Leaf]:
        """The tensors in ``value``, in the order in which they are met."""
        self._steps -= 1
        if self._steps < 0:
            raise FormatError(self._uri, "its values refer to each other too often", "save the state dict alone")
        if type(value) is Tensor:
            yield self._leaf(name, value, kind)
        elif type(value) is NoBytes:
            self.without_bytes.append((name, value.why))
        elif type(value) in (Table, list, tuple, Opaque, Composite):
            if depth > _MAX_DEPTH:
                raise FormatError(self._uri, "its values are nested too deeply", "save the state dict alone")
            if id(value) in self._path:
                return  # an object that refers to its owner
            if type(value) is Table and is_optimizer(value):
                self.optimizers.append(name)
                return
            self._path.add(id(value))
            for key, child, child_kind in self._children(value):
                if type(child) is Tensor:
                    self._steps -= 1
                    yield self._leaf(join(name, key), child, child_kind or kind)
                elif child is not None and type(child) not in (str, int, float, bool):
                    yield from self.leaves(child, join(name, key), child_kind or kind, depth + 1)
            self._path.discard(id(value))

    def _leaf(self, name: str, tensor: Tensor, kind: Kind | None) -> Leaf:
        self._text -= len(name)
        if len(name) > _MAX_NAME or self._text < 0:
            raise FormatError(self._uri, f"its tensors have endless names ({name[:40]!r}...)", "save the state dict alone")
        return Leaf(name, tensor, kind)

    def _children(self, value: Any) -> Iterator[tuple[str, Any, Kind | None]]:
        if type(value) is Table:
            yield from ((key, child, None) for key, child in entries(value))
        elif type(value) is Composite:
            yield from ((key, child, None) for key, child in value.parts.items())
        elif type(value) is Opaque:
            yield from self._special(value) or _module(value) or self._parts(value)
        else:
            yield from ((str(index), child, None) for index, child in enumerate(value))

    def _parts(self, value: Opaque) -> Iterator[tuple[str, Any, Kind | None]]:
        """An object of an unknown class: what it was made from and given, looked at once however often it is referred to."""
        if id(value) in self._visited:
            return
        self._visited.add(id(value))
        parts: tuple[Any, ...] = (value.table, value.elements, value.state, value.args)
        for part in parts:
            if type(part) is Table:
                yield from ((key, child, None) for key, child in entries(part))
            elif type(part) in (list, tuple):
                yield from ((str(index), child, None) for index, child in enumerate(part))
            else:
                yield "", part, None


def join(prefix: str, key: str) -> str:
    """The dotted name of ``key`` below ``prefix``; either may be empty."""
    return f"{prefix}.{key}" if prefix and key else prefix or key


def entries(table: Table) -> Iterator[tuple[str, Any]]:
    """Keys as text with their values, each key once: the last value wins, as in a dictionary. Keys that are no names are numbered."""
    last: dict[tuple[type, str], tuple[str, Any]] = {}
    pairs = table.pairs
    for index in range(0, len(pairs), 2):
        text = key_text(pairs[index], index // 2)
        last[type(pairs[index]), text] = text, pairs[index + 1]
    yield from last.values()


def key_text(key: Any, position: int) -> str:
    """A dictionary key as a piece of a name; one that is no text or number is called by its position."""
    if type(key) is str:
        return key if key.isascii() else key.encode("utf-8", "backslashreplace").decode("utf-8")
    if type(key) is bytes:
        return key.decode("latin-1")
    if type(key) in (int, bool) and -(2**64) < key < 2**64:
        return str(key)
    return f"#{position}"


def is_optimizer(table: Table) -> bool:
    """The form of ``torch.optim.Optimizer.state_dict()``."""
    return {"state", "param_groups"} <= table.text_keys()


def _module(value: Opaque) -> list[tuple[str, Any, Kind | None]] | None:
    """A pickled ``nn.Module``: the entries its ``state_dict()`` would have, or None if it is something else."""
    state = value.state
    if type(state) is not Table:
        return None
    tables = [state.get(name) for name in _MODULE_TABLES]
    if any(type(table) is not Table for table in tables):
        return None
    passing = state.get("_non_persistent_buffers_set")
    left_out = {name for name in passing if type(name) is str} if type(passing) is list else set()
    found: list[tuple[str, Any, Kind | None]] = []
    for table, kind in zip(tables, (Kind.PARAMETER, Kind.BUFFER, None), strict=True):
        found.extend((key, child, kind) for key, child in entries(table) if kind is not Kind.BUFFER or key not in left_out)
    return found
