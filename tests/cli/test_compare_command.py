"""``trimcache compare``: what it prints, data apart from talk, and one line for what cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_models import floats, tensors_of, write_model

from trimcache import open_catalog, scan
from trimcache.cli import main
from trimcache.synthesis.library import generate_preset


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    write_model(tmp_path / "zoo" / "a", tensors_of(x=1, y=2, old=3))
    write_model(tmp_path / "zoo" / "b", {**tensors_of(x=1, y=5, new=3), "extra\n[red]": ("F32", (1,), floats(1))})
    return scan(tmp_path / "zoo", tmp_path / "c").root


def test_tables_add_up_and_stay_on_stdout(catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(catalog), "a", "b"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = {line[:24].strip(): line.split() for line in out.splitlines()}
    assert lines["all tensors"][-2:] == ["768", "772"]
    assert "old.weight -> new.weight" in out
    assert "extra\\n[red]" in out


def test_json(catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(catalog), "a", "b", "--json"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert err == ""
    assert (document["a_bytes"], document["b_bytes"], document["equal_bytes"]) == (768, 772, 512)
    assert sum(one["b_bytes"] for one in document["sums"].values()) == document["b_bytes"]
    [changed] = [row for row in document["tensors"] if row["status"] == "changed"]
    assert changed["a"]["names"] == ["y.weight"]
    assert 0 <= changed["distance"]["equal_bytes"] < 256
    assert document["headline"].startswith("66.3 % of b (512 B) is equal")


def test_without_reading(catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for model in ("a", "b"):
        (catalog.parent / "zoo" / model / "model.safetensors").unlink()
    assert main(["compare", str(catalog), "a", "b", "--no-read", "--json"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert err == ""
    assert document["estimated_extra_bytes"] is None
    assert all(row["distance"] is None for row in document["tensors"])
    # The same files are missed when they are to be read.
    assert main(["compare", str(catalog), "a", "b", "--json"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_rows_are_limited_and_say_so(catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_model(tmp_path / "zoo" / "many", tensors_of(**{f"t{i}": 100 + i for i in range(30)}))
    scan(tmp_path / "zoo", catalog)
    assert main(["compare", str(catalog), "a", "many"]) == 0
    assert "only in b, the largest 20 of 30" in capsys.readouterr().out
    assert main(["compare", str(catalog), "a", "many", "--rows", "0"]) == 0
    assert "t29.weight" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("models", "line"),
    [(("a", "nothing"), "is not in"), (("zoo/a", "b"), "is not in"), (("a",), "Missing argument"), (("a", "b", "a"), "unexpected extra")],
)
def test_wrong_usage_is_one_line(catalog: Path, capsys: pytest.CaptureFixture[str], models: tuple[str, ...], line: str) -> None:
    assert main(["compare", str(catalog), *models]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert line in err


def test_a_model_with_itself(catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(catalog), "a", "a"]) == 0
    out, err = capsys.readouterr()
    assert "identical: all 768 B of tensors are equal" in out
    assert err == "trimcache: a and b are one model\n"


def test_a_synthetic_catalog_says_why_nothing_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generate_preset("paper-special", 3, tmp_path / "c", seed=0)
    one, two = [model.name for model in open_catalog(tmp_path / "c").models][:2]
    assert main(["compare", str(tmp_path / "c"), one, two]) == 0
    assert "its models were generated" in capsys.readouterr().err
