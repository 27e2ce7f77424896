"""Helper processes that hash ranges of files through maps: one is started, and forks the others.

Each serves a pair of pipes until orders end, in ``marshal`` values (both ends are the same Python):

    order  (path: bytes, stamp: tuple of int, parallel from: int, [(offset, nbytes, itemsize), ...])
    reply  int: so many bytes more are done; then [(digest, constant), ...], or None: the file cannot be mapped as it was

If the file shrinks or its disk fails, the system ends the helper that touches the map, and no other process: ``mapped`` sees its pipe
close.
"""

from __future__ import annotations

import marshal
import mmap
import os
import signal
from typing import IO, Any

from trimcache.blocks.digests import DigestAlgorithm, digest_algorithm
from trimcache.blocks.stream import Hashed, Stream, is_constant

# Between two reports; also what a comparison of constant elements copies.
_SLICE_NBYTES = 16 << 20


def main(digest: str, *descriptors: str) -> int:
    """Serve each pair of descriptors (``"orders:replies"``) from a process of its own; the number of those that did not end well."""
    # The terminal sends Ctrl-C to all processes; these end when their pipes do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    algorithm = digest_algorithm(digest)
    pipes = [tuple(map(int, pair.split(":"))) for pair in descriptors]
    children = []
    for mine in pipes:
        child = os.fork()
        if not child:
            # A pipe only ends when nobody else holds it.
            for descriptor in {descriptor for pair in pipes for descriptor in pair} - set(mine):
                os.close(descriptor)
            _serve(algorithm, *mine)
            os._exit(0)
        children.append(child)
    for descriptor in (descriptor for pair in pipes for descriptor in pair):
        os.close(descriptor)
    return sum(os.waitpid(child, 0)[1] != 0 for child in children)


def _serve(algorithm: DigestAlgorithm, orders_descriptor: int, replies_descriptor: int) -> None:
    mapped: tuple[object, mmap.mmap | None] = (None, None)
    with open(orders_descriptor, "rb") as orders, open(replies_descriptor, "wb") as replies:
        while True:
            try:
                path, stamp, parallel_from, extents = marshal.load(orders)
            except EOFError:
                return
            if mapped[0] != (path, stamp):
                mapped = ((path, stamp), _map(path, stamp))
            found = None if mapped[1] is None else _hash(mapped[1], extents, algorithm, parallel_from, replies)
            _send(found, replies)


def _map(path: bytes, stamp: tuple[int, ...]) -> mmap.mmap | None:
    """The file, if it is still the one of ``stamp`` (the fields of :class:`trimcache.bytesource.Stamp`)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino) != stamp:
            return None
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        return None
    finally:
        os.close(descriptor)


def _hash(
    mapped: mmap.mmap, extents: list[tuple[int, int, int]], algorithm: DigestAlgorithm, parallel_from: int, replies: IO[bytes]
) -> list[tuple[bytes, bool]]:
    results = []
    with memoryview(mapped) as whole:
        for offset, nbytes, itemsize in extents:
            if nbytes <= _SLICE_NBYTES:
                with whole[offset : offset + nbytes] as data:
                    results.append((algorithm.of(data), is_constant(data, itemsize)))
                continue
            stream = Stream(algorithm.new() if nbytes < parallel_from else algorithm.new_parallel(), (), itemsize)
            for begin in range(offset, offset + nbytes, _SLICE_NBYTES):
                with whole[begin : min(begin + _SLICE_NBYTES, offset + nbytes)] as data:
                    stream.update(data)
                    _send(len(data), replies)
            found: Hashed = stream.finish()
            results.append((found.digest, found.constant))
    return results


def _send(value: Any, replies: IO[bytes]) -> None:
    replies.write(marshal.dumps(value))
    replies.flush()
