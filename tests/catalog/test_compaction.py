"""Compaction: the same rows in fewer files."""

from __future__ import annotations

from pathlib import Path

import pytest
from snapshot import contents
from tiny_models import tensors_of, write_model

from trimcache import compact, open_catalog, scan
from trimcache.catalog.layout import is_fragmented


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A catalog of several shards with superseded and forgotten parts."""
    for i in range(4):
        write_model(tmp_path / "zoo" / f"m{i}", tensors_of(x=0, own=i))
        scan(tmp_path / "zoo", tmp_path / "c")
    write_model(tmp_path / "zoo" / "m1", tensors_of(own="changed"))
    (tmp_path / "zoo" / "m2").rename(tmp_path / "gone")
    scan(tmp_path / "zoo", tmp_path / "c", prune=True)
    return tmp_path / "c"


def _shards(root: Path) -> dict[str, int]:
    return {folder.name: len(list(folder.glob("*.parquet"))) for folder in root.iterdir() if folder.is_dir()}


def test_it_is_lossless(root: Path) -> None:
    before = contents(open_catalog(root))
    assert len(before["parts"]) == 3
    compact(root)
    assert contents(open_catalog(root)) == before
    assert set(_shards(root).values()) == {1}


def test_it_is_idempotent(root: Path) -> None:
    compact(root)
    once = contents(open_catalog(root))
    compact(root)
    assert contents(open_catalog(root)) == once
    assert set(_shards(root).values()) == {1}


def test_superseded_rows_are_gone_from_the_files(root: Path) -> None:
    import pyarrow.parquet as pq

    compact(root)
    for table in ("parts", "models", "files", "tensors", "extents"):
        [path] = (root / table).glob("*.parquet")
        parts = {uri.rsplit("/", 1)[1] for uri in pq.read_table(path)["part"].to_pylist()}
        assert parts == {"m0", "m1", "m3"}


def test_a_scan_after_it_reads_nothing_anew(root: Path, tmp_path: Path) -> None:
    compact(root)
    report = scan(tmp_path / "zoo", root).last_scan
    assert report is not None
    assert (report.scanned, len(report.unchanged)) == ([], 3)


def test_a_scan_during_it_wins(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trimcache.catalog import compaction

    publish = compaction.publish_shard

    def publish_later(*args: object) -> str:
        write_model(tmp_path / "zoo" / "m0", tensors_of(own="newest"))
        scan(tmp_path / "zoo", root)
        return publish(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(compaction, "publish_shard", publish_later)
    compact(root)
    names = [row["name"] for row in open_catalog(root).table("tensors").to_pylist() if row["part"].endswith("/m0")]
    assert names == ["own.weight"]


def test_an_empty_catalog(tmp_path: Path) -> None:
    from trimcache.catalog.description import CatalogDescription, create_or_check
    from trimcache.rules import Rules

    create_or_check(tmp_path / "c", CatalogDescription(Rules()))
    compact(tmp_path / "c")
    assert open_catalog(tmp_path / "c").parts == ()


def test_only_when_fragmented(root: Path) -> None:
    n_shards = _shards(root)["parts"]
    assert not is_fragmented(root, n_shards)
    assert is_fragmented(root, n_shards - 1)
