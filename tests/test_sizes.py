"""Sizes as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimcache.errors import UsageError
from trimcache.sizes import format_size, parse_size


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        ("0", 0),
        ("17", 17),
        ("17B", 17),
        ("500MB", 500_000_000),
        ("1GiB", 1 << 30),
        ("1 GB", 10**9),
        (" 1.5gb ", 1_500_000_000),
        ("0.1KB", 100),
        ("2TiB", 2 << 40),
        ("1PB", 10**15),
        ("1EiB", 1 << 60),
        ("9007199254740993", 2**53 + 1),
        ("9007199254740.993kB", 2**53 + 1),
    ],
)
def test_parse(text: str, nbytes: int) -> None:
    assert parse_size(text) == nbytes


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "1e9", "1,5GB", "1.GB", ".5GB", "1Gb/s", "1 G B", "nan", "inf", "0x10", "1\n2", "1XB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write it like 500MB") as caught:
        parse_size(text)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.000 kB"),
        (1_234_567, "1.235 MB"),
        (12_345_678, "12.35 MB"),
        (123_456_789, "123.5 MB"),
        (999_949, "999.9 kB"),
        (999_950, "1.000 MB"),
        (9_999_499, "9.999 MB"),
        (9_999_500, "10.00 MB"),
        (99_995_000, "100.0 MB"),
        (10**21, "1000.0 EB"),
        (-1500, "-1.500 kB"),
    ],
)
def test_format(nbytes: int, text: str) -> None:
    assert format_size(nbytes) == text


@given(st.integers(1, 10**18))
def test_four_digits_are_close(nbytes: int) -> None:
    text = format_size(nbytes)
    assert abs(parse_size(text) - nbytes) <= nbytes * 5.1e-4
    assert len(text.split(" ")[0].replace(".", "")) <= 4
