"""What presets have in common: what a user may change of them, and the usual files of an architecture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from trimcache.errors import UsageError
from trimcache.synthesis import regimes
from trimcache.synthesis.adapters import LoraSpec, default_targets, targeted
from trimcache.synthesis.architectures import Architecture, architecture
from trimcache.synthesis.regimes import Shape

# Bytes of tokenizer.json a token. 23.3 is what the MiniLM of the demo measures (711,661 bytes, 30,522 tokens); 50 for byte-pair
# vocabularies of decoders is an assumption.
WORDPIECE_TOKEN_NBYTES, BPE_TOKEN_NBYTES = 23.3, 50.0


@dataclass(frozen=True)
class Options:
    """What a user may change of a preset.

    Attributes:
        bases: architectures instead of the preset's.
        depths: smallest and largest number of frozen layers instead of the preset's.
        ranks: of LoRA adapters instead of the preset's.
        architectures: a data file with more architectures.
    """

    bases: tuple[str, ...] = ()
    depths: tuple[int, int] | None = None
    ranks: tuple[int, ...] = ()
    architectures: Path | None = None

    def find(self, names: Sequence[str]) -> list[Architecture]:
        """The architectures to start from, ``names`` unless the user gave others."""
        return [architecture(name, self.architectures) for name in self.bases or names]


def depth_range(arch: Architecture, options: Options, usual: tuple[int, int]) -> tuple[int, int]:
    """The user's range of frozen layers or ``usual``; UsageError if ``arch`` cannot have it."""
    low, high = options.depths or usual
    for depth in (low, high):
        regimes.check_depth(arch, depth)
    if low > high:
        raise UsageError(f"depths {low}-{high}", "are the wrong way round", f"write {high}-{low}")
    return low, high


@cache
def possible_ranks(arch: Architecture, options: Options, usual: tuple[int, ...]) -> tuple[int, ...]:
    """The user's ranks or ``usual``; UsageError if an adapter of ``arch`` cannot have one."""
    ranks = options.ranks or usual
    for rank in ranks:
        targeted(arch, LoraSpec(rank, default_targets(arch)))
    return ranks


@cache
def usual_shape(arch: Architecture, *, labels: int | None = None, dtype: str | None = None, extra_tokens: int = 0) -> Shape:
    """The files of a model of ``arch`` with a tokenizer of a believable size."""
    per_token = WORDPIECE_TOKEN_NBYTES if arch.dtype == "float32" else BPE_TOKEN_NBYTES
    tokenizer = int(per_token * (arch.vocab or 0))
    vocab = arch.vocab + extra_tokens if arch.vocab and extra_tokens else None
    return Shape(labels=labels, vocab=vocab, dtype=dtype, tokenizer_nbytes=tokenizer)


def parse_options(bases: str | None, depths: str | None, ranks: str | None, architectures: Path | None) -> Options:
    """Options as they are written on the command line.

    Raises:
        UsageError: depths or ranks are no numbers.
    """
    names = tuple(name.strip() for name in (bases or "").split(",") if name.strip())
    try:
        low, _, high = (depths or "").partition("-")
        span = (int(low), int(high or low)) if depths else None
        chosen = tuple(int(rank) for rank in (ranks or "").split(",") if rank.strip())
    except ValueError as error:
        raise UsageError("--depths and --ranks", "are whole numbers", "write for example --depths 29-40 or --ranks 8,16") from error
    return Options(names, span, chosen, architectures)
