"""The worked case of an own network: on small models with the names that its demand table holds, and on the demo's."""

from __future__ import annotations

import json
from pathlib import Path

import plan_my_sites
import pytest
from tiny_models import tensors_of, write_model

from trimcache import scan
from trimcache.cli import main as trimcache


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["plan_my_sites.py", *map(str, arguments)])
    return plan_my_sites.main()


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    rows = (plan_my_sites.SITES / "demand.csv").read_text().splitlines()[1:]
    for name in sorted({row.split(",")[1] for row in rows}):
        write_model(tmp_path / "zoo" / name, tensors_of(base=name.split("/")[0], own=name))
    return scan(tmp_path / "zoo", tmp_path / "c").root


def test_it_plans_a_catalog(catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, catalog, "-o", tmp_path / "plan.json") == 0
    out = capsys.readouterr().out
    assert "3 sites, 6 user groups, 18 models" in out
    assert "every site needs" in out
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["hit_ratio"] == plan["attainable"] == 1  # so small that everything arrives and fits
    assert f"hit ratio when shared blocks are stored once: {plan['hit_ratio']:.3f}" in out
    files = ("--network", str(plan_my_sites.SITES / "sites.toml"), "--demand", str(plan_my_sites.SITES / "demand.csv"))
    assert trimcache(["plan", str(catalog), *files, "-a", "auto", "--json"]) == 0
    command = json.loads(capsys.readouterr().out)
    for key in ("hit_ratio", "attainable", "servers", "network"):
        ours = plan[key] if key != "servers" else [{k: v for k, v in row.items() if k != "blocks"} for row in plan[key]]
        assert ours == command[key]


def test_what_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, tmp_path / "none") == 2
    assert "does not exist; run make demo" in capsys.readouterr().err
    write_model(tmp_path / "zoo" / "a", tensors_of(x=1))
    assert run(monkeypatch, tmp_path / "zoo") == 2
    err = capsys.readouterr().err
    assert err.startswith("plan_my_sites: ")
    assert "demand.csv: row 1: 'resnet34/base': names an unknown model" in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_on_the_real_fine_tunes_sharing_pays(
    finetunes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, finetunes, "-o", tmp_path / "plan.json") == 0
    rows = {row["algorithm"]: row for row in json.loads((tmp_path / "plan.json").read_text())["comparison"]}
    assert rows["independent"]["hit_ratio"] + 0.1 < rows["auto"]["hit_ratio"] < rows["auto"]["attainable"] < 1
    assert " MB: " in capsys.readouterr().out.splitlines()[-3]  # the capacity that the target takes
