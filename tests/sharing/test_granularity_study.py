"""Unique bytes of each granularity against sets of BLAKE3 digests, and the orders that hold between them."""

from __future__ import annotations

from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from independent_count import files, pieces
from tiny_models import floats, tensors_of, write_adapter, write_model

from trimcache.errors import SourceError, UsageError
from trimcache.sharing.granularity_study import COARSE_TO_FINE, GranularityStudy, study


def unique_by_sets(folders: list[Path]) -> dict[str, int]:
    """Unique bytes counted without trimcache: a set of (digest, bytes) for each granularity."""
    from fastcdc import fastcdc

    found: dict[str, set[tuple[object, int]]] = {name: set() for name in COARSE_TO_FINE}
    for path in (path for folder in folders for path in files(folder)):
        raw = path.read_bytes()
        if raw:
            found["file"].add((blake3(raw).digest(), len(raw)))
        layer: tuple[str, bytes] = ("", b"")
        ranges = pieces(path)
        for index, piece in enumerate(ranges):
            data = raw[piece.offset : piece.offset + piece.nbytes]
            found["tensor"].add((piece.digest, piece.nbytes))
            # All matrices of these tests have rows of 256 bytes, gathered up to 65,536.
            step = 1 << 16 if piece.tensor is not None else len(data)
            found["row"] |= {(blake3(data[at : at + step]).digest(), len(data[at : at + step])) for at in range(0, len(data), step)}
            sizes = [chunk.length for chunk in fastcdc(data, 1 << 13, 1 << 16, 1 << 17)] if len(data) > 1 << 13 else [len(data)]
            at = 0
            for size in sizes:
                found["chunk"].add((blake3(data[at : at + size]).digest(), size))
                at += size
            module = piece.tensor.rpartition(".")[0] if piece.tensor is not None else ""
            layer = (module, layer[1] + data) if module and module == layer[0] else (module, data)
            following = ranges[index + 1].tensor if index + 1 < len(ranges) else None
            if not module or following is None or following.rpartition(".")[0] != module:
                found["layer"].add((blake3(layer[1]).digest(), len(layer[1])))
                layer = ("", b"")
    return {name: sum(nbytes for _, nbytes in held) for name, held in found.items()}


def matrix(rows: int, seed: object) -> tuple[str, tuple[int, ...], bytes]:
    return "F32", (rows, 64), floats(64 * rows, seed)


def unique(found: GranularityStudy) -> dict[str, int]:
    return {row.granularity: row.unique_bytes for row in found.rows}


def test_sizes_are_those_of_sets(tmp_path: Path) -> None:
    base = {
        "emb.weight": matrix(1500, 0),
        "l0.weight": matrix(40, 1),
        "l0.bias": matrix(1, 2),
        "l1.weight": matrix(40, 3),
        "l1.bias": matrix(1, 4),
    }
    grown = ("F32", (1504, 64), base["emb.weight"][2] + floats(256, 5))
    folders = [
        write_model(tmp_path / "zoo" / "base", base, tokenizer_json="{}"),
        write_model(tmp_path / "zoo" / "copy", base, tokenizer_json="{}"),
        write_model(tmp_path / "zoo" / "grown", {**base, "emb.weight": grown}, tokenizer_json="{}"),
        write_model(tmp_path / "zoo" / "bias", {**base, "l1.bias": matrix(1, 6)}, tokenizer_json="{ }"),
    ]
    found = study([tmp_path / "zoo"])
    assert unique(found) == unique_by_sets(folders)
    total = sum(path.stat().st_size for folder in folders for path in files(folder))
    assert found.total_bytes == total
    assert all(row.saved_bytes == total - row.unique_bytes for row in found.rows)
    assert all(row.blocks <= row.index_entries and row.index_bytes > 0 for row in found.rows)
    bytes_of = unique(found)
    # A changed bias costs its layer, an added row costs its tensor, and only finer blocks see that.
    assert bytes_of["file"] > bytes_of["layer"] > bytes_of["tensor"] > bytes_of["row"]
    assert bytes_of["tensor"] > bytes_of["chunk"]


@settings(max_examples=8, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["a.weight", "a.bias", "b.weight", "c"]), st.tuples(st.sampled_from([1, 8, 600]), st.integers(0, 2)), max_size=4
        ),
        min_size=1,
        max_size=4,
    )
)
def test_finer_never_saves_less(tmp_path_factory: pytest.TempPathFactory, models: list[dict[str, tuple[int, int]]]) -> None:
    zoo = tmp_path_factory.mktemp("zoo")
    folders = [
        write_model(zoo / f"m{i}", {"always": matrix(1, 9), **{name: matrix(rows, seed) for name, (rows, seed) in held.items()}})
        for i, held in enumerate(models)
    ]
    found = study([zoo])
    bytes_of = unique(found)
    assert bytes_of == unique_by_sets(folders)
    assert bytes_of["file"] >= bytes_of["layer"] >= bytes_of["tensor"] >= bytes_of["chunk"]
    assert bytes_of["tensor"] >= bytes_of["row"]  # equal tensors have equal shapes here
    entries = [row.index_entries for row in found.rows if row.granularity in ("file", "layer", "tensor", "row")]
    assert entries == sorted(entries)


def test_rows_can_lose_where_shapes_differ(tmp_path: Path) -> None:
    data = floats(3 << 15)
    write_model(tmp_path / "zoo" / "square", {"w": ("F32", (3 << 7, 256), data)})
    write_model(tmp_path / "zoo" / "flat", {"w": ("F32", (2, 3 << 14), data)})
    found = unique(study([tmp_path / "zoo"]))
    assert found["row"] > found["tensor"] >= found["chunk"]


def test_a_scan_alone_is_timed_if_asked(tmp_path: Path) -> None:
    write_model(tmp_path / "zoo" / "a", tensors_of(x=1))
    assert {row.seconds for row in study([tmp_path / "zoo"], ["tensor"]).rows} == {None}
    [row] = study([tmp_path / "zoo"], ["tensor"], time_each=True).rows
    assert row.seconds is not None
    assert row.seconds > 0


def test_adapters_without_base_and_models_without_parameters(tmp_path: Path) -> None:
    write_adapter(tmp_path / "zoo" / "lora", "org/elsewhere", tensors_of(lora_A=1))
    write_model(tmp_path / "zoo" / "none", {"empty": ("F32", (0,), b"")})
    found = study([tmp_path / "zoo"])
    assert found.models == 2
    assert len(set(unique(found).values())) == 1


@pytest.mark.parametrize("names", [[], ["tensor", "word"]])
def test_granularities_that_are_not_offered(tmp_path: Path, names: list[str]) -> None:
    write_model(tmp_path / "zoo" / "a", tensors_of(x=1))
    with pytest.raises(UsageError, match="choose among file, layer, tensor, row, chunk"):
        study([tmp_path / "zoo"], names)


def test_sources_that_cannot_be_read(tmp_path: Path) -> None:
    write_model(tmp_path / "zoo" / "good", tensors_of(x=1))
    bad = write_model(tmp_path / "zoo" / "bad", tensors_of(x=2)) / "model.safetensors"
    bad.write_bytes(bad.read_bytes()[:-8])
    found = study([tmp_path / "zoo"])
    assert found.models == 1
    [error] = found.errors
    assert "truncated" in str(error)
    with pytest.raises(SourceError, match="no such file"):
        study([tmp_path / "nowhere"])
