"""The rules a catalog is made by: everything that decides which bytes become which block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trimcache.blocks.digests import DIGEST_NBYTES, DIGESTS
from trimcache.blocks.granularity import complete_parameters
from trimcache.errors import UsageError


@dataclass(frozen=True, slots=True)
class Rules:
    """Digest algorithm, granularity and its parameters (defaults filled in). Catalogs with different rules never merge.

    Raises:
        UsageError: an unknown digest, granularity or parameter.
    """

    digest: str = "blake3-256"
    granularity: str = "tensor"
    parameters: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.digest not in DIGESTS:
            raise UsageError(f"digest {self.digest!r}", "is not offered", f"choose one of {', '.join(DIGESTS)}")
        object.__setattr__(self, "parameters", complete_parameters(self.granularity, self.parameters))

    @property
    def digest_nbytes(self) -> int:
        """Length of a digest in bytes."""
        return DIGEST_NBYTES[self.digest]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"digest": self.digest, "granularity": self.granularity, "parameters": dict(self.parameters)}

    def __str__(self) -> str:
        extra = "".join(f", {key}={value}" for key, value in sorted(self.parameters.items()))
        return f"granularity={self.granularity}, digest={self.digest}{extra}"
