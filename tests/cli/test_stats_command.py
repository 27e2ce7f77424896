"""``trimcache stats``: the keys that scripts rely on, tables that add up, and catalogs that cannot be used."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from tiny_models import tensors_of, write_adapter, write_model

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


# -- breakdowns that add up, the spectrum, and what if ---------------------------------------------------------------


def _document(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:  # type: ignore[type-arg]
    assert main(["stats", *arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)  # type: ignore[no-any-return]


@pytest.mark.parametrize("by", ["model", "family", "kind", "dtype", "format"])
def test_columns_add_up_as_json_and_as_printed(catalog: Path, capsys: pytest.CaptureFixture[str], by: str) -> None:
    document = _document(capsys, str(catalog), "--by", by)
    rows, unique = document["rows"], document["unique_bytes"]
    assert sum(row["exclusive_bytes"] for row in rows) == sum(row["fair_share"] for row in rows) == unique
    assert sum(Fraction(term) for row in rows for term in row["fair_share_exact"].split(" + ")) == unique
    assert [row["exclusive_bytes"] for row in rows] == [row["unique_bytes"] for row in rows]
    assert main(["stats", str(catalog), "--by", by]) == 0
    table = capsys.readouterr().out.partition(f"by {by}")[2].splitlines()
    numbers = [[int(cell.replace(",", "")) for cell in line.split("  ") if cell.strip().replace(",", "").isdecimal()] for line in table]
    *some, several, last = [line for line in numbers if line]
    assert last == [unique, unique]
    assert sum(line[0] for line in some) + several[0] == sum(line[1] for line in some) == unique


def test_the_spectrum(catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = _document(capsys, str(catalog))
    assert [row["models"] for row in document["spectrum"]] == [1, 2]
    assert sum(row["nbytes"] for row in document["spectrum"]) == document["unique_bytes"]
    assert sum(row["blocks"] for row in document["spectrum"]) == document["blocks"]
    assert main(["stats", str(catalog)]) == 0
    assert "held by exactly" not in capsys.readouterr().out
    assert main(["stats", str(catalog), "--spectrum"]) == 0
    assert f"{document['shared_bytes']:,}" in capsys.readouterr().out.partition("held by exactly")[2]


@pytest.mark.parametrize(
    "arguments",
    [
        ["CATALOG", "--if-deleted", "a", "b"],
        ["CATALOG", "--if-deleted", "a", "--if-deleted", "b"],
        ["CATALOG", "--if-deleted=a", "--if-deleted", "b"],
        ["--if-deleted", "a", "CATALOG", "--if-deleted", "b"],
        ["--by", "kind", "CATALOG", "--if-deleted", "a", "b", "-q"],
    ],
)
def test_several_models_to_delete(catalog: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    document = _document(capsys, *(str(catalog) if word == "CATALOG" else word for word in arguments))
    assert document["if_deleted"]["deleted"] == ["a", "b"]
    assert document["if_deleted"]["freed_bytes"] == document["unique_bytes"]
    assert document["if_deleted"]["freed_on_disk_bytes"] == document["disk_bytes"]


def test_deleting_and_adding_at_once(catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = [str(write_model(tmp_path / "new" / name, tensors_of(x=1, y=seed))) for name, seed in (("c", 4), ("d", 5))]
    arguments = [str(catalog), "--if-deleted", "a", "--if-added", *new]
    document = _document(capsys, *arguments)
    # The first tensor, the header and the configuration are there already.
    assert document["if_added"]["new_bytes"] == 2 * 256
    assert document["if_added"]["scanned"] == ["c", "d"]
    assert main(["stats", *arguments]) == 0
    out = capsys.readouterr().out
    assert "if deleted: a" in out
    assert "if added: c, d" in out
    assert main(["stats", str(catalog), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"] == 2


def test_adapters_that_lose_their_base_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_model(tmp_path / "zoo" / "org" / "base", tensors_of(x=1))
    write_adapter(tmp_path / "zoo" / "org" / "lora", "org/base", tensors_of(lora_A=2))
    root = str(scan(tmp_path / "zoo", tmp_path / "c").root)
    assert main(["stats", root, "--if-deleted", "base"]) == 0
    assert capsys.readouterr().err == "trimcache: warning: org/lora loses its base\n"
    assert _document(capsys, root, "--if-deleted", "base")["if_deleted"]["adapters"] == ["org/lora"]


def test_a_source_that_cannot_be_read_is_exit_1_beside_one_that_can(
    catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = (write_model(tmp_path / name, tensors_of(x=9)) for name in ("good", "bad"))
    (bad / "model.safetensors").write_bytes(b"\xff" * 40)
    assert main(["stats", str(catalog), "--if-added", str(good), str(bad)]) == 1
    assert capsys.readouterr().err.count("trimcache: error: ") == 1
    assert main(["stats", str(catalog), "--if-added", str(bad)]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)


def test_a_model_that_is_not_there(catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stats", str(catalog), "--if-deleted", "c"]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)


def test_names_with_markup_and_odd_characters_are_shown_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["[red]x[/red]", "<b>&amp;", "na\nme", "\x1b[31mred", "snö 模型", "-q"]
    for seed, name in enumerate(names):
        write_model(tmp_path / "zoo" / name, tensors_of(x=seed // 2, y=seed))
    root = str(scan(tmp_path / "zoo", tmp_path / "c").root)
    assert {row["name"] for row in _document(capsys, root)["rows"]} == {*names, "several"}
    shown = ["[red]x[/red]", "<b>&amp;", "na\\nme", "\\x1b[31mred", "snö 模型", "-q"]
    for by in ("model", "family"):
        assert main(["stats", root, "--by", by]) == 0
        out = capsys.readouterr().out
        assert "\x1b" not in out
        assert all(name in out for name in (shown if by == "model" else shown[:1]))
    assert main(["stats", root, "--if-deleted", *names[:5], "--if-deleted", "-q"]) == 0
    assert f"if deleted: {', '.join(shown)}\n" in capsys.readouterr().out
