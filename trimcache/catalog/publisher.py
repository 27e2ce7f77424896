"""A process that publishes for a scan.

Importing what writes Parquet takes as long as hashing a gigabyte. A command that is about to scan forks this process first: it imports on
another core while the scan finds its files and reads headers, and later turns records into tables beside the hashing.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import IO, TYPE_CHECKING

from trimcache.errors import CatalogError

if TYPE_CHECKING:
    # Not before the fork: what is imported there is not imported beside it.
    from pathlib import Path

    from trimcache.catalog.writer import Publish
    from trimcache.scanning.records import PartRecord

__all__ = ["publishing_process"]


@contextmanager
def publishing_process() -> Iterator[Publish | None]:
    """What a :class:`~trimcache.catalog.writer.CatalogWriter` publishes with while the block runs.

    None, and no process, where forking is not possible, not safe (there are threads) or no use (Parquet is imported already).
    """
    if not hasattr(os, "fork") or threading.active_count() > 1 or "pyarrow" in sys.modules:
        yield None
        return
    (orders_out, orders_in), (replies_out, replies_in) = os.pipe(), os.pipe()
    try:
        child = os.fork()
    except OSError:  # no more processes allowed
        for descriptor in (orders_out, orders_in, replies_out, replies_in):
            os.close(descriptor)
        yield None
        return
    if not child:
        os.close(orders_in)
        os.close(replies_out)
        _serve(orders_out, replies_in)
    os.close(orders_out)
    os.close(replies_in)
    publisher = _Publisher(os.fdopen(orders_in, "wb"), os.fdopen(replies_out, "rb"))
    try:
        yield publisher
    finally:
        if not publisher.is_busy:  # it may be importing still, for nothing
            os.kill(child, signal.SIGKILL)
        publisher.close()
        os.waitpid(child, 0)


class _Publisher:
    """This side of the pipes; one order at a time, from any thread.

    Attributes:
        is_busy: whether an order was sent and is not answered.
    """

    def __init__(self, orders: IO[bytes], replies: IO[bytes]) -> None:
        self._orders, self._replies = orders, replies
        self._lock = threading.Lock()
        self.is_busy = False

    def __call__(
        self, root: Path, records: Sequence[PartRecord], forgotten: Sequence[tuple[str, str, str]], digest_nbytes: int, generation: int
    ) -> None:
        try:
            with self._lock:
                self.is_busy = True
                pickle.dump((root, records, forgotten, digest_nbytes, generation), self._orders)
                self._orders.flush()
                error: CatalogError | None = pickle.load(self._replies)
                self.is_busy = False
        except (OSError, EOFError, pickle.UnpicklingError) as lost:
            text = "may lack the last models: the process that writes it died (out of memory, or killed)"
            raise CatalogError(str(root), text, "run the same command again to go on") from lost
        if error is not None:
            raise error

    def close(self) -> None:
        """End the orders, and so the process, once it has done the last."""
        self._replies.close()
        with suppress(BrokenPipeError):
            self._orders.close()


def _serve(orders_descriptor: int, replies_descriptor: int) -> None:
    """Publish until the orders end; never returns."""
    code = 1
    try:
        # The terminal sends Ctrl-C to both processes; this one ends when the other does.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        import_module("trimcache.catalog.shards")
        from trimcache.catalog.writer import publish_here

        with os.fdopen(orders_descriptor, "rb") as orders, os.fdopen(replies_descriptor, "wb") as replies:
            while True:
                order = pickle.load(orders)
                error = None
                try:
                    publish_here(*order)
                except CatalogError as found:
                    error = found
                pickle.dump(error, replies)
                replies.flush()
    except (EOFError, BrokenPipeError):
        code = 0
    finally:
        os._exit(code)
