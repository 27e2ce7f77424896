"""Adapters and their merged twins, through peft."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from peft import LoraConfig, PeftModel, get_peft_model

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

RANK = 8


def add_adapter(model: PreTrainedModel, task_type: str, targets: list[str]) -> PeftModel:
    """Freeze the model and add a fresh rank-8 adapter to the named projections: until trained, it changes nothing.

    No dropout, so that training is repeatable whatever the batch order of random draws.
    """
    config = LoraConfig(task_type=task_type, r=RANK, lora_alpha=2 * RANK, lora_dropout=0.0, target_modules=targets)
    return get_peft_model(model, config)


def save_adapter(model: PeftModel, folder: Path, base: str) -> None:
    """Write the adapter folder, naming its base by its path below the output folder, so that the whole may be moved.

    peft would write an absolute path, a model card that is an empty form, and sets in hash order; none of it survives here.
    """
    model.peft_config["default"].base_model_name_or_path = base
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    config_file = folder / "adapter_config.json"
    config = json.loads(config_file.read_text(encoding="utf-8"))
    for key in ("target_modules", "modules_to_save"):
        if config.get(key):
            config[key] = sorted(config[key])
    config_file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def merge_adapter(model: PreTrainedModel, folder: Path) -> tuple[PreTrainedModel, list[str]]:
    """The base with the adapter in `folder` added into its weights, and the names of the weights that this changed."""
    adapted = PeftModel.from_pretrained(model, folder)
    changed = _touched_weights(adapted)
    return adapted.merge_and_unload(), changed


def _touched_weights(adapted: PeftModel) -> list[str]:
    """State dict names (of the plain model) of the weights an adapter adds to, and of the modules it replaces."""
    touched = []
    for name, module in adapted.get_base_model().named_modules():
        if hasattr(module, "lora_A"):
            touched.append(f"{name}.weight")
        elif hasattr(module, "modules_to_save"):
            replacement: nn.Module = module.modules_to_save["default"]
            touched += [f"{name}.{parameter}" for parameter, _ in replacement.named_parameters()]
    return sorted(touched)
