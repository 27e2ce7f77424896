"""One row of a breakdown of sizes."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

SEVERAL = "several"


@dataclass(frozen=True, slots=True)
class SizeRow:
    """One row of a breakdown.

    Attributes:
        name: of the model, family, kind, dtype or format; ``several`` for blocks that belong to more than one row.
        total_bytes: what fetching moves: ``model_bytes`` of a model; for other rows, over all models.
        exclusive_bytes: blocks of this row alone, each once (for a model: what deleting it frees).
        shared_bytes: bytes that two or more models hold, each block once: of a model's blocks; of another row's exclusive blocks.
        fair_share_bytes: :attr:`fair_share` in whole bytes, rounded so that all rows together are still ``unique_bytes``.
        fair_share_terms: ``(nbytes, holders)`` pairs; their quotients add up to :attr:`fair_share`.
        models: how many models have bytes in the row; in the row of several, how many share some.
        exclusive_blocks, shared_blocks: how many blocks ``exclusive_bytes`` and ``shared_bytes`` are.
        complete: False for an adapter whose base is missing.
        held_by_several: True for the row of blocks that belong to more than one row (a model may be named ``several`` too).
    """

    name: str
    total_bytes: int
    exclusive_bytes: int
    shared_bytes: int
    fair_share_bytes: int = 0
    fair_share_terms: tuple[tuple[int, int], ...] = ()
    models: int = 0
    exclusive_blocks: int = 0
    shared_blocks: int = 0
    complete: bool = True
    held_by_several: bool = False

    @property
    def unique_bytes(self) -> int:
        """``exclusive_bytes`` by the name of the column total that it adds up to."""
        return self.exclusive_bytes

    @property
    def fair_share(self) -> Fraction:
        """The row's bytes if each block is divided equally among its holders; all rows together are exactly ``unique_bytes``."""
        return sum((Fraction(nbytes, holders) for nbytes, holders in self.fair_share_terms), Fraction(0))

    def to_dict(self) -> dict[str, Any]:
        """For JSON: whole numbers, and the exact fair share as a sum of fractions, ``"4096 + 8192/3"``."""
        terms = [str(nbytes) if holders == 1 else f"{nbytes}/{holders}" for nbytes, holders in self.fair_share_terms]
        return {
            "name": self.name,
            "total_bytes": self.total_bytes,
            "unique_bytes": self.exclusive_bytes,
            "exclusive_bytes": self.exclusive_bytes,
            "shared_bytes": self.shared_bytes,
            "fair_share": self.fair_share_bytes,
            "fair_share_exact": " + ".join(terms) or "0",
            "models": self.models,
            "exclusive_blocks": self.exclusive_blocks,
            "shared_blocks": self.shared_blocks,
            "complete": self.complete,
            "held_by_several": self.held_by_several,
        }
