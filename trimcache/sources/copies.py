"""Which copy of its weights a part holds: the rule for folders that hold the same weights twice.

1. Training state is left out. Every other file that holds no weights belongs to every variant.
2. Two weight files are copies of each other if they lie in one component (a folder; ``onnx/``, ``original/``, ``openvino/``, ... belong
   to the folder above) and have one stem: ``model``, ``pytorch_model``, ``tf_model``, ``diffusion_pytorch_model``, ... are one stem;
   ``model.fp16`` is a copy of ``model``; ``vocoder.pt`` is no copy of ``model.safetensors``. An ONNX, OpenVINO, Core ML, TensorFlow,
   Flax or Rust file, a ``consolidated.*`` file and a ``.gguf`` file is a copy of all weights of its component, whatever its stem.
3. A part holds, for each component and stem, the copy that is best in this order: one that an installed extractor reads; one of which no
   shard is missing; one in the folder itself; one that is torch-like (safetensors, torch), then GGUF, ONNX, ...; one in full precision
   (``.fp16`` and ``-non_ema`` come after); safetensors before torch; of several torch files ``.bin``, ``.pt``, ``.pth``, ``.ckpt``,
   ``.pth.tar``, ``.jit``. That is what the libraries load when nothing else is asked for.
4. GGUF files are quantizations, so where they are the best each is a variant, ``name#stem``; split files are one.
5. With ``weights="all"`` every further readable copy is a variant too, ``name#torch``, ``name#onnx-fp16``, ``name#original``: in a
   component that does not have that copy, the best one stands in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from trimcache.errors import NoWeightsError, SourceError, SourceUnreadableError
from trimcache.sources.weights import (
    OTHER_FAMILY,
    WeightFile,
    classify,
    ending,
    is_readable,
    missing_shards,
    n_shards,
    weight_format,
    without_shard,
)

WEIGHTS = ("preferred", "all")


@dataclass(frozen=True, slots=True)
class Variant:
    """One variant of a part.

    Attributes:
        label: "" for the preferred copy.
        paths: of all files, sorted.
        notes: what was left out, and why; of the first variant only.
    """

    label: str
    paths: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Copy:
    """The files of one copy of one stem of one component."""

    family: str
    rank: tuple[object, ...]
    paths: list[str] = field(default_factory=list)
    readable: bool = False

    @property
    def order(self) -> tuple[object, ...]:
        return (not self.readable, bool(missing_shards(self.paths)), *self.rank)


_Copies = dict[str, _Copy]
_Files = list[tuple[str, WeightFile]]
# Label and weight files of each variant.
_Chosen = list[tuple[str, frozenset[str]]]


class _Weights:
    """All copies of all weights of one part."""

    def __init__(self, files: Iterable[tuple[str, WeightFile]], readable: tuple[str, ...]) -> None:
        self.whole_model: _Copies = {}
        self.components: dict[str, dict[str, _Copies]] = {}
        for path, weight in files:
            if weight.component is None:
                copies = self.whole_model
            else:
                copies = self.components.setdefault(weight.component, {}).setdefault(weight.stem, {})
            copy = copies.setdefault(weight.copy, _Copy(weight.family, weight.rank))
            copy.paths.append(path)
            copy.rank = min(copy.rank, weight.rank)
            copy.readable = copy.readable or is_readable(path, weight.family, readable)

    def all_copies(self) -> Iterator[tuple[str, _Copy]]:
        yield from self.whole_model.items()
        for stems in self.components.values():
            for copies in stems.values():
                yield from copies.items()

    def best_whole(self) -> str | None:
        """The copy of the whole model that is better than what the components hold, or None."""
        if not self.whole_model:
            return None
        best = min(self.whole_model, key=lambda name: self.whole_model[name].order)
        in_components = [copy.order for stems in self.components.values() for copies in stems.values() for copy in copies.values()]
        return best if not in_components or self.whole_model[best].order < min(in_components) else None

    def select(self, wanted: str | None) -> list[_Copy]:
        """The copy ``wanted`` wherever there is one, the best elsewhere."""
        if wanted in self.whole_model:
            return [self.whole_model[wanted]]
        chosen: list[_Copy] = []
        for stems in self.components.values():
            of_all, of_stems = stems.get("", {}), [copies for stem, copies in stems.items() if stem]
            best_of_stems = [copies[wanted] if wanted in copies else _best(copies) for copies in of_stems]
            if wanted in of_all:
                chosen.append(of_all[wanted])
            elif any(wanted in copies for copies in of_stems):
                chosen += best_of_stems
            elif of_all and (not best_of_stems or _best(of_all).order < min(copy.order for copy in best_of_stems)):
                chosen.append(_best(of_all))
            else:
                chosen += best_of_stems
        return chosen


def _best(copies: _Copies) -> _Copy:
    return min(copies.values(), key=lambda copy: copy.order)


def variants_of(
    paths: Iterable[str],
    readable: tuple[str, ...],
    *,
    name: str,
    weights: str = "preferred",
    pipeline: bool = False,
    collection: bool = False,
) -> list[Variant]:
    """The variants of one part, the preferred one first.

    Args:
        paths: of all files of the part, relative to it, without training state.
        readable: file endings for which an extractor is installed.
        name: of the part, for errors.
        weights: ``"preferred"`` or ``"all"``.
        pipeline: its components lie in sub-folders.
        collection: nothing marks it as one model, so that weights with different stems are different models.

    Raises:
        NoWeightsError: no installed extractor reads any copy.
        SourceUnreadableError: shards of every copy are missing.
    """
    others: list[str] = []
    files: list[tuple[str, WeightFile]] = []
    for path in paths:
        family = weight_format(path, readable)
        if family is None:
            others.append(path)
        else:
            files.append((path, classify(path, family, pipeline=pipeline)))
    files = _told_apart(files)
    chosen = _of_collection(files, readable, name, weights) if collection else None
    if chosen is None:
        chosen = _of_model(files, readable, name, weights)
    used = {path for _, taken in chosen for path in taken}
    unused = sorted(path for path, _ in files if path not in used)
    return [
        Variant(label, tuple(sorted({*others, *taken})), _notes(unused) if index == 0 else ())
        for index, (label, taken) in enumerate(chosen)
    ]


# torch files, best first: what the libraries write, what people write, then what needs more than weights (code) to be read.
_ENDINGS = ("bin", "pt", "pth", "ckpt", "pt.tar", "pth.tar", "jit")


def _told_apart(files: _Files) -> _Files:
    """Copies that their names alone would make one: each gets a label of its own."""
    return _same_format(_quantizations(files))


def _same_format(files: _Files) -> _Files:
    """Of one stem in one format (``pytorch_model.bin``, ``model.jit``), all but the first are called by their ending or name."""
    groups: dict[tuple[str, str, str], dict[tuple[str, int], list[str]]] = {}
    for path, weight in files:
        # What a format that is not known here writes under one stem may be halves of one model.
        if weight.component is not None and weight.stem and weight.family != OTHER_FAMILY:
            same = groups.setdefault((weight.component, weight.stem, weight.copy), {})
            same.setdefault((without_shard(path), n_shards(path)), []).append(path)
    taken: dict[str, tuple[str, int]] = {}
    for (_, _, copy), named in groups.items():
        labels = {copy}
        for place, paths in enumerate(sorted(named.values(), key=_preference) if len(named) > 1 else ()):
            by_ending, by_name = f"{copy}-{ending(paths[0])}", f"{copy}-{paths[0].rpartition('/')[2]}"
            label = copy if not place else by_name if by_ending in labels else by_ending
            labels.add(label)
            taken |= dict.fromkeys(paths, (label, place))
    return [
        (path, replace(weight, copy=taken[path][0], rank=(*weight.rank[:-1], taken[path][1])) if path in taken else weight)
        for path, weight in files
    ]


def _preference(paths: list[str]) -> tuple[object, ...]:
    what = ending(paths[0])
    return bool(missing_shards(paths)), _ENDINGS.index(what) if what in _ENDINGS else len(_ENDINGS), n_shards(paths[0]), paths


def _quantizations(files: _Files) -> _Files:
    """Quantizations of one name in different folders are called by their paths."""
    named: dict[str, set[str]] = {}
    for path, weight in files:
        if weight.component is None:
            named.setdefault(weight.copy, set()).add(without_shard(path))
    return [
        (path, replace(weight, copy=without_shard(path).rpartition(".")[0]))
        if weight.component is None and len(named[weight.copy]) > 1
        else (path, weight)
        for path, weight in files
    ]


def _of_model(files: _Files, readable: tuple[str, ...], name: str, weights: str) -> _Chosen:
    """``(label, paths)`` of each variant of files that are one model."""
    held = _Weights(files, readable)
    whole = held.best_whole()
    best = held.select(whole)
    _check(name, best)
    usable = sorted({label for label, copy in held.all_copies() if copy.readable and not missing_shards(copy.paths)})
    labels: list[str] = []
    chosen: _Chosen = []
    if whole is not None and held.whole_model[whole].family == "gguf":
        labels = [label for label in usable if label in held.whole_model and held.whole_model[label].family == "gguf"]
    else:
        chosen.append(("", frozenset(path for copy in best for path in copy.paths)))
    for label in [*labels, *(usable if weights == "all" else ())]:
        taken = frozenset(path for copy in held.select(label) for path in copy.paths)
        if all(taken != other for _, other in chosen):
            chosen.append((label, taken))
    return chosen


def _of_collection(files: _Files, readable: tuple[str, ...], name: str, weights: str) -> _Chosen | None:
    """The same for files of which those with different stems are different models; None if all have one stem."""
    stems: dict[str, _Files] = {}
    rest: _Files = []
    for path, weight in files:
        if weight.component is None or not weight.stem:
            rest.append((path, weight))
        else:
            stem = f"{weight.component}/{weight.stem}" if weight.component else weight.stem
            stems.setdefault(stem, []).append((path, weight))
    if len(stems) < 2:
        return None
    chosen: _Chosen = []
    failure: SourceError | None = None
    for stem, members in sorted(stems.items()):
        try:
            found = _of_model(members, readable, f"{name}#{stem}", weights)
        except SourceError as error:
            failure = error
            continue
        chosen += [(f"{stem}-{label}" if label else stem, taken) for label, taken in found]
    if not chosen and failure is not None:
        raise failure
    if rest and weights == "all":
        copies, labels = _Weights(rest, readable), {label for label, _ in chosen}
        family = {label: copy.family for label, copy in copies.all_copies() if copy.readable}
        for wanted in sorted(family):
            label = wanted
            while label in labels:  # model.gguf beside a stem ``model``
                label = f"{label}-{family[wanted]}"
            labels.add(label)
            chosen.append((label, frozenset(path for copy in copies.select(wanted) for path in copy.paths)))
    return chosen


def _notes(unused: list[str]) -> tuple[str, ...]:
    incomplete = {path for path in unused if missing_shards([other for other in unused if without_shard(other) == without_shard(path)])}
    copies = [path for path in unused if path not in incomplete]
    notes = []
    if copies:
        notes.append(f"left out {len(copies)} further copies of the weights: {', '.join(copies[:4])}{', ...' if len(copies) > 4 else ''}")
    if incomplete:
        notes.append(f"left out {min(incomplete)}: {missing_shards(sorted(incomplete))[0]} is missing; download it again")
    return tuple(notes)


def _check(name: str, chosen: list[_Copy]) -> None:
    if not any(copy.readable for copy in chosen):
        some = ", ".join(sorted(path for copy in chosen for path in copy.paths)[:3])
        families = "/".join(sorted({copy.family for copy in chosen}))
        raise NoWeightsError(
            name,
            f"no installed extractor reads its weights ({some})",
            f"install an extractor for {families} or convert them to safetensors",
        )
    for copy in chosen:
        missing = missing_shards(copy.paths)
        if missing:
            raise SourceUnreadableError(name, f"{missing[0]} is missing", "download it again")
