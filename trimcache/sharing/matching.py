"""Which tensor of one model answers to which tensor of another: by bytes first, then by name.

Equal bytes always win: a tensor whose bytes the other model holds is never called changed, whatever stands under its name there. The one
exception are constant tensors (zeros, ones), which are equal everywhere and say nothing of descent: they are looked for by name first.
Where the names of one model stand below one module more than the other's (:mod:`trimcache.sharing.prefixes`), what stands behind it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from trimcache.sharing.model_tensors import StoredTensor


class Status(StrEnum):
    """What became of a tensor from model ``a`` to model ``b``."""

    SAME = "same"  # a common name, equal bytes
    RENAMED = "renamed"  # equal bytes, no common name
    CHANGED = "changed"  # a common name, or common behind a prefix; other bytes
    ONLY_A = "only a"
    ONLY_B = "only b"


@dataclass(frozen=True, slots=True)
class Match:
    """One row of a comparison.

    A tensor may answer to several of the other model (a tied pair to two separate copies): each stands in a row of its own, but counts
    its bytes once. So the bytes of each side add up to its model, status by status.

    Attributes:
        a, b: the two tensors; one of them None for ``ONLY_A`` and ``ONLY_B``.
        counts_a, counts_b: whether this row counts the bytes of that side.
    """

    status: Status
    a: StoredTensor | None
    b: StoredTensor | None
    counts_a: bool = True
    counts_b: bool = True

    @property
    def a_bytes(self) -> int:
        return self.a.nbytes if self.a is not None and self.counts_a else 0

    @property
    def b_bytes(self) -> int:
        return self.b.nbytes if self.b is not None and self.counts_b else 0


_Keys = Callable[[StoredTensor], Iterator[Hashable]]


def match(a: Sequence[StoredTensor], b: Sequence[StoredTensor], prefixes: tuple[str, str] = ("", "")) -> list[Match]:
    """Every tensor of both models in one or more rows, the same ones at every call.

    Args:
        prefixes: what to take off names where they do not agree as they are (:func:`trimcache.sharing.prefixes.prefixes`).

    Ties are resolved by place: the same file, then the same folder, then the same last component of the name, then file order.
    """
    pairing = _Pairing(a, b)
    pairing.one_to_one(Status.SAME, _file_name_bytes, _folder_name_bytes, _name_bytes)
    pairing.further(Status.SAME, _name_bytes)
    behind = _names_behind(prefixes)
    pairing.one_to_one(Status.RENAMED, lambda t: ((name, t.digest) for name in behind(t)), _telling_bytes_and_end, _telling_bytes)
    pairing.further(Status.RENAMED, _telling_bytes)
    pairing.one_to_one(Status.CHANGED, _file_name, _folder_name, _name, behind)
    # Not by the name alone: the second text encoder of a pipeline is no changed copy of the first.
    pairing.further(Status.CHANGED, _folder_name, but_not=Status.RENAMED)
    pairing.one_to_one(Status.RENAMED, _bytes_and_end, _bytes)
    pairing.further(Status.RENAMED, _bytes)
    return pairing.finish()


class _Pairing:
    """Rows so far, and which tensors of each side are still without one."""

    def __init__(self, a: Sequence[StoredTensor], b: Sequence[StoredTensor]) -> None:
        self._a, self._b = a, b
        self._open_a, self._open_b = dict.fromkeys(range(len(a))), dict.fromkeys(range(len(b)))
        self._status_a: dict[int, Status] = {}
        self._status_b: dict[int, Status] = {}
        self._rows: list[Match] = []

    def one_to_one(self, status: Status, *passes: _Keys) -> None:
        """Pair open tensors of both sides that have a key in common, by the strictest pass first."""
        for keys in passes:
            waiting = _by_key(self._b, self._open_b, keys)
            for i in list(self._open_a):
                j = next((j for key in keys(self._a[i]) for j in waiting.get(key, ()) if j in self._open_b), None)
                if j is not None:
                    del self._open_a[i], self._open_b[j]
                    self._status_a[i] = self._status_b[j] = status
                    self._rows.append(Match(status, self._a[i], self._b[j]))

    def further(self, status: Status, keys: _Keys, but_not: Status | None = None) -> None:
        """Give every open tensor a row with the first tensor of the other side that has a key in common, counted elsewhere or not.

        Args:
            but_not: leave out tensors of the other side that answered to another one in this way.
        """
        partners_a = [i for i in range(len(self._a)) if but_not is None or self._status_a.get(i) != but_not]
        partners_b = [j for j in range(len(self._b)) if but_not is None or self._status_b.get(j) != but_not]
        all_a, all_b = _by_key(self._a, partners_a, keys), _by_key(self._b, partners_b, keys)
        for i in list(self._open_a):
            j = next((all_b[key][0] for key in keys(self._a[i]) if key in all_b), None)
            if j is not None:
                del self._open_a[i]
                self._status_a[i] = status
                self._rows.append(Match(status, self._a[i], self._b[j], counts_b=False))
        for j in list(self._open_b):
            partner = next((all_a[key][0] for key in keys(self._b[j]) if key in all_a), None)
            if partner is not None:
                del self._open_b[j]
                self._status_b[j] = status
                self._rows.append(Match(status, self._a[partner], self._b[j], counts_a=False))

    def finish(self) -> list[Match]:
        self._rows += [Match(Status.ONLY_A, self._a[i], None) for i in self._open_a]
        self._rows += [Match(Status.ONLY_B, None, self._b[j]) for j in self._open_b]
        return self._rows


def _by_key(tensors: Sequence[StoredTensor], which: Sequence[int] | dict[int, None], keys: _Keys) -> dict[Hashable, list[int]]:
    found: dict[Hashable, list[int]] = {}
    for index in which:
        for key in keys(tensors[index]):
            found.setdefault(key, []).append(index)
    return found


def _names_behind(prefixes: tuple[str, str]) -> _Keys:
    """Names without the prefix that they begin with, as keys; none if there are no prefixes."""
    known = sorted({*prefixes} - {""}, key=len, reverse=True)

    def keys(t: StoredTensor) -> Iterator[Hashable]:
        for name in t.names if known else ():
            yield next((name[len(prefix) :] for prefix in known if name.startswith(prefix)), name)

    return keys


def _name(t: StoredTensor) -> Iterator[Hashable]:
    yield from t.names


def _folder_name(t: StoredTensor) -> Iterator[Hashable]:
    for name in t.names:
        yield t.folder, name


def _file_name(t: StoredTensor) -> Iterator[Hashable]:
    for name in t.names:
        yield t.file, name


def _name_bytes(t: StoredTensor) -> Iterator[Hashable]:
    for name in t.names:
        yield name, t.digest


def _folder_name_bytes(t: StoredTensor) -> Iterator[Hashable]:
    for name in t.names:
        yield t.folder, name, t.digest


def _file_name_bytes(t: StoredTensor) -> Iterator[Hashable]:
    for name in t.names:
        yield t.file, name, t.digest


def _bytes(t: StoredTensor) -> Iterator[Hashable]:
    if t.nbytes:
        yield t.digest


def _bytes_and_end(t: StoredTensor) -> Iterator[Hashable]:
    for name in t.names if t.nbytes else ():
        yield t.digest, name.rpartition(".")[2]


def _telling_bytes(t: StoredTensor) -> Iterator[Hashable]:
    return iter(()) if t.constant else _bytes(t)


def _telling_bytes_and_end(t: StoredTensor) -> Iterator[Hashable]:
    return iter(()) if t.constant else _bytes_and_end(t)
