"""``trimcache scan``: exit codes, single lines, data apart from talk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_models import safetensors_bytes, tensors_of, write_adapter, write_model

from trimcache import open_catalog
from trimcache.cli import main


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    write_model(tmp_path / "zoo" / "good", tensors_of(x=1))
    return tmp_path / "zoo"


class Outcome:
    """What a command said; checks what holds for every command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.lines = code, out, err.splitlines()
        for line in self.lines:
            assert line.startswith("trimcache: "), f"not one of our lines: {line!r}"
            assert line.isprintable()
        self.errors = [line for line in self.lines if line.startswith("trimcache: error: ")]
        self.warnings = [line for line in self.lines if line.startswith("trimcache: warning: ")]

    def one_error(self, *parts: str) -> None:
        assert len(self.errors) == 1, self.lines
        assert all(part in self.errors[0] for part in parts), self.errors[0]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    def call(*arguments: object) -> Outcome:
        code = main([str(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    return call


def _missing(path: Path) -> None:
    del path


def _truncated(path: Path) -> None:
    path.write_bytes(safetensors_bytes(tensors_of(x=1))[:-10])


def _malformed(path: Path) -> None:
    path.write_bytes(b"\xff" * 64)


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _empty_folder(path: Path) -> None:
    path.mkdir()


def _no_weights(path: Path) -> None:
    path.mkdir()
    (path / "notes.txt").write_text("nothing")


_BAD = {
    "missing": (_missing, "no such file or folder"),
    "truncated": (_truncated, "truncated"),
    "malformed": (_malformed, "header"),
    "fifo": (_fifo, "not a regular file"),
    "empty": (_empty_folder, "the folder is empty"),
    "no weights": (_no_weights, "holds no weights"),
}


@pytest.mark.parametrize("kind", _BAD)
def test_a_bad_source_alone_is_exit_2_and_leaves_no_catalog(tmp_path: Path, run, kind: str) -> None:  # type: ignore[no-untyped-def]
    make, words = _BAD[kind]
    make(tmp_path / "bad.safetensors")
    outcome = run("scan", tmp_path / "bad.safetensors", "-o", tmp_path / "c")
    assert outcome.code == 2
    outcome.one_error(str(tmp_path / "bad.safetensors"), words)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("kind", _BAD)
def test_a_bad_source_among_good_ones_is_exit_1_and_the_rest_is_done(tmp_path: Path, zoo: Path, run, kind: str) -> None:  # type: ignore[no-untyped-def]
    make, words = _BAD[kind]
    make(tmp_path / "bad.safetensors")
    outcome = run("scan", tmp_path / "bad.safetensors", zoo, "-o", tmp_path / "c")
    assert outcome.code == 1
    outcome.one_error(str(tmp_path / "bad.safetensors"), words)
    assert [part.name for part in open_catalog(tmp_path / "c").parts] == ["good"]


def test_an_unreadable_file(tmp_path: Path, zoo: Path, run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    bad = write_model(zoo / "locked", tensors_of(x=2)) / "model.safetensors"
    whole = os.open

    def refuse(path: object, *rest: int, **named: int) -> int:
        if os.fspath(path) == str(bad):  # type: ignore[call-overload]
            raise PermissionError(13, "Permission denied")
        return whole(path, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)
    outcome = run("scan", zoo, "-o", tmp_path / "c")
    assert outcome.code == 1
    outcome.one_error(str(bad), "Permission denied")
    assert [part.name for part in open_catalog(tmp_path / "c").parts] == ["good"]


def test_an_adapter_without_its_base_is_a_warning(tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    write_adapter(tmp_path / "lora", "org/base", tensors_of(lora_A=1))
    outcome = run("scan", tmp_path / "lora", "-o", tmp_path / "c")
    assert outcome.code == 0
    assert len(outcome.warnings) == 1
    assert "lora: its base org/base is not in the catalog" in outcome.warnings[0]
    stats = run("stats", tmp_path / "c")
    assert stats.code == 0
    assert len(stats.warnings) == 1
    assert "base missing" in stats.out


def test_other_rules(tmp_path: Path, zoo: Path, run) -> None:  # type: ignore[no-untyped-def]
    assert run("scan", zoo, "-o", tmp_path / "c").code == 0
    outcome = run("scan", zoo, "-o", tmp_path / "c", "--digest", "xxh3-128")
    assert outcome.code == 2
    outcome.one_error(str(tmp_path / "c"), "blake3-256", "xxh3-128")


@pytest.mark.parametrize(
    "arguments",
    [
        ["scan"],
        ["scan", "x"],
        ["scan", "x", "-o", "c", "--digest", "md5"],
        ["scan", "x", "-o", "c", "--granularity", "bit"],
        ["scan", "x", "-o", "c", "--workers", "0"],
        ["scan", "x", "-o", "c", "--workers", "many"],
        ["scan", "x", "-o", "c", "--nonsense"],
        ["nonsense"],
        ["stats"],
        ["stats", "missing"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_2_and_one_line(tmp_path: Path, run, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    outcome = run(*arguments)
    assert outcome.code == 2
    outcome.one_error()
    assert outcome.out == ""
    assert list(tmp_path.iterdir()) == []


def test_prune_with_filters_is_refused(tmp_path: Path, zoo: Path, run) -> None:  # type: ignore[no-untyped-def]
    assert run("scan", zoo, "-o", tmp_path / "c").code == 0
    outcome = run("scan", zoo, "-o", tmp_path / "c", "--prune", "--include", "x")
    assert outcome.code == 2
    outcome.one_error("--prune")


def test_prune(tmp_path: Path, zoo: Path, run) -> None:  # type: ignore[no-untyped-def]
    write_model(zoo / "gone", tensors_of(x=2))
    assert run("scan", zoo, "-o", tmp_path / "c").code == 0
    (zoo / "gone").rename(tmp_path / "elsewhere")
    outcome = run("scan", zoo, "-o", tmp_path / "c", "--prune", "--json")
    assert json.loads(outcome.out)["forgotten"] == ["gone"]


def test_json_is_data_and_only_data(tmp_path: Path, zoo: Path, run) -> None:  # type: ignore[no-untyped-def]
    write_adapter(zoo / "lora", "nowhere/base", tensors_of(lora_A=1))
    (zoo / "bad.safetensors").write_bytes(b"bad")
    outcome = run("scan", zoo, tmp_path / "missing", "-o", tmp_path / "c", "--json")
    document = json.loads(outcome.out)
    assert outcome.code == 1
    assert (sorted(document["scanned"]), document["unchanged"], document["incomplete"]) == (["good", "lora"], [], ["lora"])
    assert len(document["errors"]) == len(outcome.errors) == 2
    again = json.loads(run("scan", zoo, "-o", tmp_path / "c", "--json").out)
    assert (again["scanned"], sorted(again["unchanged"]), again["read_bytes"]) == ([], ["good", "lora"], 0)


def test_quiet_keeps_errors_and_drops_notes(tmp_path: Path, zoo: Path, run) -> None:  # type: ignore[no-untyped-def]
    (zoo / "good" / "optimizer.pt").write_bytes(b"state")
    (zoo / "bad.safetensors").write_bytes(b"bad")
    loud = run("scan", zoo, "-o", tmp_path / "one")
    quiet = run("scan", zoo, "-o", tmp_path / "two", "-q")
    assert any("training state" in line for line in loud.lines)
    assert quiet.lines == quiet.errors
    assert len(quiet.errors) == 1


def test_names_made_of_markup_and_escapes(tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    odd = "[red]x[/red] \x1b[31m\n{y}"
    write_model(tmp_path / "zoo" / odd, tensors_of(x=1))
    write_adapter(tmp_path / "zoo" / "[bold]", "\x1b]0;title\x07/base", tensors_of(lora_A=1))
    (tmp_path / "zoo" / "\x1b[2J.safetensors").write_bytes(b"bad")
    assert run("scan", tmp_path / "zoo", "-o", tmp_path / "c").code == 1
    shown = run("stats", tmp_path / "c")
    assert shown.code == 0
    assert "\x1b" not in shown.out
    assert "[red]x[/red]" in shown.out
    exact = json.loads(run("stats", tmp_path / "c", "--json").out)
    assert odd in [row["name"] for row in exact["rows"]]


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_terminal_that_cannot_show_a_name_does_not_stop_it(tmp_path: Path, encoding: str) -> None:
    write_model(tmp_path / "zoo" / "größe-重み", tensors_of(x=1))
    environment = {**os.environ, "PYTHONIOENCODING": encoding}

    def call(*arguments: object) -> str:
        command = [sys.executable, "-m", "trimcache", *(str(argument) for argument in arguments)]
        done = subprocess.run(command, capture_output=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr.decode()
        assert b"Traceback" not in done.stderr
        return done.stdout.decode(encoding)

    call("scan", tmp_path / "zoo", "-o", tmp_path / "c")
    call("stats", tmp_path / "c")
    assert "größe-重み" in [row["name"] for row in json.loads(call("stats", tmp_path / "c", "--json"))["rows"]]
