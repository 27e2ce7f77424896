"""A pickle as a stream of windows, so that one of any length costs a bounded amount of memory."""

from __future__ import annotations

from collections.abc import Iterator

from extractors.byte_streams import WINDOW_NBYTES
from trimcache.errors import FormatError

MAX_PICKLE_NBYTES = 256 << 20  # a pickle of names and shapes alone; that of a 400-billion-parameter model has a few megabytes
MAX_KEPT_NBYTES = 64 << 10  # longer text or bytes name nothing and are skipped
LOOKAHEAD = 16  # no opcode with operands of fixed size is longer


class PickleInput:
    """A window ``buf`` of a stream and where to go on in it.

    Attributes:
        buf: the window; its last LOOKAHEAD bytes are padding once the stream has ended.
        pos: the next byte.
        low: beyond this position the window must be refilled before an opcode is read.
        valid: end of the real bytes in ``buf``.
    """

    def __init__(self, chunks: Iterator[bytes], nbytes: int, uri: str) -> None:
        self._chunks = chunks
        self._nbytes = nbytes
        self._base = 0  # position of buf[0] in the stream
        self._ended = False
        self.uri = uri
        self.buf = b""
        self.pos = self.valid = 0
        self.low = -1

    @property
    def consumed(self) -> int:
        return self._base + self.pos

    def remaining(self, pos: int) -> int:
        """Bytes of the stream behind position ``pos`` of the window."""
        return self._nbytes - self._base - pos

    def refill(self, pos: int, wanted: int = LOOKAHEAD) -> None:
        """Make ``buf`` start at ``pos`` and hold more than ``wanted`` bytes, padded at the end of the stream."""
        if pos > self.valid or (self._ended and pos == self.valid):
            raise FormatError(self.uri, "its pickle ends in the middle", "download or save the file again")
        pieces = [self.buf[pos : self.valid]]
        self._base += pos
        have = len(pieces[0])
        while have <= wanted and not self._ended:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._ended = True
            else:
                pieces.append(chunk)
                have += len(chunk)
        if self._base + have > MAX_PICKLE_NBYTES + WINDOW_NBYTES:
            raise FormatError(self.uri, f"its pickle is longer than {MAX_PICKLE_NBYTES} bytes", "save the tensors alone")
        if not have:
            raise FormatError(self.uri, "its pickle ends in the middle", "download or save the file again")
        self.valid, self.pos = have, 0
        if self._ended:
            pieces.append(bytes(LOOKAHEAD))
            self.low = have - 1  # the padding keeps operands readable; an opcode must start before it
        else:
            self.low = have - LOOKAHEAD
        self.buf = b"".join(pieces)

    def take(self, pos: int, nbytes: int) -> bytes | None:
        """Move behind the ``nbytes`` bytes at ``pos``; they come back if they are few enough to keep. Sets ``self.pos``."""
        if nbytes > self.remaining(pos):
            left = max(0, self.remaining(pos))
            raise FormatError(self.uri, f"its pickle claims {nbytes} bytes where {left} are left", "download or save the file again")
        kept: list[bytes] | None = [] if nbytes <= MAX_KEPT_NBYTES else None
        while nbytes:
            if pos >= self.valid:
                self.refill(pos)
                pos = 0
            n = min(nbytes, self.valid - pos)
            if kept is not None:
                kept.append(self.buf[pos : pos + n])
            pos += n
            nbytes -= n
        self.pos = pos
        return None if kept is None else b"".join(kept)

    def line(self, pos: int) -> bytes:
        """The bytes at ``pos`` up to a line break; moves behind it. Sets ``self.pos``."""
        end = self.buf.find(b"\n", pos, self.valid)
        if end < 0:
            self.refill(pos, MAX_KEPT_NBYTES)
            pos = 0
            end = self.buf.find(b"\n", 0, self.valid)
        if end < 0 or end - pos > MAX_KEPT_NBYTES:
            raise FormatError(self.uri, "its pickle holds an endless line", "download or save the file again")
        self.pos = end + 1
        return self.buf[pos:end]
