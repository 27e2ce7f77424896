"""Opening catalogs: by anyone, in any state, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from snapshot import contents
from tiny_models import tensors_of, write_adapter, write_model

from trimcache import open_catalog, scan
from trimcache.catalog.description import SYNTHETIC_ORIGIN, CatalogDescription, create_or_check
from trimcache.catalog.layout import TABLES
from trimcache.errors import CatalogCorruptError, CatalogError, CatalogNotFoundError, CatalogRulesError, CatalogVersionError, ModelNameError
from trimcache.rules import Rules


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    write_model(tmp_path / "zoo" / "org" / "a", tensors_of(x=1, y=2))
    write_model(tmp_path / "zoo" / "org" / "b", tensors_of(x=1, y=3))
    write_adapter(tmp_path / "zoo" / "lora", "org/a", tensors_of(lora_A=5))
    return tmp_path / "zoo"


@pytest.fixture
def root(zoo: Path, tmp_path: Path) -> Path:
    scan(zoo, tmp_path / "c")
    return tmp_path / "c"


@pytest.fixture(autouse=True)
def _no_second_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening is tried again for a catalog that is being compacted; what is damaged here stays damaged."""
    monkeypatch.setattr("trimcache.catalog.reader._ATTEMPTS", 1)


def _edit(root: Path, **changes: object) -> None:
    path = root / "catalog.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _check_one_line(error: CatalogError, *named: str) -> None:
    assert str(error).isprintable()
    assert all(name in str(error) for name in named)
    assert error.fix


def test_duckdb_alone_reads_it(root: Path) -> None:
    def ask(sql: str) -> object:
        return duckdb.sql(sql.format(**{table: f"'{root}/{table}/*.parquet'" for table in TABLES})).fetchall()

    assert ask("select name from {parts} order by name") == [("lora",), ("org/a",), ("org/b",)]
    [(n_files, nbytes)] = ask("select count(*), sum(nbytes) from {files}")  # type: ignore[misc]
    assert n_files == 6
    assert ask("select sum(nbytes) from {extents}") == [(nbytes,)]
    shared = ask(
        "select count(*) from (select block from {extents} where kind = 'parameter' group by block having count(distinct part) > 1)"
    )
    assert shared == [(1,)]
    assert ask("select distinct octet_length(digest) from {tensors}") == [(32,)]


def test_it_is_a_snapshot_of_the_moment_it_was_opened(root: Path, zoo: Path) -> None:
    before = open_catalog(root)
    write_model(zoo / "org" / "new", tensors_of(x=9))
    scan(zoo, root)
    assert len(before.parts) == 3
    assert len(open_catalog(root).parts) == 4


def test_the_newest_generation_of_a_part_wins(root: Path, zoo: Path) -> None:
    write_model(zoo / "org" / "a", tensors_of(only=7))
    scan(zoo, root)
    catalog = open_catalog(root)
    tensors = [row["name"] for row in catalog.table("tensors").to_pylist() if row["part"].endswith("/org/a")]
    assert tensors == ["only.weight"]
    assert len(catalog.parts) == 3


def test_unknown_columns_and_files_are_ignored(root: Path) -> None:
    before = contents(open_catalog(root))
    for table in TABLES:
        [path] = (root / table).glob("*.parquet")
        rows = pq.read_table(path)
        pq.write_table(rows.append_column("added_later", pa.array([1] * len(rows))), path)
        (root / table / ".tmp-left-behind.parquet").write_bytes(b"half")
        (root / table / "README").write_text("hello")
    (root / "future_table").mkdir()
    _edit(root, version="1.7", added_later=True)
    assert contents(open_catalog(root)) == before


def test_a_nullable_column_that_is_missing_is_null(root: Path) -> None:
    [path] = (root / "parts").glob("*.parquet")
    pq.write_table(pq.read_table(path).drop_columns(["popularity", "architecture"]), path)
    assert {part.architecture for part in open_catalog(root).parts} == {None}


@pytest.mark.parametrize("rules", [Rules(digest="xxh3-128")])
def test_other_rules_are_refused_and_nothing_is_written(root: Path, zoo: Path, rules: Rules) -> None:
    before = sorted(path for path in root.rglob("*"))
    with pytest.raises(CatalogRulesError) as caught:
        scan(zoo, root, digest=rules.digest, granularity=rules.granularity)
    _check_one_line(caught.value, str(root), "blake3-256", "xxh3-128")
    assert sorted(path for path in root.rglob("*")) == before


def test_scanned_and_synthetic_do_not_mix(root: Path) -> None:
    with pytest.raises(CatalogRulesError, match="scanned catalog"):
        create_or_check(root, CatalogDescription(Rules(), SYNTHETIC_ORIGIN))


def test_a_newer_major_version_is_refused(root: Path) -> None:
    _edit(root, version="2.0")
    with pytest.raises(CatalogVersionError, match="update trimcache") as caught:
        open_catalog(root)
    _check_one_line(caught.value, "2.0")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "\x00",
        '{"format": "other"}',
        '{"format": "trimcache-catalog"}',
        '{"format": "trimcache-catalog", "version": "1.0"}',
    ],
)
def test_a_damaged_description_is_one_clear_line(root: Path, text: str) -> None:
    (root / "catalog.json").write_text(text)
    with pytest.raises(CatalogCorruptError) as caught:
        open_catalog(root)
    _check_one_line(caught.value, str(root))


@pytest.mark.parametrize("rules", [7, [], {}, {"digest": "md5"}, {"digest": "md5", "granularity": "tensor"}, None])
def test_rules_that_are_not_known_are_one_clear_line(root: Path, rules: object) -> None:
    _edit(root, rules=rules)
    with pytest.raises((CatalogCorruptError, CatalogVersionError)) as caught:
        open_catalog(root)
    _check_one_line(caught.value, str(root))


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("damage", ["cut", "noise", "missing"])
def test_a_damaged_shard_is_one_clear_line(root: Path, table: str, damage: str) -> None:
    [path] = (root / table).glob("*.parquet")
    raw = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(raw[: len(raw) // 2] if damage == "cut" else b"PAR1" + b"\xff" * len(raw))
    if table == "models" or (table == "parts" and damage == "missing"):
        return  # models only repeats parts; without its row in parts a shard is not published
    with pytest.raises(CatalogCorruptError) as caught:
        contents(open_catalog(root))
    _check_one_line(caught.value, path.name)


@pytest.mark.parametrize("kind", ["missing", "file", "folder"])
def test_what_is_no_catalog(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "file":
        path.write_text("hello")
    if kind == "folder":
        path.mkdir()
        (path / "thesis.txt").write_text("hello")
    with pytest.raises(CatalogNotFoundError) as caught:
        open_catalog(path)
    _check_one_line(caught.value, str(path))


def test_a_folder_of_something_else_is_never_written_to(tmp_path: Path, zoo: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "thesis.txt").write_text("hello")
    with pytest.raises(CatalogNotFoundError, match="not a catalog"):
        scan(zoo, tmp_path / "docs")
    assert [path.name for path in (tmp_path / "docs").iterdir()] == ["thesis.txt"]


def test_an_empty_folder_may_become_a_catalog(tmp_path: Path, zoo: Path) -> None:
    (tmp_path / "new").mkdir()
    assert len(scan(zoo, tmp_path / "new").parts) == 3


def test_finding_a_model(root: Path) -> None:
    catalog = open_catalog(root)
    assert catalog.find_model("org/a").name == catalog.find_model("a").name == "org/a"
    with pytest.raises(ModelNameError, match="did you mean org/b"):
        catalog.find_model("org/bb")


def test_an_ambiguous_ending_names_the_choices(zoo: Path, tmp_path: Path) -> None:
    write_model(zoo / "other" / "a", tensors_of(x=1))
    with pytest.raises(ModelNameError, match="could be any of 2"):
        scan(zoo, tmp_path / "c").find_model("a")
