"""Seeds, one training loop, one metric: what the families share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .recipes import Recipe

# A fixed number of threads: float sums are split by thread, so the bytes of a trained model depend on it.
N_THREADS = 2


@dataclass(frozen=True)
class Job:
    """One model in work: where its parents lie (`root`), where it goes (`out`), its seed, and whom to tell of progress.

    report: called as report(steps_done, steps_in_all).
    """

    recipe: Recipe
    root: Path
    out: Path
    seed: int
    report: Callable[[int, int], None]
    weights_cache: Path | None = None


def model_seed(seed: int, path: str) -> int:
    """A seed of its own for each model, so that building only some of them changes none."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{path}".encode()).digest()[:4], "little")


def prepare(seed: int, path: str) -> None:
    """Make what follows repeatable: one thread count, deterministic kernels, torch's generator seeded for this model."""
    torch.set_num_threads(N_THREADS)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(model_seed(seed, path))


def fit(
    loss_of: Callable[[Tensor], Tensor],
    parameters: Iterable[nn.Parameter],
    n_examples: int,
    *,
    optimizer: str,
    learning_rate: float,
    batch_size: int,
    n_steps: int,
    report: Callable[[int, int], None],
) -> None:
    """Train for `n_steps` steps on shuffled batches, learning rate rising over the first fifth and falling to zero.

    loss_of: scalar loss of the examples with the given indices (shape (batch,), int64).
    parameters: only those that are to be trained.
    optimizer: `sgd` (momentum 0.9, for the convolutional networks) or `adamw`.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    steps: torch.optim.Optimizer
    if optimizer == "sgd":
        steps = torch.optim.SGD(trained, learning_rate, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True)
    else:
        steps = torch.optim.AdamW(trained, learning_rate, betas=(0.9, 0.95), weight_decay=0.01, fused=True)
    for step, batch in enumerate(_batches(n_examples, batch_size, n_steps)):
        warmth = min((step + 1) / max(1, n_steps // 5), (n_steps - step) / max(1, n_steps - n_steps // 5))
        for group in steps.param_groups:
            group["lr"] = learning_rate * warmth
        steps.zero_grad()
        loss_of(batch).backward()
        steps.step()
        report(step + 1, n_steps)


def _batches(n_examples: int, batch_size: int, n_batches: int) -> Iterator[Tensor]:
    """Index batches, each pass over the examples in a new order; a short last batch is dropped (batch-norm dislikes it)."""
    batch_size = min(batch_size, n_examples)
    made = 0
    while made < n_batches:
        order = torch.randperm(n_examples)
        for start in range(0, n_examples - batch_size + 1, batch_size):
            if made == n_batches:
                return
            yield order[start : start + batch_size]
            made += 1


@torch.no_grad()
def accuracy(scores_of: Callable[[Tensor], Tensor], inputs: Tensor, labels: Tensor, batch_size: int = 128) -> float:
    """The share of examples whose highest score is the label's; inputs (n, ...), labels (n,)."""
    hits = 0
    for start in range(0, len(inputs), batch_size):
        scores = scores_of(inputs[start : start + batch_size])
        hits += int((scores.argmax(-1) == labels[start : start + batch_size]).sum())
    return hits / len(inputs)


def majority_share(labels: Tensor) -> float:
    """The accuracy of always answering the commonest label."""
    return int(labels.bincount().max()) / len(labels)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep the load reports and inner progress bars of transformers off the screen: they would tear our own bar."""
    import warnings

    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
