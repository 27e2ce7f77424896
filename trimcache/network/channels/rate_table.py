"""Rates of links read from a file, measured or ray-traced: they stand for a channel model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from trimcache.network._columns import read_columns
from trimcache.network.tables import LINK_NAMES, NUMBERS, LinkTable, links_of

__all__ = ["read_rate_table"]


def read_rate_table(
    path: str | os.PathLike[str],
    server_names: Sequence[str] | None = None,
    user_names: Sequence[str] | None = None,
    *,
    columns: tuple[str, str] = LINK_NAMES,
) -> LinkTable:
    """Links from a CSV file with a heading, or from Parquet: columns ``server``, ``user``, ``rate_bps`` and, if wanted, ``latency_s``.

    A rate of 0 means what a missing pair means: no link. Other columns are ignored, unless they look like a rate or a latency in
    another unit.

    Args:
        path: the table; ``.parquet`` and ``.pq`` are Parquet, everything else is CSV.
        server_names, user_names: the names known, which give the places; None: those of the table, in order of appearance.
        columns: what the two columns of names are called.

    Raises:
        NetworkError: the file cannot be read, holds no rows, lacks a column, or has a row with an unknown name (the nearest is offered),
            without a value, with a rate or a latency that is negative, infinite or no number, or with a pair that an earlier row has.
            One line naming the file and the row; rows count from 1, below the heading.
    """
    return links_of(read_columns(Path(path), columns, NUMBERS), server_names, user_names, columns)
