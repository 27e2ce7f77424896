"""``SERVER=MODEL`` as operators write it, to pairs of indices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from trimcache.errors import UsageError

__all__ = ["endings", "model_named", "named_pairs"]

_MARKS = "/@#"  # an ending of a name begins after one of them


def named_pairs(texts: Iterable[str], server_names: Sequence[str], model_names: Sequence[str], option: str) -> list[tuple[int, int]]:
    """(server, model) of each ``SERVER=MODEL``; ``*`` is every server, a model is named by any unambiguous ending.

    Raises:
        UsageError: no ``=``, an unknown server or model, or an ending of several models.
    """
    pairs = []
    for text in texts:
        server, equals, model = text.partition("=")
        if not equals:
            raise UsageError(
                f"{option} {text!r}", "has no =", f"write it like {option} {server_names[0] if server_names else 'SERVER'}=MODEL"
            )
        if server != "*" and server not in server_names:
            raise UsageError(f"{option} {text!r}", "names an unknown server", _near(server, server_names))
        servers = range(len(server_names)) if server == "*" else [list(server_names).index(server)]
        pairs += [(m, model_named(model, model_names, f"{option} {text!r}")) for m in servers]
    return pairs


def model_named(name: str, names: Sequence[str], subject: str) -> int:
    """The index of the model that is called ``name`` or is the only one with that ending; UsageError for none or several."""
    ending = [i for i, full in enumerate(names) if full == name] or [
        i for i, full in enumerate(names) if name and full.endswith(name) and full[-len(name) - 1] in _MARKS
    ]
    if len(ending) > 1:
        raise UsageError(subject, f"names {len(ending)} models, for example {names[ending[0]]!r}", "give the whole name")
    if not ending:
        raise UsageError(subject, "names an unknown model", _near(name, names))
    return ending[0]


def endings(names: Sequence[str]) -> dict[str, list[int]]:
    """Every ending that ``model_named`` takes -> the indices of the names with it: for many look-ups at once."""
    found: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        for at, letter in enumerate(name[:-1], 1):
            if letter in _MARKS:
                found.setdefault(name[at:], []).append(i)
    return found


def _near(name: str, names: Sequence[str]) -> str:
    near = get_close_matches(name, names, n=1, cutoff=0.4)
    return f"did you mean {near[0]}?" if near else "see trimcache stats --by model"
