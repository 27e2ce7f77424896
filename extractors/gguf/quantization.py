"""Element types of ggml: how many elements make a block and how many bytes a block takes.

Layouts: ``ggml-common.h`` and the enum ``ggml_type`` of https://github.com/ggml-org/ggml. Dense types have blocks of one element and get
their ordinary names; the others exist only in blocks and are named ``gguf.`` and their ggml name.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ElementType:
    """``block_nbytes`` bytes hold ``block_size`` elements; ``dtype`` is the canonical name."""

    dtype: str
    block_size: int
    block_nbytes: int

    @property
    def is_dense(self) -> bool:
        return self.block_size == 1


# The sums spell out the fields of a block in their order there: scales and minima, high bits, quants, ...
ELEMENT_TYPES: dict[int, ElementType] = {
    0: ElementType("float32", 1, 4),
    1: ElementType("float16", 1, 2),
    2: ElementType("gguf.q4_0", 32, 2 + 16),
    3: ElementType("gguf.q4_1", 32, 2 + 2 + 16),
    6: ElementType("gguf.q5_0", 32, 2 + 4 + 16),
    7: ElementType("gguf.q5_1", 32, 2 + 2 + 4 + 16),
    8: ElementType("gguf.q8_0", 32, 2 + 32),
    # Never written to files by llama.cpp, where it shrank to 2 + 2 + 32; this is the size the reference reader takes.
    9: ElementType("gguf.q8_1", 32, 4 + 4 + 32),
    10: ElementType("gguf.q2_k", 256, 16 + 64 + 2 + 2),
    11: ElementType("gguf.q3_k", 256, 32 + 64 + 12 + 2),
    12: ElementType("gguf.q4_k", 256, 2 + 2 + 12 + 128),
    13: ElementType("gguf.q5_k", 256, 2 + 2 + 12 + 32 + 128),
    14: ElementType("gguf.q6_k", 256, 128 + 64 + 16 + 2),
    15: ElementType("gguf.q8_k", 256, 4 + 256 + 32),
    16: ElementType("gguf.iq2_xxs", 256, 2 + 64),
    17: ElementType("gguf.iq2_xs", 256, 2 + 64 + 8),
    18: ElementType("gguf.iq3_xxs", 256, 2 + 64 + 32),
    19: ElementType("gguf.iq1_s", 256, 2 + 32 + 16),
    20: ElementType("gguf.iq4_nl", 32, 2 + 16),
    21: ElementType("gguf.iq3_s", 256, 2 + 64 + 8 + 32 + 4),
    22: ElementType("gguf.iq2_s", 256, 2 + 64 + 8 + 8),
    23: ElementType("gguf.iq4_xs", 256, 2 + 2 + 4 + 128),
    24: ElementType("int8", 1, 1),
    25: ElementType("int16", 1, 2),
    26: ElementType("int32", 1, 4),
    27: ElementType("int64", 1, 8),
    28: ElementType("float64", 1, 8),
    29: ElementType("gguf.iq1_m", 256, 32 + 16 + 8),
    30: ElementType("bfloat16", 1, 2),
    34: ElementType("gguf.tq1_0", 256, 48 + 4 + 2),
    35: ElementType("gguf.tq2_0", 256, 64 + 2),
    39: ElementType("gguf.mxfp4", 32, 1 + 16),
    40: ElementType("gguf.nvfp4", 64, 4 + 32),
    41: ElementType("gguf.q1_0", 128, 2 + 16),
}

# Numbers that ggml once used and never uses again, so that an error can say what it met.
REMOVED_TYPES: dict[int, str] = {
    4: "Q4_2", 5: "Q4_3", 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8",
}  # fmt: skip
