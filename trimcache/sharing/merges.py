"""Adapters that were merged into their base, found by reading the weights that differ: names, configurations and metadata are not asked.

Tensors with equal bytes belong together. What is left on both sides is paired by shape, and among equals by nearness: a merged matrix is
its base matrix plus a little, any other matrix of that shape is far. Then each difference is tested for its rank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from trimcache.errors import SourceError
from trimcache.sharing.elements import numbers, rounding_error
from trimcache.sharing.lineage import Finding, Forest
from trimcache.sharing.low_rank import Matrix, low_rank
from trimcache.sharing.model_tensors import StoredTensor, stored_tensors
from trimcache.sharing.reading import ScannedPart
from trimcache.sharing.relations import Kind
from trimcache.sharing.weights import WEIGHT_KINDS

if TYPE_CHECKING:
    from trimcache.bytesource import ByteSource
    from trimcache.catalog.reader import Catalog

MIN_DIMENSION = 8  # a matrix thinner than this has no rank that could be called low
MAX_OTHER = 0.1  # of the changed bytes: a head that was trained beside the adapter
_FINGERPRINT = 4096  # elements
_SLICE_ELEMENTS = 1 << 20


@dataclass(frozen=True, slots=True)
class Merge:
    """A model that is its base with an adapter merged in.

    Attributes:
        rank: the highest of the ``matrices`` whose difference is low-rank; ``others`` changed in full.
    """

    model: str
    base: str
    rank: int
    matrices: int
    others: int

    @property
    def text(self) -> str:
        also = f", {self.others} more changed in full" if self.others else ""
        return f"the difference has rank {self.rank} or less in {self.matrices} matrices{also}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class MergeSearch:
    """What was found, how many pairs were compared, and why some could not be: ``unread`` are one-line reasons."""

    merges: tuple[Merge, ...]
    compared: int
    unread: tuple[str, ...]


def find_merges(catalog: Catalog, forest: Forest, advance: Callable[[int, int], None] | None = None) -> MergeSearch:
    """Look for merged adapters among the models that share some weights with a parent that is no adapter, or are related to one.

    Args:
        advance: told before each pair how many of how many were compared.
    """
    if catalog.synthetic:
        return MergeSearch((), 0, ("the catalog is synthetic: there are no weights to read",))
    pairs = list(_candidates(catalog, forest))
    merges, unread = [], []
    reader = _Reader(catalog)
    for number, (model, base) in enumerate(pairs):
        if advance is not None:
            advance(number, len(pairs))
        try:
            found = reader.compare(model, base)
        except SourceError as error:
            unread.append(str(error))
            found = None
        if found is not None:
            merges.append(found)
    return MergeSearch(tuple(merges), len(pairs), tuple(dict.fromkeys(unread)))


def _candidates(catalog: Catalog, forest: Forest) -> Iterator[tuple[str, str]]:
    """``(model, base)`` whose difference could be an adapter's, by what headers and digests tell."""
    single = {model.name: len(model.parts) == 1 for model in catalog.models}
    index = {name: i for i, name in enumerate(forest.names)}
    for edge in forest.edges:
        if edge is None or edge.kind not in (Kind.PARTLY, Kind.FROZEN, Kind.FULL) or not single[edge.model]:
            continue
        base = edge.parent
        while not single[base]:
            above = forest.parent[index[base]]
            if above < 0:
                break
            base = forest.names[above]
        if single[base] and base != edge.model:
            yield edge.model, base
    for one in forest.disagreements:
        if one.finding is Finding.RELATED and one.other is not None and single[one.model] and single[one.other]:
            yield one.model, one.other


class _Reader:
    """The weights of the models of one catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._models = {model.name: model for model in catalog.models}
        self._parts = {part.part: part for part in catalog.parts}
        self.tensors = lru_cache(maxsize=8)(self._tensors)
        self.part = lru_cache(maxsize=8)(self._part)

    def compare(self, model: str, base: str) -> Merge | None:
        """The merge of an adapter into ``base`` that ``model`` is, or None.

        Raises:
            SourceError: files are gone, changed or cannot be read.
        """
        ours, theirs = self.tensors(model), self.tensors(base)
        our_digests, their_digests = {t.digest for t in ours}, {t.digest for t in theirs}
        if not our_digests & their_digests:
            return None  # an adapter leaves something as it was: normalisations, embeddings
        changed = [t for t in ours if t.digest not in their_digests and _is_matrix(t)]
        free = [t for t in theirs if t.digest not in our_digests and _is_matrix(t)]
        with ExitStack() as stack:
            sides = [_Side(self.part(name), stack) for name in (base, model)]
            paired = _paired(changed, free, sides)
            paired.sort(key=lambda pair: pair[1].nbytes)
            total = sum(new.nbytes for _, new in paired)
            ranks, others, other_nbytes = list[int](), 0, 0
            for old, new in paired:
                rank = _rank_of_difference(old, new, sides)
                if rank is None:
                    others, other_nbytes = others + 1, other_nbytes + new.nbytes
                    if other_nbytes > MAX_OTHER * total or (others > 1 and not ranks):
                        return None
                elif rank:
                    ranks.append(rank)
        return Merge(model, base, max(ranks), len(ranks), others) if ranks else None

    def _tensors(self, model: str) -> list[StoredTensor]:
        stored = stored_tensors(self._catalog, self._models[model])
        return [t for t in stored if t.kind in WEIGHT_KINDS and not t.constant and t.nbytes]

    def _part(self, model: str) -> ScannedPart:
        return ScannedPart(self._catalog, self._parts[self._models[model].parts[-1]])


class _Side:
    """The open files of one part."""

    def __init__(self, part: ScannedPart, stack: ExitStack) -> None:
        self._part, self._stack = part, stack
        self._open: dict[str, ByteSource] = {}

    def values(self, tensor: StoredTensor, step: int) -> Iterator[Matrix]:
        """The elements as float64, ``step`` at a time."""
        if tensor.file not in self._open:
            self._open[tensor.file] = self._stack.enter_context(self._part.open(tensor.file))
        stream = self._part.stream(tensor, self._open[tensor.file])
        n, width = prod(tensor.shape), tensor.nbytes // prod(tensor.shape)
        for begin in range(0, n, step):
            yield numbers(stream.read(min(step, n - begin) * width), tensor.dtype).astype(np.float64)


def _is_matrix(tensor: StoredTensor) -> bool:
    return rounding_error("float64", tensor.dtype) is not None and len(tensor.shape) > 1 and min(_flat(tensor)) >= MIN_DIMENSION


def _flat(tensor: StoredTensor) -> tuple[int, int]:
    """Rows and columns; a convolution is one row an output channel."""
    rows = tensor.shape[0]
    return rows, (prod(tensor.shape) // rows if rows else 0)


def _paired(changed: list[StoredTensor], free: list[StoredTensor], sides: list[_Side]) -> list[tuple[StoredTensor, StoredTensor]]:
    """``(base, merged)`` tensors of one shape, so that they are nearest together."""
    pairs = []
    for shape in sorted({t.shape for t in changed}):
        old, new = [t for t in free if t.shape == shape], [t for t in changed if t.shape == shape]
        if len(old) == len(new) == 1:
            pairs.append((old[0], new[0]))
        elif old:
            a, b = _fingerprints(old, sides[0]), _fingerprints(new, sides[1])
            distance = (a**2).sum(axis=1)[:, None] - 2 * a @ b.T + (b**2).sum(axis=1)
            pairs += [(old[i], new[j]) for i, j in zip(*linear_sum_assignment(np.nan_to_num(distance)), strict=True)]
    return pairs


def _fingerprints(tensors: list[StoredTensor], side: _Side) -> NDArray[np.float64]:
    """float64[n, k]: the first elements of each."""
    return np.stack([next(side.values(tensor, min(_FINGERPRINT, prod(tensor.shape)))) for tensor in tensors])


def _rank_of_difference(old: StoredTensor, new: StoredTensor, sides: list[_Side]) -> int | None:
    rows, columns = _flat(new)
    step = max(1, _SLICE_ELEMENTS // columns) * columns

    def read() -> Iterator[tuple[Matrix, Matrix]]:
        for base, merged in zip(sides[0].values(old, step), sides[1].values(new, step), strict=True):
            yield base.reshape(-1, columns), merged.reshape(-1, columns)

    return low_rank(read, (rows, columns), (old.dtype, new.dtype)).rank
