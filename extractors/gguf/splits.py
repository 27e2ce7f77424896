"""Models cut into several GGUF files: ``name-00001-of-00003.gguf``, metadata ``split.no`` (from 0) and ``split.count``.

Convention of llama.cpp's ``gguf-split``. Every piece is a weight file of its own here; what can be wrong is which pieces there are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from trimcache.bytesource import ByteSource, PartFiles
from trimcache.errors import FormatError
from trimcache.tensors import path_of

_PIECE_NAME = re.compile(r"(?P<stem>.*-)(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE | re.DOTALL)


def check_split(source: ByteSource, files: PartFiles, metadata: Mapping[str, int | float | str]) -> tuple[str, ...]:
    """Notes about a file that says it is a piece of a model; none for a whole one.

    Raises:
        FormatError: its number, its count and its name contradict each other.
    """
    if "split.count" not in metadata and "split.no" not in metadata:
        return ()
    number, count = metadata.get("split.no", 0), metadata.get("split.count", 1)
    if not isinstance(number, int) or not isinstance(count, int) or not 0 <= number < count:
        text = f"says that it is piece {str(number)[:40]} (from 0) of {str(count)[:40]}"
        raise FormatError(source.uri, text, "download or split the model again")
    path = path_of(source, files) if count > 1 else ""
    match = _PIECE_NAME.fullmatch(path)
    if match is None:
        return ()
    if (int(match["number"]), int(match["count"])) != (number + 1, count):
        raise FormatError(source.uri, f"is named as another piece than its metadata says ({number + 1} of {count})", "undo the renaming")
    there = set(files.names())
    n_missing = sum(f"{match['stem']}{i:05d}-of-{match['count']}{path[-5:]}" not in there for i in range(1, count + 1))
    return (f"{path}: {n_missing} of the {count} pieces of the model are missing",) if n_missing else ()
