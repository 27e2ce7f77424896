"""Digest algorithms that may name a block.

BLAKE3-256 is the default because block names are compared between people who do not trust each other. XXH3-128 is several times faster
and enough for looking at one's own files. Nothing shorter is offered: at 64 bits, the chance of a collision among the blocks of a hub
is no longer negligible.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from trimcache.errors import UsageError


class Hasher(Protocol):
    """The part of hashlib's interface that is used here."""

    def update(self, data: Any, /) -> Any: ...
    def digest(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class DigestAlgorithm:
    """A named digest.

    Attributes:
        name, nbytes: what it is called, and how long a digest is.
        of: hashes one buffer.
        new: starts a running hash. Both release the GIL on large buffers.
        new_parallel: starts one that shares the work of a large buffer among all cores, where the algorithm allows it.
    """

    name: str
    nbytes: int
    of: Callable[[Any], bytes]
    new: Callable[[], Hasher]
    new_parallel: Callable[[], Hasher]


def _blake3() -> DigestAlgorithm:
    from blake3 import blake3

    return DigestAlgorithm("blake3-256", 32, lambda data: blake3(data).digest(), blake3, lambda: blake3(max_threads=blake3.AUTO))


def _xxh3() -> DigestAlgorithm:
    import xxhash

    return DigestAlgorithm("xxh3-128", 16, xxhash.xxh3_128_digest, xxhash.xxh3_128, xxhash.xxh3_128)


_ALGORITHMS: dict[str, Callable[[], DigestAlgorithm]] = {"blake3-256": _blake3, "xxh3-128": _xxh3}
DIGESTS: tuple[str, ...] = tuple(_ALGORITHMS)
DIGEST_LIBRARIES = {"blake3-256": "blake3", "xxh3-128": "xxhash"}
DIGEST_NBYTES = {"blake3-256": 32, "xxh3-128": 16}


def digest_algorithm(name: str) -> DigestAlgorithm:
    """The algorithm called ``name``.

    Raises:
        UsageError: there is none.
    """
    if name not in _ALGORITHMS:
        raise UsageError(f"digest {name!r}", "is not offered", f"choose one of {', '.join(DIGESTS)}")
    return _ALGORITHMS[name]()
