"""``trimcache families``: what a reader sees, the keys that scripts rely on, and catalogs that cannot tell much."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_models import floats, safetensors_bytes

from trimcache import scan
from trimcache.catalog.forget import forget
from trimcache.cli import main


def _write(folder: Path, **models: tuple[int, int]) -> Path:
    folder.mkdir()
    for name, seeds in models.items():
        tensors = {f"t{i}": ("F32", (20_000,), floats(20_000, seed)) for i, seed in enumerate(seeds)}
        (folder / f"{name}.safetensors").write_bytes(safetensors_bytes(tensors))
    return folder


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    return scan(_write(tmp_path / "zoo", a=(1, 2), b=(1, 3), c=(8, 9)), tmp_path / "c").root


def test_the_forest_is_drawn(catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["families", str(catalog), "--lineage"]) == 0
    out, err = capsys.readouterr()
    assert "3 models, 1 families, 1 model that shares weights with none" in out
    assert "a.safetensors\n└─ b.safetensors   partly shared, 50.0 % shared, open\n" in out
    assert "c.safetensors   related to a.safetensors, nothing shared\n" in out
    assert "--check-merges" in err


def test_json(catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["families", str(catalog), "--json", "--check-merges", "-q"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert err == ""
    assert set(document) >= {"catalog", "synthetic", "models", "families", "lineage", "disagreements", "merges"}
    assert [row["members"] for row in document["families"]] == [["a.safetensors", "b.safetensors"], ["c.safetensors"]]
    [edge] = document["lineage"]
    assert (edge["model"], edge["parent"], edge["shared_bytes"], edge["share"]) == ("b.safetensors", "a.safetensors", 80_000, 0.5)
    assert {one["finding"] for one in document["disagreements"]} == {"undeclared parent found", "related but not sharing"}
    assert document["merges"]["found"] == []


def test_names_cannot_break_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = _write(tmp_path / "zoo", **{"a\n\x1b[31mred": (1, 2), "<b>": (1, 3), "[bold]": (1, 4)})
    assert main(["families", str(scan(folder, tmp_path / "c").root), "--lineage"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "a\\n\\x1b[31mred" in out
    assert "[bold].safetensors" in out


def test_long_lists_are_cut_and_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = _write(tmp_path / "zoo", **{f"m{i:02}": (1, 100 + i) for i in range(30)})
    assert main(["families", str(scan(folder, tmp_path / "c").root), "-q"]) == 0
    assert "  ... and 9 more: --json lists all" in capsys.readouterr().out


def test_an_empty_catalog(catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from trimcache import open_catalog

    forget(open_catalog(catalog), ["a.safetensors", "b.safetensors", "c.safetensors"])
    assert main(["families", str(catalog), "--lineage", "--check-merges"]) == 0
    assert "0 models, 0 families" in capsys.readouterr().out


def test_why_weights_are_not_read(catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "zoo" / "b.safetensors").unlink()
    folder = _write(tmp_path / "more", **{"d": (1, 2)})
    matrices = {name: ("F32", (200, 100), floats(20_000, seed)) for name, seed in (("x", 1), ("y", 77))}
    (folder / "e.safetensors").write_bytes(safetensors_bytes(matrices))
    both = scan(folder, tmp_path / "two").root
    (folder / "e.safetensors").unlink()
    assert main(["families", str(both), "--check-merges"]) == 0
    assert main(["generate", "--preset", "llm-lora", "--models", "12", "-o", str(tmp_path / "s"), "-q"]) == 0
    capsys.readouterr()
    assert main(["families", str(tmp_path / "s"), "--check-merges"]) == 0
    assert "warning: weights could not be read: the catalog is synthetic" in capsys.readouterr().err


def test_what_is_no_catalog(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["families", str(tmp_path / "nothing")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
