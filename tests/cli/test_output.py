"""Tables off a terminal: long ones are written by our own code, to the same bytes as rich writes short ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trimcache.cli import output

_ROWS = [(f"org/模型-{n}" if n % 3 else f"a\x1b[31m{n}", "é" * (n % 7), f"{n * n:,}") for n in range(60)]


@pytest.mark.parametrize("title", ["", "by model"])
@pytest.mark.parametrize("text_columns", [1, 2])
@pytest.mark.parametrize("rows", [_ROWS, [("x" * 150, "", "1")], [("a", "", "")]])
def test_a_long_table_is_written_as_rich_would(
    title: str,
    text_columns: int,
    rows: list[tuple[str, ...]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    columns = ("model", "", "this model alone")
    output.print_table(title, columns, rows, text_columns=text_columns)
    rich = capsys.readouterr().out
    monkeypatch.setattr(output, "_LONG", 0)
    output.print_table(title, columns, rows, text_columns=text_columns)
    assert capsys.readouterr().out == rich


def test_what_compiled_libraries_write_does_not_reach_stdout(tmp_path):
    """A solver that prints to descriptor 1 on its own would break ``--json``."""
    code = "import os, sys; from trimcache import cli; cli.main = lambda: (os.write(1, b'noise\\n'), print('data'), 3)[2]; cli.run()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "data\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(("stdout", "code"), [("> /dev/full", 2), (">&-", 0)])
def test_a_full_disk_or_a_closed_stdout_is_no_traceback(stdout, code, tmp_path):
    (tmp_path / "a.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    command = f"'{sys.executable}' -m trimcache inspect '{tmp_path}/a.safetensors' {stdout}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert done.stderr.count("\n") == bool(code)
    assert not code or "stdout: cannot be written" in done.stderr
