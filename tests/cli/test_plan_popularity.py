"""``trimcache plan --popularity``: the weights of a table are the demand, for scanned and generated catalogs alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_models import tensors_of, write_adapter, write_model

from trimcache import scan
from trimcache.cli import main

_NAMES = ("a", "b", "c")


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    for number, name in enumerate(_NAMES):
        write_model(tmp_path / "zoo" / name, tensors_of(x=number, y=number + 10))
    write_adapter(tmp_path / "zoo" / "lora", "org/nowhere", tensors_of(lora_A=5))
    return scan(tmp_path / "zoo", tmp_path / "c").root


def _plan(catalog: Path, table: Path, *more: str) -> int:
    return main(["plan", str(catalog), "--algorithm", "gen", "--popularity", str(table), "--json", *more])


def _table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "weights.csv"
    path.write_text("model,weight\n" + text)
    return path


@pytest.mark.parametrize("favourite", _NAMES)
def test_the_model_that_everybody_asks_for_is_held(
    favourite: str, catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = _table(tmp_path, f"{favourite},5\nlora,99\n")
    assert _plan(catalog, table) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert {model for server in document["servers"] for model in server["models"]} == {favourite}
    assert document["hit_ratio"] == document["attainable"] > 0
    assert document["demand"] == {"popularity": "weights.csv", "ranking": "weights"}
    assert "2 of 3 models have no weight: nobody asks for them" in err


def test_the_hit_ratio_is_the_share_of_weight(catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every request for a held model in time weighs what the table says, the same for every user."""
    shares = []
    for forbidden in _NAMES:
        assert _plan(catalog, _table(tmp_path, "a,5\nb,3\nc,2\n"), "--forbid", f"*={forbidden}", "--preset", "download", "-q") == 0
        document = json.loads(capsys.readouterr().out)
        shares.append(document["hit_ratio"] / document["attainable"])
    assert shares == pytest.approx([0.5, 0.7, 0.8], abs=0.1)


def test_a_generated_catalog_takes_a_table_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "g"
    assert main(["generate", "--preset", "paper-special", "--models", "6", "-o", str(root), "-q"]) == 0
    capsys.readouterr()
    assert main(["stats", str(root), "--json"]) == 0
    name = next(row["name"] for row in json.loads(capsys.readouterr().out)["rows"])
    assert _plan(root, _table(tmp_path, f"{name},1\n")) == 0
    assert {model for server in json.loads(capsys.readouterr().out)["servers"] for model in server["models"]} == {name}


@pytest.mark.parametrize(
    ("text", "more", "expected"),
    [
        ("aa,1\n", [], "did you mean a"),
        ("a,-1\n", [], "'a' has the weight -1"),
        ("a,nan\n", [], "'a' has the weight nan"),
        ("", [], "gives no model a weight"),
        ("lora,1\n", [], "gives no model of the plan a weight"),
        ("a,1\n", ["--zipf", "0.8"], "leave out --zipf"),
    ],
)
def test_wrong_tables_are_one_line_and_exit_code_2(
    text: str, more: list[str], expected: str, catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _plan(catalog, _table(tmp_path, text), *more) == 2
    out, err = capsys.readouterr()
    [line] = [line for line in err.splitlines() if "error" in line]
    assert expected in line
    assert out == ""


def test_going_on_from_such_a_plan_needs_the_table_again(catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, old = _table(tmp_path, "a,1\n"), tmp_path / "old.json"
    assert _plan(catalog, table, "-o", str(old)) == 0
    assert main(["plan", str(catalog), "--from", str(old)]) == 2
    assert "give that table again with --popularity" in capsys.readouterr().err
    assert _plan(catalog, table, "--from", str(old)) == 0
