"""``trimcache granularity``: table, figure and JSON, and one line for what cannot be."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
from tiny_models import tensors_of, write_model

from trimcache.cli import main


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    write_model(tmp_path / "zoo" / "a", tensors_of(x=1, y=2))
    write_model(tmp_path / "zoo" / "b", tensors_of(x=1, y=3))
    return tmp_path / "zoo"


def test_table_and_figure(zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    figure = tmp_path / "saved.svg"
    assert main(["granularity", str(zoo), "--plot", str(figure), "--time-each"]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()[4:9]] == ["file", "layer", "tensor", "row", "chunk"]
    assert err == f"trimcache: figure written to {figure}\n"
    drawn = figure.read_text()
    assert all(f">{text}<" in drawn for text in ("file", "layer", "tensor", "row", "chunk", "Index entries"))


def test_json(zoo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["granularity", str(zoo), "--json", "--granularities", "tensor,file"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert err == ""
    rows = {row["granularity"]: row for row in document["granularities"]}
    assert list(rows) == ["file", "tensor"]
    # Both have one config and x in common at tensor; the header differs in nothing, so it is common too.
    assert rows["file"]["saved_bytes"] < rows["tensor"]["saved_bytes"]
    assert rows["tensor"]["unique_bytes"] + rows["tensor"]["saved_bytes"] == document["total_bytes"]
    assert rows["tensor"]["seconds"] is None


def test_nothing_is_left_behind(zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    assert main(["granularity", str(zoo), "-q"]) == 0
    assert main(["granularity", str(tmp_path / "nowhere"), "-q"]) == 2
    assert os.listdir(scratch) == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "nothing to scan"),
        (["SOURCE", "--granularities", "word"], "granularity 'word': is not offered"),
        (["SOURCE", "--granularities", ","], "none is named"),
        (["SOURCE", "--plot", "figure.gif"], "is neither .png nor .svg"),
        (["SOURCE", "--digest", "md5"], "is not offered"),
        (["/nowhere"], "no such file or folder"),
    ],
)
def test_wrong_usage_is_one_line(zoo: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str) -> None:
    assert main(["granularity", *(str(zoo) if word == "SOURCE" else word for word in arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert line in err


def test_a_source_that_cannot_be_read_costs_only_itself(zoo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["granularity", str(zoo), "/nowhere", "-q"]) == 1
    out, err = capsys.readouterr()
    assert "2 models" in out
    assert len(err.splitlines()) == 1
