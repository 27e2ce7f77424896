"""Tables off a terminal: long ones are written by our own code, to the same bytes as rich writes short ones."""

from __future__ import annotations

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
