"""Who came from whom: a forest of models, each with the files it has and the slots that it wrote itself.

A slot that a model did not write is its parent's, and so on up to the root, which wrote everything that is left. Two models hold an
equal block exactly when they got it from one writer: so sharing is a matter of ancestry, and nothing else has to be recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from trimcache.synthesis.layouts import Layout

ROOT = -1


@dataclass(frozen=True, slots=True)
class Written:
    """Which slots of a trunk a model wrote; None: all of them."""

    trunk: str
    slots: frozenset[str] | None


@dataclass
class Forest:
    """Columns over nodes; a parent stands before its children.

    Attributes:
        parent: node index, ``ROOT`` for none.
        layout, written: indices into ``layouts`` and ``writes``.
        listed: whether the node is a part of the catalog; a pretrained network may stay behind the scenes.
        family: number of the tree; regime: what was done to the parent.
        weight: popularity, or None.
    """

    layouts: list[Layout] = field(default_factory=list)
    writes: list[Written] = field(default_factory=list)
    name: list[str] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    layout: list[int] = field(default_factory=list)
    written: list[int] = field(default_factory=list)
    listed: list[bool] = field(default_factory=list)
    architecture: list[str] = field(default_factory=list)
    declared_base: list[str | None] = field(default_factory=list)
    needs_base: list[bool] = field(default_factory=list)
    family: list[int] = field(default_factory=list)
    regime: list[str] = field(default_factory=list)
    weight: list[float | None] = field(default_factory=list)
    _layout_ids: dict[object, int] = field(default_factory=dict)
    _write_ids: dict[object, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.name)

    @property
    def n_listed(self) -> int:
        """How many models the catalog will have."""
        return sum(self.listed)

    def layout_id(self, key: object, make: Callable[[], Layout]) -> int:
        """The index of the layout known as ``key``; ``make`` makes it the first time."""
        known = self._layout_ids.get(key)
        if known is None:
            known = self._layout_ids[key] = len(self.layouts)
            self.layouts.append(make())
        return known

    def write_id(self, key: object, trunk: str, slots: Callable[[], Iterable[str] | None]) -> int:
        """The index of the set of written slots known as ``key``; ``slots`` makes it the first time."""
        known = self._write_ids.get(key)
        if known is None:
            made = slots()
            known = self._write_ids[key] = len(self.writes)
            self.writes.append(Written(trunk, None if made is None else frozenset(made)))
        return known

    def add(
        self,
        name: str,
        parent: int,
        layout: int,
        written: int,
        *,
        architecture: str,
        regime: str,
        listed: bool = True,
        base: str | None = None,
        needs_base: bool = False,
        family: int | None = None,
    ) -> int:
        """Append a node and return its index; it is of its parent's family unless another is given."""
        node = len(self.name)
        self.name.append(name)
        self.parent.append(parent)
        self.layout.append(layout)
        self.written.append(written)
        self.listed.append(listed)
        self.architecture.append(architecture)
        self.declared_base.append(base)
        self.needs_base.append(needs_base)
        self.family.append(family if family is not None else self.family[parent] if parent >= 0 else node)
        self.regime.append(regime)
        self.weight.append(None)
        return node
