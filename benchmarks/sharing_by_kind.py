"""How much do models share exactly, by what was done to them? Never one blended ratio: a row a kind.

python benchmarks/sharing_by_kind.py [--finetunes demo/finetunes] [--models 1000]

Each row asks: the base is stored; how many bytes does this model add? ``already there`` is the rest of its files. The last column estimates
what lossless differences of the changed tensors would take instead (``trimcache compare``); trimcache does not store differences.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import model_copies

import trimcache as tc
from trimcache.graph import ModelBlockGraph
from trimcache.sharing.compare import compare
from trimcache.sharing.compare_headline import percent
from trimcache.sizes import format_size
from trimcache.synthesis.architectures import load_architectures
from trimcache.synthesis.hub_library import kind_of_family
from trimcache.synthesis.library import generate_preset
from trimcache.synthesis.presets import build

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))
from fetch_weights import fetch  # noqa: E402
from finetunes.recipes import RECIPES  # noqa: E402


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--finetunes", type=Path, default=Path("demo/finetunes"), help="what `make demo` trained")
    parser.add_argument("--models", type=int, default=1000, help="of each generated catalog")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        install_torchani_extractor(Path(folder) / "installed")
        trained(options.finetunes.resolve(), Path(folder))
        published(Path(folder))
        generated(options.models, Path(folder))


# -- trained here -----------------------------------------------------------------------------------------------------


def trained(finetunes: Path, folder: Path) -> None:
    """The demo's fine-tunes and copies of them, each beside the model that it was made from."""
    base, frozen = finetunes / "minilm" / "base", finetunes / "minilm" / "is-code"
    copies = folder / "copies"
    model_copies.reuploaded(base, copies / "reupload")
    model_copies.as_torch(base, copies / "as-torch")
    model_copies.in_shards(base, copies / "in-shards")
    model_copies.cast(base, copies / "float16", "float16")
    model_copies.cast(base, copies / "bfloat16", "bfloat16")
    model_copies.cast(frozen, copies / "is-code-float16", "float16")
    model_copies.with_tokens(base, copies / "8-tokens", "embeddings.word_embeddings.weight", 8)
    model_copies.quantized(base, copies / "base-q8_0.gguf")
    model_copies.quantized(frozen, copies / "is-code-q8_0.gguf")
    rows = [
        ("uploaded again", "the card is another", "minilm/base", "reupload"),
        ("uploaded again", "as torch `.bin`", "minilm/base", "as-torch"),
        ("uploaded again", "in two shards", "minilm/base", "in-shards"),
    ]
    manifest = json.loads((finetunes / "manifest.json").read_text(encoding="utf-8"))
    layers = {row["path"]: row["n_layers"] for row in manifest["models"]}
    rows += [("LoRA adapter", recipe.path, str(recipe.parent), recipe.path) for recipe in RECIPES if recipe.kind == "lora"]
    frozen_ones = [(layers[recipe.path] - (recipe.frozen_layers or 0), recipe) for recipe in RECIPES if recipe.kind == "frozen"]
    for n_trained, recipe in sorted(frozen_ones, key=lambda one: one[0]):
        kind = "head only" if recipe.family.startswith("resnet") and n_trained == 1 else "frozen bottom"
        rows.append((kind, f"{recipe.path}, {recipe.frozen_layers} of {layers[recipe.path]} layers", str(recipe.parent), recipe.path))
    rows += [("LoRA, merged", recipe.path, str(recipe.parent), recipe.path) for recipe in RECIPES if recipe.kind == "merged"]
    rows += [
        ("tokens added", "8 rows", "minilm/base", "8-tokens"),
        ("full fine-tune", "minilm/full", "minilm/base", "minilm/full"),
        ("cast", "to float16", "minilm/base", "float16"),
        ("cast", "to bfloat16", "minilm/base", "bfloat16"),
        ("quantized", "GGUF Q8_0", "minilm/base", "base-q8_0.gguf"),
        ("cast, beside its base cast", "minilm/is-code, float16", "float16", "is-code-float16"),
        ("quantized, beside its base quantized", "minilm/is-code, Q8_0", "base-q8_0.gguf", "is-code-q8_0.gguf"),
    ]
    catalog = tc.scan([finetunes, copies], folder / "trained.catalog")
    graph = catalog.graph()
    print("| what was done | model | its files | adds | already there | as a difference |\n|---|---|---|---|---|---|")
    for kind, detail, parent, child in rows:
        size, new = beside(graph, catalog.find_model(parent).name, catalog.find_model(child).name)
        found = compare(catalog, parent, child)
        estimate = found.estimated_extra_bytes
        difference = "" if estimate is None or not found.changed.measured_bytes else format_size(estimate)
        print(f"| {kind} | {detail} | {format_size(size)} | {format_size(new)} | {percent(1 - new / size)} | {difference} |")
    print()


def beside(graph: ModelBlockGraph, parent: str, child: str) -> tuple[int, int]:
    """All bytes of ``child``'s files, and how many it adds where ``parent`` is stored."""
    [index] = graph.model_indices([child])
    return int(graph.model_bytes[index]), graph.set_bytes([parent, child]) - graph.set_bytes([parent])


# -- published --------------------------------------------------------------------------------------------------------


def published(folder: Path) -> None:
    """Weights out of packages: torchani's sixteen networks, silero's one model in nine files."""
    catalog = tc.scan(fetch("torchani"), folder / "torchani.catalog")
    graph = catalog.graph()
    pairs = [beside(graph, f"ani-1x_8x/train{k}", f"ani-1ccx_8x/train{k}") for k in range(8)]
    across = [beside(graph, "ani-1x_8x/train0", f"ani-1x_8x/train{k}") for k in range(1, 8)]
    print("| published models | files | adds | already there |\n|---|---|---|---|")
    for what, rows in (("8 torchani networks, fine-tuned with two of four layers frozen, each beside its base", pairs),
                       ("7 torchani networks of one architecture, trained alone, each beside the first", across)):  # fmt: skip
        size, new = map(sum, zip(*rows, strict=True))
        print(f"| {what} | {format_size(size)} | {format_size(new)} | {percent(1 - new / size)} |")
    catalog = tc.scan(fetch("silero-vad"), folder / "silero.catalog")
    graph = catalog.graph()
    for name in graph.model_names:
        if name != "silero_vad.onnx":
            size, new = beside(graph, "silero_vad.onnx", name)
            print(f"| `{name}` beside `silero_vad.onnx` | {format_size(size)} | {format_size(new)} | {percent(1 - new / size)} |")
    print()


def install_torchani_extractor(folder: Path) -> None:
    """What ``pip install examples/trimcache-torchani`` would make findable, for this process alone."""
    info = folder / "trimcache_torchani-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: trimcache-torchani\nVersion: 0\n", encoding="utf-8")
    entry = "[trimcache.extractors]\ntorchani = trimcache_torchani:TorchaniExtractor\n"
    (info / "entry_points.txt").write_text(entry, encoding="utf-8")
    sys.path[:0] = [str(folder), str(EXAMPLES / "trimcache-torchani")]


# -- generated --------------------------------------------------------------------------------------------------------


def generated(n_models: int, folder: Path) -> None:
    """Synthetic catalogs, a row for each kind of family and regime."""
    print("| generated (synthetic) | models | files | adds | already there | least to most |\n|---|---|---|---|---|---|")
    for preset in ("hub-mixed", "llm-lora", "paper-special"):
        root = folder / f"{preset}.catalog"
        generate_preset(preset, n_models, root)
        found = of_regimes(preset, n_models, tc.open_catalog(root).graph())
        for (kind, regime), pairs in sorted(found.items()):
            shares = [1 - new / size for size, new in pairs]
            size, new = map(sum, zip(*pairs, strict=True))
            spread = f"{percent(min(shares))} to {percent(max(shares))}"
            print(
                f"| {preset}, {kind}: {regime} | {len(pairs)} | {format_size(size)} | {format_size(new)} "
                f"| {percent(1 - new / size)} | {spread} |"
            )
    print()


def of_regimes(preset: str, n_models: int, graph: ModelBlockGraph) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """(bytes of files, bytes added) of every model beside its nearest listed ancestor, by kind of family and regime.

    Where the ancestor is not in the library (the paper's pretrained networks), beside all other models of it.
    """
    forest = build(preset, n_models, 0)
    architectures = load_architectures()
    present = set(graph.model_names)
    holders, found = graph.holders(), defaultdict(list)
    for node in range(len(forest)):
        # What a copy copied may be a sibling; nobody needs a measurement of it.
        if not forest.listed[node] or forest.parent[node] < 0 or forest.name[node] not in present or forest.regime[node] == "copy":
            continue
        up = forest.parent[node]
        while up >= 0 and (not forest.listed[up] or forest.regime[up] == "lora"):
            up = forest.parent[up]
        [index] = graph.model_indices([forest.name[node]])
        size = int(graph.model_bytes[index])
        if up >= 0:
            _, new = beside(graph, forest.name[up], forest.name[node])
        else:
            blocks = graph.blocks_of(int(index))
            new = int(graph.block_bytes[blocks][holders[blocks] == 1].sum())
        kind = _kind(forest.name, forest.parent, node, architectures)
        found[kind, forest.regime[node]].append((size, new))
    return found


def _kind(names: Sequence[str], parents: Sequence[int], node: int, architectures: object) -> str:
    while parents[node] >= 0:
        node = parents[node]
    known = [name for name in architectures if name in names[node]]  # type: ignore[attr-defined]
    kind = kind_of_family(architectures[max(known, key=len)])  # type: ignore[index]
    return {"decoder": "language models", "encoder": "text encoders", "vision": "image models", "other": "speech, text to text"}[kind]


if __name__ == "__main__":
    main()
