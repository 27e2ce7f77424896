"""GGUF files at their true quantized sizes, as llama.cpp's ``convert_hf_to_gguf`` and ``llama-quantize`` make them.

Block sizes: ``ggml-common.h`` of ggml. Mixtures (which tensor gets which type in Q4_K_M and the like): ``llama_tensor_get_type`` of
llama.cpp. Norms and other vectors stay float32. Tensors start at multiples of 32 bytes (``general.alignment``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from trimcache.errors import UsageError
from trimcache.synthesis.architectures import Architecture, TensorShape, nearest

ALIGNMENT = 32
# type: (elements a block, bytes a block)
BLOCKS = {
    "f32": (1, 4), "f16": (1, 2), "q8_0": (32, 34), "q4_0": (32, 18), "q5_0": (32, 22),
    "q2_k": (256, 84), "q3_k": (256, 110), "q4_k": (256, 144), "q5_k": (256, 176), "q6_k": (256, 210),
}  # fmt: skip
# mixture: (most matrices, half of attention values and of feed-forward outputs, output matrix)
MIXTURES = {
    "F16": ("f16", "f16", "f16"),
    "Q8_0": ("q8_0", "q8_0", "q8_0"),
    "Q6_K": ("q6_k", "q6_k", "q6_k"),
    "Q5_K_M": ("q5_k", "q6_k", "q6_k"),
    "Q4_K_M": ("q4_k", "q6_k", "q6_k"),
    "Q4_0": ("q4_0", "q4_0", "q6_k"),
}
# Names after conversion (gguf.tensor_mapping): those of Llama and its relatives.
_NAMES = (
    (re.compile(r"^model\.embed_tokens\."), "token_embd."),
    (re.compile(r"^model\.norm\."), "output_norm."),
    (re.compile(r"^model\.final_layernorm\."), "output_norm."),
    (re.compile(r"^lm_head\."), "output."),
    (re.compile(r"^model\.layers\.(\d+)\."), r"blk.\1."),
    (re.compile(r"\.self_attn\.([qkv])_proj\."), r".attn_\1."),
    (re.compile(r"\.self_attn\.qkv_proj\."), ".attn_qkv."),
    (re.compile(r"\.self_attn\.(?:o_proj|dense)\."), ".attn_output."),
    (re.compile(r"\.mlp\.gate_proj\."), ".ffn_gate."),
    (re.compile(r"\.mlp\.(?:gate_up_proj|up_proj|fc1)\."), ".ffn_up."),
    (re.compile(r"\.mlp\.(?:down_proj|fc2)\."), ".ffn_down."),
    (re.compile(r"\.input_layernorm\."), ".attn_norm."),
    (re.compile(r"\.(?:post_attention|pre_feedforward)_layernorm\."), ".ffn_norm."),
)
# Bytes of the key-value section beside its tokens: general.*, architecture and tokenizer settings. Assumption: 1.5 kB.
_SETTINGS_NBYTES = 1536
# One token: 8 bytes of length, its text (assumption: 6 bytes), 4 bytes of type and of score or merge.
_TOKEN_NBYTES = 8 + 6 + 8


@dataclass(frozen=True, slots=True)
class QuantizedTensor:
    """One tensor of a GGUF file: ``source`` is what it was made from."""

    source: TensorShape
    name: str
    encoding: str
    offset: int
    nbytes: int


def convertible(arch: Architecture) -> bool:
    """Whether the names of ``arch`` are those of Llama and its relatives."""
    return any(name.startswith("model.layers.0.self_attn.") for name, *_ in arch.rows)


def gguf_tensors(arch: Architecture, mixture: str) -> tuple[int, list[QuantizedTensor], int]:
    """``(bytes before the tensors, tensors in file order, bytes of the file)``.

    Raises:
        UsageError: an unknown mixture, or an architecture that has no such conversion here.
    """
    if mixture not in MIXTURES:
        raise UsageError(f"quantization {mixture!r}", "is not known", nearest(mixture, MIXTURES))
    if not convertible(arch):
        raise UsageError(f"architecture {arch.name}", "has no GGUF conversion here", "choose a Llama-like decoder")
    sources = arch.tensors()
    tied = not any(tensor.name.startswith("lm_head.") for tensor in sources)
    blocks = 1 + max(int(found[1]) for tensor in sources if (found := re.match(r"model\.layers\.(\d+)\.", tensor.name)))
    rows = []
    information = 0
    for tensor in sources:
        name = tensor.name
        for pattern, replacement in _NAMES:
            name = pattern.sub(replacement, name)
        encoding = _encoding(name, tensor, mixture, blocks, tied)
        rows.append((tensor, name, encoding))
        # A tensor's entry: length and text of its name, number of dimensions, each dimension, type, offset.
        information += 8 + len(name.encode()) + 4 + 8 * max(1, len(tensor.shape)) + 4 + 8
    start = 24 + _SETTINGS_NBYTES + _TOKEN_NBYTES * (arch.vocab or 0) + information
    start += -start % ALIGNMENT
    position = start
    result = []
    for tensor, name, encoding in rows:
        elements, block_nbytes = BLOCKS[encoding]
        count = tensor.nbytes * 8 // (16 if tensor.dtype != "float32" else 32)
        nbytes = count // elements * block_nbytes
        result.append(QuantizedTensor(tensor, name, encoding, position, nbytes))
        position += nbytes + -nbytes % ALIGNMENT
    return start, result, position


def _encoding(name: str, tensor: TensorShape, mixture: str, blocks: int, tied: bool) -> str:
    if len(tensor.shape) < 2:
        return "f32"
    most, better, output = MIXTURES[mixture]
    block = re.match(r"blk\.(\d+)\.", name)
    if name.startswith("output.") or (tied and name.startswith("token_embd.")):
        chosen = output
    elif block and (".attn_v." in name or ".ffn_down." in name) and _more_bits(int(block[1]), blocks):
        chosen = better
    else:
        chosen = most
    if tensor.shape[-1] % BLOCKS[chosen][0]:  # rows that k-quants cannot hold fall back, as llama.cpp does
        return {"q4_k": "q5_0", "q5_k": "q8_0", "q6_k": "q8_0"}.get(chosen, "f16")
    return chosen


def _more_bits(block: int, blocks: int) -> bool:
    """``use_more_bits`` of llama.cpp: the first and last eighth, and every third between."""
    return block < blocks // 8 or block >= 7 * blocks // 8 or (block - blocks // 8) % 3 == 2
