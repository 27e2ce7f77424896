"""Byte sources: exact ranges, and one clear error for everything that can go wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimcache.bytesource import Buffers, ByteSource, LocalFile, MemoryBytes
from trimcache.errors import FormatError, SourceChangedError, SourceNotFoundError, SourceUnreadableError

DATA = bytes(range(256)) * 4


def _buffers(data: bytes, cuts: list[int]) -> Buffers:
    borders = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    pieces = list(pairwise(borders))
    return Buffers([(a, b - a, lambda a=a, b=b: memoryview(data[a:b])) for a, b in pieces], uri="memory://pieces")


@pytest.fixture(params=["file", "memory", "buffers"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> ByteSource:
    if request.param == "file":
        (tmp_path / "file").write_bytes(DATA)
        return LocalFile(tmp_path / "file")
    return MemoryBytes(DATA) if request.param == "memory" else _buffers(DATA, [1, 100, 100, 600])


@pytest.mark.parametrize(("offset", "n"), [(0, 0), (0, 1024), (1024, 0), (1023, 1), (99, 3), (1, 1000)])
def test_reads_exactly_the_range(source: ByteSource, offset: int, n: int) -> None:
    assert source.read_at(offset, n) == DATA[offset : offset + n]
    buffer = bytearray(n)
    source.read_into(offset, memoryview(buffer))
    assert buffer == DATA[offset : offset + n]


@pytest.mark.parametrize(("offset", "n"), [(-1, 1), (0, 1025), (1025, 0), (1024, 1), (0, -1), (1 << 70, 1)])
def test_ranges_outside_are_refused(source: ByteSource, offset: int, n: int) -> None:
    with pytest.raises(FormatError, match="truncated") as caught:
        source.read_at(offset, n)
    assert str(caught.value).startswith(source.uri)


def test_closing_twice_is_harmless(source: ByteSource) -> None:
    with source:
        pass
    source.close()


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6), st.data())
def test_buffers_read_like_the_bytes_they_are_made_of(data: bytes, cuts: list[int], draw: st.DataObject) -> None:
    source = _buffers(data, cuts)
    assert source.size == len(data)
    offset = draw.draw(st.integers(0, len(data)))
    n = draw.draw(st.integers(0, len(data) - offset))
    assert source.read_at(offset, n) == data[offset : offset + n]


def test_memory_is_borrowed_not_copied() -> None:
    data = bytearray(b"abc")
    source = MemoryBytes(data)
    data[0] = ord("x")
    assert source.read_at(0, 3) == b"xbc"


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="no such file"):
        LocalFile(tmp_path / "missing")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadableError, match="not a regular file"):
        LocalFile(tmp_path)


def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceUnreadableError, match="not a regular file"):
        LocalFile(tmp_path / "pipe")


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(SourceUnreadableError, match="Permission denied"):
        LocalFile(tmp_path / "file")


def test_a_failing_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(DATA)

    def fail(*_args: object) -> int:
        raise OSError(5, "Input/output error")

    with LocalFile(tmp_path / "file") as source:
        monkeypatch.setattr(os, "preadv", fail)
        with pytest.raises(SourceUnreadableError, match="Input/output error"):
            source.read_at(0, 1)


def test_short_reads_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(DATA)
    whole = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, offset: whole(fd, [buffers[0][:7]], offset))
    with LocalFile(tmp_path / "file") as source:
        assert source.read_at(3, 1000) == DATA[3:1003]


def test_a_file_that_shrinks_is_an_error_not_a_crash(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    with LocalFile(tmp_path / "file") as source:
        os.truncate(tmp_path / "file", 10)
        with pytest.raises(SourceChangedError, match="shorter"):
            source.read_at(0, 1024)


def _append(path: Path) -> None:
    path.write_bytes(DATA + b"x")


def _replace_alike(path: Path) -> None:
    status = path.stat()
    path.with_suffix(".new").write_bytes(DATA[::-1])
    os.utime(path.with_suffix(".new"), ns=(status.st_atime_ns, status.st_mtime_ns))
    path.with_suffix(".new").replace(path)


@pytest.mark.parametrize("change", [_append, _replace_alike, Path.unlink])
def test_changes_while_it_is_open_are_noticed(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with LocalFile(path) as source:
        source.check_unchanged()
        change(path)
        with pytest.raises(SourceChangedError):
            source.check_unchanged()


def test_the_version_is_the_stamp(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with LocalFile(path) as one, LocalFile(path) as two:
        assert one.version == two.version
    _replace_alike(path)
    with LocalFile(path) as three:
        assert three.version != one.version
        assert (three.size, three.stamp.mtime_ns) == (one.size, one.stamp.mtime_ns)
