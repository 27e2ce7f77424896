"""Digest algorithms: the published ones, bit for bit."""

from __future__ import annotations

import pytest

from trimcache.blocks.digests import DIGEST_NBYTES, DIGESTS, digest_algorithm
from trimcache.errors import UsageError

# Of the empty input, from the test vectors of BLAKE3 and of xxHash 0.8.
_EMPTY = {
    "blake3-256": "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
    "xxh3-128": "99aa06d3014798d86001c324468d497f",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_known_answers(name: str) -> None:
    algorithm = digest_algorithm(name)
    assert algorithm.of(b"").hex() == algorithm.new().digest().hex() == _EMPTY[name]
    assert algorithm.nbytes == DIGEST_NBYTES[name] == len(algorithm.of(b"x"))


@pytest.mark.parametrize("name", DIGESTS)
def test_running_and_at_once_agree(name: str) -> None:
    algorithm, data = digest_algorithm(name), bytes(range(256)) * 40
    hasher = algorithm.new()
    for start in range(0, len(data), 1000):
        hasher.update(memoryview(data)[start : start + 1000])
    assert hasher.digest() == algorithm.of(data) == algorithm.of(memoryview(data))


def test_nothing_short_is_offered() -> None:
    assert min(DIGEST_NBYTES.values()) >= 16
    with pytest.raises(UsageError, match="choose one of blake3-256, xxh3-128"):
        digest_algorithm("xxh64")
