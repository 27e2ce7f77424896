"""Which architectures are shipped: their published configurations, and the parameter counts that their model cards state.

One entry is (name, classes, configuration class, its arguments, file dtype, published parameters of the first class). The first class
is what the base model is published as; the others are what fine-tunes of it are saved as. Sources: the ``config.json`` of the named
repository on the Hugging Face Hub. Counts: the safetensors metadata shown on the same page; None where it was not known to us.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Entry(NamedTuple):
    """One architecture to build."""

    name: str
    source: str
    classes: tuple[str, ...]
    config: str
    arguments: dict[str, Any]
    dtype: str = "float32"
    published: int | None = None


def _resnet(n: int, depths: list[int], published: int) -> Entry:
    basic = n < 50
    arguments = {
        "embedding_size": 64,
        "hidden_sizes": [64, 128, 256, 512] if basic else [256, 512, 1024, 2048],
        "depths": depths,
        "layer_type": "basic" if basic else "bottleneck",
        "num_labels": 1000,
    }
    return Entry(f"resnet-{n}", f"microsoft/resnet-{n}", ("ResNetForImageClassification",), "ResNetConfig", arguments, published=published)


def _bert(name: str, source: str, hidden: int, layers: int, heads: int, published: int) -> Entry:
    arguments = {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden,
        "vocab_size": 30522,
    }
    return Entry(name, source, ("BertModel", "BertForSequenceClassification"), "BertConfig", arguments, published=published)


def _roberta(name: str, source: str, hidden: int, layers: int, heads: int, published: int | None) -> Entry:
    arguments = {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden,
        "vocab_size": 50265,
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }
    return Entry(name, source, ("RobertaModel", "RobertaForSequenceClassification"), "RobertaConfig", arguments, published=published)


def _vit(name: str, source: str, hidden: int, layers: int, heads: int, published: int) -> Entry:
    arguments = {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden,
        "num_labels": 1000,
    }
    return Entry(name, source, ("ViTForImageClassification",), "ViTConfig", arguments, published=published)


def _t5(name: str, model: int, inner: int, layers: int, heads: int, published: int) -> Entry:
    arguments = {"d_model": model, "d_ff": inner, "num_layers": layers, "num_heads": heads, "d_kv": 64, "vocab_size": 32128}
    return Entry(name, f"google-t5/{name}", ("T5ForConditionalGeneration",), "T5Config", arguments, published=published)


def _gpt2(name: str, width: int, layers: int, heads: int, published: int) -> Entry:
    arguments = {"n_embd": width, "n_layer": layers, "n_head": heads}
    return Entry(name, f"openai-community/{name}", ("GPT2LMHeadModel",), "GPT2Config", arguments, published=published)


def _whisper(name: str, width: int, layers: int, heads: int, published: int, *, mels: int = 80, vocab: int = 51865) -> Entry:
    arguments = {
        "d_model": width,
        "encoder_layers": layers,
        "decoder_layers": layers,
        "encoder_attention_heads": heads,
        "decoder_attention_heads": heads,
        "encoder_ffn_dim": 4 * width,
        "decoder_ffn_dim": 4 * width,
        "num_mel_bins": mels,
        "vocab_size": vocab,
    }
    return Entry(name, f"openai/{name}", ("WhisperForConditionalGeneration",), "WhisperConfig", arguments, published=published)


def _decoder(
    name: str,
    source: str,
    kind: str,
    shape: tuple[int, int, int, int, int, int],
    published: int,
    *,
    tied: bool = False,
    dtype: str = "bfloat16",
    **more: Any,
) -> Entry:
    """A Llama-like decoder; ``shape``: vocabulary, width, inner width, blocks, heads, key-value heads."""
    vocab, hidden, inner, layers, heads, kv_heads = shape
    arguments = {
        "vocab_size": vocab,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "tie_word_embeddings": tied,
        **more,
    }
    return Entry(name, source, (f"{kind}ForCausalLM",), f"{kind}Config", arguments, dtype, published)


ENTRIES: tuple[Entry, ...] = (
    _resnet(18, [2, 2, 2, 2], 11_689_512),
    _resnet(34, [3, 4, 6, 3], 21_797_672),
    _resnet(50, [3, 4, 6, 3], 25_557_032),
    _resnet(101, [3, 4, 23, 3], 44_549_160),
    Entry("mobilenet-v2", "google/mobilenet_v2_1.0_224", ("MobileNetV2ForImageClassification",), "MobileNetV2Config",
          {"num_labels": 1001}, published=3_506_153),
    _vit("vit-base", "google/vit-base-patch16-224", 768, 12, 12, 86_567_656),
    _vit("vit-large", "google/vit-large-patch16-224", 1024, 24, 16, 304_326_632),
    Entry("convnext-tiny", "facebook/convnext-tiny-224", ("ConvNextForImageClassification",), "ConvNextConfig",
          {"hidden_sizes": [96, 192, 384, 768], "depths": [3, 3, 9, 3], "num_labels": 1000}, published=28_589_128),
    Entry("convnext-base", "facebook/convnext-base-224", ("ConvNextForImageClassification",), "ConvNextConfig",
          {"hidden_sizes": [128, 256, 512, 1024], "depths": [3, 3, 27, 3], "num_labels": 1000}, published=88_591_464),
    _bert("minilm-l6", "sentence-transformers/all-MiniLM-L6-v2", 384, 6, 12, 22_713_216),
    _bert("bert-base", "google-bert/bert-base-uncased", 768, 12, 12, 109_482_240),
    _bert("bert-large", "google-bert/bert-large-uncased", 1024, 24, 16, 335_141_888),
    Entry("distilbert", "distilbert/distilbert-base-uncased", ("DistilBertModel", "DistilBertForSequenceClassification"),
          "DistilBertConfig", {"vocab_size": 30522}, published=66_362_880),
    _roberta("roberta-base", "FacebookAI/roberta-base", 768, 12, 12, 124_645_632),
    _roberta("roberta-large", "FacebookAI/roberta-large", 1024, 24, 16, 355_359_744),
    _t5("t5-small", 512, 2048, 6, 8, 60_506_624),
    _t5("t5-base", 768, 3072, 12, 12, 222_903_552),
    _t5("t5-large", 1024, 4096, 24, 16, 737_668_096),
    _gpt2("gpt2", 768, 12, 12, 124_439_808),
    _gpt2("gpt2-medium", 1024, 24, 16, 354_823_168),
    _gpt2("gpt2-large", 1280, 36, 20, 774_030_080),
    _gpt2("gpt2-xl", 1600, 48, 25, 1_557_611_200),
    _whisper("whisper-tiny", 384, 4, 6, 37_760_640),
    _whisper("whisper-base", 512, 6, 8, 72_593_920),
    _whisper("whisper-small", 768, 12, 12, 241_734_912),
    _whisper("whisper-medium", 1024, 24, 16, 763_857_920),
    _whisper("whisper-large-v3", 1280, 32, 20, 1_543_490_560, mels=128, vocab=51866),
    _decoder("smollm2-135m", "HuggingFaceTB/SmolLM2-135M", "Llama", (49152, 576, 1536, 30, 9, 3), 134_515_008, tied=True),
    _decoder("smollm2-360m", "HuggingFaceTB/SmolLM2-360M", "Llama", (49152, 960, 2560, 32, 15, 5), 361_821_120, tied=True),
    _decoder("smollm2-1.7b", "HuggingFaceTB/SmolLM2-1.7B", "Llama", (49152, 2048, 8192, 24, 32, 32), 1_711_376_384, tied=True),
    _decoder("llama-2-7b", "meta-llama/Llama-2-7b-hf", "Llama", (32000, 4096, 11008, 32, 32, 32), 6_738_415_616, dtype="float16"),
    _decoder("llama-2-13b", "meta-llama/Llama-2-13b-hf", "Llama", (32000, 5120, 13824, 40, 40, 40), 13_015_864_320, dtype="float16"),
    _decoder("llama-2-70b", "meta-llama/Llama-2-70b-hf", "Llama", (32000, 8192, 28672, 80, 64, 8), 68_976_648_192, dtype="float16"),
    _decoder("llama-3-8b", "meta-llama/Meta-Llama-3-8B", "Llama", (128256, 4096, 14336, 32, 32, 8), 8_030_261_248),
    _decoder("llama-3.2-1b", "meta-llama/Llama-3.2-1B", "Llama", (128256, 2048, 8192, 16, 32, 8), 1_235_814_400, tied=True, head_dim=64),
    _decoder("llama-3.2-3b", "meta-llama/Llama-3.2-3B", "Llama", (128256, 3072, 8192, 28, 24, 8), 3_212_749_824, tied=True),
    _decoder("mistral-7b", "mistralai/Mistral-7B-v0.1", "Mistral", (32000, 4096, 14336, 32, 32, 8), 7_241_732_096),
    _decoder("mistral-7b-v0.3", "mistralai/Mistral-7B-v0.3", "Mistral", (32768, 4096, 14336, 32, 32, 8), 7_248_023_552),
    _decoder("qwen2.5-0.5b", "Qwen/Qwen2.5-0.5B", "Qwen2", (151936, 896, 4864, 24, 14, 2), 494_032_768, tied=True),
    _decoder("qwen2.5-1.5b", "Qwen/Qwen2.5-1.5B", "Qwen2", (151936, 1536, 8960, 28, 12, 2), 1_543_714_304, tied=True),
    _decoder("qwen2.5-3b", "Qwen/Qwen2.5-3B", "Qwen2", (151936, 2048, 11008, 36, 16, 2), 3_085_938_688, tied=True),
    _decoder("qwen2.5-7b", "Qwen/Qwen2.5-7B", "Qwen2", (152064, 3584, 18944, 28, 28, 4), 7_615_616_512),
    _decoder("qwen2.5-14b", "Qwen/Qwen2.5-14B", "Qwen2", (152064, 5120, 13824, 48, 40, 8), 14_770_033_664),
    _decoder("gemma-2b", "google/gemma-2b", "Gemma", (256000, 2048, 16384, 18, 8, 1), 2_506_172_416, tied=True, head_dim=256),
    _decoder("gemma-7b", "google/gemma-7b", "Gemma", (256000, 3072, 24576, 28, 16, 16), 8_537_680_896, tied=True, head_dim=256),
    _decoder("gemma-2-2b", "google/gemma-2-2b", "Gemma2", (256000, 2304, 9216, 26, 8, 4), 2_614_341_888, tied=True, head_dim=256),
    _decoder("gemma-2-9b", "google/gemma-2-9b", "Gemma2", (256000, 3584, 14336, 42, 16, 8), 9_241_705_984, tied=True, head_dim=256),
    _decoder("phi-2", "microsoft/phi-2", "Phi", (51200, 2560, 10240, 32, 32, 32), 2_779_683_840, dtype="float16"),
    _decoder("phi-3-mini", "microsoft/Phi-3-mini-4k-instruct", "Phi3", (32064, 3072, 8192, 32, 32, 32), 3_821_079_552,
             pad_token_id=32000),
)  # fmt: skip
