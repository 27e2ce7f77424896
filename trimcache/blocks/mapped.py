"""Hashing local files through maps, in processes of their own.

A map saves copying every byte out of the page cache, a third of the time where the digest is as fast as memory. But a file that shrinks
under a map, or a disk that fails, kills the process that touches it. So maps are touched by helper processes (``map_worker``): the scan
only sees a pipe close, reads that range instead, and reports what reading finds.
"""

from __future__ import annotations

import marshal
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
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

_START = "import sys; sys.path += sys.argv[1:3]; from trimcache.blocks.map_worker import main; sys.exit(main(*sys.argv[3:]))"


@dataclass(frozen=True, slots=True)
class _Helper:
    """This side of the pipes to one helper."""

    orders: IO[bytes]
    replies: IO[bytes]


class MapWorkers:
    """``n`` helper processes for one digest algorithm, for any number of threads. Use as a context manager.

    Attributes:
        pid: of the process that forks the helpers; None where it could not be started.
        n_lost: at the end, how many of them were killed.
    """

    def __init__(self, digest: str, n: int) -> None:
        self.n = n
        self.n_lost: int | None = None
        self._helpers: list[_Helper] = []
        # Those that wait for an order, and a None for each that was lost: whoever draws one reads, and puts it back.
        self._idle: SimpleQueue[_Helper | None] = SimpleQueue()
        self.pid = self._start(digest, n) if hasattr(os, "fork") else None
        for helper in self._helpers if self.pid is not None else [None]:
            self._idle.put(helper)

    def _start(self, digest: str, n: int) -> int | None:
        theirs = []
        for _ in range(n):
            (orders_out, orders_in), (replies_out, replies_in) = os.pipe(), os.pipe()
            self._helpers.append(_Helper(os.fdopen(orders_in, "wb"), os.fdopen(replies_out, "rb")))
            theirs.append((orders_out, replies_in))
        try:
            # Threads do not survive a fork, and what they hold locked stays locked. Only numba's and Arrow's cannot be seen from here.
            if threading.active_count() == 1 and not {"pyarrow", "numpy"} & sys.modules.keys():
                return _fork(digest, theirs)
            return _spawn(digest, theirs)
        finally:
            for descriptor in (descriptor for pair in theirs for descriptor in pair):
                os.close(descriptor)

    def hash(self, source: LocalFile, extents: Sequence[Extent], parallel_from: int, advance: Callable[[int], None]) -> list[Hashed] | None:
        """The digests of ``extents``, or None: read them instead.

        Args:
            parallel_from: extents of at least so many bytes may use all cores.
            advance: told the number of bytes done; what was told is taken back if the result is None.
        """
        helper = self._idle.get()
        if helper is None:
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
        try:
            helper.orders.write(marshal.dumps(order))
            helper.orders.flush()
            while type(reply := marshal.load(helper.replies)) is int:
                advance(reply)
                done += reply
        except (EOFError, ValueError, TypeError, OSError):  # it died, perhaps in the middle of a reply
            self._idle.put(None)
            advance(-done)
            return None
        self._idle.put(helper)
        if reply is None:
            return None
        advance(sum(extent.nbytes for extent in extents) - done)
        return [Hashed(digest, constant) for digest, constant in reply]

    def dismiss(self) -> None:
        """Let the helpers end, which takes them a while: a map of gigabytes is taken apart page by page."""
        for helper in self._helpers:
            for pipe in (helper.orders, helper.replies):
                with suppress(BrokenPipeError):
                    pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None) -> None:
        self.dismiss()
        if self.pid is not None:
            self.n_lost = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            self.pid = None


def _fork(digest: str, pipes: list[tuple[int, int]]) -> int | None:
    try:
        child = os.fork()
    except OSError:  # no more processes allowed
        return None
    if child:
        return child
    code = 1
    try:
        keep = {0, 1, 2, *(descriptor for pair in pipes for descriptor in pair)}
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nothing, descriptor)
        # What this process has open, other helpers' pipes among it, must end when this process ends, not when the child does.
        for descriptor in {int(name) for name in os.listdir("/dev/fd")} - keep:
            with suppress(OSError):
                os.close(descriptor)
        from trimcache.blocks.map_worker import main

        code = main(digest, *_arguments(pipes))
    finally:
        os._exit(code)


def _spawn(digest: str, pipes: list[tuple[int, int]]) -> int | None:
    library = find_spec(DIGEST_LIBRARIES[digest])
    if not sys.executable or library is None or library.origin is None:
        return None
    # Without `site`, which takes half of the start; so it is told where the two packages lie that it needs.
    places = [str(Path(found).parent.parent) for found in (trimcache.__file__, library.origin)]
    command = [sys.executable, "-I", "-S", "-c", _START, *places, digest, *_arguments(pipes)]
    import subprocess

    nothing = subprocess.DEVNULL
    try:
        process = subprocess.Popen(
            command, pass_fds=[descriptor for pair in pipes for descriptor in pair], stdin=nothing, stdout=nothing, stderr=nothing
        )
    except OSError:  # frozen or embedded: what runs this is no Python that can be started again
        return None
    process.returncode = 0  # it is waited for by its number
    return process.pid


def _arguments(pipes: list[tuple[int, int]]) -> list[str]:
    return [f"{orders}:{replies}" for orders, replies in pipes]
