"""One more or one other module around a whole network: ``encoder.layer.0`` in one model is ``bert.encoder.layer.0`` in the other.

Libraries save a bare network without the name that a task model gives it (``base_model_prefix`` in transformers), so names that mean the
same tensor often differ by what stands before them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from trimcache.sharing.model_tensors import StoredTensor

_MOST_COMPONENTS = 3
_LEAST_VOTES = 2


def prefixes(a: Sequence[StoredTensor], b: Sequence[StoredTensor]) -> tuple[str, str]:
    """What to take off the names of a and of b so that most of them agree, with their dots; ``("", "")`` if nothing makes it better.

    Looked for: up to three components more on one side, or another first component on each. Only tensors of equal shape count.
    """
    votes: Counter[tuple[str, str]] = Counter()
    shapes_a, shapes_b = _shapes(a), _shapes(b)
    for name, shape in shapes_b.items():
        votes["", ""] += shapes_a.get(name) == shape
        for prefix, rest in _taken_off(name, _MOST_COMPONENTS):
            votes["", prefix] += shapes_a.get(rest) == shape
    for name, shape in shapes_a.items():
        for prefix, rest in _taken_off(name, _MOST_COMPONENTS):
            votes[prefix, ""] += shapes_b.get(rest) == shape
    first_a: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for name, shape in shapes_a.items():
        for prefix, rest in _taken_off(name, 1):
            first_a.setdefault((rest, shape), []).append(prefix)
    for name, shape in shapes_b.items():
        for prefix, rest in _taken_off(name, 1):
            votes.update((other, prefix) for other in first_a.get((rest, shape), ()) if other != prefix)
    best = max(votes, key=lambda pair: (votes[pair], -len(pair[0]) - len(pair[1]), pair), default=("", ""))
    return best if votes[best] >= _LEAST_VOTES else ("", "")


def _shapes(tensors: Sequence[StoredTensor]) -> dict[str, tuple[int, ...]]:
    return {name: tensor.shape for tensor in tensors for name in tensor.names}


def _taken_off(name: str, most: int) -> Iterator[tuple[str, str]]:
    """``bert.``, ``encoder.weight`` and ``bert.encoder.``, ``weight`` of ``bert.encoder.weight``."""
    end = 0
    for _ in range(most):
        end = name.find(".", end) + 1
        if not end or end == len(name):
            return
        yield name[:end], name[end:]
