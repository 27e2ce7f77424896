"""The catalog of format version 1.0 (``tests/data/make_golden_v1.py``) opens for ever, with the same numbers."""

from __future__ import annotations

import shutil
from pathlib import Path

from snapshot import contents

from trimcache import compact, open_catalog
from trimcache.rules import Rules
from trimcache.sharing.sizes import SizeAnalysis

_GOLDEN = Path(__file__).parents[1] / "data" / "golden-v1.catalog"


def test_models() -> None:
    catalog = open_catalog(_GOLDEN)
    assert catalog.rules == Rules("blake3-256", "tensor")
    assert not catalog.synthetic
    assert [(model.name, len(model.parts), model.missing) for model in catalog.models] == [
        ("org/base", 1, None),
        ("org/lora", 2, None),
        ("org/orphan", 1, "its base org/missing is not in the catalog"),
        ("org/tuned", 1, None),
    ]
    assert [part.format for part in catalog.parts] == ["safetensors", "peft", "peft", "safetensors"]


def test_sizes() -> None:
    sizes = SizeAnalysis(open_catalog(_GOLDEN)).headline
    assert (sizes.total_bytes, sizes.disk_bytes, sizes.unique_bytes) == (3146, 2421, 2047)
    assert (sizes.shared_bytes, sizes.specific_bytes, sizes.blocks) == (811, 1236, 13)
    assert (sizes.saved_on_disk_bytes, sizes.saved_bytes) == (374, 1099)


def test_sizes_by_kind() -> None:
    rows = {row.name: (row.total_bytes, row.unique_bytes, row.shared_bytes) for row in SizeAnalysis(open_catalog(_GOLDEN)).by("kind")}
    rows.pop("several", None)
    assert rows == {
        "parameter": (1536, 768, 512),
        "header": (815, 566, 249),
        "adapter": (512, 512, 0),
        "file": (275, 193, 50),
        "buffer": (8, 8, 0),
    }


def test_tensors() -> None:
    rows = {(row["part"].rsplit("/", 1)[1], row["name"]): row for row in open_catalog(_GOLDEN).table("tensors").to_pylist()}
    assert rows["base", "shared.weight"]["digest"] == rows["tuned", "shared.weight"]["digest"]
    assert rows["base", "shared.weight"]["digest"].hex() == "3e338df0bccb13fa326fb12ed3f0ff3c1de2627298820d52ca2fa608e8f1b7c2"
    assert rows["tuned", "zeros.weight"]["constant"] is True
    assert (rows["tuned", "empty"]["dtype"], rows["tuned", "empty"]["shape"], rows["tuned", "empty"]["nbytes"]) == ("bfloat16", [0, 4], 0)
    assert rows["tuned", "bn.running_mean"]["kind"] == "buffer"
    assert rows["lora", "lora_A.weight"]["kind"] == "adapter"


def test_compaction_of_a_copy_keeps_it(tmp_path: Path) -> None:
    shutil.copytree(_GOLDEN, tmp_path / "copy")
    compact(tmp_path / "copy")
    assert contents(open_catalog(tmp_path / "copy")) == contents(open_catalog(_GOLDEN))
