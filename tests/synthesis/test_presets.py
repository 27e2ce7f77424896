"""Presets end to end: through the command line into catalogs that every other command reads."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimcache.catalog.reader import Catalog, open_catalog
from trimcache.catalog.schema import schemas
from trimcache.cli import main
from trimcache.errors import UsageError
from trimcache.synthesis.library import generate_preset
from trimcache.synthesis.options import Options
from trimcache.synthesis.paper_libraries import PAPER_DEPTHS
from trimcache.synthesis.presets import PRESETS, build

TENSOR_NBYTES = {"resnet-18": 44_949_808, "resnet-34": 85_412_272, "resnet-50": 95_064_632}


@pytest.mark.parametrize("n", [30, 300])
@pytest.mark.parametrize("preset", ["paper-special", "paper-general"])
def test_paper_libraries(preset: str, n: int, tmp_path: Path) -> None:
    generate_preset(preset, n, tmp_path / "c")
    catalog = open_catalog(tmp_path / "c")
    backbone = {part.part: part.name.partition("/")[0] for part in catalog.parts}
    assert Counter(backbone.values()) == dict.fromkeys(PAPER_DEPTHS, n // 3)
    tensors = catalog.table("tensors", ["nbytes", "digest"])
    sums: Counter[str] = Counter()
    for part, nbytes in zip(tensors["part"].to_pylist(), tensors["nbytes"].to_pylist(), strict=True):
        sums[part] += nbytes
    assert all(sums[part] == TENSOR_NBYTES[name] for part, name in backbone.items())
    for part in catalog.parts:
        low, high = PAPER_DEPTHS[backbone[part.part]]
        assert low <= int(part.name.rpartition("-")[2]) <= high
    graph = catalog.graph()
    # The pretrained networks are no models themselves, so what two models share is what both froze.
    assert 0 < graph.shared_bytes < sum(TENSOR_NBYTES.values()) * (1 if preset == "paper-special" else 6)


def test_a_deeper_freeze_shares_what_a_shallower_one_does(tmp_path: Path) -> None:
    """In the paper's special case the shared blocks of one backbone form a chain."""
    generate_preset("paper-special", 60, tmp_path / "c")
    graph = open_catalog(tmp_path / "c").graph()
    held = graph.holders() > 1
    by_depth: dict[tuple[str, int], set[int]] = {}
    for i, name in enumerate(graph.model_names):
        depth = int(name.rpartition("-")[2])
        by_depth[name.partition("/")[0], depth] = {int(b) for b in graph.blocks_of(i) if held[b] and graph.block_bytes[b] > 100_000}
    for (backbone, depth), blocks in by_depth.items():
        for (other, deeper), more in by_depth.items():
            if backbone == other and depth < deeper:
                assert blocks <= more


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(preset=st.sampled_from(sorted(PRESETS)), n=st.integers(1, 40), seed=st.integers(0, 2**32))
def test_every_catalog_adds_up(preset: str, n: int, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("catalog") / "c"
    made = generate_preset(preset, n, root, seed=seed)
    catalog = open_catalog(root)
    graph = catalog.graph()
    assert catalog.synthetic
    assert graph.synthetic
    assert made.models == graph.n_models == n
    assert made.total_bytes == graph.total_bytes
    assert graph.unique_bytes == graph.shared_bytes + graph.specific_bytes
    assert all(model.missing is None for model in catalog.models)
    extents = catalog.table("extents").to_pylist()
    files = {(row["part"], row["path"]): row["nbytes"] for row in catalog.table("files").to_pylist()}
    ends: dict[tuple[str, str], int] = {}
    size_of: dict[bytes, int] = {}
    for row in extents:  # extents tile their file in order, and a block has one size
        key = (row["part"], row["file"])
        assert row["offset"] == ends.get(key, 0)
        ends[key] = row["offset"] + row["nbytes"]
        assert size_of.setdefault(row["block"], row["nbytes"]) == row["nbytes"]
    assert ends == files
    assert sum(files.values()) == sum(part.nbytes for part in catalog.parts)
    # Block sets are closed: a model holds every block of every part that it is made of.
    blocks: dict[str, set[bytes]] = {}
    for row in extents:
        blocks.setdefault(row["part"], set()).add(row["block"])
    assert graph.block_ids is not None
    for i, model in enumerate(catalog.models):
        held = {graph.block_ids[b].tobytes() for b in graph.blocks_of(i)}
        assert held == set().union(*(blocks[part] for part in model.parts))


def test_same_seed_same_models_other_seed_other_bytes(tmp_path: Path) -> None:
    graphs = []
    for number, seed in enumerate((7, 7, 8)):
        generate_preset("hub-mixed", 50, tmp_path / str(number), seed=seed)
        graphs.append(open_catalog(tmp_path / str(number)).graph())
    assert graphs[0].fingerprint() == graphs[1].fingerprint()
    ids = [{row.tobytes() for row in graph.block_ids} for graph in graphs]  # type: ignore[union-attr]
    common = ids[0] & ids[2]
    kinds = {row["kind"] for row in Catalog(tmp_path / "0").table("extents").to_pylist() if row["block"] in common}
    assert kinds <= {"header", "file"}  # headers follow from shapes; weights never agree


def test_shards_read_back_as_the_schema_says(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    generate_preset("llm-lora", 20, tmp_path / "c", digest="xxh3-128")
    for table, schema in schemas(16).items():
        [shard] = (tmp_path / "c" / table).glob("*.parquet")
        read = pq.read_table(shard).schema
        assert {field.name: field.type for field in read} == {field.name: field.type for field in schema}
    query = f"select count(distinct block), count(*) from '{tmp_path / 'c' / 'extents'}/*.parquet'"
    distinct, rows = duckdb.sql(query).fetchall()[0]
    assert distinct == open_catalog(tmp_path / "c").graph().n_blocks
    assert rows > distinct


def test_popularity_goes_by_family_and_by_table(tmp_path: Path) -> None:
    generate_preset("hub-mixed", 200, tmp_path / "law", popularity="zipf:1.2")
    graph = open_catalog(tmp_path / "law").graph()
    assert graph.popularity is not None
    assert graph.popularity.sum() == pytest.approx(1.0)
    family = np.array([name.partition("/")[0] for name in graph.model_names])
    share = [graph.popularity[family == one].sum() for one in np.unique(family)]
    assert max(share) > 5 * np.median(share)
    names = graph.model_names
    table = tmp_path / "table.csv"
    table.write_text("model,popularity\n" + "".join(f"{name},{i}\n" for i, name in enumerate(names)))
    generate_preset("hub-mixed", 200, tmp_path / "table", popularity=str(table))
    given_back = open_catalog(tmp_path / "table").graph()
    assert dict(zip(given_back.model_names, given_back.popularity, strict=True)) == {name: i for i, name in enumerate(names)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--preset", "paper-spezial", "--models", "3"], "did you mean paper-special"),
        (["--preset", "vision-frozen", "--models", "0"], "ask for at least 1"),
        (["--preset", "vision-frozen", "--models", "9", "--bases", "resnet18"], "did you mean resnet-18"),
        (["--preset", "vision-frozen", "--models", "9", "--depths", "60-70"], "is impossible for resnet-18, which has 41 layers"),
        (["--preset", "vision-frozen", "--models", "9", "--depths", "x"], "whole numbers"),
        (["--preset", "llm-lora", "--models", "9", "--ranks", "99999"], "is impossible for llama-2-7b"),
        (["--preset", "llm-lora", "--models", "9", "--bases", "resnet-18"], "no linear maps"),
        (["--preset", "hub-mixed", "--models", "9", "--popularity", "zopf:1"], "did you mean zipf"),
        (["--preset", "hub-mixed", "--models", "9", "--popularity", "zipf:-1"], "takes 1 numbers"),
        (["--preset", "hub-mixed", "--models", "9", "--popularity", "no-such.csv"], "cannot be read"),
        (["--preset", "hub-mixed", "--models", "9", "--digest", "md5"], "is not offered"),
        (["--preset", "hub-mixed", "--models", "9", "--architectures", "nowhere.json"], "build_architectures"),
        (["--models", "9"], "either --preset NAME or --like CATALOG"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "-o", str(tmp_path / "c"), *arguments]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "c").exists()
    assert not list(tmp_path.iterdir())


def test_through_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(tmp_path / "c")
    assert main(["generate", "--preset", "paper-special", "--models", "12", "-o", root, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["synthetic"] is True
    assert main(["stats", root, "--json", "-q"]) == 0
    stats = json.loads(capsys.readouterr().out)
    assert (stats["synthetic"], stats["models"], stats["total_bytes"]) == (True, 12, made["total_bytes"])
    assert main(["plan", root, "--capacity", "200MB", "--json", "-q"]) == 0
    assert '"synthetic": true' in capsys.readouterr().out
    assert main(["verify", root]) == 2
    assert "is synthetic" in capsys.readouterr().err
    assert main(["generate", "--preset", "paper-special", "--models", "12", "-o", root]) == 2
    assert "never added" in capsys.readouterr().err
    model = tmp_path / "zoo" / "m"
    from tiny_models import tensors_of, write_model

    write_model(model, tensors_of(x=1))
    assert main(["scan", str(tmp_path / "zoo"), "-o", root, "-q"]) == 2
    assert "is a synthetic catalog" in capsys.readouterr().err


def test_a_users_own_architecture(tmp_path: Path) -> None:
    from trimcache.synthesis.architectures import DATA, load_architectures

    document = json.loads(DATA.read_text())
    (tmp_path / "mine.json").write_text(json.dumps({"made_by": "me", "architectures": {"mine": document["architectures"]["resnet-18"]}}))
    assert "mine" in load_architectures(tmp_path / "mine.json")
    forest = build("paper-special", 3, 0, Options(bases=("mine",), architectures=tmp_path / "mine.json"))
    assert all(name.startswith("mine/") for name in forest.name)
    with pytest.raises(UsageError, match="wrong way round"):
        build("paper-special", 3, 0, Options(depths=(40, 30)))
