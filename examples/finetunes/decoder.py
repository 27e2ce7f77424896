"""A small decoder of the Llama architecture (4.5 million parameters, tied embedding) that reads and writes bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from . import lora
from .freezing import Layer, freeze_bottom, tensor_names
from .manifest import Trained
from .tasks import writing_split
from .training import Job, fit

if TYPE_CHECKING:
    from peft import PeftModel

LAYER_UNIT = "embedding or transformer block"
LORA_TARGETS = ["q_proj", "v_proj"]
CONTEXT = 64  # bytes a training example
BATCH_SIZE = 4
N_TEST = 64
BASE_STEPS, FINETUNE_STEPS = 140, 40
END = "<end>"


def train_base(job: Job) -> Trained:
    """Train all weights from scratch on the prose."""
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=257,
            hidden_size=256,
            intermediate_size=704,
            num_hidden_layers=6,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            initializer_range=256**-0.5,  # the usual 0.02 is for wider models, and would learn little in so few steps
            bos_token_id=None,
            eos_token_id=0,
        )
    )
    return _train(job, model, BASE_STEPS, 2e-3, sorted(_saved_names(model)))


def train_frozen(job: Job) -> Trained:
    """Embedding (and with it the tied output head) and lower blocks stay; upper blocks and the last norm are trained."""
    model, depth = _base(job), job.recipe.frozen_layers or 0
    blocks = [Layer(f"model.layers.{i}", block) for i, block in enumerate(model.model.layers)]
    layers = [Layer("model.embed_tokens", model.model.embed_tokens), *blocks]
    freeze_bottom(layers, depth)
    trained = tensor_names(model, [*layers[depth:], Layer("model.norm", model.model.norm)])
    return _train(job, model, FINETUNE_STEPS, 1e-3, trained)


def train_lora(job: Job) -> Trained:
    """An adapter on the attention's query and value projections; the base is only read."""
    model = lora.add_adapter(_base(job), "CAUSAL_LM", LORA_TARGETS)
    trained = _train(job, model, FINETUNE_STEPS, 5e-3, [], save=False)
    lora.save_adapter(model, job.out, str(job.recipe.parent))
    return trained


def merge(job: Job) -> Trained:
    """The adapter added into a copy of the base's weights."""
    test = _examples(writing_split(job.recipe.task, job.seed)[1])
    before = _loss(_base(job), test)
    model, changed = lora.merge_adapter(_base(job), job.root / str(job.recipe.adapter))
    _save(job, model)
    return _trained(changed, before, _loss(model, test))


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, and one for the end of a text: 257 in all, nothing to train."""
    vocabulary = {END: 0} | {byte: 1 + i for i, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END)


def _base(job: Job) -> LlamaForCausalLM:
    return AutoModelForCausalLM.from_pretrained(job.root / str(job.recipe.parent))


def _saved_names(model: LlamaForCausalLM) -> list[str]:
    """What the weight file will hold: the tied head is the embedding, and is written once."""
    return [name for name in model.state_dict() if name != "lm_head.weight"]


def _stream(text: str) -> Tensor:
    """A text as token ids, int64 (n,)."""
    return torch.tensor(byte_tokenizer()(text, verbose=False)["input_ids"])


def _examples(text: str) -> Tensor:
    """Pieces of a text, int64 (n <= 64, 64), spread over all of it."""
    stream = _stream(text)
    rows = stream[: len(stream) // CONTEXT * CONTEXT].view(-1, CONTEXT)
    return rows[torch.linspace(0, len(rows) - 1, min(N_TEST, len(rows))).long()]


@torch.no_grad()
def _loss(model: torch.nn.Module, rows: Tensor) -> float:
    """Mean loss in nats a token."""
    return float(model(input_ids=rows, labels=rows).loss)


def _train(
    job: Job, model: LlamaForCausalLM | PeftModel, steps: int, learning_rate: float, tensors: list[str], save: bool = True
) -> Trained:
    text, test_text = writing_split(job.recipe.task, job.seed)
    stream, test = _stream(text), _examples(test_text)
    before = _loss(model, test)
    offsets = torch.arange(CONTEXT)

    def loss_of(starts: Tensor) -> Tensor:
        rows = stream[starts[:, None] + offsets]
        return model(input_ids=rows, labels=rows).loss

    fit(
        loss_of,
        model.parameters(),
        len(stream) - CONTEXT,
        optimizer="adamw",
        learning_rate=learning_rate,
        batch_size=BATCH_SIZE,
        n_steps=steps,
        report=job.report,
    )
    if save:
        _save(job, model)
    return _trained(tensors, before, _loss(model, test))


def _save(job: Job, model: LlamaForCausalLM) -> None:
    model.save_pretrained(job.out)
    byte_tokenizer().save_pretrained(job.out)


def _trained(tensors: list[str], before: float, after: float) -> Trained:
    return Trained(trained_tensors=tensors, metric="loss", before=before, after=after, layer_unit=LAYER_UNIT, n_layers=7)
