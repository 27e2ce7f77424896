"""Hashing local files through maps, in processes of their own.

A map saves copying every byte out of the page cache, a third of the time where the digest is as fast as memory. But a file that shrinks
under a map, or a disk that fails, kills the process that touches it. So maps are touched by helpers (``map_worker``): the scan only sees
a pipe close, reads that range instead, and reports what reading finds.
"""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import IO, Self

import trimcache
from trimcache.blocks.digests import DIGEST_LIBRARIES
from trimcache.blocks.stream import Hashed
from trimcache.blocks.tiling import Extent
from trimcache.bytesource import LocalFile

__all__ = ["MapWorkers"]

_START = "import sys; sys.path += sys.argv[2:]; from trimcache.blocks.map_worker import main; main(sys.argv[1])"


class MapWorkers:
    """``n`` helper processes for one digest algorithm, for any number of threads. Use as a context manager."""

    def __init__(self, digest: str, n: int) -> None:
        self._all = [process for process in (_start(digest) for _ in range(n)) if process is not None]
        # Those that wait for an order, and a None for each that was lost: whoever draws one reads, and puts it back.
        self._idle: SimpleQueue[subprocess.Popen[bytes] | None] = SimpleQueue()
        for process in [*self._all, *[None] * (n - len(self._all))]:
            self._idle.put(process)

    def hash(self, source: LocalFile, extents: Sequence[Extent], parallel_from: int, advance: Callable[[int], None]) -> list[Hashed] | None:
        """The digests of ``extents``, or None: read them instead.

        Args:
            parallel_from: extents of at least so many bytes may use all cores.
            advance: told the number of bytes done; what was told is taken back if the result is None.
        """
        process = self._idle.get()
        if process is None:
            self._idle.put(None)
            return None
        stamp = source.stamp
        order = (
            os.fsencode(source.local_path or ""),
            (stamp.nbytes, stamp.mtime_ns, stamp.ctime_ns, stamp.device, stamp.inode),
            parallel_from,
            [(extent.offset, extent.nbytes, extent.itemsize) for extent in extents],
        )
        done = 0
        orders, replies = _pipes(process)
        try:
            orders.write(marshal.dumps(order))
            orders.flush()
            while type(reply := marshal.load(replies)) is int:
                advance(reply)
                done += reply
        except (EOFError, ValueError, TypeError, OSError):  # it died, perhaps in the middle of a reply
            self._idle.put(None)
            advance(-done)
            return None
        self._idle.put(process)
        if reply is None:
            return None
        advance(sum(extent.nbytes for extent in extents) - done)
        return [Hashed(digest, constant) for digest, constant in reply]

    def dismiss(self) -> None:
        """Let the helpers end, which takes them a while: a map of gigabytes is taken apart page by page."""
        for process in self._all:
            for pipe in _pipes(process):
                with suppress(BrokenPipeError):
                    pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None) -> None:
        self.dismiss()
        for process in self._all:
            process.wait()


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def _start(digest: str) -> subprocess.Popen[bytes] | None:
    """A helper; None where this Python cannot be started again (frozen or embedded)."""
    library = find_spec(DIGEST_LIBRARIES[digest])
    if not sys.executable or library is None or library.origin is None:
        return None
    # Without `site`, which takes half of the start; so it is told where the two packages lie that it needs.
    places = [str(Path(found).parent.parent) for found in (trimcache.__file__, library.origin)]
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _START, digest, *places],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return None
