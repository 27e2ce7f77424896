"""``trimcache replay``: its totals against the naive caches, and every wrong way to call it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from placement.online.naive import NaiveCache
from tiny_models import tensors_of, write_model

from trimcache import open_catalog, scan
from trimcache.cli import main
from trimcache.errors import UsageError
from trimcache.placement.online import policy_names
from trimcache.placement.online.simulate import policy_options
from trimcache.simulation.replay import for_models, replay
from trimcache.simulation.traces import Trace, generate_trace


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("replay")
    for number, name in enumerate("abcdef"):
        write_model(root / "zoo" / name, tensors_of(x=0, y=number % 3, z=10 + number))
    return scan(root / "zoo", root / "c").root


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """400 requests at two sites, as a server writes them down: text, unsorted, with a column more."""
    rng = np.random.default_rng(3)
    rows = [(f"{1000 - n}", "north" if rng.random() < 0.7 else "south", "abcdef"[int(6 * rng.random() ** 2)], "200") for n in range(400)]
    path = tmp_path / "log.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("time", "site", "model", "status"), *rows])
    return path


def _replay(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    assert main(["replay", *map(str, arguments), "--json", "-q"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


@pytest.mark.parametrize("policy", ["lru", "gdsf", "lfu", "lru-unshared", "lfu-unshared"])
def test_totals_are_those_of_naive_caches(catalog: Path, log: Path, policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    graph = open_catalog(catalog).graph()
    capacity = int(graph.model_bytes.max() * 1.7)
    found = _replay(capsys, catalog, "--trace", log, "--capacity", f"{capacity}", "-p", policy, "--warm-up", "0.25")
    names = {name.rpartition("/")[2]: i for i, name in enumerate(graph.model_names)}
    with log.open() as file:
        requests = sorted(csv.DictReader(file), key=lambda row: float(row["time"]))
    caches = {site: NaiveCache(graph, capacity, not policy.endswith("-unshared")) for site in ("north", "south")}
    rows = [(names[row["model"]], *caches[row["site"]].request(names[row["model"]], policy.removesuffix("-unshared"))) for row in requests]
    late = rows[100:]
    (result,) = found["results"]
    assert (found["requests"], found["warm_up_requests"], found["sites"], found["models"]) == (400, 100, 2, 6)
    assert result["requests"] == 300
    assert result["hits"] == sum(hit for _, hit, _, _ in late) > 0
    assert result["hit_ratio"] == result["hits"] / 300
    assert result["asked_bytes"] == sum(int(graph.model_bytes[i]) for i, *_ in late)
    assert result["hit_bytes"] == sum(int(graph.model_bytes[i]) for i, hit, _, _ in late if hit)
    assert result["byte_hit_ratio"] == result["hit_bytes"] / result["asked_bytes"]
    assert (result["written_bytes"], result["evicted_bytes"]) == tuple(sum(row[k] for row in late) for k in (2, 3))


def test_rows_by_site_add_up_to_the_totals(catalog: Path, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    table, figure, kept = tmp_path / "r.csv", tmp_path / "f.svg", tmp_path / "new" / "t.parquet"
    found = _replay(
        capsys, catalog, "--trace", log, "--capacity", "1kB,2kB", "-p", "lru,lfu", "-o", table, "--plot", figure, "--save-trace", kept
    )
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    for result in found["results"]:
        mine = [row for row in rows if (row["policy"], int(row["capacity_bytes"])) == (result["policy"], result["capacity_bytes"])]
        assert [row["site"] for row in mine] == ["north", "south"] or [row["site"] for row in mine] == ["south", "north"]
        for key in ("requests", "hits", "asked_bytes", "hit_bytes", "written_bytes", "evicted_bytes"):
            assert sum(int(row[key]) for row in mine) == result[key]
    assert "after the warm-up" in figure.read_text()
    again = _replay(capsys, catalog, "--trace", kept, "--capacity", "1kB,2kB", "-p", "lru,lfu", "--plot", figure)
    assert again["results"] == found["results"]
    assert _replay(capsys, catalog, "--trace", kept, "--plot", figure, "-p", "lru")["results"]
    assert "Requests so far" in figure.read_text()


def test_requests_are_drawn_and_options_reach_the_policies(catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawing = ("--requests", 3000, "--zipf", 0.5, "--sites", 3, "--swap-every", 200, "--swap-share", 0.5, "--burst-every", 300,
               "--burst-requests", 50, "--seed", 4)  # fmt: skip
    found = _replay(
        capsys, catalog, *drawing, "--capacity", "1500B", "--warm-up", "0", "--set", "half_life_requests=20", "--set", "margin=2"
    )
    graph = open_catalog(catalog).graph()
    trace = generate_trace(
        graph.model_names, 3000, zipf=0.5, sites=3, swap_every=200, swap_share=0.5, burst_every=300, burst_requests=50, seed=4
    )
    options = {"half_life_requests": 20, "margin": 2}
    names = [row["policy"] for row in found["results"]]
    assert sorted(names) == sorted(policy_names())
    expected = replay(graph, trace, names, [1500], warm_up=0, options=options)
    assert [result.to_dict() for result in expected.totals()] == found["results"]
    usual = replay(graph, trace, names, [1500], warm_up=0)
    changed = {a.policy for a, b in zip(usual.results, expected.results, strict=True) if a.to_dict() != b.to_dict()}
    assert {"lfu"} <= changed <= {name for name in names if "half_life_requests" in policy_options(name)}
    assert main(["replay", str(catalog), *map(str, drawing), "--capacity", "1500B"]) == 0
    out = capsys.readouterr().out
    assert "3000 requests for 6 models at 3 sites, the first 600 not counted" in out
    assert "hits / lru" in out


def test_what_is_left_out_and_drift_that_is_none_are_said(catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.csv").write_text("time,site,model\n1,s,a\n2,s,gone\n3,s,gone\n4,s,a\n")
    assert main(["replay", str(catalog), "--trace", str(tmp_path / "log.csv"), "--skip-unknown", "-p", "lru", "--warm-up", "0"]) == 0
    out, err = capsys.readouterr()
    assert "2 requests for 1 model at 1 site\n" in out
    assert "0.5000" in out
    assert "2 requests left out: 1 model asked for cannot be served, such as gone" in err
    assert main(["replay", str(catalog), "--requests", "9", "--swap-every", "3", "-p", "lru", "-q"]) == 0
    assert "popularity does not drift" in capsys.readouterr().err


def test_windows_add_up_to_all_hits(catalog: Path) -> None:
    graph = open_catalog(catalog).graph()
    done = replay(graph, generate_trace(graph.model_names, 1003, seed=1), ["lru"], [1500])
    rows = done.over_time(7)
    ends = [row["request"] for row in rows]
    assert ends[-1] == 1003
    assert sum(row["hit_ratio"] * (b - a) for row, a, b in zip(rows, [0, *ends], ends, strict=False)) == pytest.approx(done.results[0].hits)
    assert replay(graph, generate_trace(graph.model_names, 0), ["lru"], [1500]).over_time() == []


def test_names_whole_by_ending_unknown_and_left_out(catalog: Path) -> None:
    graph = open_catalog(catalog).graph()

    def log_of(*models: str) -> Trace:
        names = tuple(dict.fromkeys(models))
        return Trace(np.arange(len(models)), np.zeros(len(models)), [names.index(model) for model in models], ("s",), names)

    whole = graph.model_names[1]
    made, left_out = for_models(log_of(whole, whole.rpartition("/")[2], "adapter", whole), graph, known=["adapter"])
    assert ([graph.model_names[i] for i in made.model], left_out) == ([whole] * 3, {"adapter": 1})
    assert made.time_s.tolist() == [0, 1, 3]
    with pytest.raises(UsageError, match="'nobody': is not in the catalog"):
        for_models(log_of(whole, "nobody"), graph)
    assert for_models(log_of(whole, "nobody", "nobody"), graph, skip_unknown=True)[1] == {"nobody": 2}
    with pytest.raises(UsageError, match="asks for no model"):
        for_models(log_of("nobody"), graph, skip_unknown=True)


def test_an_ending_of_two_models_is_refused(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_model(tmp_path / "zoo" / folder / "same", tensors_of(x=0))
    graph = scan(tmp_path / "zoo", tmp_path / "c").graph()
    with pytest.raises(UsageError, match="the ending of 2 models"):
        for_models(Trace([0.0], [0], [0], ("s",), ("same",)), graph)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "needs either --trace FILE or --requests N"),
        (("--trace", "LOG", "--requests", "5"), "needs either"),
        (("--trace", "LOG", "--zipf", "1"), "--zipf: is about requests that are drawn"),
        (("--trace", "missing.csv"), "does not exist"),
        (("--requests", "5", "--swap-share", "0.5"), "give --swap-every"),
        (("--requests", "5", "--burst-every", "2"), "give both"),
        (("--requests", "5", "--zipf", "-1"), "zipf"),
        (("--requests", "5", "-p", "lruu"), "did you mean lru?"),
        (("--requests", "5", "-p", ","), "none is named"),
        (("--requests", "5", "--capacity", ","), "names none"),
        (("--requests", "5", "--capacity", "big"), "big"),
        (("--requests", "5", "--warm-up", "1"), "not a share"),
        (("--requests", "5", "--set", "margin"), "is not NAME=NUMBER"),
        (("--requests", "5", "--set", "margin=x"), "is not NAME=NUMBER"),
        (("--requests", "5", "--set", "margn=2"), "did you mean margin?"),
        (("--requests", "5", "-p", "lru", "--set", "margin=2"), "none of the policies"),
        (("--requests", "5", "--set", "margin=0.5"), "margin"),
        (("--requests", "5", "--set", "max_trunks=2.5"), "trunks: 2.5 is not a whole number"),
        (("--requests", "5", "--set", "max_trunks=inf"), "trunks"),
        (("--requests", "5", "-o", "r.txt"), "neither .parquet nor .csv"),
        (("--requests", "5", "--save-trace", "/proc/no/t.csv"), "cannot be written"),
    ],
)
def test_wrong_calls_get_one_line(
    catalog: Path, log: Path, arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(catalog), *(str(log) if word == "LOG" else word for word in arguments)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err
