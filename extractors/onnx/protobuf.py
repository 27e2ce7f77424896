"""The protobuf wire format, walked over ranges: tags, varints, lengths; what is not needed is stepped over.

Reference: https://protobuf.dev/programming-guides/encoding. Groups (wire types 3 and 4), long deprecated and in no ONNX message, are
refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from extractors.ranged_reader import RangedReader
from trimcache.errors import FormatError

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5

_AGAIN = "download or export the model again"
_MAX_FIELD_NUMBER = (1 << 29) - 1


class WireReader(RangedReader):
    """A ranged reader that knows varints and fields."""

    def varint(self) -> int:
        """An unsigned integer of at most 64 bits in at most ten bytes; bits beyond 64 are dropped, as every protobuf parser does."""
        byte = self.byte()
        if byte < 0x80:
            return byte
        value, shift = byte & 0x7F, 7
        while shift < 70:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF
            shift += 7
        raise FormatError(self.uri, f"a number at byte {self.position - 10} is longer than ten bytes", _AGAIN)

    def fields(self, end: int) -> Iterator[tuple[int, int]]:
        """``(field number, wire type)`` of the fields of a message that ends at ``end``.

        The caller consumes the value of each field, whole, before it asks for the next one.
        """
        while self.position < end:
            tag = self.varint()
            number, wire_type = tag >> 3, tag & 7
            if not 0 < number <= _MAX_FIELD_NUMBER:
                raise FormatError(self.uri, f"no protobuf message: field number {number} at byte {self.position}", _AGAIN)
            yield number, wire_type
        if self.position != end:
            raise FormatError(self.uri, f"a message should end at byte {end}, its last field ends at {self.position}", _AGAIN)

    def length(self, end: int) -> int:
        """The length of a length-delimited value, which must end before its message does, at ``end``."""
        nbytes = self.varint()
        if nbytes > end - self.position:
            raise FormatError(self.uri, f"truncated: a field at byte {self.position} claims {nbytes} bytes", _AGAIN)
        return nbytes

    def message_end(self, end: int) -> int:
        """Where the message that starts here, in one that ends at ``end``, ends."""
        nbytes = self.length(end)
        return self.position + nbytes

    def skip_value(self, wire_type: int, end: int) -> None:
        """Step over a value that nobody needs."""
        if wire_type == VARINT:
            self.varint()
        elif wire_type == LENGTH:
            self.skip(self.length(end))
        elif wire_type == FIXED64:
            self.skip(8)
        elif wire_type == FIXED32:
            self.skip(4)
        else:
            raise FormatError(self.uri, f"no protobuf message: wire type {wire_type} at byte {self.position}", _AGAIN)

    def raw(self, end: int, at_most: int, what: str) -> bytes:
        """A length-delimited value of at most ``at_most`` bytes; ``what`` names it in the error."""
        nbytes = self.length(end)
        if nbytes > at_most:
            raise FormatError(self.uri, f"{what} of {nbytes} bytes is too long (at most {at_most})", _AGAIN)
        return self.take(nbytes)

    def text(self, end: int, at_most: int, what: str) -> str:
        """Like :meth:`raw`, as UTF-8."""
        raw = self.raw(end, at_most, what)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise FormatError(self.uri, f"{what} is not UTF-8: {raw[:40]!r}", _AGAIN) from error

    def free_text(self, end: int, at_most: int, what: str) -> str:
        """Like :meth:`raw`, as UTF-8; broken characters in what people wrote are no reason to refuse a model."""
        return self.raw(end, at_most, what).decode("utf-8", errors="replace")


def signed64(value: int) -> int:
    """A varint as the ``int64`` it stands for."""
    return value - (1 << 64) if value >= 1 << 63 else value
