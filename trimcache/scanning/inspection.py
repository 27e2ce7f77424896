"""Looking at one source: its tensors, from headers alone unless their digests are wanted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trimcache.errors import SourceError
from trimcache.rules import Rules
from trimcache.scanning.headers import read_headers
from trimcache.scanning.part import ScanTask, scan_part
from trimcache.sources.parts import PartSpec
from trimcache.sources.resolve import resolve


@dataclass(frozen=True, slots=True)
class InspectedTensor:
    """One tensor of a part; ``offset`` is None where its bytes do not lie row-major in the file, ``digest`` where none was asked for."""

    file: str
    name: str
    kind: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    offset: int | None
    digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class InspectedPart:
    """One part of a source with its tensors in file order, or the error that reading it raised."""

    name: str
    format: str
    nbytes: int
    tensors: tuple[InspectedTensor, ...]
    notes: tuple[str, ...] = ()
    error: SourceError | None = None


def inspect(source: Any, *, hash_tensors: bool = False, digest: str = "blake3-256", weights: str = "preferred") -> Iterator[InspectedPart]:
    """The parts of ``source`` (a path, a model in memory or a ``(name, model)`` pair), one after another.

    Args:
        hash_tensors: also read the tensors' bytes and give their digests.
        digest, weights: as for a scan.

    Raises:
        SourceError: the source cannot be resolved at all.
    """
    resolution = resolve([source], weights=weights)
    if resolution.errors and not resolution.parts:
        raise resolution.errors[0]
    for spec in resolution.parts:
        try:
            by_hash = hash_tensors or spec.obj is not None
            yield _hashed(spec, digest, keep=hash_tensors) if by_hash else _from_headers(spec)
        except SourceError as error:
            yield InspectedPart(spec.name, "", spec.nbytes, (), spec.notes, error)
    for failure in resolution.errors:
        yield InspectedPart(failure.subject, "", 0, (), (), failure)


def _from_headers(spec: PartSpec) -> InspectedPart:
    headers = read_headers(spec)
    tensors = tuple(
        InspectedTensor(path, t.name, t.kind.value, t.dtype, t.shape, t.nbytes, t.offset)
        for path, listed in headers.tensors.items()
        for t in listed
    )
    return InspectedPart(spec.name, headers.format, spec.nbytes, tensors, spec.notes + headers.notes)


def _hashed(spec: PartSpec, digest: str, *, keep: bool) -> InspectedPart:
    record = scan_part(ScanTask(spec, Rules(digest)))
    t = record.tensors
    digests = t.digest if keep else [None] * len(t.name)
    rows = zip(t.file, t.name, t.kind, t.dtype, t.shape, t.nbytes, t.offset, digests, strict=True)
    return InspectedPart(spec.name, record.format, record.nbytes, tuple(InspectedTensor(*row) for row in rows), record.notes)
