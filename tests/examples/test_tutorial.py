"""The tutorial runs from top to bottom on the demo's fine-tunes, and what is stored in it came from such a run."""

from __future__ import annotations

import re
import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest
from finetunes_fixture import ROOT, finetunes_folder

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

_TUTORIAL = ROOT / "examples" / "tutorial.ipynb"
_MACHINE = re.compile(r"/(?:home|root|tmp|work|Users|opt|usr|mnt)/|[A-Z]:\\\\Users|site-packages")


def _run(path: Path, folder: Path) -> Any:
    return runpy.run_path(str(ROOT / "tools" / "run_notebook.py"))["run_notebook"](path, folder)


def _code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_what_is_stored_was_run_in_order_without_errors_or_paths_of_a_machine() -> None:
    notebook = nbformat.read(_TUTORIAL, as_version=4)
    nbformat.validate(notebook)
    cells = _code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} == {"execute_result", "stream"}
    assert {output.name for output in outputs if output.output_type == "stream"} == {"stdout"}, "a warning was stored"
    pictures = [data for output in outputs for kind, data in output.get("data", {}).items() if kind.startswith("image/")]
    assert len(pictures) == 1
    text = _TUTORIAL.read_text(encoding="utf-8").replace(pictures[0].strip(), "")
    assert not _MACHINE.search(text)
    assert _TUTORIAL.stat().st_size < 200_000
    assert "<script" not in text


@pytest.mark.slow
def test_it_runs_from_top_to_bottom(tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "finetunes").symlink_to(finetunes_folder())
    shutil.copy(_TUTORIAL, tmp_path / "examples")
    cells = _code_cells(_run(tmp_path / "examples" / "tutorial.ipynb", tmp_path / "examples"))
    assert all(cell.outputs for cell in cells)
    html = [output.data["text/html"] for cell in cells for output in cell.outputs if "text/html" in output.get("data", {})]
    assert len(html) == 2
    assert "The 22 models together take" in html[0]
    assert "Placement by gen" in html[1]
    printed = "".join(output.text for cell in cells for output in cell.outputs if output.output_type == "stream")
    assert "merged LoRA" in printed
    assert "minilm/full and minilm/base: related but not sharing" in printed


@pytest.mark.slow
def test_a_failing_cell_is_seen(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import trimcache\ntrimcache.nonsense")])
    nbformat.write(notebook, tmp_path / "broken.ipynb")
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="nonsense"):
        _run(tmp_path / "broken.ipynb", tmp_path)
