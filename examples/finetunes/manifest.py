"""manifest.json: what was trained, how, and how well; also the record of what is finished.

    schema, schema_version   "trimcache-finetunes", 1
    seed                     the seed of the whole run
    complete                 true once every recipe of every family is built
    libraries                versions of python, torch, transformers, ... used by the last run that built something
    models                   a list, one entry a model (class `Entry`), in build order

The file is replaced whole after every model, and a model counts as built only once it stands here, so a kill loses at most the
model that was in work.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

SCHEMA = "trimcache-finetunes"
SCHEMA_VERSION = 1
FILE_NAME = "manifest.json"


@dataclass
class Trained:
    """What training one model yields, besides its files.

    trained_tensors: names, as in this model's weight file, of every tensor that training was free to change: parameters, and the
        batch-norm statistics of trained layers. Everything else in the file is as in the parent.
    parent_prefix: a tensor called `prefix + name` here is called `name` in the parent (a classifier wraps its backbone).
    metric: `accuracy` (0 to 1, higher is better) or `loss` (nats a token, lower is better), always on held-out data.
    before, after: the metric when training began (parent's weights, fresh head) and when it ended.
    chance: for `accuracy`, the share of the commonest label in the held-out data: what a constant answer reaches.
    """

    trained_tensors: list[str]
    metric: str
    before: float | None = None
    after: float | None = None
    chance: float | None = None
    parent_prefix: str = ""
    layer_unit: str | None = None
    n_layers: int | None = None

    @property
    def higher_is_better(self) -> bool:
        return self.metric == "accuracy"

    @property
    def improved(self) -> bool:
        """Whether `after` beats `before` (true for a base that came trained)."""
        if self.before is None or self.after is None:
            return True
        return self.after > self.before if self.higher_is_better else self.after < self.before


@dataclass
class Entry:
    """One model of the manifest. Times in seconds, sizes in bytes; paths are relative to the manifest's folder."""

    path: str
    kind: str
    parent: str | None
    adapter: str | None
    task: str
    task_description: str
    layer_unit: str | None
    n_layers: int | None
    frozen_layers: int | None
    trained_tensors: list[str]
    equal_by_coincidence: list[str]  # trained, yet equal to the parent's bytes in the end
    parent_prefix: str
    metric: str
    higher_is_better: bool
    before: float | None
    after: float | None
    chance: float | None
    seed: int
    recipe_version: int
    wall_s: float
    cpu_s: float
    weights_file: str
    weights_sha256: str
    files: dict[str, int]


@dataclass
class Manifest:
    """The whole file."""

    seed: int = 0
    complete: bool = False
    libraries: dict[str, str] = field(default_factory=dict)
    models: list[Entry] = field(default_factory=list)

    def entry(self, path: str) -> Entry | None:
        """The entry of one model, if it is built."""
        return next((entry for entry in self.models if entry.path == path), None)

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Read `folder/manifest.json`; an absent, foreign or unreadable one is an empty one, since all can be built again."""
        try:
            raw = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
            if (raw["schema"], raw["schema_version"]) != (SCHEMA, SCHEMA_VERSION):
                return cls()
            return cls(raw["seed"], raw["complete"], raw["libraries"], [Entry(**model) for model in raw["models"]])
        except (OSError, ValueError, KeyError, TypeError):
            return cls()

    def save(self, folder: Path) -> None:
        """Write it under another name and rename, so that no reader ever sees half of it."""
        raw = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **asdict(self)}
        partial = folder / f".{FILE_NAME}.partial"
        partial.write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
        os.replace(partial, folder / FILE_NAME)
