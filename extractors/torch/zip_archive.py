"""The directory of a ZIP archive, read over ranges: where each entry's bytes lie, with every claim checked against the others.

Format: PKWARE APPNOTE.TXT, sections 4.3 (structure) and 4.5.3 (zip64). Nothing is ever unpacked to disk.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NoReturn

from extractors.byte_streams import inflate, range_chunks
from extractors.torch.spots import read_spots
from trimcache.bytesource import ByteSource
from trimcache.errors import FormatError

LOCAL_MAGIC = b"PK\x03\x04"
_TAIL_NBYTES = 128 << 10  # holds the end record, its comment (at most 64 KiB) and, most often, the whole directory
_MAX_DIRECTORY_NBYTES = 64 << 20
_MAX_ENTRIES = 400_000
_MAX_COMMENT = 0xFFFF
_MAX_RATIO = 1032  # no deflate stream expands further (zlib's own documentation)

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_ENCRYPTED, _DESCRIPTOR, _UTF8 = 1, 8, 0x800
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
_STORED, _DEFLATED = 0, 8


@dataclass(slots=True)
class Entry:
    """One file of the archive: ``stored_nbytes`` in it, ``nbytes`` unpacked; ``end`` is where something else starts."""

    name: str
    raw_name: bytes
    flags: int
    method: int
    stored_nbytes: int
    nbytes: int
    header: int
    end: int = 0

    @property
    def is_stored(self) -> bool:
        return self.method == _STORED


class ZipArchive:
    """The entries of the archive in ``source``, in file order.

    Raises:
        FormatError: it is no ZIP archive, or its directory contradicts itself or the file.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._starts: dict[str, int] = {}
        tail_start = max(0, source.size - _TAIL_NBYTES)
        tail = source.read_at(tail_start, source.size - tail_start)
        end, n_entries, nbytes, offset = self._end_record(tail, tail_start)
        if offset + nbytes > end:
            self._fail("its ZIP directory does not lie before its end record")
        if nbytes > _MAX_DIRECTORY_NBYTES or n_entries > _MAX_ENTRIES:
            self._fail(f"its ZIP directory claims {n_entries} entries in {nbytes} bytes (at most {_MAX_ENTRIES} are read)")
        if n_entries * _CENTRAL.size > nbytes:
            self._fail("its ZIP directory is smaller than its number of entries needs")
        here = tail[offset - tail_start : offset - tail_start + nbytes] if offset >= tail_start else source.read_at(offset, nbytes)
        self.entries = self._directory(here, n_entries)
        self._check_order(offset)

    def _fail(self, problem: str) -> NoReturn:
        raise FormatError(self._source.uri, problem, "download or copy it again")

    # The directory.

    def _end_record(self, tail: bytes, tail_start: int) -> tuple[int, int, int, int]:
        """``(where the end records start, entries, bytes of the directory, its offset)``."""
        at = len(tail) - _END.size
        lowest = max(0, at - _MAX_COMMENT)
        while True:
            at = tail.rfind(b"PK\x05\x06", lowest, at + 4) if at >= lowest else -1
            if at < 0:
                self._fail("truncated: it starts as a ZIP archive but has no directory at its end")
            _, disk, first_disk, here, total, nbytes, offset, comment = _END.unpack_from(tail, at)
            if at + _END.size + comment == len(tail):
                break
            at -= 1
        end = tail_start + at
        locator = at - _LOCATOR64.size
        if locator >= 0 and tail[locator : locator + 4] == b"PK\x06\x07":
            return self._end64(tail, tail_start, locator, (total, nbytes, offset))
        if disk or first_disk or here != total:
            self._fail("is one volume of a split ZIP archive")
        return end, total, nbytes, offset

    def _end64(self, tail: bytes, tail_start: int, locator: int, short: tuple[int, int, int]) -> tuple[int, int, int, int]:
        _, disk, start, n_disks = _LOCATOR64.unpack_from(tail, locator)
        if disk or n_disks > 1:
            self._fail("is one volume of a split ZIP archive")
        if start + _END64.size > tail_start + locator or start < tail_start:
            self._fail("its zip64 locator points to no end record")
        magic, size, _, _, disk, first_disk, here, total, nbytes, offset = _END64.unpack_from(tail, start - tail_start)
        if magic != b"PK\x06\x06" or start + 12 + size != tail_start + locator:
            self._fail("its zip64 locator points to no end record")
        if disk or first_disk or here != total:
            self._fail("is one volume of a split ZIP archive")
        for long, brief, full in zip((total, nbytes, offset), short, (_FULL16, _FULL32, _FULL32), strict=True):
            if brief not in (long, full):
                self._fail("its two ZIP end records contradict each other")
        return start, total, nbytes, offset

    def _directory(self, data: bytes, n_entries: int) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        at = 0
        for _ in range(n_entries):
            if at + _CENTRAL.size > len(data):
                self._fail("its ZIP directory ends in the middle of an entry")
            fields = _CENTRAL.unpack_from(data, at)
            magic, _, _, flags, method, _, _, _, stored, nbytes, n_name, n_extra, n_comment, disk, _, _, header = fields
            at += _CENTRAL.size
            if magic != b"PK\x01\x02" or at + n_name + n_extra + n_comment > len(data):
                self._fail("its ZIP directory holds something that is no entry")
            raw = data[at : at + n_name]
            name = raw.decode("utf-8" if flags & _UTF8 else "cp437", "replace")
            if _FULL32 in (stored, nbytes, header):
                nbytes, stored, header = self._long_fields(data[at + n_name : at + n_name + n_extra], nbytes, stored, header)
            if disk not in (0, _FULL16):
                self._fail("is one volume of a split ZIP archive")
            self._check_name(name, entries)
            if method == _STORED and stored != nbytes:
                self._fail(f"the entry {name[:80]!r} is stored as it is, but with another size")
            if nbytes > _MAX_RATIO * stored + 1024:
                self._fail(f"the entry {name[:80]!r} claims to unpack to {nbytes} bytes from {stored}")
            entries[name] = Entry(name, raw, flags, method, stored, nbytes, header)
            at += n_name + n_extra + n_comment
        if at != len(data):
            self._fail("its ZIP directory is longer than its entries")
        return entries

    def _long_fields(self, extra: bytes, nbytes: int, stored: int, header: int) -> tuple[int, int, int]:
        """Sizes and offset beyond 32 bits, from the zip64 field; they are there in this order, each only if it is needed."""
        at = 0
        while at + 4 <= len(extra):
            tag, size = struct.unpack_from("<HH", extra, at)
            if tag == 1:
                field = extra[at + 4 : at + 4 + size]
                values = iter(struct.unpack_from(f"<{len(field) // 8}Q", field))
                found = [next(values, None) if value == _FULL32 else value for value in (nbytes, stored, header)]
                if None in found:
                    break
                return found[0] or 0, found[1] or 0, found[2] or 0
            at += 4 + size
        self._fail("its ZIP directory leaves out a size beyond 32 bits")

    def _check_name(self, name: str, entries: dict[str, Entry]) -> None:
        if name in entries:
            self._fail(f"the entry {name[:80]!r} is there twice")
        if not name or name.startswith("/") or "\\" in name or "\0" in name or ".." in name.split("/"):
            self._fail(f"the entry name {name[:80]!r} leaves the archive")

    def _check_order(self, directory: int) -> None:
        """Entries lie one behind another: none overlaps the next or the directory (which is how ZIP bombs are packed densest)."""
        in_order = sorted(self.entries.values(), key=lambda entry: entry.header)
        ends = [*(entry.header for entry in in_order), directory][1:]
        for entry, end in zip(in_order, ends, strict=True):
            if entry.header + _LOCAL.size + len(entry.raw_name) + entry.stored_nbytes > end:
                self._fail(f"the entry {entry.name[:80]!r} overlaps what lies behind it")
            entry.end = end

    # The entries.

    def locate(self, names: Iterable[str]) -> dict[str, int]:
        """Where the bytes of each entry start, as its own local header says; headers close to each other are read together.

        Raises:
            FormatError: a local header contradicts the directory.
        """
        wanted = [self.entries[name] for name in names if name not in self._starts]
        found = read_spots(self._source, ((entry.header, _LOCAL.size + len(entry.raw_name)) for entry in wanted))
        for entry in wanted:
            self._starts[entry.name] = self._start(entry, found[entry.header])
        return self._starts

    def _start(self, entry: Entry, raw: bytes) -> int:
        magic, _, flags, method, _, _, _, stored, nbytes, n_name, n_extra = _LOCAL.unpack_from(raw)
        name = raw[_LOCAL.size : _LOCAL.size + len(entry.raw_name)]
        if magic != LOCAL_MAGIC or method != entry.method or n_name != len(entry.raw_name) or name != entry.raw_name:
            self._fail(f"the entry {entry.name[:80]!r} is described in two ways")
        if (flags | entry.flags) & _ENCRYPTED:
            self._fail(f"the entry {entry.name[:80]!r} is encrypted")
        if method not in (_STORED, _DEFLATED):
            self._fail(f"the entry {entry.name[:80]!r} is compressed by the unknown method {method}")
        # With a descriptor behind the bytes, the sizes here are not filled in; beyond 32 bits they stand in a field of their own.
        known = flags & _DESCRIPTOR or (stored in (entry.stored_nbytes, _FULL32) and nbytes in (entry.nbytes, _FULL32))
        if not known:
            self._fail(f"the entry {entry.name[:80]!r} is described in two ways")
        start: int = entry.header + _LOCAL.size + n_name + n_extra
        if start + entry.stored_nbytes > entry.end:
            self._fail(f"the entry {entry.name[:80]!r} overlaps what lies behind it")
        return start

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of an entry, a window at a time, unpacked if need be; never more than the directory says."""
        entry = self.entries[name]
        stored = range_chunks(self._source, self.locate([name])[name], entry.stored_nbytes)
        return stored if entry.is_stored else inflate(stored, entry.nbytes, self._source.uri)

    def read(self, name: str, most: int) -> bytes:
        """All bytes of a small entry."""
        if self.entries[name].nbytes > most:
            self._fail(f"the entry {name[:80]!r} is larger than {most} bytes")
        return b"".join(self.chunks(name))
