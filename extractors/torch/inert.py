"""What a pickle describes, as data that can do nothing: no class of the file is ever looked up, let alone called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Global:
    """A class or function that the pickle names; only its name is kept."""

    module: str
    name: str

    @property
    def path(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes or text too long to matter here: skipped, not kept."""

    nbytes: int


class Table:
    """A dictionary as the pairs that were set, last one wins.

    Not a ``dict``: hashing keys that a stranger chose costs quadratic time (colliding integers) or the C stack (nested tuples).
    """

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[Any] | None = None) -> None:
        self.pairs: list[Any] = [] if pairs is None else pairs  # key, value, key, value, ...

    def get(self, wanted: str) -> Any:
        """The value of a text key, or None."""
        pairs = self.pairs
        for index in range(len(pairs) - 2, -1, -2):
            if type(pairs[index]) is str and pairs[index] == wanted:
                return pairs[index + 1]
        return None

    def text_keys(self) -> set[str]:
        return {key for key in self.pairs[::2] if type(key) is str}


class Opaque:
    """An object of an unknown class: what it was made with and what was put into it."""

    __slots__ = ("args", "elements", "made_by", "state", "table")

    def __init__(self, made_by: Any, args: Any) -> None:
        self.made_by = made_by
        self.args = args
        self.state: Any = None
        self.elements: list[Any] | None = None
        self.table: Table | None = None


class Storage:
    """Bytes that tensors view, named by a key of the file; ``dtype`` is "" for an untyped one, which is counted in bytes."""

    __slots__ = ("dtype", "key", "n_elements", "nbytes")

    def __init__(self, key: str, dtype: str, n_elements: int, nbytes: int) -> None:
        self.key = key
        self.dtype = dtype
        self.n_elements = n_elements
        self.nbytes = nbytes


class StorageView:
    """A part of a storage that the oldest files name as a storage of its own; ``first`` counts elements."""

    __slots__ = ("first", "n_elements", "storage")

    def __init__(self, storage: Storage, first: int, n_elements: int) -> None:
        self.storage = storage
        self.first = first
        self.n_elements = n_elements


class Tensor:
    """A strided view of a storage; ``first`` and ``stride`` count elements of ``dtype``."""

    __slots__ = ("conj", "dtype", "first", "neg", "shape", "storage", "stride")

    def __init__(self, storage: Storage, dtype: str, first: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> None:
        self.storage = storage
        self.dtype = dtype
        self.first = first
        self.shape = shape
        self.stride = stride
        self.conj = False
        self.neg = False


class Composite:
    """A tensor made of several: sparse, nested, or quantized by channel. The part called "" bears the name of the whole."""

    __slots__ = ("parts",)

    def __init__(self, parts: dict[str, Any]) -> None:
        self.parts = parts


class NoBytes:
    """A tensor without data: on the meta device, or rebuilt from something that is not stored as a tensor."""

    __slots__ = ("why",)

    def __init__(self, why: str) -> None:
        self.why = why
