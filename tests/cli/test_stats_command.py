"""``trimcache stats``: the keys that scripts rely on, tables that add up, and catalogs that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_models import tensors_of, write_model

from trimcache import scan
from trimcache.cli import main

_PROMISED = {
    "models", "total_bytes", "disk_bytes", "unique_bytes", "shared_bytes", "specific_bytes", "saved_on_disk_bytes", "saved_bytes",
}  # fmt: skip


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    write_model(tmp_path / "zoo" / "a", tensors_of(x=1, y=2))
    write_model(tmp_path / "zoo" / "b", tensors_of(x=1, y=3))
    return scan(tmp_path / "zoo", tmp_path / "c").root


def test_json_has_every_promised_size(catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stats", str(catalog), "--json"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert set(document) >= _PROMISED
    assert all(isinstance(document[key], int) for key in _PROMISED)
    assert document["unique_bytes"] == document["shared_bytes"] + document["specific_bytes"]
    assert err == ""


def test_what_is_saved_on_disk_comes_first(catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stats", str(catalog)]) == 0
    out = capsys.readouterr().out
    assert 0 < out.index("saved on disk") < out.index("saved against that sum")


@pytest.mark.parametrize("by", ["model", "kind", "format"])
def test_breakdowns(catalog: Path, capsys: pytest.CaptureFixture[str], by: str) -> None:
    assert main(["stats", str(catalog), "--by", by]) == 0
    assert f"by {by}" in capsys.readouterr().out


def test_lines_are_not_wrapped_off_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    name = "a-very-long-name-of-a-model-" * 8
    write_model(tmp_path / "zoo" / name, tensors_of(x=1))
    scan(tmp_path / "zoo", tmp_path / "c")
    assert main(["stats", str(tmp_path / "c")]) == 0
    assert name in capsys.readouterr().out


def _missing(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def _damaged(path: Path) -> None:
    [shard] = (path / "parts").glob("*.parquet")
    shard.write_bytes(b"PAR1 nonsense")


def _newer(path: Path) -> None:
    text = (path / "catalog.json").read_text()
    (path / "catalog.json").write_text(text.replace('"version": "1.', '"version": "9.'))


def _no_json(path: Path) -> None:
    (path / "catalog.json").write_text("{")


@pytest.mark.parametrize("spoil", [_missing, _damaged, _newer, _no_json])
def test_a_catalog_that_cannot_be_used_is_exit_2_and_one_line(catalog: Path, capsys: pytest.CaptureFixture[str], spoil) -> None:  # type: ignore[no-untyped-def]
    spoil(catalog)
    assert main(["stats", str(catalog)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    [line] = err.splitlines()
    assert line.startswith("trimcache: error: ")
    assert str(catalog) in line


def test_an_unknown_breakdown(catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stats", str(catalog), "--by", "colour"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "choose one of" in line


def test_a_catalog_without_models(catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for shard in catalog.rglob("*.parquet"):
        shard.unlink()
    assert main(["stats", str(catalog), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"] == 0
