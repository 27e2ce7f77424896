"""``trimcache simulate`` on a small scanned catalog: tables, summaries, figures, a kill and going on, bad input."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_models import floats, tensors_of, write_model

from trimcache import open_catalog, scan
from trimcache.cli import main
from trimcache.simulation.results import read_results
from trimcache.simulation.setting import Setting
from trimcache.simulation.topology import rows

FAST = ("--algorithms", "gen,independent", "--realisations", "30", "--workers", "1", "-q")
SWEEP = ("--sweep", "capacity=150kB,250kB", "--set", "users=8", "--set", "servers=2", "--set", "coverage=0.7km")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six models of about 100 kB: three of each of two bases, with heads of their own."""
    folder = tmp_path_factory.mktemp("simulate")
    for base in range(2):
        shared = {"body.weight": ("F32", (25_000,), floats(25_000, base))}
        for head in range(3):
            write_model(folder / "zoo" / f"m{base}{head}", shared | tensors_of(head=(base, head)))
    return scan(folder / "zoo", folder / "c").root


def timeless(path: Path) -> list[dict[str, object]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in read_results(path)]


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["simulate", *arguments, "-q"]) == 2
    out, err = capsys.readouterr()
    [line] = err.splitlines()
    assert out == ""
    assert line.startswith("trimcache: error: ")
    return line


def test_summary_table_and_figure(catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    results, figure = tmp_path / "r.parquet", tmp_path / "r.svg"
    arguments = ["simulate", str(catalog), *SWEEP, *FAST, "--topologies", "6", "--seed", "3", "-o", str(results), "--plot", str(figure)]
    assert main([*arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert err == ""
    assert (document["swept"], document["algorithms"], document["rows"]) == (["capacity_bytes"], ["gen", "independent"], 24)
    table = read_results(results)
    assert {row["seed"] for row in table} == set(range(3, 9))
    for entry in document["summary"]:
        mine = [row for row in table if (row["capacity_bytes"], row["algorithm"]) == (entry["capacity_bytes"], entry["algorithm"])]
        for column in ("hit_ratio", "hit_ratio_fading", "attainable_fading"):
            assert entry[column]["mean"] == pytest.approx(sum(row[column] for row in mine) / 6)
            assert entry[column]["n"] == 6
        assert bool(entry["difference_to_first"]) == (entry["algorithm"] == "independent")
    assert any(entry["difference_to_first"]["hit_ratio"]["mean"] < 0 for entry in document["summary"] if entry["difference_to_first"])
    svg = figure.read_text()
    for text in ("Capacity of each server (kB)", "Hit ratio under fading (share of demand)", "TrimCaching Gen", "attainable"):
        assert text in svg

    assert main(arguments) == 0  # done already: the same summary for people
    out, _ = capsys.readouterr()
    assert "mean of 6 topologies" in out
    assert "150.0 kB" in out
    assert "minus gen" in out
    assert out.count("+-") == 1 + 4 + 2  # heading, means, differences


def test_two_points_again_from_their_seeds(catalog: Path, tmp_path: Path) -> None:
    results = tmp_path / "r.csv"
    arguments = ("--models", "4", "--topologies", "3", "--set", "backhaul=1Gbit/s", "--set", "channel=umi", "-o", str(results))
    assert main(["simulate", str(catalog), *SWEEP, *FAST, *arguments]) == 0
    graph = open_catalog(catalog).graph()
    table = timeless(results)
    for row in (table[1], table[-2]):
        [again] = rows(Setting.from_dict(row), int(str(row["seed"])), graph)
        assert {name: value for name, value in again.items() if name != "seconds"} == row
    assert {row["n_models"] for row in table} == {4}
    assert {row["backhaul_bps"] for row in table} == {1e9}
    assert table[0]["channel"] == '{"name": "umi"}'


def test_grid_and_zip(catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    sweeps = ("--sweep", "servers=2,4", "--sweep", "users=4,6", "--topologies", "2")
    for more, n in ((("--plot", str(tmp_path / "grid.png")), 4), (("--zip", "--plot", str(tmp_path / "zip.png")), 2)):
        assert main(["simulate", str(catalog), *sweeps, *FAST, *more, "--set", "capacity=150kB", "--json"]) == 0
        summary = json.loads(capsys.readouterr().out)["summary"]
        assert len({(entry["n_servers"], entry["n_users"]) for entry in summary}) == n
    assert (tmp_path / "grid.png").read_bytes()[:4] == b"\x89PNG"


def test_an_own_network_with_a_table_of_rates(catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rates.csv").write_text("server,user,rate_bps\nnorth,a,1e9\nsouth,b,2e9\n")
    (tmp_path / "n.toml").write_text('rates = "rates.csv"\ncapacity = "150kB"\nbackhaul_bps = 1e9\n')
    (tmp_path / "asked.csv").write_text("user,model,weight\na,m00,3\nb,m10,1\n")
    arguments = ("--network", str(tmp_path / "n.toml"), "--set", f"demand={tmp_path / 'asked.csv'}", "--topologies", "2", "--json")
    assert main(["simulate", str(catalog), *FAST, *arguments]) == 0
    [gen, _] = json.loads(capsys.readouterr().out)["summary"]
    assert gen["hit_ratio"]["mean"] == gen["hit_ratio_fading"]["mean"] == gen["attainable"]["mean"] == 1.0


def test_what_is_refused(catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zoo = str(catalog)
    assert "did you mean capacity" in error_of(capsys, zoo, "--sweep", "capcity=1GB")
    assert "did you mean gen" in error_of(capsys, zoo, "--algorithms", "genn")
    assert "did you mean paper" in error_of(capsys, zoo, "--preset", "papr")
    assert "neither .parquet nor .csv" in error_of(capsys, zoo, "-o", str(tmp_path / "r.json"))
    assert "neither .png nor .svg" in error_of(capsys, zoo, "--plot", str(tmp_path / "r.pdf"))
    assert "7 cannot be drawn from 6" in error_of(capsys, zoo, "--models", "7")
    assert "--zip" in error_of(capsys, zoo, "--sweep", "users=1,2", "--sweep", "servers=1", "--zip")
    assert "no-such.toml" in error_of(capsys, zoo, "--network", str(tmp_path / "no-such.toml"))
    assert "--topologies" in error_of(capsys, zoo, "--topologies", "0")
    assert str(tmp_path / "none") in error_of(capsys, str(tmp_path / "none"))
    results = tmp_path / "r.csv"
    assert main(["simulate", zoo, *SWEEP, *FAST, "--topologies", "1", "-o", str(results)]) == 0
    capsys.readouterr()
    assert "zipf changed" in error_of(capsys, zoo, *SWEEP, *FAST, "--set", "zipf=1", "--topologies", "1", "-o", str(results))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_goes_on(catalog: Path, tmp_path: Path, workers: int) -> None:
    def command(name: str, n: int) -> list[str]:
        start = [sys.executable, "-m", "trimcache", "simulate", str(catalog), *SWEEP, *FAST, "--topologies", "80"]
        return [*start, "--realisations", "2000", "--workers", str(n), "-o", str(tmp_path / name)]

    journal = tmp_path / "killed.parquet.journal"
    process = subprocess.Popen(command("killed.parquet", workers))
    deadline = time.monotonic() + 120
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 3):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    children = _children(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed.parquet").exists()
    kept = journal.read_bytes().count(b"\n") - 1
    assert 2 <= kept < 160
    while any(Path(f"/proc/{child}").exists() and _state(child) != "Z" for child in children):
        assert time.monotonic() < deadline, "worker processes outlive the run"
        time.sleep(0.05)
    subprocess.run(command("killed.parquet", workers), check=True)
    subprocess.run(command("whole.parquet", 3 - workers), check=True)
    assert timeless(tmp_path / "killed.parquet") == timeless(tmp_path / "whole.parquet")


def _children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], check=False, capture_output=True, text=True).stdout
    return [int(child) for child in found.split()]


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_what_the_page_shows_runs(catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    page = Path(__file__).resolve().parents[2] / "docs" / "simulate.md"
    shutil.copytree(catalog, tmp_path / "paper.catalog")
    monkeypatch.chdir(tmp_path)
    assert main(["simulate", "paper.catalog", *SWEEP, *FAST, "--topologies", "2", "-o", "results.parquet"]) == 0
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    for code in blocks:
        exec(compile(code, str(page), "exec"), names)
    assert (tmp_path / "time.svg").exists()
