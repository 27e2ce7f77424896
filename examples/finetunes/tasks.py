"""The tasks: labelled images from scikit-learn's digits, passages from Python's own documentation.

Both come with the packages, so nothing is downloaded. Every task has held-out data that no model of the family has seen: images
and paragraphs are split once for all tasks, before anything is made of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]  # (n, 8, 8), 0 to 1
Labels = NDArray[np.int64]  # (n,)

HELD_OUT_SHARE = 0.2


# --- images ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ImageTask:
    """A labelling of the digits and a way the images are changed.

    make: (images, digits, generator) -> (images, labels).
    """

    name: str
    description: str
    labels: tuple[str, ...]
    make: Callable[[Images, Labels, np.random.Generator], tuple[Images, Labels]]


def _holes(digits: Labels) -> Labels:
    """Closed loops in the printed digit: none, one (0, 6, 9), two (8). A 4 counts as open, as most people write it."""
    return np.array([1, 0, 0, 0, 0, 0, 1, 0, 2, 1])[digits]


def _noisy(images: Images, generator: np.random.Generator) -> Images:
    return np.clip(images + generator.normal(0, 0.15, images.shape), 0, 1).astype(np.float32)


def _half_mirrored(images: Images, generator: np.random.Generator) -> tuple[Images, Labels]:
    mirrored = generator.permutation(len(images)) % 2
    return np.where(mirrored[:, None, None] == 1, images[:, :, ::-1], images), mirrored


IMAGE_TASKS = {
    task.name: task
    for task in (
        ImageTask(
            "digits",
            "which digit, images as they are",
            tuple("0123456789"),
            lambda images, digits, _: (images, digits),
        ),
        ImageTask(
            "parity-rotated",
            "even or odd, images turned by 90 degrees",
            ("even", "odd"),
            lambda images, digits, _: (np.rot90(images, axes=(1, 2)), digits % 2),
        ),
        ImageTask(
            "prime-noisy",
            "prime (2, 3, 5, 7) or not, images with noise",
            ("not prime", "prime"),
            lambda images, digits, generator: (_noisy(images, generator), np.isin(digits, (2, 3, 5, 7)).astype(np.int64)),
        ),
        ImageTask(
            "five-up-inverted",
            "at least five or less, images inverted",
            ("below five", "five or more"),
            lambda images, digits, _: (1 - images, (digits >= 5).astype(np.int64)),
        ),
        ImageTask(
            "holes-flipped",
            "number of closed loops, images mirrored left to right",
            ("none", "one", "two"),
            lambda images, digits, _: (images[:, :, ::-1], _holes(digits)),
        ),
        ImageTask(
            "mirrored",
            "is the image mirrored left to right, half of them are",
            ("as written", "mirrored"),
            lambda images, digits, generator: _half_mirrored(images, generator),
        ),
        ImageTask(
            "mod3-shifted",
            "remainder modulo three, images shifted by one pixel down and right",
            ("0", "1", "2"),
            lambda images, digits, _: (np.roll(images, (1, 1), axis=(1, 2)), digits % 3),
        ),
        ImageTask(
            "upside-down",
            "which digit, images upside down",
            tuple("0123456789"),
            lambda images, digits, _: (images[:, ::-1, :], digits),
        ),
        ImageTask(
            "straight-faded",
            "straight strokes only (1, 4, 7) or curved, images at half contrast",
            ("curved", "straight"),
            lambda images, digits, _: (images * 0.5, np.isin(digits, (1, 4, 7)).astype(np.int64)),
        ),
    )
}


@dataclass(frozen=True)
class ImageSplit:
    """Images (n, 8, 8) and labels (n,) to train on and to test on."""

    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels


def image_split(name: str, seed: int) -> ImageSplit:
    """The data of an image task. The split depends on the seed only: an image held out of one task is held out of all."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images, digits = (data.images / 16).astype(np.float32), data.target.astype(np.int64)
    order = np.random.default_rng(seed).permutation(len(images))
    changed, labels = IMAGE_TASKS[name].make(images, digits, np.random.default_rng([seed, *name.encode()]))
    changed = np.ascontiguousarray(changed, dtype=np.float32)
    n_test = int(len(images) * HELD_OUT_SHARE)
    test, train = order[:n_test], order[n_test:]
    return ImageSplit(changed[train], labels[train], changed[test], labels[test])


# --- text -----------------------------------------------------------------------------------------------------------------------

_CODE_LINE = re.compile(r">>>|::=|^\s+(def|class|for|if|while|with|try|import|from|return|print|@\w+|#)\b|^\s+\w+ = ", re.MULTILINE)


@cache
def paragraphs() -> tuple[tuple[str, str], ...]:
    """(topic, paragraph) of Python's documentation, each paragraph once: its topics quote each other, which would leak."""
    from pydoc_data.topics import topics

    seen: dict[str, str] = {}
    # The longest topic first would take everything; the shortest first leaves a text with the topic it is about.
    for topic in sorted(topics, key=lambda topic: (len(topics[topic]), topic)):
        for paragraph in re.split(r"\n\s*\n", topics[topic]):
            if len(paragraph) > 40:
                seen.setdefault(paragraph.strip("\n"), topic)
    return tuple((topic, paragraph) for paragraph, topic in seen.items())


def is_code(paragraph: str) -> bool:
    """Whether a paragraph shows code or grammar rather than prose."""
    return _CODE_LINE.search(paragraph) is not None


@dataclass(frozen=True)
class TextTask:
    """A sorting of paragraphs into classes.

    label: (topic, paragraph) -> class, or None to leave the paragraph out.
    """

    name: str
    description: str
    labels: tuple[str, ...]
    label: Callable[[str, str], int | None]


def _topic_classes(*groups: tuple[str, ...]) -> Callable[[str, str], int | None]:
    """Label a paragraph by the group its topic belongs to."""
    of_topic = {topic: number for number, group in enumerate(groups) for topic in group}
    return lambda topic, paragraph: of_topic.get(topic)


TEXT_TASKS = {
    task.name: task
    for task in (
        TextTask(
            "is-code",
            "does the passage show code or grammar, or prose",
            ("prose", "code"),
            lambda topic, paragraph: int(is_code(paragraph)),
        ),
        TextTask(
            "chapter",
            "which chapter: debugger, compound statements, standard types",
            ("debugger", "compound", "types"),
            _topic_classes(("debugger",), ("compound", "function", "with", "try", "async"), ("types", "specialnames")),
        ),
        TextTask(
            "containers",
            "what it is about: strings, sequences, mappings",
            ("strings", "sequences", "mappings"),
            _topic_classes(("string-methods", "strings"), ("typesseq", "typesseq-mutable"), ("typesmapping", "dict")),
        ),
        TextTask(
            "mentions-errors",
            "does the passage speak of errors or exceptions",
            ("no", "yes"),
            lambda topic, paragraph: int(bool(re.search(r"error|exception|raise", paragraph, re.IGNORECASE))),
        ),
        TextTask(
            "lexical",
            "notation (literals, names, format strings) or statements (assignment, import, calls)",
            ("notation", "statements"),
            _topic_classes(
                ("formatstrings", "identifiers", "integers", "floating", "numbers", "atom-identifiers"),
                ("assignment", "import", "calls", "try", "assert", "raise", "global", "augassign", "del", "return"),
            ),
        ),
    )
}


@dataclass(frozen=True)
class TextSplit:
    """Paragraphs to train on and to test on, by class: `train[c]` is the list of class c."""

    train: list[list[str]]
    test: list[list[str]]


def text_split(name: str, seed: int) -> TextSplit:
    """The paragraphs of a text task; a paragraph is in the test half of every task or of none."""
    task = TEXT_TASKS[name]
    split = TextSplit([[] for _ in task.labels], [[] for _ in task.labels])
    for (topic, paragraph), held_out in zip(paragraphs(), _held_out(seed), strict=True):
        label = task.label(topic, paragraph)
        if label is not None:
            (split.test if held_out else split.train)[label].append(paragraph)
    return split


def _held_out(seed: int) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random(len(paragraphs())) < HELD_OUT_SHARE


@dataclass(frozen=True)
class WritingTask:
    """A kind of text for the decoder to continue: which paragraphs, and how they are rewritten."""

    name: str
    description: str
    code: bool
    rewrite: Callable[[str], str]


WRITING_TASKS = {
    task.name: task
    for task in (
        WritingTask("prose", "next byte of Python's documentation, prose", False, lambda text: text),
        WritingTask("code", "next byte of the code and grammar in it, left out of the base's text", True, lambda text: text),
        WritingTask("uppercase", "next byte of the prose in capital letters", False, str.upper),
        WritingTask(
            "joined-words",
            "next byte of the prose in lower case, words_joined_like_this",
            False,
            lambda text: "_".join(re.findall(r"\w+", text.lower())),
        ),
    )
}


def writing_split(name: str, seed: int) -> tuple[str, str]:
    """The text of a writing task, to train on and to test on."""
    task = WRITING_TASKS[name]
    train, test = [], []
    for (_, paragraph), held_out in zip(paragraphs(), _held_out(seed), strict=True):
        if is_code(paragraph) == task.code:
            (test if held_out else train).append(task.rewrite(paragraph))
    return "\n\n".join(train), "\n\n".join(test)


def describe(name: str) -> str:
    """What a task is, in words; the name itself for what has no task here."""
    for tasks in (IMAGE_TASKS, TEXT_TASKS, WRITING_TASKS):
        if name in tasks:
            return tasks[name].description
    return name
