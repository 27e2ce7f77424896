"""ResNet-18 and ResNet-34 at their true sizes, on scikit-learn's digits."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from transformers import ResNetConfig, ResNetForImageClassification

from .freezing import freeze_bottom, residual_blocks, resnet_layers, tensor_names
from .manifest import Trained
from .tasks import IMAGE_TASKS, ImageSplit, image_split
from .training import Job, accuracy, fit, majority_share

DEPTHS = {"resnet18": [2, 2, 2, 2], "resnet34": [3, 4, 6, 3]}
LAYER_UNIT = "convolution, batch-norm or fully connected layer"

# The digits are 8 x 8; at 24 x 24 the last stage still sees one whole pixel, and larger images only cost time.
IMAGE_SIZE = 24
BATCH_SIZE = 48
BASE_STEPS = 50  # not quite two passes over the 1,438 training images
FINETUNE_STEPS = 25


def train_base(job: Job) -> Trained:
    """Train all layers from scratch to tell the ten digits apart."""
    task = IMAGE_TASKS[job.recipe.task]
    model = ResNetForImageClassification(
        ResNetConfig(
            embedding_size=64,
            hidden_sizes=[64, 128, 256, 512],
            depths=DEPTHS[job.recipe.family],
            layer_type="basic",
            **_label_names(task.labels),
        )
    )
    for block in residual_blocks(model):
        # Every block starts as the identity (Goyal et al. 2017): two passes then suffice even for 73 layers.
        nn.init.zeros_(block.layer[-1].normalization.weight)
    split = image_split(job.recipe.task, job.seed)
    return _train(job, model, split, depth=0, steps=BASE_STEPS, learning_rate=0.05)


def train_frozen(job: Job) -> Trained:
    """Fine-tune the top of the base, under a new head, for another task; the bottom stays as it is."""
    task = IMAGE_TASKS[job.recipe.task]
    model = ResNetForImageClassification.from_pretrained(job.root / str(job.recipe.parent))
    model.config.update(_label_names(task.labels))
    model.num_labels = len(task.labels)
    model.classifier[-1] = nn.Linear(model.config.hidden_sizes[-1], len(task.labels))
    split = image_split(job.recipe.task, job.seed)
    depth = job.recipe.frozen_layers or 0
    # A head alone is a convex problem on few weights: it takes a larger rate.
    only_head = depth == len(resnet_layers(model)) - 1
    return _train(job, model, split, depth=depth, steps=FINETUNE_STEPS, learning_rate=0.2 if only_head else 0.02)


def _train(job: Job, model: ResNetForImageClassification, split: ImageSplit, *, depth: int, steps: int, learning_rate: float) -> Trained:
    layers = resnet_layers(model)
    trunk, top = _cut(model, depth)
    model.eval()
    # Frozen blocks in eval() give the same output for an image every time, so it is computed once: exact, and most of the work.
    train_inputs, test_inputs = _through(trunk, _pixels(split.train_images)), _through(trunk, _pixels(split.test_images))
    train_labels, test_labels = torch.from_numpy(split.train_labels), torch.from_numpy(split.test_labels)
    before = accuracy(top, test_inputs, test_labels)
    freeze_bottom(layers, depth)
    fit(
        lambda batch: nn.functional.cross_entropy(top(train_inputs[batch]), train_labels[batch]),
        model.parameters(),
        len(train_inputs),
        optimizer="sgd",
        learning_rate=learning_rate,
        batch_size=BATCH_SIZE,
        n_steps=steps,
        report=job.report,
    )
    model.eval()
    after = accuracy(top, test_inputs, test_labels)
    model.save_pretrained(job.out)
    return Trained(
        trained_tensors=tensor_names(model, layers[depth:]),
        metric="accuracy",
        before=before,
        after=after,
        chance=majority_share(test_labels),
        layer_unit=LAYER_UNIT,
        n_layers=len(layers),
    )


def _cut(model: ResNetForImageClassification, depth: int) -> tuple[nn.Module, nn.Module]:
    """The model as two modules in a row: the blocks that lie wholly among the first `depth` layers, and the rest.

    The cut lies before the first block with a trainable layer, so the rest may begin with a block that is partly frozen.
    """
    trainable = {layer.module for layer in resnet_layers(model)[depth:]}
    parts: list[nn.Module] = [model.resnet.embedder, *residual_blocks(model)]
    first = next((i for i, part in enumerate(parts) if trainable.intersection(part.modules())), len(parts))
    return nn.Sequential(*parts[:first]), nn.Sequential(*parts[first:], model.resnet.pooler, model.classifier)


@torch.no_grad()
def _through(trunk: nn.Module, pixels: Tensor) -> Tensor:
    """What the frozen trunk makes of the images, in batches that fit into caches."""
    return torch.cat([trunk(part) for part in pixels.split(128)])


def _pixels(images: object) -> Tensor:
    """Images (n, 8, 8), 0 to 1, as the network takes them: (n, 3, size, size), near zero mean and unit variance."""
    grey = torch.as_tensor(images)[:, None]
    large = nn.functional.interpolate(grey, size=(IMAGE_SIZE, IMAGE_SIZE), mode="bilinear", align_corners=False)
    return ((large - 0.3) / 0.35).expand(-1, 3, -1, -1).contiguous()


def _label_names(labels: tuple[str, ...]) -> dict[str, OrderedDict[object, object]]:
    return {
        "id2label": OrderedDict(enumerate(labels)),
        "label2id": OrderedDict((label, number) for number, label in enumerate(labels)),
    }
