"""Every kind of adapter that peft saves, as safetensors and as ``.bin``: the same tensors, all of them the adapter's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch_truth import truth
from transformers import LlamaConfig, LlamaForCausalLM

from extractors.peft import PeftExtractor
from trimcache.tensors import Extraction, Kind
from trimcache.testing import RangeOnlyPart

_TARGETS = {"target_modules": ["q_proj", "v_proj"]}
_PROMPT = {"task_type": "CAUSAL_LM", "num_virtual_tokens": 4}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "LoRA": ("LoraConfig", {**_TARGETS, "r": 2}),
    "LoRA with embeddings": ("LoraConfig", {**_TARGETS, "r": 2, "modules_to_save": ["lm_head"]}),
    "DoRA": ("LoraConfig", {**_TARGETS, "r": 2, "use_dora": True}),
    "rsLoRA": ("LoraConfig", {**_TARGETS, "r": 2, "use_rslora": True}),
    "AdaLoRA": ("AdaLoraConfig", {**_TARGETS, "total_step": 10}),
    "IA3": ("IA3Config", {**_TARGETS, "feedforward_modules": []}),
    "LoHa": ("LoHaConfig", {**_TARGETS, "r": 2}),
    "LoKr": ("LoKrConfig", {**_TARGETS, "r": 2}),
    "OFT": ("OFTConfig", {**_TARGETS, "r": 0, "oft_block_size": 4}),
    "BOFT": ("BOFTConfig", {**_TARGETS, "boft_block_size": 4}),
    "VeRA": ("VeraConfig", {"target_modules": ["q_proj"], "r": 2}),
    "FourierFT": ("FourierFTConfig", {**_TARGETS, "n_frequency": 8}),
    "HRA": ("HRAConfig", {**_TARGETS, "r": 2}),
    "VB-LoRA": ("VBLoRAConfig", {**_TARGETS, "r": 2, "num_vectors": 8, "vector_length": 4, "topk": 1}),
    "LN tuning": ("LNTuningConfig", {"target_modules": ["input_layernorm"]}),
    "trainable tokens": ("TrainableTokensConfig", {"token_indices": [0, 3]}),
    "prompt tuning": ("PromptTuningConfig", _PROMPT),
    "prefix tuning": ("PrefixTuningConfig", _PROMPT),
    "p-tuning": ("PromptEncoderConfig", {**_PROMPT, "encoder_hidden_size": 8}),
    "multitask prompt tuning": ("MultitaskPromptTuningConfig", _PROMPT),
    "adaption prompt": ("AdaptionPromptConfig", {"task_type": "CAUSAL_LM", "adapter_len": 2, "adapter_layers": 1}),
}


@pytest.fixture(scope="module")
def base_config() -> LlamaConfig:
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 20}
    return LlamaConfig(**sizes, num_key_value_heads=2, max_position_embeddings=16)


def _extracted(folder: Path, name: str) -> tuple[Extraction, dict[str, tuple[str, tuple[int, ...], bytes]]]:
    part = RangeOnlyPart({path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})
    assert PeftExtractor().claims(name, part)
    with part.open(name) as source:
        found = PeftExtractor().extract(source, part)
    with part.open(name) as source:
        return found, {t.name: (t.dtype, t.shape, bytes(t.whole(source))) for t in found.tensors}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_both_files_of_an_adapter_hold_the_same(kind: str, base_config: LlamaConfig, tmp_path: Path) -> None:
    class_name, options = KINDS[kind]
    torch.manual_seed(0)
    model = peft.get_peft_model(LlamaForCausalLM(base_config), getattr(peft, class_name)(**options))
    model.peft_config["default"].base_model_name_or_path = "org/base" if kind != "LoRA" else None
    model.save_pretrained(tmp_path / "new", safe_serialization=True)
    state = peft.get_peft_model_state_dict(model)
    old = tmp_path / "old"
    old.mkdir()
    torch.save(state, old / "adapter_model.bin")  # as peft wrote it before it wrote safetensors
    (old / "adapter_config.json").write_bytes((tmp_path / "new" / "adapter_config.json").read_bytes())

    found, ours = _extracted(tmp_path / "new", "adapter_model.safetensors")
    found_old, ours_old = _extracted(old, "adapter_model.bin")
    assert ours == ours_old == {name: truth(tensor) for name, tensor in state.items()}
    assert found.tensors
    assert {tensor.kind for tensor in (*found.tensors, *found_old.tensors)} == {Kind.ADAPTER}
    assert found.declared_base == found_old.declared_base == ("org/base" if kind != "LoRA" else None)
    assert found.metadata["peft_type"] == model.peft_config["default"].peft_type.value
