"""Write the data file of architectures that ``trimcache generate`` uses, or add one architecture from a ``config.json``.

    python tools/build_architectures.py -o trimcache/synthesis/architectures.json
    python tools/build_architectures.py --config my-model/config.json --name my-model -o my-architectures.json

Models are made on the meta device: no weights, no download, seconds. What ``save_pretrained`` would write is taken from the real
``save_pretrained``, with its last step (writing a file) intercepted: so names, tied weights and configuration files are its own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
from architecture_list import ENTRIES, Entry

DTYPES = {"torch.float32": "float32", "torch.float16": "float16", "torch.bfloat16": "bfloat16", "torch.int64": "int64"}
_BLOCK = re.compile(r"(?:^|\.)(?:layers|layer|h|block)\.(\d+)\.")
_STAGE_BLOCK = re.compile(r"stages\.\d+\.layers\.\d+\.")
# A probe of other sizes shows which dimensions follow the number of labels and of tokens; these collide with no real size.
MORE_LABELS, MORE_TOKENS = 8191, 65537


def build(entry: Entry, model_class: str) -> dict[str, Any]:
    """What the data file says of one architecture in one class."""
    config_class = getattr(transformers, entry.config)
    arguments = dict(entry.arguments)
    tensors, config, generation, model = save_on_paper(model_class, config_class(**arguments), entry.dtype)
    labels, vocab = config_class(**arguments).num_labels, arguments.get("vocab_size", config.get("vocab_size"))
    swollen = dict(arguments, num_labels=labels + MORE_LABELS)
    if vocab:
        swollen["vocab_size"] = vocab + MORE_TOKENS
    probe = save_on_paper(model_class, config_class(**swollen), entry.dtype)[0]
    symbols = {(labels, labels + MORE_LABELS): "labels"}
    if vocab:
        symbols[vocab, vocab + MORE_TOKENS] = "vocab"
    rows = []
    for (name, dtype, shape), (_, _, other) in zip(tensors, probe, strict=True):
        rows.append((name, dtype, [symbols[a, b] if a != b else a for a, b in zip(shape, other, strict=True)]))
    if any("labels" in row[2] for row in rows):
        for key in ("id2label", "label2id"):  # a thousand lines that follow from their number
            config.pop(key, None)
    buffers = {name for name, _ in model.named_buffers()}
    prefix = model.base_model_prefix + "." if any(row[0].startswith(model.base_model_prefix + ".") for row in rows) else ""
    layers = layer_numbers([row[0] for row in rows])
    unit = "convolution, normalisation or fully connected layer" if _by_module([row[0] for row in rows]) else "embedding or block"
    return {
        "source": entry.source,
        "class": model_class,
        "published_parameters": entry.published if model_class == entry.classes[0] else None,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "dtype": entry.dtype,
        "labels": labels if any("labels" in row[2] for row in rows) else None,
        "vocab": vocab if any("vocab" in row[2] for row in rows) else None,
        "prefix": prefix,
        "transposed": sorted({name for name, module in model.named_modules() if type(module).__name__ == "Conv1D"} and ["Conv1D"]),
        "linear": sorted({name.rpartition(".")[2] for name, module in model.named_modules() if _is_linear(module) and _BLOCK.search(name)}),
        "layer_unit": unit,
        "layers": max(layers) + 1,
        "config": config,
        "generation_config": generation,
        "tensors": folded(
            [[name, dtype, shape, layer, int(name in buffers)] for (name, dtype, shape), layer in zip(rows, layers, strict=True)]
        ),
    }


def _is_linear(module: torch.nn.Module) -> bool:
    return isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"


def save_on_paper(model_class: str, config: Any, dtype: str) -> tuple[list[tuple[str, str, list[int]]], dict[str, Any], Any, Any]:
    """Tensors in state-dict order, config.json and generation_config.json as ``save_pretrained`` of that class would write them."""
    saved: dict[str, torch.Tensor] = {}

    def intercept(tensors: dict[str, torch.Tensor], filename: str, metadata: Any = None) -> None:
        saved.update(tensors)

    with torch.device("meta"):
        model = getattr(transformers, model_class)(config)
    model.to(getattr(torch, dtype))
    modeling = transformers.modeling_utils
    with tempfile.TemporaryDirectory() as folder:
        original = modeling.safe_save_file
        modeling.safe_save_file = intercept
        try:
            model.save_pretrained(folder, max_shard_size="100TB")
        finally:
            modeling.safe_save_file = original
        written = json.loads((Path(folder) / "config.json").read_text())
        generation = Path(folder) / "generation_config.json"
        generated = json.loads(generation.read_text()) if generation.exists() else None
    return [(name, DTYPES[str(t.dtype)], list(t.shape)) for name, t in saved.items()], written, generated, model


def layer_numbers(names: list[str]) -> list[int]:
    """Position of each tensor's layer in forward order.

    Transformers are counted in blocks: what comes before the first block is layer 0, what follows the last one (final norm, pooler,
    head) is on top. Convolutional networks are counted as the TrimCaching paper does: every convolution, normalisation and fully
    connected layer is one, the shortcut last in its block (transformers registers it first).
    """
    if _by_module(names):
        modules = list(dict.fromkeys(name.rpartition(".")[0] for name in names))
        order: list[str] = []
        index = 0
        while index < len(modules):
            block = _STAGE_BLOCK.search(modules[index])
            run = [modules[index]]
            while block and index + len(run) < len(modules) and block[0] in modules[index + len(run)]:
                run.append(modules[index + len(run)])
            index += len(run)
            order += sorted(run, key=lambda module: ".shortcut." in module)
        position = {module: i for i, module in enumerate(order)}
        return [position[name.rpartition(".")[0]] for name in names]
    numbers: list[int] = []
    layer, last, seen = 0, (None, None), False
    for name in names:
        found = _BLOCK.search(name)
        if found and (name[: found.start()], found[1]) != last:
            layer, last, seen = layer + 1, (name[: found.start()], found[1]), True
        elif not found and seen and last != (None, None) and "embed" not in name:
            layer, last = layer + 1, (None, None)
        numbers.append(layer)
    return numbers


def _by_module(names: list[str]) -> bool:
    return any("convolution" in name or "dwconv" in name for name in names) and not any("attention" in name for name in names)


def folded(rows: list[list[Any]]) -> list[Any]:
    """``rows`` with runs of equal blocks written once, as ``{"repeat": [first, end], "layers": step, "tensors": [...]}``."""
    result: list[Any] = []
    index = 0
    while index < len(rows):
        found = re.search(r"\.(\d+)\.", "." + rows[index][0])
        best = None
        if found:
            stem, first = rows[index][0][: max(found.start() - 1, 0)], int(found[1])
            stem_text = stem + "." if stem else ""

            def body(number: int, start: int, stem_text: str = stem_text) -> list[list[Any]]:
                prefix = f"{stem_text}{number}."
                end = start
                while end < len(rows) and rows[end][0].startswith(prefix):
                    end += 1
                return rows[start:end]

            pattern, count = body(first, index), 1
            while pattern:
                step_rows = body(first + count, index + count * len(pattern))
                step = step_rows[0][3] - pattern[0][3] if step_rows else 0
                expected = [
                    [f"{stem_text}{first + count}.{row[0][len(f'{stem_text}{first}.') :]}", row[1], row[2], row[3] + step, row[4]]
                    for row in pattern
                ]
                per = (rows[index + len(pattern)][3] - pattern[0][3]) if index + len(pattern) < len(rows) else 0
                if step_rows != expected or step != per * count:
                    break
                count += 1
            if count > 1:
                named = [[f"{stem_text}{{}}.{row[0][len(f'{stem_text}{first}.') :]}", *row[1:]] for row in pattern]
                best = {"repeat": [first, first + count], "layers": per, "tensors": named}
                index += count * len(pattern)
        if best:
            result.append(best)
        else:
            result.append(rows[index])
            index += 1
    return result


def from_config(path: Path, name: str) -> dict[str, Any]:
    """One architecture, named, from a ``config.json``."""
    config = json.loads(path.read_text(encoding="utf-8"))
    model_class = config["architectures"][0]
    loaded = transformers.AutoConfig.for_model(**{key: value for key, value in config.items() if key != "transformers_version"})
    arguments = {key: value for key, value in loaded.to_dict().items() if key not in ("transformers_version", "id2label", "label2id")}
    arguments["num_labels"] = loaded.num_labels
    dtype = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    entry = Entry(name, str(path.name), (model_class,), type(loaded).__name__, arguments, dtype)
    return {name: build(entry, model_class)}


def main() -> int:
    """Build what is asked for and write it."""
    parser = argparse.ArgumentParser(description="Write the architectures that trimcache generate can use.")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--config", type=Path, help="a config.json to add; without it, the shipped list is built")
    parser.add_argument("--name", help="what to call it")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    document: dict[str, Any] = {}
    if options.config:
        with contextlib.suppress(FileNotFoundError):
            document = json.loads(options.output.read_text())["architectures"]
        document |= from_config(options.config, options.name or options.config.parent.name)
    else:
        for entry in ENTRIES:
            for model_class in entry.classes:
                name = entry.name if model_class == entry.classes[0] else f"{entry.name}-classifier"
                document[name] = {"trunk": entry.name} | build(entry, model_class)
                built = document[name]
                verdict = {None: "not published", built["parameters"]: "as published"}.get(built["published_parameters"], "DIFFERS")
                print(f"{name:28} {built['parameters']:>15,} parameters, {verdict}", file=sys.stderr)
    lines = [f"  {json.dumps(name)}: {compact(value)}" for name, value in document.items()]
    made_by = f"tools/build_architectures.py, transformers {transformers.__version__}"
    options.output.write_text(f'{{"made_by": "{made_by}", "architectures": {{\n' + ",\n".join(lines) + "\n}}\n", encoding="utf-8")
    return 0


def compact(entry: dict[str, Any]) -> str:
    """One architecture as JSON, a line a key and a line a tensor."""
    lines = []
    for key, value in entry.items():
        if key == "tensors":
            rows = ",\n      ".join(json.dumps(row) for row in value)
            lines.append(f'    "tensors": [\n      {rows}\n    ]')
        else:
            lines.append(f"    {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n  }"


if __name__ == "__main__":
    sys.exit(main())
