"""Comparing scanned models: distances read by range, and files that are no longer what they were."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from finetunes_fixture import finetunes_folder
from safetensors.numpy import load_file, save_file
from tiny_models import floats, tensors_of, write_adapter, write_model

from trimcache import scan
from trimcache.catalog.reader import Catalog
from trimcache.errors import ModelNameError
from trimcache.sharing.compare import Comparison, TensorRow, compare
from trimcache.sharing.compare_headline import closeness, headline
from trimcache.sharing.matching import Status
from trimcache.synthesis.library import generate_preset


def by_name(found: Comparison) -> dict[str, TensorRow]:
    return {(row.match.b or row.match.a).name: row for row in found.rows}  # type: ignore[union-attr]


def of_status(found: Comparison, status: Status) -> set[str]:
    return {name for name, row in by_name(found).items() if row.status == status}


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    write_model(tmp_path / "zoo" / "base", tensors_of(a=1, b=2, c=3))
    return tmp_path / "zoo"


def scanned(zoo: Path) -> Catalog:
    return scan(zoo, zoo.parent / "c")


def test_same_renamed_changed_and_only(zoo: Path) -> None:
    write_model(zoo / "other", tensors_of(a=1, d=2, c=4, e=5))
    found = compare(scanned(zoo), "base", "other")
    assert of_status(found, Status.SAME) == {"a.weight"}
    assert of_status(found, Status.RENAMED) == {"d.weight"}
    assert of_status(found, Status.CHANGED) == {"c.weight"}
    assert of_status(found, Status.ONLY_A) == set()
    assert of_status(found, Status.ONLY_B) == {"e.weight"}
    assert (found.a_bytes, found.b_bytes, found.equal_bytes) == (3 * 256, 4 * 256, 512)
    assert [row.distance is not None for row in found.rows] == [row.status == Status.CHANGED for row in found.rows]
    assert not found.errors
    turned = compare(scanned(zoo), "other", "base")
    assert (turned.a_bytes, turned.b_bytes, turned.equal_bytes) == (4 * 256, 3 * 256, 512)


def test_dtype_and_shape_changes_are_told_apart(zoo: Path) -> None:
    values = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)
    write_model(
        zoo / "old",
        {"cast": ("F32", (8, 8), values.tobytes()), "grown": ("F32", (8, 8), values.tobytes()), "other": ("F32", (8, 8), floats(64))},
    )
    brain = torch.from_numpy(values).bfloat16().view(torch.uint8).numpy().tobytes()
    more = values.tobytes() + floats(16)
    write_model(zoo / "new", {"cast": ("BF16", (8, 8), brain), "grown": ("F32", (10, 8), more), "other": ("F32", (4, 8), floats(32, 9))})
    rows = by_name(compare(scanned(zoo), "old", "new"))
    cast, grown, other = rows["cast"], rows["grown"], rows["other"]
    assert (cast.dtype_differs, cast.shape_differs, cast.rounded) == (True, False, True)
    assert (grown.dtype_differs, grown.shape_differs) == (False, True)
    assert grown.distance is not None
    assert (grown.distance.compared_bytes, grown.distance.equal_share, grown.distance.relative) == (256, 1.0, 0.0)
    assert other.distance is not None
    assert other.distance.compared_bytes == 128
    found = compare(scanned(zoo), "old", "new")
    assert found.changed.measured_bytes == 256 + 128
    assert found.changed.cast_bytes == 128


def test_shapes_that_cannot_be_laid_side_by_side(zoo: Path) -> None:
    write_model(
        zoo / "old",
        {"a": ("F32", (8, 8), floats(64)), "b": ("F32", (0, 8), b""), "c": ("F32", (4,), floats(4)), "d": ("F32", (4,), floats(4, 3))},
    )
    write_model(
        zoo / "new",
        {"a": ("F32", (8, 4), floats(32)), "b": ("F32", (2, 8), floats(16)), "c": ("F32", (), floats(1)), "d": ("F8_E8M0", (4,), b"1234")},
    )
    rows = by_name(compare(scanned(zoo), "old", "new"))
    assert [rows[name].distance is None for name in "abcd"] == [True, True, True, False]


def test_a_near_duplicate_reads_as_one(zoo: Path) -> None:
    data = bytearray(floats(1 << 16))
    write_model(zoo / "one", {"w": ("F32", (256, 256), bytes(data))})
    data[: 1 << 10] = os.urandom(1 << 10)
    write_model(zoo / "two", {"w": ("F32", (256, 256), bytes(data))})
    found = compare(scanned(zoo), "one", "two")
    assert closeness(found) == "near-duplicate"
    assert "99.6 % of bytes equal" in headline(found)
    assert found.estimated_extra_bytes is not None
    assert 1 << 10 <= found.estimated_extra_bytes < 2 << 10


def test_a_grown_vocabulary_reads_as_a_near_duplicate(zoo: Path) -> None:
    data = floats(1 << 14)
    write_model(zoo / "old", {"w": ("F32", (256, 64), data)})
    write_model(zoo / "new", {"w": ("F32", (260, 64), data + floats(256, 1))})
    found = compare(scanned(zoo), "old", "new")
    assert closeness(found) == "near-duplicate"
    assert "near-duplicate: 100.0 % of bytes equal" in headline(found)
    assert found.estimated_extra_bytes is not None
    assert 1024 <= found.estimated_extra_bytes < 1200


def test_headlines(zoo: Path) -> None:
    write_model(zoo / "copy", tensors_of(a=1, b=2, c=3))
    write_model(zoo / "names", tensors_of(x=1, y=2, z=3))
    write_model(zoo / "else", tensors_of(q=7))
    write_model(zoo / "none", {"empty": ("F32", (0,), b"")})
    catalog = scanned(zoo)
    assert headline(compare(catalog, "base", "copy")) == "identical: all 768 B of tensors are equal"
    assert headline(compare(catalog, "base", "names")) == "identical: all 768 B of tensors are equal, 768 B of it under other names"
    assert headline(compare(catalog, "base", "else")) == "no tensor is equal; 768 B only in base; 256 B only in else"
    assert headline(compare(catalog, "base", "none")) == "nothing to compare: no bytes in the tensors of none"
    assert headline(compare(catalog, "none", "none")) == "nothing to compare: no bytes in the tensors of none"
    assert headline(compare(catalog, "base", "base")) == "identical: all 768 B of tensors are equal"


def test_an_adapter_brings_its_base(zoo: Path) -> None:
    write_adapter(zoo / "lora", "zoo/base", tensors_of(lora_A=4))
    write_adapter(zoo / "lost", "org/elsewhere", tensors_of(lora_A=5))
    catalog = scanned(zoo)
    found = compare(catalog, "base", "lora")
    assert of_status(found, Status.SAME) == {"a.weight", "b.weight", "c.weight"}
    assert of_status(found, Status.ONLY_B) == {"lora_A.weight"}
    assert of_status(compare(catalog, "lora", "lost"), Status.CHANGED) == {"lora_A.weight"}


def test_tensors_that_do_not_lie_row_major(zoo: Path) -> None:
    matrix = torch.randn(300, 200, generator=torch.Generator().manual_seed(0))
    for name, value in (("plain", matrix), ("turned", (matrix + 0.5).t().contiguous().t())):
        (zoo / name).mkdir()
        (zoo / name / "config.json").write_text("{}")
        torch.save({"w": value}, zoo / name / "pytorch_model.bin")
    catalog = scanned(zoo)
    assert None in catalog.table("tensors")["offset"].to_pylist()
    row = by_name(compare(catalog, "plain", "turned"))["w"]
    assert row.distance is not None
    assert row.distance.norm_difference == pytest.approx(0.5 * (300 * 200) ** 0.5, rel=1e-6)


def test_touched_and_linked_files_are_still_read(zoo: Path) -> None:
    write_model(zoo / "other", tensors_of(a=9))
    catalog = scanned(zoo)
    file = zoo / "other" / "model.safetensors"
    os.link(file, zoo.parent / "link")
    os.utime(file, (1, 1))
    found = compare(catalog, "base", "other")
    assert not found.errors
    assert by_name(found)["a.weight"].distance is not None


@pytest.mark.parametrize("how", ["bytes", "shorter", "gone", "folder gone"])
def test_files_that_changed_since_the_scan(zoo: Path, how: str) -> None:
    write_model(zoo / "other", tensors_of(a=9))
    catalog = scanned(zoo)
    file = zoo / "other" / "model.safetensors"
    if how == "bytes":
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
    elif how == "shorter":
        file.write_bytes(file.read_bytes()[:-100])
    else:
        file.unlink()
        if how == "folder gone":
            (zoo / "other" / "config.json").unlink()
            (zoo / "other").rmdir()
    found = compare(catalog, "base", "other")
    [error] = found.errors
    assert "other" in str(error)
    assert ("changed since it was scanned" in str(error)) == (how in ("bytes", "shorter"))
    assert by_name(found)["a.weight"].distance is None
    assert found.estimated_extra_bytes is None
    assert headline(found) == "no tensor is equal; 256 B changed; 512 B only in base"


def test_models_in_memory_are_compared_by_digest(tmp_path: Path) -> None:
    torch.manual_seed(0)
    catalog = scan([("one", torch.nn.Linear(4, 4)), ("two", torch.nn.Linear(4, 4))], tmp_path / "c")
    found = compare(catalog, "one", "two")
    assert of_status(found, Status.CHANGED) == {"weight", "bias"}
    assert "in memory" in str(found.errors[0])


def test_a_synthetic_catalog_has_names_and_digests_only(tmp_path: Path) -> None:
    generate_preset("paper-special", 6, tmp_path / "c", seed=0)
    catalog = Catalog(tmp_path / "c")
    found = compare(catalog, catalog.models[0].name, catalog.models[1].name)
    assert found.unread is not None
    assert "generated" in found.unread
    assert not found.errors
    assert all(row.distance is None for row in found.rows)
    assert found.a_bytes > 0


def test_names_that_are_wrong_or_odd(zoo: Path) -> None:
    odd = "<b>bold</b>\u202e\n[red]"
    write_model(zoo / "odd", {odd: ("F32", (1,), floats(1))})
    catalog = scanned(zoo)
    with pytest.raises(ModelNameError, match="did you mean base"):
        compare(catalog, "bse", "odd")
    assert of_status(compare(catalog, "base", "odd"), Status.ONLY_B) == {odd}


def test_an_empty_catalog_has_no_such_model(zoo: Path) -> None:
    scanned(zoo)
    (zoo / "base" / "model.safetensors").unlink()
    (zoo / "base" / "config.json").unlink()
    emptied = scan(write_model(zoo / "new", tensors_of(a=1)).parent, zoo.parent / "c", prune=True)
    assert [model.name for model in emptied.models] == ["new"]
    with pytest.raises(ModelNameError, match="is not in"):
        compare(emptied, "base", "new")


def test_memory_does_not_grow_with_the_tensor(zoo: Path) -> None:
    rows = 1 << 16  # 64 MiB
    for name in ("one", "two"):
        (zoo / name).mkdir()
        (zoo / name / "config.json").write_text("{}")
        save_file({"w": np.random.default_rng(len(name) + ord(name[0])).random((rows, 256), np.float32)}, zoo / name / "model.safetensors")
    catalog = scanned(zoo)
    compare(catalog, "base", "base")
    tracemalloc.start()
    found = compare(catalog, "one", "two")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert by_name(found)["w"].distance is not None
    assert peak < 30 << 20


def test_finetunes_against_numpy(tmp_path: Path) -> None:
    finetunes = finetunes_folder()
    catalog = scan(finetunes / "minilm", tmp_path / "c")
    base = load_file(finetunes / "minilm" / "base" / "model.safetensors")
    for name in ("full", "chapter", "lora-lexical-merged"):
        tuned = load_file(finetunes / "minilm" / name / "model.safetensors")
        inner = {key.removeprefix("bert."): value for key, value in tuned.items()}
        found = compare(catalog, "base", name)
        assert found.prefixes == ("", "bert.")
        common = base.keys() & inner.keys()
        equal = {key for key in common if base[key].tobytes() == inner[key].tobytes()}
        assert found.equal_bytes == sum(base[key].nbytes for key in equal)
        assert found.b_bytes == sum(value.nbytes for value in tuned.values())
        changed = {row.match.a.name: row.distance for row in found.rows if row.status == Status.CHANGED and row.match.a}
        assert changed.keys() == common - equal
        for key, far in changed.items():
            assert far is not None
            a, b = base[key].astype(np.float64), inner[key].astype(np.float64)
            assert far.equal_bytes == np.count_nonzero(base[key].view(np.uint8) == inner[key].view(np.uint8))
            assert far.norm_difference == pytest.approx(np.linalg.norm(a - b), rel=1e-9)
            expected = np.linalg.norm(a - b) / np.linalg.norm(a) if np.any(a) else None
            assert far.relative == (expected and pytest.approx(expected, rel=1e-9))
        assert closeness(found) == "related"
    assert compare(catalog, "base", "full").equal_bytes == 0
