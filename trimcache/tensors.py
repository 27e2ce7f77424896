"""What an extractor hands over: tensors as byte ranges of the files of a part."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple, Protocol

from trimcache.bytesource import ByteSource, PartFiles

_PIECE_NBYTES = 1 << 20


class Kind(StrEnum):
    """What bytes are for. Every extent and every tensor has exactly one kind."""

    PARAMETER = "parameter"
    BUFFER = "buffer"
    ADAPTER = "adapter"
    HEADER = "header"  # everything in a weight file that is no tensor: headers, pickles, padding
    FILE = "file"  # a file without tensors: tokenizer, configuration, licence


class TensorRef(NamedTuple):
    """One named tensor of a file. A tuple, because a scan makes one for each of millions of tensors.

    Attributes:
        name: the name the file gives it.
        dtype: canonical name (:mod:`trimcache.dtypes`).
        shape: dimensions; ``()`` for a scalar.
        kind: PARAMETER, BUFFER or ADAPTER.
        nbytes: bytes of the canonical form: little-endian, row-major, without padding.
        offset: where those very bytes start in ``file``, or None if the file holds them in another layout.
        file: path in the part of the file that holds the bytes; "" means the file that was handed to the extractor.
        data: gives the canonical bytes when ``offset`` is None, as one buffer, or as an iterator of buffers of whole elements (a few
            megabytes each, so that a tensor of any size takes little memory); called with an open source of ``file``, which is another
            one than the extractor was handed (that one is closed by then). A tensor held in memory ignores it.
        stored: the ranges ``(offset, nbytes)`` of ``file`` that the tensor occupies when ``offset`` is None (may be empty for a
            tensor held in memory).
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    kind: Kind
    nbytes: int
    offset: int | None
    file: str = ""
    data: Callable[[ByteSource], memoryview | Iterator[memoryview]] | None = None
    stored: tuple[tuple[int, int], ...] = ()

    def pieces(self, source: ByteSource) -> Iterator[memoryview]:
        """The canonical bytes in order, a piece at a time; ``source`` is an open one of ``file``.

        Raises:
            FormatError: what the file holds cannot be brought into canonical form; it may be found out after the first pieces.
            SourceUnreadableError, SourceChangedError: from reading.
        """
        if self.data is not None:
            given = self.data(source)
            if not isinstance(given, memoryview):
                yield from given
                return
            for begin in range(0, given.nbytes, _PIECE_NBYTES):
                yield given[begin : begin + _PIECE_NBYTES]
            return
        assert self.offset is not None, "a tensor without an offset brings its bytes"
        for begin in range(0, self.nbytes, _PIECE_NBYTES):
            yield memoryview(source.read_at(self.offset + begin, min(_PIECE_NBYTES, self.nbytes - begin)))

    def whole(self, source: ByteSource) -> memoryview:
        """The canonical bytes as one buffer. Raises as :meth:`pieces`."""
        given = self.data(source) if self.data is not None else None
        return given if isinstance(given, memoryview) else memoryview(b"".join(self.pieces(source)))


@dataclass(frozen=True, slots=True)
class Extraction:
    """What one weight file holds.

    Attributes:
        tensors: in file order; names are unique, ranges may be shared (tied weights).
        metadata: free text the format carries.
        declared_base: the model an adapter says it belongs to, as it spells it.
        base_revision: the revision of that base, if stated.
        notes: what a user should know: things left out, and why.
    """

    tensors: tuple[TensorRef, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    declared_base: str | None = None
    base_revision: str | None = None
    notes: tuple[str, ...] = ()


class Extractor(Protocol):
    """One file format: bytes in, tensors out. Registered under the entry-point group ``trimcache.extractors``.

    Attributes:
        format: the name shown to users and stored in catalogs.
        suffixes: file endings, lower case with the dot, by which files of this format are offered to the extractor.
        priority: higher is asked first when several extractors share a suffix.

    A format whose models are folders without a ``config.json`` may add ``markers: ClassVar[tuple[str, ...]]``: globs for the names of
    files that are in every such folder, case counts. A folder with such a file is one part if a file with one of ``suffixes`` is in or
    below it; without markers, every weight file there is a part of its own.
    """

    format: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    priority: ClassVar[int]

    def claims(self, path: str, files: PartFiles) -> bool:
        """Whether the file ``path`` of a part is of this format, from its name and its neighbours' names alone."""
        ...

    def extract(self, source: ByteSource, files: PartFiles) -> Extraction:
        """The tensors of one file.

        Raises:
            FormatError: the bytes break the rules of the format.
        """
        ...


def path_of(source: ByteSource, files: PartFiles) -> str:
    """The path in its part of the file that an extractor was handed; the end of its URI if the part does not list it.

    A URI alone does not tell: in a cache it ends in the hash of a blob. Of files that are one blob, the first is meant.
    """
    names = files.names()
    likely = [path for path in names if source.uri.endswith(f"/{path}")]
    for path in dict.fromkeys((*likely, *names)):
        with files.open(path) as other:
            if other.uri == source.uri:
                return path
    return source.uri.rpartition("/")[2]


class ObjectExtractor(Protocol):
    """A model held in memory instead of in a file."""

    format: ClassVar[str]

    def accepts(self, obj: Any) -> bool:
        """Whether ``obj`` is a model of this kind; must not import the library that defines it."""
        ...

    def extract_object(self, obj: Any) -> Extraction:
        """The tensors of ``obj`` with ``data`` set. ``offset`` numbers the bytes of a virtual file: tied tensors share theirs."""
        ...


# State that training or construction fills and no optimizer touches. Weight files carry names only, so names must decide.
_BUFFER_NAME = re.compile(
    r"(?:^|\.)(?:running_mean|running_var|num_batches_tracked"  # batch normalisation
    r"|position_ids|token_type_ids|cache_position|relative_position_index"
    r"|inv_freq|original_inv_freq|cos_cached|sin_cached|freqs_cis"  # rotary embeddings
    r"|masked_bias|attn\.bias|causal_mask"  # causal masks of GPT-2 and relatives (c_attn.bias is a parameter)
    r"|image_mean|image_std|mean_tensor|std_tensor)$"
)
_PARAMETER_DTYPES_EXCLUDED = frozenset({"bool"})


@lru_cache(maxsize=1 << 16)  # the models of a family repeat the same names
def kind_of(name: str, dtype: str) -> Kind:
    """PARAMETER or BUFFER, judged by the name a file gives a tensor.

    Formats do not record the difference; a module in memory does, and is asked instead.
    """
    if _BUFFER_NAME.search(name) or dtype in _PARAMETER_DTYPES_EXCLUDED:
        return Kind.BUFFER
    return Kind.PARAMETER
