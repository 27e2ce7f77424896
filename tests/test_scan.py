"""Scanning: what is read, what is not, and what becomes of a bad source among good ones."""

from __future__ import annotations

import importlib
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from snapshot import contents
from tiny_models import safetensors_bytes, tensors_of, write_adapter, write_model

from trimcache import open_catalog, scan
from trimcache.bytesource import LocalFile
from trimcache.catalog.reader import Catalog
from trimcache.errors import FormatError, NoWeightsError, SourceChangedError, SourceNotFoundError, UsageError
from trimcache.scanning.run import ScanReport

# By its name: the package's attribute of that name is the function.
_MODULE = importlib.import_module("trimcache.scanning.run")


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """Three models and an adapter."""
    root = tmp_path / "zoo"
    write_model(root / "a", tensors_of(x=1, y=2), tokenizer_json="{}")
    write_model(root / "b", tensors_of(x=1, y=3))
    write_model(root / "c", tensors_of(x=4))
    write_adapter(root / "lora", "zoo/a", tensors_of(lora_A=5))
    return root


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the bytes of each file were read, by its name below the zoo; empty if no file was opened."""
    counted: Counter[str] = Counter()
    whole = LocalFile._read_into

    def counting(self: LocalFile, offset: int, buffer: memoryview) -> None:
        counted["/".join(Path(str(self.local_path)).parts[-2:])] += 1
        whole(self, offset, buffer)

    monkeypatch.setattr(LocalFile, "_read_into", counting)
    return counted


def _report(catalog: Catalog) -> ScanReport:
    assert catalog.last_scan is not None
    return catalog.last_scan


def test_an_unchanged_part_is_not_read_again(zoo: Path, tmp_path: Path, reads: Counter[str]) -> None:
    first = scan(zoo, tmp_path / "c")
    assert sorted(_report(first).scanned) == ["a", "b", "c", "lora"]
    assert len(reads) == 9
    reads.clear()
    second = scan(zoo, tmp_path / "c")
    assert not reads
    assert sorted(_report(second).unchanged) == ["a", "b", "c", "lora"]
    assert _report(second).nbytes_read == 0
    assert contents(second) == contents(first)


def _append_file(zoo: Path) -> None:
    (zoo / "a" / "merges.txt").write_text("new")


def _remove_file(zoo: Path) -> None:
    (zoo / "a" / "tokenizer.json").unlink()


def _rewrite(zoo: Path) -> None:
    (zoo / "a" / "model.safetensors").write_bytes(safetensors_bytes(tensors_of(x=1, y=2, z=9)))


def _replace_at_same_size_and_time(zoo: Path) -> None:
    path = zoo / "a" / "model.safetensors"
    status = path.stat()
    path.with_suffix(".new").write_bytes(safetensors_bytes(tensors_of(x=1, y=7)))
    os.utime(path.with_suffix(".new"), ns=(status.st_atime_ns, status.st_mtime_ns))
    path.with_suffix(".new").replace(path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)


@pytest.mark.parametrize("change", [_append_file, _remove_file, _rewrite, _replace_at_same_size_and_time])
def test_a_changed_part_is_read_again_and_no_other(zoo: Path, tmp_path: Path, reads: Counter[str], change: Callable[[Path], None]) -> None:
    scan(zoo, tmp_path / "c")
    change(zoo)
    reads.clear()
    again = scan(zoo, tmp_path / "c")
    assert _report(again).scanned == ["a"]
    assert {name.split("/")[0] for name in reads} == {"a"}
    assert contents(again) == contents(scan(zoo, tmp_path / "fresh"))


def test_one_bad_file_among_good_ones(zoo: Path, tmp_path: Path) -> None:
    (zoo / "b" / "model.safetensors").write_bytes(b"\xff" * 100)
    catalog = scan(zoo, tmp_path / "c")
    [error] = _report(catalog).errors
    assert isinstance(error, FormatError)
    assert str(zoo / "b" / "model.safetensors") in str(error)
    assert [part.name for part in catalog.parts] == ["a", "c", "lora"]


def test_a_part_that_turns_bad_keeps_its_last_good_version(zoo: Path, tmp_path: Path) -> None:
    before = scan(zoo, tmp_path / "c")
    (zoo / "b" / "model.safetensors").write_bytes(b"bad")
    after = scan(zoo, tmp_path / "c")
    assert len(_report(after).errors) == 1
    assert contents(after) == contents(before)


def test_names_that_only_json_can_write_do_not_stop_the_rest(zoo: Path, tmp_path: Path) -> None:
    header = b'{"\\udc80":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'
    (zoo / "b" / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    (zoo / "c" / "config.json").write_text('{"architectures": ["\\ud800"]}')
    catalog = scan(zoo, tmp_path / "c")
    assert [part.name for part in catalog.parts] == ["a", "c", "lora"]
    assert len(_report(catalog).errors) == 1


def test_a_missing_source_among_good_ones(zoo: Path, tmp_path: Path) -> None:
    catalog = scan([tmp_path / "missing", zoo], tmp_path / "c")
    assert [type(error) for error in _report(catalog).errors] == [SourceNotFoundError]
    assert len(catalog.parts) == 4


def test_nothing_to_do_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoWeightsError):
        scan(tmp_path / "empty", tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_workers_must_be_some(zoo: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="use 1 or more"):
        scan(zoo, tmp_path / "c", workers=0)


def test_a_file_that_changes_while_it_is_read(zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = zoo / "b" / "model.safetensors"
    whole, size = LocalFile._read_into, target.stat().st_size

    def meddling(self: LocalFile, offset: int, buffer: memoryview) -> None:
        whole(self, offset, buffer)
        if self.local_path == target and offset + buffer.nbytes == size:
            with open(target, "ab") as file:
                file.write(b"x")

    monkeypatch.setattr(LocalFile, "_read_into", meddling)
    catalog = scan(zoo, tmp_path / "c")
    assert [type(error) for error in _report(catalog).errors] == [SourceChangedError]
    assert [part.name for part in catalog.parts] == ["a", "c", "lora"]


def test_a_file_that_changes_between_resolving_and_reading(zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = _MODULE.resolve

    def then_change(*args: object, **kwargs: object) -> object:
        resolution = resolve(*args, **kwargs)
        _rewrite(zoo)
        return resolution

    monkeypatch.setattr(_MODULE, "resolve", then_change)
    catalog = scan(zoo, tmp_path / "c")
    assert [type(error) for error in _report(catalog).errors] == [SourceChangedError]
    assert [part.name for part in catalog.parts] == ["b", "c", "lora"]


@pytest.mark.parametrize("workers", [2, 7])
@pytest.mark.parametrize("large", [False, True])
def test_the_number_of_workers_changes_nothing(
    zoo: Path, tmp_path: Path, workers: int, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr(_MODULE, "_LARGE_PART_NBYTES", 0)
    one, many = scan(zoo, tmp_path / "one", workers=1), scan(zoo, tmp_path / "many", workers=workers)
    assert contents(one) == contents(many)


def test_more_parts_than_a_shard_holds(tmp_path: Path) -> None:
    for i in range(70):
        (tmp_path / "zoo").mkdir(exist_ok=True)
        (tmp_path / "zoo" / f"{i}.safetensors").write_bytes(safetensors_bytes(tensors_of(x=i)))
    catalog = scan(tmp_path / "zoo", tmp_path / "c")
    assert len(catalog.parts) == 70
    assert len(list((tmp_path / "c" / "parts").glob("*.parquet"))) >= 2


def test_prune_forgets_what_is_gone_below_the_given_source_only(zoo: Path, tmp_path: Path) -> None:
    other = write_model(tmp_path / "other" / "d", tensors_of(x=1)).parent
    scan([zoo, other], tmp_path / "c")
    for gone in (zoo / "a", other / "d"):
        for path in gone.iterdir():
            path.unlink()
    assert len(scan(zoo, tmp_path / "c").parts) == 5
    pruned = scan(zoo, tmp_path / "c", prune=True)
    assert _report(pruned).forgotten == ["a"]
    assert [part.name for part in pruned.parts] == ["b", "c", "d", "lora"]
    assert set(pruned.table("extents")["part"].to_pylist()) == {part.part for part in pruned.parts}


def test_prune_never_forgets_because_a_source_is_missing(zoo: Path, tmp_path: Path) -> None:
    scan(zoo, tmp_path / "c")
    zoo.rename(tmp_path / "elsewhere")
    with pytest.raises(SourceNotFoundError):
        scan(zoo, tmp_path / "c", prune=True)
    assert len(open_catalog(tmp_path / "c").parts) == 4


def test_prune_with_a_filter_is_refused_and_forgets_nothing(zoo: Path, tmp_path: Path) -> None:
    scan(zoo, tmp_path / "c")
    with pytest.raises(UsageError):
        scan(zoo, tmp_path / "c", prune=True, include=["a"])
    assert len(open_catalog(tmp_path / "c").parts) == 4


def test_a_forgotten_part_comes_back(zoo: Path, tmp_path: Path) -> None:
    before = scan(zoo, tmp_path / "c")
    (zoo / "c").rename(tmp_path / "away")
    assert len(scan(zoo, tmp_path / "c", prune=True).parts) == 3
    (tmp_path / "away").rename(zoo / "c")
    after = scan(zoo, tmp_path / "c")
    assert [part.name for part in after.parts] == [part.name for part in before.parts]


def test_an_adapter_that_names_no_base_needs_one(tmp_path: Path) -> None:
    write_adapter(tmp_path / "zoo" / "lora", None, tensors_of(lora_A=5))
    [model] = scan(tmp_path / "zoo", tmp_path / "c").models
    assert model.missing


def test_the_catalog_may_lie_inside_the_source(zoo: Path) -> None:
    scan(zoo, zoo / "zoo.catalog")
    assert len(scan(zoo, zoo / "zoo.catalog").parts) == 4
