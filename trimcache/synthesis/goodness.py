"""How like a generated catalog is to the real one that it was fitted to: sizes, distributions, Kolmogorov-Smirnov distances."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimcache.graph import ModelBlockGraph
from trimcache.sizes import format_size

MEASURES = ("total_bytes", "unique_bytes", "shared_bytes", "specific_bytes")


@dataclass(frozen=True)
class Goodness:
    """Real against generated.

    Attributes:
        models: number of models, real and generated.
        sizes: for each of ``MEASURES``, bytes real and generated; comparable as they stand if both have equally many models.
        held_by: for r = 1, 2, ..., the share of unique bytes that exactly r models hold, real and generated.
        distances: Kolmogorov-Smirnov distance (0: equal, 1: disjoint) of the distributions of ``model_bytes`` over models, of blocks a
            model, of the share of a model's bytes that others hold too, of block sizes, and of unique bytes by the number of holders.
        repeated: generated models whose blocks have exactly the sizes of a real model's.
    """

    models: tuple[int, int]
    sizes: dict[str, tuple[int, int]]
    held_by: dict[int, tuple[float, float]]
    distances: dict[str, float]
    repeated: int

    def difference(self, measure: str) -> float:
        """Generated over real, a model, less one."""
        real, generated = self.sizes[measure]
        if not real:
            return 0.0 if not generated else float("inf")
        return (generated / self.models[1]) / (real / self.models[0]) - 1

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Cells for a table."""
        rows = [("models", str(self.models[0]), str(self.models[1]), "")]
        for name, (real, generated) in self.sizes.items():
            rows.append((name, format_size(real), format_size(generated), f"{100 * self.difference(name):+.1f} % a model"))
        for r, (real_share, generated_share) in self.held_by.items():
            rows.append((f"held by {r}", f"{100 * real_share:.1f} %", f"{100 * generated_share:.1f} %", ""))
        rows.append(("same block sizes as a real model", "", str(self.repeated), ""))
        return rows

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "differences": {name: self.difference(name) for name in self.sizes}, "synthetic": True}

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")


def goodness(real: ModelBlockGraph, generated: ModelBlockGraph) -> Goodness:
    """Compare two graphs; the cost is that of sorting their blocks."""
    sizes = {name: (int(getattr(real, name)), int(getattr(generated, name))) for name in MEASURES}
    spectra = [_spectrum(graph) for graph in (real, generated)]
    top = max(len(spectrum) for spectrum in spectra)
    padded = [np.pad(spectrum, (0, top - len(spectrum))) for spectrum in spectra]
    shown = range(1, min(top, 10))
    samples = {
        "model_bytes": (real.model_bytes, generated.model_bytes),
        "blocks a model": (np.diff(real.indptr), np.diff(generated.indptr)),
        "shared share of a model": (_shared_share(real), _shared_share(generated)),
        "block_bytes": (real.block_bytes, generated.block_bytes),
    }
    distances = {name: ks_distance(a, b) for name, (a, b) in samples.items()}
    distances["unique bytes by holders"] = float(np.abs(np.cumsum(padded[0]) - np.cumsum(padded[1])).max(initial=0.0))
    if real.popularity is not None and generated.popularity is not None:
        # Shares of a model's average, so that libraries of different sizes can be compared.
        a, b = (np.asarray(shares / max(float(shares.mean()), 1e-300)) for shares in (real.popularity, generated.popularity))
        distances["popularity"] = ks_distance(a, b)
    vectors = set(_size_vectors(real))
    repeated = sum(vector in vectors for vector in _size_vectors(generated))
    held = {r: (float(padded[0][r]), float(padded[1][r])) for r in shown}
    return Goodness((real.n_models, generated.n_models), sizes, held, distances, repeated)


def ks_distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """The largest difference of two empirical distribution functions."""
    if not len(a) or not len(b):
        return float(len(a) != len(b))
    points = np.unique(np.concatenate([a, b]))
    below = [np.searchsorted(np.sort(sample), points, side="right") / len(sample) for sample in (a, b)]
    return float(np.abs(below[0] - below[1]).max())


def _spectrum(graph: ModelBlockGraph) -> NDArray[np.float64]:
    """Share of unique bytes by the number of models that hold them, from 0 on."""
    weights = np.bincount(graph.holders(), weights=graph.block_bytes.astype(np.float64), minlength=2)
    return np.asarray(weights / max(weights.sum(), 1.0), np.float64)


def _shared_share(graph: ModelBlockGraph) -> NDArray[np.float64]:
    closed = np.maximum(graph.closed_bytes(), 1)
    return np.asarray(1 - graph.exclusive_bytes() / closed, np.float64)


def _size_vectors(graph: ModelBlockGraph) -> list[bytes]:
    return [np.sort(graph.block_bytes[graph.blocks_of(model)]).tobytes() for model in range(graph.n_models)]
