"""What differs between two models: tensor by tensor, and for changed tensors how far apart they are.

compare(catalog, "org/base", "org/tuned") -> Comparison
    model_tensors   the tensors of each, tied names together
    prefixes        what their names have before them
    matching        which answers to which: same, renamed, changed, only in one
    reading         the bytes of changed ones, by range
    distance        equal bytes, norm of the difference, compressed difference
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any

from trimcache.dtypes import dense_nbytes
from trimcache.errors import SourceError
from trimcache.sharing.distance import Distance, distance
from trimcache.sharing.elements import is_numeric, rounding_error
from trimcache.sharing.matching import Match, Status, match
from trimcache.sharing.model_tensors import StoredTensor, stored_tensors
from trimcache.sharing.prefixes import prefixes
from trimcache.sharing.reading import ScannedPart

if TYPE_CHECKING:
    from trimcache.catalog.models import Model
    from trimcache.catalog.reader import Catalog
    from trimcache.scanning.part import Advance
    from trimcache.scanning.run import Progress

SYNTHETIC = "its models were generated: there are no weights to read, so names and digests are all that is compared"


@dataclass(frozen=True, slots=True)
class TensorRow:
    """One pair of tensors, or one tensor that has no counterpart; ``distance`` only for changed ones that could be read."""

    match: Match
    distance: Distance | None = None

    @property
    def status(self) -> Status:
        return self.match.status

    @property
    def shape_differs(self) -> bool:
        a, b = self.match.a, self.match.b
        return a is not None and b is not None and a.shape != b.shape

    @property
    def dtype_differs(self) -> bool:
        a, b = self.match.a, self.match.b
        return a is not None and b is not None and a.dtype != b.dtype

    @property
    def rounded(self) -> bool:
        """Whether the two are no further apart than rounding one to the dtype of the other explains."""
        a, b, far = self.match.a, self.match.b, self.distance
        if a is None or b is None or far is None or far.relative is None:
            return False
        error = rounding_error(a.dtype, b.dtype)
        return error is not None and far.relative <= error

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "status": str(self.status),
            "a": _tensor_dict(self.match.a),
            "b": _tensor_dict(self.match.b),
            "a_bytes": self.match.a_bytes,
            "b_bytes": self.match.b_bytes,
            "shape_differs": self.shape_differs,
            "dtype_differs": self.dtype_differs,
            "distance": None if self.distance is None else {**self.distance.to_dict(), "rounded": self.rounded},
        }


@dataclass(frozen=True, slots=True)
class Sum:
    """Bytes of one status on each side, each tensor once, and rows."""

    status: Status
    a_bytes: int
    b_bytes: int
    rows: int


@dataclass(frozen=True)
class Comparison:
    """Two models of one catalog.

    Attributes:
        a, b: their names.
        rows: largest first within each status.
        prefixes: what was taken off the names of a and of b to make them agree.
        unread: why distances are missing, or None if all that can be measured were.
        errors: files that could not be read, one error each.
    """

    a: str
    b: str
    rows: tuple[TensorRow, ...]
    prefixes: tuple[str, str] = ("", "")
    unread: str | None = None
    errors: tuple[SourceError, ...] = ()

    @cached_property
    def sums(self) -> dict[Status, Sum]:
        """A sum for each status; ``a_bytes`` and ``b_bytes`` add up to the tensor bytes of each model."""
        chosen = {status: [row.match for row in self.rows if row.status == status] for status in Status}
        return {s: Sum(s, sum(m.a_bytes for m in rows), sum(m.b_bytes for m in rows), len(rows)) for s, rows in chosen.items()}

    @property
    def a_bytes(self) -> int:
        """Bytes of all tensors of a, tied ones once; headers and files without tensors are not compared."""
        return sum(one.a_bytes for one in self.sums.values())

    @property
    def b_bytes(self) -> int:
        """The same of b."""
        return sum(one.b_bytes for one in self.sums.values())

    @property
    def equal_bytes(self) -> int:
        """Bytes of b's tensors that a holds too, under whatever name."""
        return self.sums[Status.SAME].b_bytes + self.sums[Status.RENAMED].b_bytes

    @cached_property
    def changed(self) -> Changed:
        """The changed tensors taken together."""
        return Changed.of(row for row in self.rows if row.status == Status.CHANGED)

    @property
    def estimated_extra_bytes(self) -> int | None:
        """What storing b beside a would take, differences compressed; an estimate from samples; None where nothing was read."""
        if self.unread is not None or self.errors:
            return None
        extra = 0.0
        for row in self.rows:
            if row.status == Status.ONLY_B:
                extra += row.match.b_bytes
            elif row.status == Status.CHANGED and row.match.b_bytes:
                far = row.distance
                share = far.difference_share if far is not None else None
                measured = far.compared_bytes or 0 if far is not None and share is not None else 0
                extra += row.match.b_bytes - measured + measured * (share or 0.0)
        return round(extra)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "a": self.a,
            "b": self.b,
            "a_bytes": self.a_bytes,
            "b_bytes": self.b_bytes,
            "equal_bytes": self.equal_bytes,
            "prefixes": list(self.prefixes),
            "sums": {str(s): {"a_bytes": one.a_bytes, "b_bytes": one.b_bytes, "rows": one.rows} for s, one in self.sums.items()},
            "changed": self.changed.to_dict(),
            "estimated_extra_bytes": self.estimated_extra_bytes,
            "unread": self.unread,
            "errors": [str(error) for error in self.errors],
            "tensors": [row.to_dict() for row in self.rows],
        }


@dataclass(frozen=True, slots=True)
class Changed:
    """Sums over changed tensors, as far as they can be laid side by side: whole, or the rows that both have.

    Attributes:
        measured_bytes, equal_bytes: of those with one dtype on both sides: bytes compared, and how many of those are equal in place.
        relative: ``||a - b|| / max(||a||, ||b||)`` of each tensor, their mean weighted by bytes, across dtypes too; None where no tensor
            has numbers. One norm over everything would only show the few tensors with large values (variances of normalisations); the
            larger norm below keeps a tensor that began at zero from counting for more than all others.
        difference_bytes, alone_bytes: estimated compressed size of the differences, and of b's tensors by themselves.
        cast_bytes: bytes of b in another dtype but no further from a than rounding explains.
    """

    measured_bytes: int
    equal_bytes: int
    relative: float | None
    difference_bytes: int
    alone_bytes: int
    cast_bytes: int

    @classmethod
    def of(cls, rows: Iterable[TensorRow]) -> Changed:
        weighted = weights = 0.0
        measured = equal = cast = 0
        difference = alone = 0.0
        for row in rows:
            far = row.distance
            if far is None or not row.match.counts_b:
                continue
            if far.bounded is not None:
                weight = far.compared_bytes or row.match.b_bytes
                weighted += far.bounded * weight
                weights += weight
            if row.rounded:
                cast += row.match.b_bytes
            if far.compared_bytes is not None and far.equal_bytes is not None:
                measured += far.compared_bytes
                equal += far.equal_bytes
                difference += far.compared_bytes * (far.difference_share or 0.0)
                alone += far.compared_bytes * (far.alone_share or 0.0)
        return cls(measured, equal, weighted / weights if weights else None, round(difference), round(alone), cast)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "measured_bytes": self.measured_bytes,
            "equal_bytes": self.equal_bytes,
            "mean_relative_difference": self.relative,
            "compressed_difference_bytes": self.difference_bytes,
            "compressed_alone_bytes": self.alone_bytes,
            "cast_bytes": self.cast_bytes,
        }


def compare(catalog: Catalog, a: str, b: str, *, read: bool = True, progress: Progress | None = None) -> Comparison:
    """Compare two models of ``catalog``; an adapter model is its base's tensors and its own.

    Args:
        a, b: names, or unambiguous endings of names. The same model twice is no error: everything is the same.
        read: read changed tensors again to measure distances; a synthetic catalog has nothing to read.
        progress: told the bytes read.

    Returns:
        All rows. A file that is gone, changed or cannot be read costs the distances of its tensors and stands in ``errors``.

    Raises:
        ModelNameError: no model, or more than one, has such a name.
    """
    models = catalog.find_model(a), catalog.find_model(b)
    tensors_a, tensors_b = (stored_tensors(catalog, model) for model in models)
    taken_off = prefixes(tensors_a, tensors_b)
    matches = match(tensors_a, tensors_b, taken_off)
    order = {status: index for index, status in enumerate(Status)}
    matches.sort(key=lambda m: (order[m.status], -max(t.nbytes for t in (m.a, m.b) if t is not None), _label(m)))
    rows = tuple(TensorRow(one) for one in matches)
    unread: str | None = None
    errors: list[SourceError] = []
    if not read:
        unread = "not asked for"
    elif catalog.synthetic:
        unread = SYNTHETIC
    else:
        rows, errors = _measured(catalog, models, rows, progress)
    return Comparison(models[0].name, models[1].name, rows, taken_off, unread, tuple(errors))


def _label(one: Match) -> tuple[str, str]:
    tensor = one.a or one.b
    assert tensor is not None, "a row has at least one side"
    return tensor.file, tensor.name


def comparable(a: StoredTensor, b: StoredTensor) -> tuple[int, int] | None:
    """Elements to compare from the start of both, and the bytes they take in ``b``; None if the two cannot be laid side by side.

    Equal shapes are compared whole; where only the first dimension differs (a vocabulary that grew), the leading rows that both have.
    """
    if len(a.shape) != len(b.shape) or a.shape[1:] != b.shape[1:] or not a.nbytes or not b.nbytes:
        return None
    elements_a, elements_b = math.prod(a.shape), math.prod(b.shape)
    elements = min(elements_a, elements_b)
    if a.dtype == b.dtype:
        nbytes = a.nbytes if elements_a == elements else b.nbytes
        return (elements, nbytes) if elements_a != elements_b or a.nbytes == b.nbytes else None
    # A complex element is two numbers and would be laid beside a real one.
    if any(not is_numeric(t.dtype) or t.dtype.startswith("complex") for t in (a, b)):
        return None
    if dense_nbytes(a.dtype, elements_a) != a.nbytes or dense_nbytes(b.dtype, elements_b) != b.nbytes:
        return None
    return elements, b.nbytes * elements // elements_b


def _measured(
    catalog: Catalog, models: Sequence[Model], rows: Sequence[TensorRow], progress: Progress | None
) -> tuple[tuple[TensorRow, ...], list[SourceError]]:
    """``rows`` with distances, and what could not be read. Two files are open at a time."""
    parts = {part.part: part for part in catalog.parts}
    scanned = [[ScannedPart(catalog, parts[uri]) for uri in model.parts] for model in models]
    todo = []
    for index, row in enumerate(rows):
        a, b = row.match.a, row.match.b
        if row.status == Status.CHANGED and a is not None and b is not None and (extent := comparable(a, b)) is not None:
            todo.append(((a.part, a.file), (b.part, b.file), index, a, b, extent))
    advance: Advance | None = progress.advance if progress is not None else None
    todo.sort(key=lambda job: (job[:2], job[3].offset or 0, job[2]))
    if progress is not None:
        progress.start(2, sum(2 * extent[1] for *_, extent in todo))
    result = list(rows)
    errors: dict[str, SourceError] = {}
    for ((index_a, file_a), (index_b, file_b)), jobs in groupby(todo, key=lambda job: job[:2]):
        part_a, part_b = scanned[0][index_a], scanned[1][index_b]
        try:
            with ExitStack() as stack:
                source_a, source_b = stack.enter_context(part_a.open(file_a)), stack.enter_context(part_b.open(file_b))
                found = {}
                for _, _, index, a, b, (elements, nbytes) in jobs:
                    stream_a, stream_b = part_a.stream(a, source_a), part_b.stream(b, source_b)
                    measured = distance(stream_a, stream_b, a.dtype, b.dtype, elements, nbytes, advance)
                    stream_a.check()
                    stream_b.check()
                    found[index] = measured
        except SourceError as error:
            errors.setdefault(str(error), error)
            continue
        for index, measured in found.items():
            result[index] = replace(result[index], distance=measured)
    return tuple(result), list(errors.values())


def _tensor_dict(tensor: StoredTensor | None) -> dict[str, Any] | None:
    if tensor is None:
        return None
    return {
        "names": list(tensor.names),
        "part": tensor.part,
        "file": tensor.file,
        "kind": tensor.kind,
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "bytes": tensor.nbytes,
        "digest": tensor.digest.hex(),
    }
