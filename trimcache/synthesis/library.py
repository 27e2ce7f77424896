"""The two ways to a synthetic catalog: from a preset, or after a scanned one."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trimcache.rules import Rules
from trimcache.synthesis import popularity as popularities
from trimcache.synthesis.generate import refuse_existing, write_catalog
from trimcache.synthesis.lineage import Forest
from trimcache.synthesis.options import Options
from trimcache.synthesis.presets import build, preset

if TYPE_CHECKING:
    from trimcache.synthesis.goodness import Goodness


@dataclass(frozen=True)
class Generated:
    """What was written: ``regimes`` counts models, ``total_bytes`` adds up what fetching each of them moves."""

    catalog: str
    source: str
    seed: int
    models: int
    families: int
    total_bytes: int
    regimes: dict[str, int]
    synthetic: bool = True

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def generate_preset(
    name: str,
    n_models: int,
    root: Path,
    *,
    seed: int = 0,
    popularity: str | None = None,
    digest: str = "blake3-256",
    options: Options | None = None,
) -> Generated:
    """Write ``n_models`` models of a preset as the catalog ``root``.

    Args:
        popularity: a law or the path of a table (:mod:`trimcache.synthesis.popularity`); None: the preset's law.

    Raises:
        UsageError: no such preset, architecture, digest or law; impossible numbers.
        CatalogError: ``root`` exists or cannot be written.
    """
    Rules(digest)
    refuse_existing(root)
    forest = build(name, n_models, seed, options)
    law = popularity or preset(name).popularity
    return _write(forest, root, name, seed, digest, law)


def generate_like(
    catalog: Path, n_models: int, root: Path, *, seed: int = 0, popularity: str | None = None, digest: str = "blake3-256"
) -> tuple[Generated, Goodness]:
    """Write ``n_models`` models like those of a catalog, and say how like they are.

    Raises:
        UsageError: too few models to fit, or none wanted.
        CatalogError: a catalog cannot be read or written.
    """
    from trimcache.catalog.reader import open_catalog
    from trimcache.synthesis.fit import fit_catalog
    from trimcache.synthesis.goodness import goodness
    from trimcache.synthesis.sample import sample

    Rules(digest)
    refuse_existing(root)
    real = open_catalog(catalog)
    fitted = fit_catalog(real)
    forest = sample(fitted, n_models, seed)
    made = _write(forest, root, f"like-{catalog.name}", seed, digest, popularity)
    return made, goodness(real.graph(), open_catalog(root).graph())


def _write(forest: Forest, root: Path, source: str, seed: int, digest: str, popularity: str | None) -> Generated:
    listed = np.flatnonzero(np.array(forest.listed, bool))
    weights = None
    if popularity is not None:
        chosen = _popularity(forest, listed, popularity, seed)
        weights = np.zeros(len(forest))
        weights[listed] = chosen
    elif any(weight is not None for weight in forest.weight):
        weights = np.array([weight or 0.0 for weight in forest.weight])
    write_catalog(forest, root, source=source, seed=seed, digest=digest, popularity=weights)
    nbytes = np.array([layout.nbytes for layout in forest.layouts], np.int64)[np.array(forest.layout, np.int64)]
    total = 0
    for node in listed:
        total += int(nbytes[node])
        base = forest.parent[node] if forest.needs_base[node] else -1
        while base >= 0:  # an adapter is fetched with its base
            if forest.listed[base] and forest.regime[base] != "lora":
                total += int(nbytes[base])
            base = forest.parent[base] if forest.needs_base[base] else -1
    counts = Counter(forest.regime[node] for node in listed)
    families = len({forest.family[node] for node in listed})
    return Generated(str(root), source, seed, len(listed), families, total, dict(counts.most_common()))


def _popularity(forest: Forest, listed: np.ndarray, text: str, seed: int) -> np.ndarray:
    path = Path(text).expanduser()
    if path.exists() or (path.suffix and ":" not in text):
        return popularities.matched(popularities.read_popularity(path), [forest.name[node] for node in listed])
    families = np.array(forest.family, np.int64)[listed]
    return popularities.by_family(text, families, np.random.default_rng([seed, 1]))
