"""What every extractor promises, as tests. Subclass :class:`ExtractorContract` to check a format of your own; give it the two hooks
:meth:`~ExtractorContract.make_extractor` and :meth:`~ExtractorContract.write_valid`.

Each :class:`Sample` names one weight file and the tensors that it must yield: canonical dtype, shape and the canonical (little-endian,
row-major) bytes. All files in the folder of the weight file form the part, so neighbours (configurations, external data, shards) are
simply written beside it; give samples sub-folders if they must not see each other. Write a few small samples (some kB) that differ: one
ordinary, one with the oddities of the format (empty and 0-d tensors, ties, padding, other layouts).

What is checked, always through sources that have no path and count what is read (:mod:`trimcache.testing.range_only`):

- names, dtypes, shapes and bytes are the expected ones, names are unique, and extracting twice gives the same;
- the extents of every file add up to the file, and the file rebuilt from them is identical;
- finding the tensors costs at most what is no tensor plus 1 MiB, however large the tensors are;
- nothing outside a file is asked for; ``claims`` looks at names alone;
- a file cut short anywhere gives a FormatError or the same tensors; a file with flipped bytes gives a FormatError or a valid Extraction;
  any other exception is a bug;
- an error is one line that names the file.

Knobs, as class attributes: ``n_truncations`` and ``n_flips`` a sample, ``seed``; ``header_slack_nbytes`` for formats that must look at
more than their header, with a comment that says why.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import pytest

from trimcache.blocks.tiling import Extent, tile
from trimcache.dtypes import dense_nbytes
from trimcache.errors import FormatError
from trimcache.tensors import Extraction, Extractor, Kind, TensorRef
from trimcache.testing.range_only import RangeOnlyPart, UnreadablePart, uri_of


@dataclass(frozen=True, slots=True)
class Expected:
    """A tensor as a file must yield it; ``kind`` is only compared where it is given."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes
    kind: Kind | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """A valid weight file and everything that is in it."""

    path: Path
    tensors: Mapping[str, Expected]

    def files(self) -> dict[str, bytes]:
        """The part: every file at or below the folder of the weight file."""
        folder = self.path.parent
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


class ExtractorContract(ABC):
    """The suite. Two hooks are yours: :meth:`make_extractor` and :meth:`write_valid`."""

    n_truncations = 60
    n_flips = 150
    seed = 0
    header_slack_nbytes = 1 << 20

    @abstractmethod
    def make_extractor(self) -> Extractor:
        """The extractor under test, as its entry point makes it."""

    @abstractmethod
    def write_valid(self, folder: Path) -> Sequence[Sample]:
        """Write samples below ``folder``, an empty folder, and say what is in them."""

    @pytest.fixture
    def samples(self, tmp_path: Path) -> Sequence[Sample]:
        samples = self.write_valid(tmp_path)
        assert samples, "write_valid() returned no sample"
        return samples

    # What a valid file yields.

    def test_tensors_are_the_expected_ones(self, samples: Sequence[Sample]) -> None:
        for sample in samples:
            part = RangeOnlyPart(sample.files())
            extraction = self._extract(sample.path.name, part)
            check_valid(extraction, sample.path.name, part)
            assert self._contents(extraction, sample.path.name, part) == {
                name: (expected.dtype, expected.shape, expected.data) for name, expected in sample.tensors.items()
            }
            kinds = {tensor.name: tensor.kind for tensor in extraction.tensors}
            stated = {name: expected.kind for name, expected in sample.tensors.items() if expected.kind is not None}
            assert {name: kinds[name] for name in stated} == stated

    def test_extracting_twice_gives_the_same(self, samples: Sequence[Sample]) -> None:
        for sample in samples:
            one, other = (self._places(self._extract(sample.path.name, RangeOnlyPart(sample.files()))) for _ in range(2))
            assert one == other

    def test_extents_tile_every_file_and_rebuild_it(self, samples: Sequence[Sample]) -> None:
        for sample in samples:
            files = sample.files()
            extraction = self._extract(sample.path.name, RangeOnlyPart(files))
            for path, data in files.items():
                extents = extents_of(extraction, path, sample.path.name, len(data))
                assert sum(extent.nbytes for extent in extents) == len(data)
                rebuilt = b"".join(data[extent.offset : extent.offset + extent.nbytes] for extent in extents)
                assert rebuilt == data, f"{path} cannot be rebuilt from its extents"

    # How it reads.

    def test_reading_costs_no_more_than_the_header(self, samples: Sequence[Sample]) -> None:
        for sample in samples:
            files = sample.files()
            part = RangeOnlyPart(files)
            extraction = self._extract(sample.path.name, part)
            nbytes_header = 0
            for path, data in files.items():
                extents = extents_of(extraction, path, sample.path.name, len(data))
                nbytes_header += sum(extent.nbytes for extent in extents if extent.kind in (Kind.HEADER, Kind.FILE))
            assert part.nbytes_read <= nbytes_header + self.header_slack_nbytes

    def test_nothing_outside_a_file_is_asked_for(self, samples: Sequence[Sample]) -> None:
        for sample in samples:
            part = RangeOnlyPart(sample.files())
            self._contents(self._extract(sample.path.name, part), sample.path.name, part)
            assert part.refused == []

    def test_claims_looks_at_names_alone(self, samples: Sequence[Sample]) -> None:
        for sample in samples:
            extractor = self.make_extractor()
            assert sample.path.name.lower().endswith(extractor.suffixes)
            assert extractor.claims(sample.path.name, UnreadablePart(sample.files())) is True

    def test_describes_itself(self) -> None:
        extractor = self.make_extractor()
        assert extractor.format
        assert extractor.format.isprintable()
        assert isinstance(extractor.priority, int)
        assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in extractor.suffixes)

    # Files that nobody vouches for.

    def test_a_truncated_file_is_refused_or_yields_the_same(self, samples: Sequence[Sample]) -> None:
        for sample in samples:
            files = sample.files()
            whole = files[sample.path.name]
            part = RangeOnlyPart(files)
            complete = self._contents(self._extract(sample.path.name, part), sample.path.name, part)
            for length in self._lengths(sample, part):
                cut = RangeOnlyPart({**files, sample.path.name: whole[:length]})
                with one_clear_line(cut):
                    extraction = self._extract(sample.path.name, cut)
                    check_valid(extraction, sample.path.name, cut)
                    assert self._contents(extraction, sample.path.name, cut) == complete, f"cut at {length}"

    def test_flipped_bytes_are_refused_or_yield_a_valid_extraction(self, samples: Sequence[Sample]) -> None:
        generator = random.Random(self.seed)
        for sample in samples:
            files = sample.files()
            whole = files[sample.path.name]
            interesting = self._header_positions(sample, RangeOnlyPart(files))
            for _ in range(self.n_flips if whole else 0):
                damaged = bytearray(whole)
                for _ in range(generator.choice((1, 1, 2, 8))):
                    position = generator.choice(interesting) if generator.random() < 0.8 else generator.randrange(len(whole))
                    damaged[position] = generator.choice(
                        (0, 0xFF, damaged[position] ^ 1 << generator.randrange(8), generator.randrange(256))
                    )
                part = RangeOnlyPart({**files, sample.path.name: bytes(damaged)})
                with one_clear_line(part):
                    extraction = self._extract(sample.path.name, part)
                    check_valid(extraction, sample.path.name, part)
                    self._contents(extraction, sample.path.name, part)

    # Tools, free to use in further tests of a subclass.

    def extract_bytes(self, data: bytes, name: str, neighbours: Mapping[str, bytes] | None = None) -> Extraction:
        """Extract from bytes; checks the extraction before returning it."""
        part = RangeOnlyPart({**(neighbours or {}), name: data})
        extraction = self._extract(name, part)
        check_valid(extraction, name, part)
        return extraction

    def assert_refused(self, data: bytes, name: str, match: str, neighbours: Mapping[str, bytes] | None = None) -> None:
        """``data`` gives a FormatError whose one line matches ``match``."""
        part = RangeOnlyPart({**(neighbours or {}), name: data})
        with pytest.raises(FormatError, match=match) as caught:
            self._extract(name, part)
        check_message(caught.value, part)

    def _extract(self, name: str, part: RangeOnlyPart) -> Extraction:
        with part.open(name) as source:
            return self.make_extractor().extract(source, part)

    def _contents(self, extraction: Extraction, name: str, part: RangeOnlyPart) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
        return {tensor.name: (tensor.dtype, tensor.shape, canonical_bytes(tensor, name, part)) for tensor in extraction.tensors}

    def _places(self, extraction: Extraction) -> list[tuple[object, ...]]:
        return [(t.name, t.dtype, t.shape, t.kind, t.nbytes, t.offset, t.file, t.stored) for t in extraction.tensors]

    def _header_positions(self, sample: Sample, part: RangeOnlyPart) -> list[int]:
        """Bytes of the weight file that are no tensor: where damage is most likely to confuse."""
        size = part.open(sample.path.name).size
        extents = extents_of(self._extract(sample.path.name, part), sample.path.name, sample.path.name, size)
        headers = [p for extent in extents if extent.kind is Kind.HEADER for p in range(extent.offset, extent.offset + extent.nbytes)]
        return headers or list(range(size))

    def _lengths(self, sample: Sample, part: RangeOnlyPart) -> list[int]:
        """Every length at which something could happen: the ends, the borders of extents, and some at random."""
        size = part.open(sample.path.name).size
        extents = extents_of(self._extract(sample.path.name, part), sample.path.name, sample.path.name, size)
        borders = {extent.offset + step for extent in extents[:20] for step in (-1, 0, 1)}
        some = random.Random(self.seed).choices(range(size), k=self.n_truncations) if size else []
        return sorted(length for length in {0, 1, 2, 7, 8, 9, size // 2, size - 1, *borders, *some} if 0 <= length < size)


class one_clear_line:
    """Lets a FormatError of the body pass, once its message is checked; every other exception is a failure."""

    def __init__(self, part: RangeOnlyPart) -> None:
        self._part = part

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> bool:
        if not isinstance(error, FormatError):
            return False
        check_message(error, self._part)
        return True


def check_message(error: FormatError, part: RangeOnlyPart) -> None:
    """The error is one printable line that starts with the file at fault and says more than its name."""
    text = str(error)
    assert text.isprintable()
    assert error.subject in {uri_of(name) for name in part.names()} or error.subject not in part.names()
    assert text.startswith(error.subject)
    assert error.problem
    assert len(text) < 1000


def check_valid(extraction: Extraction, name: str, part: RangeOnlyPart) -> None:
    """An extraction that the rest of trimcache can rely on, whatever the file was."""
    assert isinstance(extraction.tensors, tuple)
    seen = [(tensor.file or name, tensor.name) for tensor in extraction.tensors]
    assert len(seen) == len(set(seen)), "a name occurs twice in one file"
    for tensor in extraction.tensors:
        tensor.name.encode("utf-8")  # a catalog stores it as UTF-8
        assert tensor.dtype
        assert isinstance(tensor.kind, Kind)
        assert tensor.kind not in (Kind.HEADER, Kind.FILE)
        assert all(type(size) is int and 0 <= size < 2**63 for size in tensor.shape), "a catalog stores sizes in 64 bits, signed"
        assert tensor.nbytes >= 0
        dense = dense_nbytes(tensor.dtype, prod(tensor.shape))
        assert dense is None or dense == tensor.nbytes
        if tensor.offset is None:
            assert tensor.data is not None, "a tensor without an offset brings its bytes"
    for path in {tensor.file or name for tensor in extraction.tensors}:
        extents_of(extraction, path, name, part.open(path).size)


def extents_of(extraction: Extraction, path: str, name: str, nbytes: int) -> list[Extent]:
    """The extents of the file ``path`` of a part whose weight file is ``name``."""
    ranges = list(_ranges(extraction, path, name))
    gap_kind = Kind.HEADER if path == name or ranges else Kind.FILE
    return tile(nbytes, ranges, gap_kind, uri_of(path))


def _ranges(extraction: Extraction, path: str, name: str) -> Iterator[Extent]:
    for tensor in extraction.tensors:
        if (tensor.file or name) != path:
            continue
        for offset, nbytes in ((tensor.offset, tensor.nbytes),) if tensor.offset is not None else tensor.stored:
            yield Extent(offset, nbytes, tensor.kind)


def canonical_bytes(tensor: TensorRef, name: str, part: RangeOnlyPart) -> bytes:
    """The little-endian, row-major bytes of ``tensor``."""
    data = b"".join(tensor.pieces(part.open(tensor.file or name)))
    assert len(data) == tensor.nbytes
    return data
