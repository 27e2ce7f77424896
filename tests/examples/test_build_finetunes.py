"""What the demo's fine-tunes promise, asserted on the manifest and on the files themselves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from finetunes.builder import WEIGHT_FILES, build, is_complete
from finetunes.manifest import Entry, Manifest
from finetunes.recipes import FAMILIES, RECIPES, Recipe
from finetunes_fixture import BUILDER

pytestmark = pytest.mark.slow

# Layers of the whole network, and the range of frozen ones, of the paper's special case.
PAPER_DEPTHS = {"resnet18": (41, range(29, 41)), "resnet34": (73, range(49, 73))}
# A classifier with 10 labels: the paper's 44,949,808 and 85,412,272 bytes less 90 rows of 513 floats each.
BASE_TENSOR_BYTES = {"resnet18": 44_949_808 - 90 * 513 * 4, "resnet34": 85_412_272 - 90 * 513 * 4}


class Silent:
    """A watcher that counts."""

    def __init__(self) -> None:
        self.built: list[str] = []
        self.reused: list[str] = []

    def started(self, recipe: Recipe) -> None: ...

    def stepped(self, done: int, total: int) -> None: ...

    def finished(self, entry: Entry, reused: bool) -> None:
        (self.reused if reused else self.built).append(entry.path)


def raw_tensors(file: Path) -> dict[str, bytes]:
    """Name -> bytes of each tensor, read with nothing but json: independent of what built and checked the files."""
    content = file.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    return {name: content[start + info["data_offsets"][0] : start + info["data_offsets"][1]] for name, info in header.items()}


@pytest.fixture(scope="session")
def manifest(finetunes: Path) -> Manifest:
    return Manifest.load(finetunes)


@pytest.fixture(scope="session")
def of_kind(manifest: Manifest) -> Callable[..., list[Entry]]:
    return lambda *kinds: [entry for entry in manifest.models if entry.kind in kinds]


def equal_to_parent(folder: Path, entry: Entry) -> tuple[set[str], set[str]]:
    """(all tensor names of a model, those whose bytes equal the parent's tensor of that name)."""
    ours = raw_tensors(folder / entry.path / entry.weights_file)
    theirs = raw_tensors(folder / str(entry.parent) / "model.safetensors")
    return set(ours), {name for name, data in ours.items() if theirs.get(name.removeprefix(entry.parent_prefix)) == data}


def test_manifest_lists_every_model_and_its_files(finetunes: Path, manifest: Manifest) -> None:
    assert manifest.complete
    assert [entry.path for entry in manifest.models] == [recipe.path for recipe in RECIPES]
    assert {"python", "torch", "transformers", "peft"} <= set(manifest.libraries)
    for entry in manifest.models:
        on_disk = {str(f.relative_to(finetunes / entry.path)): f.stat().st_size for f in (finetunes / entry.path).rglob("*") if f.is_file()}
        assert on_disk == entry.files
        assert entry.weights_file in WEIGHT_FILES


def test_each_family_has_the_promised_kinds(manifest: Manifest) -> None:
    def count(family: str, kind: str) -> int:
        return sum(entry.kind == kind and entry.path.startswith(family + "/") for entry in manifest.models)

    for family in PAPER_DEPTHS:
        assert count(family, "base") == 1
        assert count(family, "frozen") >= 4
    assert [count("minilm", kind) for kind in ("base", "frozen", "full", "lora", "merged")] == [1, 2, 1, 2, 1]
    assert [count("decoder", kind) for kind in ("base", "frozen", "lora", "merged")] == [1, 1, 2, 1]


def test_bases_learned_their_task(manifest: Manifest) -> None:
    for family in PAPER_DEPTHS:
        base = manifest.entry(f"{family}/base")
        assert base is not None
        assert base.after is not None
        assert base.after >= 0.9
    decoder = manifest.entry("decoder/base")
    assert decoder is not None
    assert decoder.before is not None
    assert decoder.after is not None
    assert decoder.after <= 0.8 * decoder.before


def test_every_finetune_ends_better_than_it_began(manifest: Manifest) -> None:
    for entry in manifest.models:
        if entry.path == "minilm/base":
            continue
        assert entry.before is not None, entry.path
        assert entry.after is not None, entry.path
        if entry.higher_is_better:
            assert entry.after > max(entry.before, entry.chance or 0), entry.path
        else:
            assert entry.after < entry.before, entry.path


def test_tasks_are_distinct(manifest: Manifest) -> None:
    for family in FAMILIES:
        # A merged model is its adapter's twin: the same task by intent.
        members = [entry for entry in manifest.models if entry.path.startswith(family + "/") and entry.kind != "merged"]
        assert len({entry.task for entry in members}) == len(members)
        assert len({entry.task_description for entry in members}) == len(members)


def test_depths_are_distinct_and_in_the_papers_ranges(manifest: Manifest) -> None:
    for family, (n_layers, depths) in PAPER_DEPTHS.items():
        frozen = [entry for entry in manifest.models if entry.path.startswith(family + "/") and entry.kind == "frozen"]
        assert {entry.n_layers for entry in frozen} == {n_layers}
        assert len({entry.frozen_layers for entry in frozen}) == len(frozen)
        assert all(entry.frozen_layers in depths for entry in frozen)


def test_cnns_have_their_true_sizes(finetunes: Path) -> None:
    for family, nbytes in BASE_TENSOR_BYTES.items():
        tensors = raw_tensors(finetunes / family / "base" / "model.safetensors")
        assert sum(map(len, tensors.values())) == nbytes


def test_frozen_finetunes_share_exactly_the_frozen_tensors(finetunes: Path, of_kind: Callable[..., list[Entry]]) -> None:
    for entry in of_kind("frozen"):
        names, equal = equal_to_parent(finetunes, entry)
        trained = set(entry.trained_tensors)
        assert trained <= names, entry.path
        assert equal - set(entry.equal_by_coincidence) == names - trained, entry.path
        assert set(entry.equal_by_coincidence) <= trained, entry.path


def test_frozen_batch_norm_statistics_are_shared_too(finetunes: Path, of_kind: Callable[..., list[Entry]]) -> None:
    entry = next(entry for entry in of_kind("frozen") if entry.path.startswith("resnet18/"))
    names, equal = equal_to_parent(finetunes, entry)
    statistics = {name for name in names if "running_" in name or "num_batches" in name}
    assert statistics & equal == statistics - set(entry.trained_tensors)
    assert statistics & equal
    assert statistics - equal


def test_full_finetune_shares_no_trained_tensor(finetunes: Path, of_kind: Callable[..., list[Entry]]) -> None:
    for entry in of_kind("full"):
        names, equal = equal_to_parent(finetunes, entry)
        assert set(entry.trained_tensors) == names
        assert equal == set()


def test_merged_lora_touches_exactly_the_targets(finetunes: Path, of_kind: Callable[..., list[Entry]]) -> None:
    for entry in of_kind("merged"):
        names, equal = equal_to_parent(finetunes, entry)
        config = json.loads((finetunes / str(entry.adapter) / "adapter_config.json").read_text())
        targets = tuple(f".{target}.weight" for target in config["target_modules"])
        new_head = {name for name in names if name.startswith("classifier.")}
        touched = {name for name in names if name.endswith(targets)} | new_head
        assert touched == set(entry.trained_tensors)
        assert names - equal == touched


def test_adapters_load_onto_their_base(finetunes: Path, of_kind: Callable[..., list[Entry]]) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    for entry in of_kind("lora"):
        folder = finetunes / entry.path
        config = json.loads((folder / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == entry.parent
        assert set(raw_tensors(folder / entry.weights_file)) == set(entry.trained_tensors)
        if config["task_type"] == "SEQ_CLS":
            base = AutoModelForSequenceClassification.from_pretrained(finetunes / str(entry.parent), num_labels=2)
        else:
            base = AutoModelForCausalLM.from_pretrained(finetunes / str(entry.parent))
        PeftModel.from_pretrained(base, folder)


def test_merged_model_does_as_well_as_its_adapter(manifest: Manifest, of_kind: Callable[..., list[Entry]]) -> None:
    for entry in of_kind("merged"):
        adapter = manifest.entry(str(entry.adapter))
        assert adapter is not None
        assert entry.before == pytest.approx(adapter.before)
        # Adding the product into the weights rounds differently: one passage in 128 may tip over.
        assert entry.after == pytest.approx(adapter.after, abs=0.01)


def test_no_file_names_a_place_on_this_machine(finetunes: Path, manifest: Manifest) -> None:
    for entry in manifest.models:
        for name in entry.files:
            if name.endswith((".json", ".md")) and not name.startswith(("tokenizer.json", "vocab")):
                assert str(finetunes) not in (finetunes / entry.path / name).read_text(encoding="utf-8"), name
    assert str(finetunes) not in (finetunes / "manifest.json").read_text(encoding="utf-8")


def test_second_run_builds_nothing_and_needs_no_torch(finetunes: Path) -> None:
    code = (
        "import sys, build_finetunes\ncode = build_finetunes.main(['-o', sys.argv[1]])\nassert 'torch' not in sys.modules\nsys.exit(code)"
    )
    environment = os.environ | {"PYTHONPATH": str(BUILDER.parent)}
    done = subprocess.run([sys.executable, "-c", code, str(finetunes)], check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "nothing to build" in done.stdout


def test_an_interrupted_model_is_built_again_to_the_same_bytes(finetunes: Path, tmp_path: Path, manifest: Manifest) -> None:
    """Resuming from what a kill leaves (a half-filled hidden folder, no entry) gives what an unbroken run gave."""
    victim = "decoder/lora-words"
    kept = [e for e in manifest.models if e.path.startswith("decoder/") and victim not in (e.path, e.adapter)]
    for entry in kept:
        shutil.copytree(finetunes / entry.path, tmp_path / entry.path)
    Manifest(manifest.seed, False, manifest.libraries, kept).save(tmp_path)
    (tmp_path / "decoder" / ".lora-words.partial").mkdir()
    (tmp_path / "decoder" / ".lora-words.partial" / "adapter_model.safetensors").write_bytes(b"half")

    command = [sys.executable, str(BUILDER), "-o", str(tmp_path), "--only", "decoder", "--seed", str(manifest.seed)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rebuilt, before = Manifest.load(tmp_path).entry(victim), manifest.entry(victim)
    assert rebuilt is not None
    assert before is not None
    assert rebuilt.weights_sha256 == before.weights_sha256
    assert not list((tmp_path / "decoder").glob(".*"))
    for name in rebuilt.files:
        assert (tmp_path / victim / name).read_bytes() == (finetunes / victim / name).read_bytes(), name


def test_a_changed_parent_strikes_its_children(finetunes: Path, tmp_path: Path, manifest: Manifest) -> None:
    """Nothing is trained here: with the base missing, no entry of the family may survive, and the others must."""
    kept = [entry for entry in manifest.models if entry.path.startswith("decoder/")]
    for entry in kept:
        shutil.copytree(finetunes / entry.path, tmp_path / entry.path)
    Manifest(manifest.seed, False, {}, kept).save(tmp_path)
    shutil.rmtree(tmp_path / "decoder" / "lora-words")
    watcher = Silent()
    build(tmp_path, watcher, seed=manifest.seed, families=())
    assert {entry.path for entry in Manifest.load(tmp_path).models} == {entry.path for entry in kept if "lora-words" not in entry.path}
    shutil.rmtree(tmp_path / "decoder" / "base")
    build(tmp_path, watcher, seed=manifest.seed, families=())
    assert Manifest.load(tmp_path).models == []
    assert not is_complete(tmp_path)


def test_unknown_family_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, str(BUILDER), "-o", str(tmp_path), "--only", "vgg"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "resnet18" in done.stderr
