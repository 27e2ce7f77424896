"""Build what is missing, in order, each model whole or not at all.

A model is trained into a hidden folder beside its place, checked, renamed, and then entered in the manifest. So whatever moment
a run is killed at, the next one finds finished models and rubbish that it can tell from them.
"""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import file_digest
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from .manifest import Entry, Manifest, Trained
from .recipes import FAMILIES, RECIPE_VERSION, RECIPES, Recipe, select

LIBRARIES = ("torch", "transformers", "peft", "safetensors", "tokenizers", "scikit-learn", "numpy")
WEIGHT_FILES = ("model.safetensors", "adapter_model.safetensors")


class BuildError(Exception):
    """A model did not come out as its recipe promises, or the folder cannot be used; one line that says what to do."""


class Watcher(Protocol):
    """Whom the builder tells what goes on (the progress bar of the command line)."""

    def started(self, recipe: Recipe) -> None: ...

    def stepped(self, done: int, total: int) -> None: ...

    def finished(self, entry: Entry, reused: bool) -> None: ...


def build(
    folder: Path,
    watcher: Watcher,
    *,
    seed: int = 0,
    families: tuple[str, ...] = FAMILIES,
    weights_cache: Path | None = None,
    force: bool = False,
) -> Manifest:
    """Bring `folder` up to date and return its manifest; finished models of the same seed and recipe are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        manifest = Manifest.load(folder)
        _forget_stale(manifest, folder, seed, families if force else ())
        for recipe in select(families):
            entry = manifest.entry(recipe.path)
            if entry is not None:
                watcher.finished(entry, True)
                continue
            watcher.started(recipe)
            entry = _build_one(recipe, folder, seed, weights_cache, watcher.stepped)
            manifest.models.append(entry)
            manifest.models.sort(key=lambda entry: _position(entry.path))
            manifest.libraries = {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}
            manifest.complete = len(manifest.models) == len(RECIPES)
            manifest.save(folder)
            watcher.finished(entry, False)
    return manifest


def is_complete(folder: Path) -> bool:
    """Whether every model stands in `folder`, built by these recipes; cheap, and needs no torch."""
    manifest = Manifest.load(folder)
    paths = [recipe.path for recipe in RECIPES if _usable(manifest.entry(recipe.path), recipe, folder, manifest.seed)]
    return len(paths) == len(RECIPES)


def _position(path: str) -> int:
    return next(i for i, recipe in enumerate(RECIPES) if recipe.path == path)


def _usable(entry: Entry | None, recipe: Recipe, folder: Path, seed: int) -> bool:
    """Whether a model is the one that its recipe would build, with all its files at their sizes."""
    if entry is None or (entry.seed, entry.recipe_version) != (seed, RECIPE_VERSION):
        return False
    promised = (recipe.kind, recipe.task, recipe.parent, recipe.adapter, recipe.frozen_layers)
    same = (entry.kind, entry.task, entry.parent, entry.adapter, entry.frozen_layers) == promised
    files = {folder / entry.path / name: nbytes for name, nbytes in entry.files.items()}
    return same and all(file.is_file() and file.stat().st_size == nbytes for file, nbytes in files.items())


def _forget_stale(manifest: Manifest, folder: Path, seed: int, forced: tuple[str, ...]) -> None:
    """Strike from the manifest what must be built again: stale models, forced families, and all that descends from them.

    The shortened manifest is written before anything is built, so a kill cannot leave a child beside a parent it did not come from.
    """
    kept: dict[str, Entry] = {}
    for recipe in RECIPES:
        entry = manifest.entry(recipe.path)
        usable = recipe.family not in forced and _usable(entry, recipe, folder, seed)
        if entry is not None and usable and all(parent in kept for parent in recipe.needs):
            kept[recipe.path] = entry
    changed = len(kept) != len(manifest.models) or manifest.seed != seed
    manifest.models, manifest.seed, manifest.complete = list(kept.values()), seed, len(kept) == len(RECIPES)
    if changed:
        manifest.save(folder)


def _build_one(recipe: Recipe, folder: Path, seed: int, weights_cache: Path | None, report: Callable[[int, int], None]) -> Entry:
    """Train one model, check what it shares with its parent, and put it in its place."""
    from .training import Job, prepare, quiet_transformers

    place = folder / recipe.path
    partial = place.with_name(f".{place.name}.partial")
    for leftover in (partial, place):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir(parents=True)
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        with quiet_transformers():
            prepare(seed, recipe.adapter or recipe.path)  # a merged model is measured from where its adapter began
            trained = _trainer(recipe)(Job(recipe, folder, partial, seed, report, weights_cache))
        entry = _entry(recipe, trained, partial, folder, seed)
        entry.wall_s = round(time.perf_counter() - wall, 2)
        entry.cpu_s = round(time.process_time() - cpu, 2)
        os.replace(partial, place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return entry


def _trainer(recipe: Recipe) -> Callable[..., Trained]:
    """The function that trains a recipe: from the family's module, by kind. Imported late, since it brings torch in."""
    family = "resnet" if recipe.family.startswith("resnet") else recipe.family
    module = importlib.import_module(f".{family}", __package__)
    if recipe.kind == "base":
        return module.copy_base if family == "minilm" else module.train_base
    if recipe.kind == "merged":
        return module.merge
    return getattr(module, f"train_{recipe.kind}")


def _entry(recipe: Recipe, trained: Trained, built: Path, folder: Path, seed: int) -> Entry:
    from .tasks import describe

    weights = next(built / name for name in WEIGHT_FILES if (built / name).is_file())
    if not trained.improved:
        raise BuildError(
            f"{recipe.path}: {trained.metric} went from {trained.before} to {trained.after}, which is no better; try another --seed"
        )
    coincidental: list[str] = []
    if recipe.kind == "lora":
        trained.trained_tensors = _names(weights)
    elif recipe.parent:
        coincidental = _check_sharing(recipe, trained, weights, folder / recipe.parent / "model.safetensors")
    with weights.open("rb") as stream:
        digest = file_digest(stream, "sha256").hexdigest()
    values = asdict(trained)
    return Entry(
        path=recipe.path,
        kind=recipe.kind,
        parent=recipe.parent,
        adapter=recipe.adapter,
        task=recipe.task,
        task_description=describe(recipe.task),
        frozen_layers=recipe.frozen_layers,
        higher_is_better=trained.higher_is_better,
        equal_by_coincidence=coincidental,
        seed=seed,
        recipe_version=RECIPE_VERSION,
        wall_s=0.0,
        cpu_s=0.0,
        weights_file=weights.name,
        weights_sha256=digest,
        files={str(file.relative_to(built)): file.stat().st_size for file in sorted(built.rglob("*")) if file.is_file()},
        **values,
    )


def _names(weights: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(weights, "pt") as file:
        return sorted(file.keys())


def _check_sharing(recipe: Recipe, trained: Trained, weights: Path, parent_weights: Path) -> list[str]:
    """Make sure that every tensor that was not trained is the parent's; return those trained ones that still equal it.

    A frozen tensor that moved is a mistake in the recipe (a batch-norm left in train(), say), so it stops the build.
    """
    import torch
    from safetensors import safe_open

    equal = []
    with safe_open(weights, "pt") as ours, safe_open(parent_weights, "pt") as theirs:
        known = set(theirs.keys())
        for name in sorted(ours.keys()):
            source = name.removeprefix(trained.parent_prefix)
            if source in known and torch.equal(ours.get_tensor(name), theirs.get_tensor(source)):
                equal.append(name)
        moved = set(ours.keys()) - set(trained.trained_tensors) - set(equal)
        unknown = set(trained.trained_tensors) - set(ours.keys())
    if moved or unknown:
        raise BuildError(f"{recipe.path}: {sorted(moved | unknown)[0]} should be as in {recipe.parent} and is not; a bug in its recipe")
    return sorted(set(equal) & set(trained.trained_tensors))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One builder a folder: a second one waits, and then finds everything built."""
    import fcntl

    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another build in {folder} ...", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
