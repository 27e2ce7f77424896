"""A table of a user's own says how often each model is asked for: of any graph, in any format, or in one clear line why not."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trimcache.errors import UsageError
from trimcache.graph import ModelBlockGraph
from trimcache.synthesis.popularity import with_popularity

_GRAPH = ModelBlockGraph.from_blocks({"org/a": ["x", "y"], "org/b": ["x"], "007": ["y"]}, {"x": 10, "y": 5})


@pytest.mark.parametrize("column", ["weight", "popularity"])
@pytest.mark.parametrize("ending", [".csv", ".json", ".parquet"])
def test_a_model_that_the_table_leaves_out_has_popularity_zero(ending: str, column: str, tmp_path: Path) -> None:
    path = tmp_path / f"downloads{ending}"
    if ending == ".parquet":
        pq.write_table(pa.table({column: [3.0, 1.0], "model": ["org/b", "007"]}), path)
    else:
        path.write_text('{"org/b": 3, "007": 1}' if ending == ".json" else f"model,{column}\norg/b,3\n007,1\n")
    popularity = with_popularity(_GRAPH, path).popularity
    assert popularity is not None
    assert popularity.tolist() == [0.0, 3.0, 1.0]


def test_models_known_elsewhere_are_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "w.csv"
    path.write_text("model,weight\norg/b,3\nadapter,9\n")
    popularity = with_popularity(_GRAPH, path, known=["adapter"]).popularity
    assert popularity is not None
    assert popularity.tolist() == [0.0, 3.0, 0.0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model,weight\norg/bb,3\n", "names 'org/bb', and there is no such model; did you mean org/b"),
        ("model,weight\norg/bb,3\nqqqqqqq,1\n", "'org/bb' and 1 more names"),
        ("model,weight\nqqqqqqqqqq,3\n", "give names as stats lists them"),
        ("model,weight\norg/a,-1\n", "'org/a' has the weight -1"),
        ("model,weight\norg/a,nan\n", "'org/a' has the weight nan"),
        ("model,weight\norg/a,inf\n", "'org/a' has the weight inf"),
        ("model,weight\norg/a,\norg/b,1\n", "'org/a' has the weight nan"),
        ("model,weight\norg/a,many\n", "cannot be read (could not convert string to float: 'many')"),
        ("model,weight\norg/a,1\norg/a,2\n", "names 'org/a' twice"),
        ("model,weight\norg/a,0\n", "gives no model a weight"),
        ("model,weight\n", "gives no model a weight"),
        ("", "cannot be read (Empty CSV file)"),
        ("model,downloads\norg/a,1\n", "its columns are model, downloads"),
        ("model,weight\norg/a,1,2\n", "cannot be read"),
    ],
)
def test_what_is_wrong_is_one_clear_line(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "w.csv"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        with_popularity(_GRAPH, path)
    assert expected in str(caught.value)
    assert str(caught.value).isprintable()
    assert path.name in str(caught.value)


@pytest.mark.parametrize(("name", "content"), [("w.json", b"[1]"), ("w.json", b"{"), ("w.parquet", b"PAR1"), ("gone.csv", None)])
def test_files_of_another_kind(name: str, content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match="cannot be read"):
        with_popularity(_GRAPH, tmp_path / name)
