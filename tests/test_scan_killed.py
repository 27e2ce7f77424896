"""A scan may be killed at any moment: the catalog stays readable, and the next scan completes it."""

from __future__ import annotations

import multiprocessing
import random
import signal
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from crashing import compact_dying, scan_in_small_shards
from snapshot import contents
from tiny_models import tensors_of, write_adapter, write_model

from trimcache import compact, open_catalog, scan
from trimcache.catalog.layout import DESCRIPTION
from trimcache.errors import CatalogNotFoundError

_N_MODELS = 3


@pytest.fixture(scope="module")
def processes() -> Any:
    """Processes that start in milliseconds, because what they import is imported already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["trimcache.scanning.run", "trimcache.catalog.reader", "extractors.peft", "blake3", "crashing"])
    return context


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    for i in range(_N_MODELS):
        write_model(tmp_path / "zoo" / f"m{i}", tensors_of(shared=0, own=i))
    write_adapter(tmp_path / "zoo" / "lora", "zoo/m0", tensors_of(lora_A="a"))
    return tmp_path / "zoo"


def _run(process: BaseProcess) -> int | None:
    process.start()
    process.join()
    return process.exitcode


def _check_readable(path: Path, whole: dict[str, list[Any]]) -> None:
    """The catalog is not there yet, or opens; every part it shows is complete."""
    if not (path / DESCRIPTION).exists():
        with pytest.raises(CatalogNotFoundError):
            open_catalog(path)
        return
    seen = contents(open_catalog(path))
    for table in ("parts", "files", "tensors", "extents"):
        assert set(map(repr, seen[table])) <= set(map(repr, whole[table]))
    shown = {row[0] for row in seen["parts"]}
    for table in ("files", "tensors", "extents"):
        assert len(seen[table]) == sum(any(f"'part': {part!r}" in row for part in shown) for row in whole[table])


def test_killed_at_every_step_of_writing(zoo: Path, tmp_path: Path, processes: Any) -> None:
    whole = contents(scan(zoo, tmp_path / "whole"))
    step, killed = 0, 0
    while True:
        path = tmp_path / f"c{step}"
        code = _run(processes.Process(target=scan_in_small_shards, args=(str(zoo), str(path), step)))
        _check_readable(path, whole)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        killed += 1
        if step % 8 == 0:
            assert contents(scan(zoo, path)) == whole
        # The first shard in single steps, later ones in strides that meet every step of a shard.
        step += 1 if step < 18 else 11
    assert killed >= 18
    assert contents(open_catalog(path)) == whole


def test_killed_again_and_again_at_random(zoo: Path, tmp_path: Path, processes: Any) -> None:
    whole = contents(scan(zoo, tmp_path / "whole"))
    generator, path = random.Random(0), tmp_path / "c"
    for _ in range(10):
        process = processes.Process(target=scan_in_small_shards, args=(str(zoo), str(path)))
        process.start()
        process.join(generator.uniform(0.01, 0.3))
        process.kill()
        process.join()
        _check_readable(path, whole)
    assert contents(scan(zoo, path)) == whole


def test_a_killed_compaction_loses_nothing(zoo: Path, tmp_path: Path, processes: Any) -> None:
    path = tmp_path / "c"
    assert _run(processes.Process(target=scan_in_small_shards, args=(str(zoo), str(path)))) == 0
    whole = contents(open_catalog(path))
    step = 0
    while _run(processes.Process(target=compact_dying, args=(str(path), step))) != 0:
        assert contents(open_catalog(path)) == whole
        step += 4
    assert step > 10
    assert contents(open_catalog(path)) == whole
    compact(path)
    assert contents(open_catalog(path)) == whole
    assert len(list((path / "parts").glob("*.parquet"))) == 1


def test_two_scans_at_once_both_land(zoo: Path, tmp_path: Path, processes: Any) -> None:
    other = tmp_path / "other"
    for i in range(_N_MODELS):
        write_model(other / f"n{i}", tensors_of(shared=0, own=100 + i))
    path = tmp_path / "c"
    running = [processes.Process(target=scan_in_small_shards, args=(str(source), str(path))) for source in (zoo, other, zoo)]
    for process in running:
        process.start()
    for process in running:
        process.join()
        assert process.exitcode == 0
    assert contents(open_catalog(path)) == contents(scan([zoo, other], tmp_path / "whole"))
