"""One scanned part, in columns: what ``scan_part`` returns and a catalog stores."""

from __future__ import annotations

from dataclasses import dataclass, field

from trimcache.bytesource import Stamp


@dataclass(slots=True)
class FileColumns:
    """Rows of ``files``: one a file."""

    path: list[str] = field(default_factory=list)
    nbytes: list[int] = field(default_factory=list)
    format: list[str | None] = field(default_factory=list)
    known_hash: list[str | None] = field(default_factory=list)
    stamp: list[Stamp | None] = field(default_factory=list)


@dataclass(slots=True)
class TensorColumns:
    """Rows of ``tensors``: one a name."""

    file: list[str] = field(default_factory=list)
    name: list[str] = field(default_factory=list)
    kind: list[str] = field(default_factory=list)
    dtype: list[str] = field(default_factory=list)
    shape: list[tuple[int, ...]] = field(default_factory=list)
    offset: list[int | None] = field(default_factory=list)
    nbytes: list[int] = field(default_factory=list)
    digest: list[bytes] = field(default_factory=list)
    constant: list[bool] = field(default_factory=list)


@dataclass(slots=True)
class ExtentColumns:
    """Rows of ``extents``: in order within each file, tiling it."""

    file: list[str] = field(default_factory=list)
    ordinal: list[int] = field(default_factory=list)
    offset: list[int] = field(default_factory=list)
    nbytes: list[int] = field(default_factory=list)
    block: list[bytes] = field(default_factory=list)
    kind: list[str] = field(default_factory=list)


@dataclass(slots=True)
class PartRecord:
    """One part at one version, with everything a catalog keeps of it.

    Attributes:
        part: URI, the identity of the part.
        name, source, version: as in :class:`trimcache.sources.parts.PartSpec`.
        format: of its weight files; several are joined with ``+``.
        architecture: the class its configuration names, or None.
        declared_base, base_revision: the model it says it derives from, as it spells it.
        needs_base: whether it cannot be served without that base.
        notes: what was left out, and why.
        also: the extents by further rules, cut in the same pass.
    """

    part: str
    name: str
    source: str
    version: str
    format: str
    architecture: str | None
    declared_base: str | None
    base_revision: str | None
    needs_base: bool
    notes: tuple[str, ...]
    files: FileColumns
    tensors: TensorColumns
    extents: ExtentColumns
    also: tuple[ExtentColumns, ...] = ()

    @property
    def nbytes(self) -> int:
        return sum(self.files.nbytes)
