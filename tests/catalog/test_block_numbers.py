"""Blocks are numbered exactly, also where digests agree in their first bits."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trimcache.catalog.block_numbers import number_blocks


def _naive(digests: list[bytes]) -> tuple[list[int], list[int]]:
    numbers: dict[bytes, int] = {}
    firsts: list[int] = []
    for row, digest in enumerate(digests):
        if digest not in numbers:
            numbers[digest] = len(numbers)
            firsts.append(row)
    return [numbers[digest] for digest in digests], firsts


# Few values in every byte, so that digests often agree in the first word and differ in the second, or only in low bits.
_DIGESTS = st.lists(st.builds(lambda a, b, c: bytes([a]) + bytes(6) + bytes([b]) + bytes([c]) * 8, *[st.integers(0, 2)] * 3), max_size=60)


@given(_DIGESTS)
def test_as_a_dictionary_would(digests: list[bytes]) -> None:
    array = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16)
    block, new = number_blocks(array)
    assert (block.tolist(), np.flatnonzero(new).tolist()) == _naive(digests)
