"""Many small reads of one file as few: spots that lie close together are fetched at once."""

from __future__ import annotations

from collections.abc import Iterable

from trimcache.bytesource import ByteSource

_GAP_NBYTES = 4 << 10  # cheaper to read than a second request
_SLACK_NBYTES = 256 << 10  # what all gaps together may cost
_GROUP_NBYTES = 256 << 10


def read_spots(source: ByteSource, spots: Iterable[tuple[int, int]]) -> dict[int, bytes]:
    """The bytes of ``(offset, nbytes)``, by offset; of two spots at one offset, the longer.

    Raises:
        FormatError: a spot does not lie inside the file.
    """
    found: dict[int, bytes] = {}
    group: list[tuple[int, int]] = []
    slack = 0
    for offset, nbytes in sorted(spots):
        if group:
            end = group[-1][0] + group[-1][1]
            gap = max(0, offset - end)
            if gap > _GAP_NBYTES or slack + gap > _SLACK_NBYTES or offset + nbytes - group[0][0] > _GROUP_NBYTES:
                _fetch(source, group, found)
                group = []
            else:
                slack += gap
        group.append((offset, nbytes))
    if group:
        _fetch(source, group, found)
    return found


def _fetch(source: ByteSource, group: list[tuple[int, int]], found: dict[int, bytes]) -> None:
    start = group[0][0]
    end = max(offset + nbytes for offset, nbytes in group)
    data = source.read_at(start, end - start)
    for offset, nbytes in group:
        found[offset] = data[offset - start : offset - start + nbytes]
