"""The README's Python block runs as it stands, on a small folder of models."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tiny_models import safetensors_bytes

_README = Path(__file__).resolve().parents[1] / "README.md"


def test_the_python_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    models = tmp_path / "models"
    models.mkdir()
    for name in ("a", "b"):
        (models / f"{name}.safetensors").write_bytes(safetensors_bytes({"shared": ("U8", [4], b"1234"), name: ("U8", [1], name.encode())}))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    [code] = re.findall(r"```python\n(.*?)```", _README.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code, str(_README), "exec"), {})
    total, unique, shared = capsys.readouterr().out.splitlines()[0].split()
    assert int(total) > int(unique)
    assert int(shared) == 4
