"""Tiling, against a map of every byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimcache.blocks.tiling import Extent, tile
from trimcache.errors import FormatError
from trimcache.tensors import Kind

_KINDS = st.sampled_from([Kind.PARAMETER, Kind.BUFFER, Kind.ADAPTER])


@st.composite
def _files(draw: st.DrawFn) -> tuple[int, list[Extent]]:
    size = draw(st.integers(0, 60))
    ranges = []
    for _ in range(draw(st.integers(0, 8))):
        begin = draw(st.integers(0, size))
        ranges.append(Extent(begin, draw(st.integers(0, size - begin)), draw(_KINDS), 1))
    return size, ranges


@given(_files())
def test_every_byte_belongs_to_exactly_one_extent_of_the_right_kind(file: tuple[int, list[Extent]]) -> None:
    size, ranges = file
    covered = [False] * size
    for extent in ranges:
        covered[extent.offset : extent.offset + extent.nbytes] = [True] * extent.nbytes
    position = 0
    for extent in tile(size, ranges, Kind.HEADER, "uri"):
        assert extent.offset == position
        assert extent.nbytes > 0
        position += extent.nbytes
        assert set(covered[extent.offset : position]) == {extent.kind is not Kind.HEADER}
    assert position == size


@given(_files())
def test_no_given_range_is_cut(file: tuple[int, list[Extent]]) -> None:
    size, ranges = file
    tiles = tile(size, ranges, Kind.HEADER, "uri")
    for extent in ranges:
        if extent.nbytes:
            inside = [t for t in tiles if t.offset <= extent.offset and extent.offset + extent.nbytes <= t.offset + t.nbytes]
            assert len(inside) == 1


@given(_files())
def test_borders_are_borders_of_given_ranges(file: tuple[int, list[Extent]]) -> None:
    """Nothing is merged that does not overlap: neighbours stay blocks of their own."""
    size, ranges = file
    real = [(r.offset, r.offset + r.nbytes) for r in ranges if r.nbytes]
    borders = {t.offset for t in tile(size, ranges, Kind.HEADER, "uri")}
    for begin, end in real:
        for border in (begin, end):
            if 0 < border < size and not any(a < border < b for a, b in real):
                assert border in borders


@given(_files(), st.randoms())
def test_the_order_of_the_ranges_does_not_matter(file: tuple[int, list[Extent]], random: st.DrawFn) -> None:
    size, ranges = file
    shuffled = list(ranges)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    places = [[(t.offset, t.nbytes) for t in tile(size, given, Kind.HEADER, "uri")] for given in (ranges, shuffled)]
    assert places[0] == places[1]


def test_an_extent_that_is_one_range_keeps_its_kind_and_width() -> None:
    ranges = [Extent(2, 4, Kind.BUFFER, 4), Extent(2, 4, Kind.BUFFER, 4), Extent(6, 2, Kind.ADAPTER, 2)]
    assert tile(10, ranges, Kind.HEADER, "uri") == [
        Extent(0, 2, Kind.HEADER),
        Extent(2, 4, Kind.BUFFER, 4),
        Extent(6, 2, Kind.ADAPTER, 2),
        Extent(8, 2, Kind.HEADER),
    ]


@pytest.mark.parametrize(
    "extent", [Extent(-1, 2, Kind.BUFFER), Extent(5, 6, Kind.BUFFER), Extent(11, 0, Kind.BUFFER), Extent(3, -1, Kind.BUFFER)]
)
def test_ranges_outside_the_file_are_refused(extent: Extent) -> None:
    with pytest.raises(FormatError, match="the file holds 10"):
        tile(10, [extent], Kind.HEADER, "uri")
