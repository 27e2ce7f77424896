"""Traces from files and from seeds."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from trimcache.errors import UsageError
from trimcache.simulation.traces import Trace, generate_trace


def names(trace: Trace) -> list[tuple[float, str, str]]:
    rows = zip(trace.time_s.tolist(), trace.site, trace.model, strict=True)
    return [(time, trace.site_names[s], trace.model_names[m]) for time, s, m in rows]


@pytest.mark.parametrize("file", ["t.parquet", "t.csv"])
@pytest.mark.parametrize("n_requests", [0, 200])
def test_what_is_saved_is_read_again(tmp_path, file, n_requests):
    trace = generate_trace(["a", 'odd, "name"', "007"], n_requests, sites=2, seed=5)
    trace.save(tmp_path / file)
    assert names(Trace.from_file(tmp_path / file)) == names(trace)


def test_rows_are_sorted_by_time_and_ties_stay(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("extra,model,time,site\n1,a,2,x\n2,b,1.5,x\n3,c,2,7\n")
    assert names(Trace.from_file(path)) == [(1.5, "x", "b"), (2.0, "x", "a"), (2.0, "7", "c")]


def test_timestamps_count_from_the_first(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("time,site,model\n2024-05-01 10:00:02.5,s,a\n2024-05-01 10:00:00,s,b\n")
    assert names(Trace.from_file(path)) == [(0.0, "s", "b"), (2.5, "s", "a")]
    table = pa.table({"time": pa.array([5, 3], pa.int64()), "site": [1, 2], "model": pa.array(["a", "b"]).dictionary_encode()})
    parquet.write_table(table, tmp_path / "t.parquet")
    assert names(Trace.from_file(tmp_path / "t.parquet")) == [(3.0, "2", "b"), (5.0, "1", "a")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("time,site\n1,x\n", "no column 'model', only time, site"),
        ("time,site,model,model\n1,x,a,b\n", "2 columns called 'model'"),
        ("time,site,model\n1,x,a\n2,x,\n", "row 2 has no model"),
        ("time,site,model\n1,,a\n", "row 1 has no site"),
        ("time,site,model\n,x,a\n1,x,a\n", "row 1 has no time"),
        ("time,site,model\nnan,x,a\n", "row 1 has"),
        ("time,site,model\n1,x,a\ninf,x,a\n", "row 2 has the time inf"),
        ("time,site,model\nsoon,x,a\n", "column 'time' holds string"),
        ("time,site,model\n1,x\n", "cannot be read"),
        ("", "cannot be read"),
    ],
)
def test_bad_files_have_one_clear_line(tmp_path, text, words):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=words) as caught:
        Trace.from_file(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unreadable_files(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        Trace.from_file(tmp_path / "none.csv")
    (tmp_path / "t.parquet").write_bytes(b"not parquet")
    with pytest.raises(UsageError, match="cannot be read"):
        Trace.from_file(tmp_path / "t.parquet")
    parquet.write_table(pa.table({"time": [1.0], "site": ["x"], "model": [1.5]}), tmp_path / "u.parquet")
    with pytest.raises(UsageError, match="column 'model' holds double"):
        Trace.from_file(tmp_path / "u.parquet")


@pytest.mark.parametrize(
    "change",
    [
        {"time_s": [1, 0]},
        {"time_s": [0, np.nan]},
        {"site": [0]},
        {"site": [0, 1]},
        {"model": [-1, 0]},
        {"model_names": ("a", "a")},
    ],
)
def test_bad_arrays(change):
    good = {"time_s": [0, 1], "site": [0, 0], "model": [0, 1], "site_names": ("s",), "model_names": ("a", "b")}
    assert Trace(**good).n_requests == 2
    with pytest.raises(UsageError, match="trace"):
        Trace(**(good | change))


OPTIONS = st.fixed_dictionaries(
    {
        "sites": st.integers(1, 3),
        "ranking": st.sampled_from(["site", "global"]),
        "swap_every": st.sampled_from([0, 7]),
        "swap_share": st.sampled_from([0.0, 0.5, 1.0]),
        "burst_every": st.sampled_from([0, 11]),
        "burst_requests": st.sampled_from([0, 5]),
        "seed": st.integers(0, 99),
    }
)


@given(OPTIONS, st.integers(1, 9), st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_same_seed_same_trace_and_longer_begins_with_shorter(options, n_models, n, more):
    short, long = generate_trace(n_models, n, **options), generate_trace(n_models, n + more, **options)
    for column in ("time_s", "site", "model"):
        assert getattr(long, column)[:n].tolist() == getattr(short, column).tolist()


def test_zipf_is_zipf():
    trace = generate_trace(50, 200_000, zipf=0.8, rate_hz=4.0, seed=2)
    share = np.sort(np.bincount(trace.model, minlength=50))[::-1] / trace.n_requests
    law = np.arange(1, 51) ** -0.8
    assert np.abs(share - law / law.sum()).max() < 0.004
    assert trace.time_s[-1] == pytest.approx(50_000, rel=0.02)


def test_drift_swaps_the_share_of_ranks_and_leaves_the_rest():
    still, drifting = (generate_trace(100, 40_000, swap_every=every, swap_share=0.1, zipf=0.0, seed=4) for every in (0, 20_000))
    assert still.model[:20_000].tolist() == drifting.model[:20_000].tolist()
    moved = np.unique(still.model[20_000:][still.model[20_000:] != drifting.model[20_000:]])
    assert moved.size == 10
    assert still.time_s.tolist() == drifting.time_s.tolist()


def test_bursts_are_of_one_model():
    trace = generate_trace(1000, 3000, zipf=0.0, burst_every=1000, burst_requests=200, burst_share=1.0, seed=4)
    assert np.unique(trace.model[1000:1200]).size == 1
    assert np.unique(trace.model[:1000]).size > 500
    assert np.unique(trace.model[1200:2000]).size > 400


def test_sites_have_an_order_of_their_own_or_one_for_all():
    def favourites(ranking: str) -> list[int]:
        trace = generate_trace(40, 20_000, sites=4, ranking=ranking, zipf=1.5, seed=0)
        return [int(np.bincount(trace.model[trace.site == s]).argmax()) for s in range(4)]

    assert len(set(favourites("global"))) == 1
    assert len(set(favourites("site"))) > 1


@pytest.mark.parametrize(
    "options",
    [
        {"zipf": -1},
        {"zipf": float("nan")},
        {"rate_hz": 0},
        {"swap_share": 2},
        {"burst_share": -0.1},
        {"swap_every": -1},
        {"ranking": "user"},
        {"models": 0},
        {"sites": 0},
        {"n_requests": -1},
        {"models": ["a", "a"]},
    ],
)
def test_bad_generator_options(options):
    with pytest.raises(UsageError):
        generate_trace(**({"models": 3, "n_requests": 5} | options))
