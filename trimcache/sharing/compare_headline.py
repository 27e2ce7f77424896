"""A comparison in one sentence, so that a near-duplicate reads as one."""

from __future__ import annotations

from trimcache.sharing.compare import Comparison
from trimcache.sharing.matching import Status
from trimcache.sizes import format_size

# Changed tensors are near-duplicates if a file of differences would be small: most bytes equal in place, or a difference that compresses to
# little. A full fine-tune is none: of those that were measured (docs/compare.md) the differences compress to 53 % at best.
NEAR_EQUAL_BYTES = 0.9
NEAR_DIFFERENCE_BYTES = 0.25
# Mean relative difference (Changed.relative). Independent tensors of equal norm are sqrt(2) apart, the measured fine-tunes 0.001 to 0.3.
RELATED_RELATIVE = 0.7


def closeness(found: Comparison) -> str | None:
    """How changed tensors of equal shape stand to each other, by the constants above, or None if nothing was measured.

    ``the same weights in another dtype``, ``near-duplicate``, ``related`` or ``unrelated values``.
    """
    changed = found.changed
    if changed.cast_bytes and changed.cast_bytes == found.sums[Status.CHANGED].b_bytes:
        return "the same weights in another dtype"
    if changed.measured_bytes:
        equal, difference = changed.equal_bytes / changed.measured_bytes, changed.difference_bytes / changed.measured_bytes
        if equal >= NEAR_EQUAL_BYTES or difference <= NEAR_DIFFERENCE_BYTES:
            return "near-duplicate"
    if changed.relative is None:
        return None
    return "related" if changed.relative <= RELATED_RELATIVE else "unrelated values"


def headline(found: Comparison) -> str:
    """Whether the two are the same, near or far, in one sentence, bytes first."""
    whole, sums = found.b_bytes, found.sums
    if not found.a_bytes or not whole:
        empty = [name for name, nbytes in ((found.a, found.a_bytes), (found.b, whole)) if not nbytes]
        return f"nothing to compare: no bytes in the tensors of {' and '.join(dict.fromkeys(empty))}"
    differs = any(sums[status].rows for status in (Status.CHANGED, Status.ONLY_A, Status.ONLY_B))
    if not differs:
        renamed = sums[Status.RENAMED].b_bytes
        names = f", {format_size(renamed)} of it under other names" if renamed else ""
        return f"identical: all {format_size(whole)} of tensors are equal{names}"
    parts = []
    if found.equal_bytes:
        parts.append(f"{_percent(found.equal_bytes, whole)} of {found.b} ({format_size(found.equal_bytes)}) is equal, tensor by tensor")
    else:
        parts.append("no tensor is equal")
    if sums[Status.CHANGED].b_bytes:
        parts.append(_changed(found))
    for status, name in ((Status.ONLY_A, found.a), (Status.ONLY_B, found.b)):
        nbytes = sums[status].a_bytes + sums[status].b_bytes
        if nbytes:
            parts.append(f"{format_size(nbytes)} only in {name}")
    return "; ".join(parts)


def _changed(found: Comparison) -> str:
    changed, size = found.changed, format_size(found.sums[Status.CHANGED].b_bytes)
    how = closeness(found)
    figures = []
    if changed.measured_bytes:
        figures.append(f"{_percent(changed.equal_bytes, changed.measured_bytes)} of bytes equal")
    if changed.relative is not None:
        figures.append(f"mean relative difference {percent(changed.relative)}")
    if changed.cast_bytes:
        figures.append(f"{format_size(changed.cast_bytes)} no further apart than rounding to the other dtype explains")
    if changed.measured_bytes:
        figures.append(f"the difference compresses to {_percent(changed.difference_bytes, changed.measured_bytes)}")
    return f"{size} changed{f', {how}' if how else ''}{': ' if figures else ''}{', '.join(figures)}"


def percent(value: float) -> str:
    """A share in percent; 0 and 100 only for exactly nothing and all of it."""
    text = f"{100 * value:.1f}"
    if text == "0.0" and value > 0:
        return "< 0.1 %"
    return "> 99.9 %" if text == "100.0" and value < 1 else f"{text} %"


def _percent(part: int, whole: int) -> str:
    return percent(part / whole)
