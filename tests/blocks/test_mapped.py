"""Hashing in helper processes: the same digests as reading, and whatever happens to a helper, a result or the error that reading finds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import blake3
import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import children, is_running, wait_for_end
from snapshot import contents
from tiny_models import tensors_of, write_model

from trimcache import open_catalog
from trimcache.blocks import mapped as mapped_module
from trimcache.blocks.digests import digest_algorithm
from trimcache.blocks.engine import Engine
from trimcache.blocks.mapped import MapWorkers
from trimcache.blocks.stream import Hashed, is_constant
from trimcache.blocks.tiling import Extent
from trimcache.bytesource import LocalFile, MemoryBytes
from trimcache.errors import SourceChangedError
from trimcache.rules import Rules
from trimcache.scanning import mapping
from trimcache.scanning import run as run_module
from trimcache.scanning.run import run_scan
from trimcache.scanning.verify import verify
from trimcache.tensors import Kind

_TRUTH = {"blake3-256": lambda data: blake3.blake3(data).digest(), "xxh3-128": lambda data: xxhash.xxh3_128(data).digest()}
_SLICE = 16 << 20  # of a helper
_SIZES = [10, _SLICE, _SLICE + 5, 500_000, 0, 9, 2 * _SLICE + 8, 4096]


@pytest.fixture(scope="module")
def data() -> bytes:
    """Noise, and constants of one and of four bytes that straddle the slices of a helper."""
    noise = np.random.default_rng(0).bytes(2 * _SLICE)
    return noise + b"\x07" * (_SLICE + 8) + b"abcd" * ((_SLICE + 8) // 4) + noise[: 1 << 20]


@pytest.fixture(scope="module")
def file(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mapped") / "a file.bin"
    path.write_bytes(data)
    return path


@pytest.fixture(params=sorted(_TRUTH))
def algorithm(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _extents(sizes: list[int], itemsize: int) -> list[Extent]:
    offsets = np.cumsum([0, *sizes])[:-1].tolist()
    return [Extent(offset, size, Kind.PARAMETER, itemsize) for offset, size in zip(offsets, sizes, strict=True)]


def _truth(data: bytes, extents: list[Extent], algorithm: str) -> list[Hashed]:
    parts = [data[e.offset : e.offset + e.nbytes] for e in extents]
    return [Hashed(_TRUTH[algorithm](part), is_constant(memoryview(part), e.itemsize)) for part, e in zip(parts, extents, strict=True)]


def _hash(path: Path, extents: list[Extent], algorithm: str, mapped: MapWorkers, done: Callable[[int], None]) -> list[Hashed]:
    with ThreadPoolExecutor(2) as pool, LocalFile(path) as source:
        return Engine(digest_algorithm(algorithm), pool, advance=done, mapped=mapped).hash_extents(source, extents)


@pytest.mark.parametrize("itemsize", [0, 1, 4])
@pytest.mark.parametrize("parallel_from", [1 << 20, 1 << 40])
def test_digests_and_constants_are_those_of_the_slices(
    file: Path, data: bytes, algorithm: str, itemsize: int, parallel_from: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimcache.blocks.engine.GIANT_NBYTES", parallel_from)
    done: list[int] = []
    extents = _extents([2 * _SLICE, _SLICE + 8, _SLICE + 8, 1 << 20], itemsize)
    with MapWorkers(algorithm, 2) as mapped:
        for one in (extents, _extents(_SIZES, itemsize), []):
            done.clear()
            assert _hash(file, one, algorithm, mapped, done.append) == _truth(data, one, algorithm)
            assert sum(done) == sum(extent.nbytes for extent in one)
            assert all(n >= 0 for n in done)
    assert sum(result.constant for result in _truth(data, extents, algorithm)) == {0: 0, 1: 1, 4: 2}[itemsize]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 5000) | st.sampled_from([1 << 20, 3 << 20]), max_size=8), st.sampled_from([1, 2, 4, 8]))
def test_any_extents(file: Path, data: bytes, helpers: MapWorkers, sizes: list[int], itemsize: int) -> None:
    extents = _extents(sizes, itemsize)
    assert _hash(file, extents, "xxh3-128", helpers, lambda _: None) == _truth(data, extents, "xxh3-128")


@pytest.fixture(scope="module")
def helpers() -> Iterator[MapWorkers]:
    with MapWorkers("xxh3-128", 2) as mapped:
        yield mapped


def test_the_bytes_are_not_read_by_this_process(file: Path, helpers: MapWorkers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the tests above would only show that reading gives the same as reading."""
    monkeypatch.delattr(LocalFile, "_read_into")
    assert len(_hash(file, _extents(_SIZES, 4), "xxh3-128", helpers, lambda _: None)) == len(_SIZES)


@pytest.mark.parametrize("n_killed", [1, 2])
def test_without_a_helper_the_bytes_are_read(file: Path, data: bytes, n_killed: int) -> None:
    done: list[int] = []
    extents = _extents(_SIZES, 4)
    with MapWorkers("xxh3-128", 2) as mapped:
        assert mapped.pid is not None
        for pid in children(mapped.pid, 2)[:n_killed]:
            os.kill(pid, signal.SIGKILL)
        assert _hash(file, extents, "xxh3-128", mapped, done.append) == _truth(data, extents, "xxh3-128")
    assert mapped.n_lost == n_killed
    assert sum(done) == sum(_SIZES)


def test_where_no_process_may_be_forked_the_bytes_are_read(file: Path, data: bytes) -> None:
    code = f"""
import os
from trimcache.blocks import mapped
from trimcache.blocks.tiling import Extent
from trimcache.bytesource import LocalFile
from trimcache.tensors import Kind
def refuse():
    raise BlockingIOError(11, "Resource temporarily unavailable")
os.fork = refuse
with mapped.MapWorkers("xxh3-128", 2) as workers, LocalFile({str(file)!r}) as source:
    print(workers.pid, workers.hash(source, [Extent(3, 100, Kind.PARAMETER, 4)], 1 << 40, lambda _: None))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout == "None None\n"


@pytest.mark.parametrize("break_it", ["no interpreter", "cannot be executed", "ends at once"])
def test_where_no_helper_can_be_started_the_bytes_are_read(
    file: Path, data: bytes, break_it: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\nexit 0\n")
    fake.chmod(0o755 if break_it == "ends at once" else 0o644)
    monkeypatch.setattr(sys, "executable", "" if break_it == "no interpreter" else str(fake))
    extents = _extents(_SIZES, 4)
    with MapWorkers("xxh3-128", 2) as mapped:
        assert _hash(file, extents, "xxh3-128", mapped, lambda _: None) == _truth(data, extents, "xxh3-128")


def test_a_file_that_shrinks_under_the_map_ends_the_helper_and_is_an_ordinary_error(tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    nbytes = 1 << 30
    with path.open("wb") as file:
        file.truncate(nbytes)
    told: list[int] = []

    def shrink(done: int) -> None:  # at the first report of a helper, which has most of the extent before it still
        told.append(done)
        if len(told) == 1:
            os.truncate(path, 4096)

    with MapWorkers("xxh3-128", 1) as mapped, pytest.raises(SourceChangedError, match="became shorter while it was read"):
        _hash(path, [Extent(0, nbytes, Kind.PARAMETER, 4)], "xxh3-128", mapped, shrink)
    assert mapped.n_lost == 1
    assert sum(told) == 0


def test_a_file_that_was_replaced_is_not_mapped(file: Path, tmp_path: Path) -> None:
    path, other = tmp_path / "model.bin", tmp_path / "other"
    path.write_bytes(b"old bytes")
    extents = [Extent(0, 9, Kind.PARAMETER, 1)]
    with MapWorkers("xxh3-128", 1) as mapped, LocalFile(path) as source, LocalFile(file) as another:

        def found(of: LocalFile) -> list[Hashed] | None:
            return mapped.hash(of, extents, 1 << 40, lambda _: None)

        assert found(source) == _truth(b"old bytes", extents, "xxh3-128")
        other.write_bytes(b"new bytes")
        other.replace(path)
        assert found(source) == _truth(b"old bytes", extents, "xxh3-128")  # the map is that of the old file
        assert found(another) is not None
        assert found(source) is None  # opened again, and it is another file


def test_bytes_that_are_no_local_file_are_read(helpers: MapWorkers) -> None:
    with ThreadPoolExecutor(2) as pool:
        engine = Engine(digest_algorithm("xxh3-128"), pool, mapped=helpers)
        extents = _extents([5, 3], 1)
        assert engine.hash_extents(MemoryBytes(b"12345678"), extents) == _truth(b"12345678", extents, "xxh3-128")


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    for i in range(3):
        write_model(tmp_path / "zoo" / f"m{i}", tensors_of(shared=0, own=i))
    return tmp_path / "zoo"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[MapWorkers]:
    """Scans of any size use helpers, and these are they."""
    monkeypatch.setattr(run_module, "_LARGE_PART_NBYTES", 0)
    monkeypatch.setattr(mapping, "_LEAST_NBYTES", 1)
    found = []

    class Seen(MapWorkers):
        def __init__(self, digest: str, n: int) -> None:
            super().__init__(digest, n)
            found.append(self)

    monkeypatch.setattr(mapped_module, "MapWorkers", Seen)
    return found


@pytest.mark.parametrize("granularity", ["tensor", "layer", "file", "row"])
@pytest.mark.parametrize("sequential", [False, True])
def test_a_scan_writes_the_same_catalog(zoo: Path, tmp_path: Path, started: list[MapWorkers], granularity: str, sequential: bool) -> None:
    run_scan([zoo], tmp_path / "mapped", Rules("blake3-256", granularity), sequential=sequential, workers=2)
    assert len(started) == (0 if sequential or granularity == "row" else 1)
    assert all(mapped.n_lost == 0 for mapped in started)
    assert all(one.good for one in verify(open_catalog(tmp_path / "mapped"), workers=2))
    assert len(started) == (0 if granularity == "row" else 1 if sequential else 2)
    mapping._LEAST_NBYTES = 1 << 40  # the fixture puts it back
    run_scan([zoo], tmp_path / "read", Rules("blake3-256", granularity), workers=2)
    assert contents(open_catalog(tmp_path / "mapped")) == contents(open_catalog(tmp_path / "read"))


def test_no_helper_outlives_a_scan_that_fails(zoo: Path, tmp_path: Path, started: list[MapWorkers]) -> None:
    class Broken(Exception):
        pass

    class Progress:
        def start(self, n_parts: int, nbytes: int) -> None: ...
        def advance(self, nbytes: int) -> None: ...
        def part_done(self, name: str) -> None:
            raise Broken

    with pytest.raises(Broken):
        run_scan([zoo], tmp_path / "c", Rules("xxh3-128", "tensor"), progress=Progress())
    assert started
    assert all(mapped.n_lost == 0 for mapped in started)


@pytest.mark.parametrize("threads", ["alone", "beside a thread"])
def test_started_by_a_process_with_and_without_threads(file: Path, data: bytes, threads: str) -> None:
    """Forked where that is safe, started afresh where it is not: the same digests, and nothing of this process held open."""
    code = f"""
import os, threading
if {threads == "beside a thread"}: threading.Thread(target=threading.Event().wait, daemon=True).start()
from trimcache.blocks import mapped
from trimcache.blocks.tiling import Extent
from trimcache.bytesource import LocalFile
from trimcache.tensors import Kind
end_out, end_in = os.pipe()
os.set_inheritable(end_in, True)
with mapped.MapWorkers("xxh3-128", 2) as workers, LocalFile({str(file)!r}) as source:
    os.close(end_in)
    assert os.read(end_out, 1) == b""  # waits until nobody holds the other end
    [found] = workers.hash(source, [Extent(3, 100_000, Kind.PARAMETER, 4)], 1 << 40, lambda _: None)
print(found.digest.hex(), workers.n_lost)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert found == [_TRUTH["xxh3-128"](data[3:100_003]).hex(), "0"]


_SCAN = """
import sys
from trimcache.scanning import mapping, run
from trimcache.blocks import mapped
from trimcache.rules import Rules
run._LARGE_PART_NBYTES, mapping._LEAST_NBYTES = 0, 1
class Told(mapped.MapWorkers):
    def __init__(self, digest, n):
        super().__init__(digest, n)
        print(self.pid, flush=True)
mapped.MapWorkers = Told
class Progress:
    def start(self, n_parts, nbytes): pass
    def part_done(self, name): sys.stdin.read()
    def advance(self, nbytes): pass
run.run_scan([sys.argv[1]], run.Path(sys.argv[2]), Rules("xxh3-128", "tensor"), progress=Progress(), workers=1)
"""


def test_helpers_end_when_the_scan_is_killed(zoo: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _SCAN, str(zoo), str(tmp_path / "c")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as scan:
        assert scan.stdout is not None
        first = int(scan.stdout.readline())
        helpers = [first, *children(first, 1)]
        assert all(map(is_running, helpers))
        scan.kill()
    wait_for_end(helpers)
