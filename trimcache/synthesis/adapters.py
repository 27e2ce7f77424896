"""LoRA adapters as peft writes them: ``adapter_model.safetensors`` and ``adapter_config.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from trimcache.errors import UsageError
from trimcache.synthesis.architectures import Architecture, TensorShape, nearest

# Every key that peft 0.21.2 writes, with its value for a plain LoRA without dropout.
_CONFIG: dict[str, object] = {
    "alora_invocation_tokens": None, "alpha_pattern": {}, "arrow_config": None, "auto_mapping": None, "bias": "none",
    "corda_config": None, "ensure_weight_tying": False, "eva_config": None, "exclude_modules": None, "fan_in_fan_out": False,
    "inference_mode": True, "init_lora_weights": True, "kasa_config": None, "layer_replication": None, "layers_pattern": None,
    "layers_to_transform": None, "loftq_config": {}, "lora_bias": False, "lora_dropout": 0.0, "lora_ga_config": None,
    "megatron_config": None, "megatron_core": "megatron.core", "modules_to_save": None, "monteclora_config": None,
    "peft_type": "LORA", "peft_version": "0.21.2", "qalora_group_size": 16, "rank_pattern": {}, "revision": None,
    "target_parameters": None, "trainable_token_indices": None, "use_bdlora": None, "use_dora": False, "use_qalora": False,
    "use_rslora": False, "velora_config": None,
}  # fmt: skip
# peft's defaults for each architecture, where a preset says nothing else (peft.utils.constants).
DEFAULT_TARGETS = {"query": ("query", "value"), "q_proj": ("q_proj", "v_proj"), "c_attn": ("c_attn",), "q": ("q", "v"),
                   "q_lin": ("q_lin", "v_lin"), "qkv_proj": ("qkv_proj",)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LoraSpec:
    """Rank and target modules (last components of module names) of an adapter.

    Attributes:
        labels: of the classifier that is trained and saved with the adapter, None if there is none.
    """

    rank: int
    targets: tuple[str, ...]
    labels: int | None = None


def default_targets(arch: Architecture) -> tuple[str, ...]:
    """What peft targets if not told otherwise; all linear maps of the blocks if peft has no default.

    Raises:
        UsageError: the architecture has no linear maps in blocks.
    """
    for key, targets in DEFAULT_TARGETS.items():
        if key in arch.linear:
            return targets
    if not arch.linear:
        raise UsageError(f"architecture {arch.name}", "has no linear maps that LoRA could adapt", "choose a transformer")
    return arch.linear


def targeted(arch: Architecture, spec: LoraSpec) -> list[TensorShape]:
    """The weights that an adapter adds to, in state-dict order.

    Raises:
        UsageError: no such module, or a rank that the smallest of them cannot have.
    """
    for target in spec.targets:
        if target not in arch.linear:
            raise UsageError(f"target {target!r}", f"is no linear map of {arch.name}", nearest(target, dict.fromkeys(arch.linear)))
    pattern = re.compile(rf"\.(?:{'|'.join(map(re.escape, spec.targets))})\.weight$")
    weights = [tensor for tensor in arch.tensors() if pattern.search(tensor.name) and len(tensor.shape) == 2]
    widest = min(min(tensor.shape) for tensor in weights)
    if not 1 <= spec.rank <= widest:
        raise UsageError(f"rank {spec.rank}", f"is impossible for {arch.name}", f"choose one from 1 to {widest}")
    return weights


def adapter_tensors(arch: Architecture, spec: LoraSpec) -> list[tuple[str, TensorShape]]:
    """Tensors of the adapter's file with their slots: its own matrices, and a classifier if one is saved with it."""
    result = []
    for weight in targeted(arch, spec):
        module = weight.name.removesuffix(".weight")
        n_in, n_out = weight.shape if arch.transposed else weight.shape[::-1]
        for half, shape in (("lora_A", (spec.rank, n_in)), ("lora_B", (n_out, spec.rank))):
            name = f"base_model.model.{module}.{half}.weight"
            result.append((f"adapter.{name}", TensorShape(name, "float32", shape, weight.layer)))
    if spec.labels is not None:
        for tensor in arch.tensors(labels=spec.labels):
            if arch.slot(tensor.name) in arch.head_slots or tensor.name.startswith("classifier."):
                result.append(
                    (arch.slot(tensor.name), TensorShape(f"base_model.model.{tensor.name}", tensor.dtype, tensor.shape, tensor.layer))
                )
    return result


def adapter_config(arch: Architecture, spec: LoraSpec, base: str) -> bytes:
    """``adapter_config.json``."""
    document = dict(_CONFIG)
    document |= {
        "base_model_name_or_path": base,
        "r": spec.rank,
        "lora_alpha": 2 * spec.rank,
        "target_modules": _sorted(spec.targets),
        "task_type": "CAUSAL_LM" if spec.labels is None else "SEQ_CLS",
        "fan_in_fan_out": arch.transposed,
    }
    if spec.labels is not None:
        document["modules_to_save"] = ["classifier", "score"]
    return json.dumps(document, indent=2, sort_keys=True).encode()


def _sorted(targets: Sequence[str]) -> list[str]:
    return sorted(targets)
