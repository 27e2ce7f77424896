"""Which file is a weight file, and of which copy: the names that libraries give to weights.

A repository often holds the same weights several times. This module reads one file's path; :mod:`trimcache.sources.copies` decides with
it what a part holds. ``docs/sources.md`` states the rule for users.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Families of formats, best first: those whose tensors are found from a header alone, then the rest.
FAMILIES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (family, re.compile(pattern))
    for family, pattern in (
        ("openvino", r"(?:^|/)openvino[^/]*\.(?:bin|xml)$"),  # before torch: its .bin is no pickle
        ("safetensors", r"\.safetensors$"),
        ("torch", r"\.(?:bin|ckpt|jit|pth?(?:\.tar)?)$"),
        ("gguf", r"\.gguf$"),
        ("onnx", r"\.onnx(?:[._]data(?:_\d+)?)?$"),
        ("numpy", r"\.npz$"),
        ("coreml", r"\.(?:mlmodel|mlmodelc)$"),
        ("tensorflow", r"\.(?:h5|tflite)$"),
        ("flax", r"\.msgpack$"),
        ("rust", r"\.ot$"),
    )
)
OTHER_FAMILY = "other"  # a format that only a third-party extractor knows
_ORDER = {family: index for index, family in enumerate(("safetensors", "torch", "gguf", "onnx", "numpy", OTHER_FAMILY))}

# Families that hold a part of a model a file, so that a folder may need several files with different names.
_PER_STEM = frozenset({"safetensors", "torch", "numpy", OTHER_FAMILY})
# Families whose file with an ending of another format does not tell whether an extractor for the family is installed.
_TELLING_SUFFIX = {"openvino": (".xml",), "coreml": (".mlmodel", ".mlmodelc")}

# Sub-folders that hold exports or originals of the weights beside them.
COPY_FOLDERS = frozenset({"onnx", "openvino", "original", "coreml", "tensorrt", "gguf", "tflite", "executorch"})

# Files ending like weights that hold none, or hold the state of a training run (names used by transformers' Trainer and accelerate).
_TRAINING_STATE = re.compile(
    r"(?:^|/)(?:optimizer[^/]*|scheduler[^/]*|scaler[^/]*|rng_state[^/]*|random_states[^/]*)\.(?:pth?(?:\.tar)?|bin|safetensors)$"
    r"|(?:^|/)training_args\.bin$|(?:^|/)(?:global_step\d+|runs|events\.out\.tfevents[^/]*)(?:/|$)"
)

MARKERS = frozenset({"config.json", "model_index.json", "adapter_config.json", "modules.json"})
_INDEX_SUFFIXES = (".safetensors.index.json", ".bin.index.json")

_SHARD = re.compile(r"-(\d{3,6})-of-(\d{3,6})(?=[.]|$)")
_PRECISION = r"fp32|float32|fp16|float16|half|bf16|bfloat16|fp8\w*|u?int8|int4|[48]bit|non_ema|ema"
# Names under which the libraries save the whole of a component, then perhaps ".variant".
_CANONICAL = re.compile(
    r"(?:model|pytorch_model|tf_model|flax_model|rust_model|diffusion_pytorch_model|diffusion_flax_model|weights)"
    rf"(?:\.(?P<variant>\w+)|[-_](?P<precision>{_PRECISION}))?"
)
_NAMED_PRECISION = re.compile(rf"(?P<stem>.+)[._-](?P<precision>{_PRECISION})")
_ONNX_PRECISION = re.compile(r"_(fp32|fp16|bf16|half|q?u?int8\w*|q4f16|q[48]\w*|bnb4|quantized|O[1-4])$", re.IGNORECASE)
_OPENVINO_PRECISION = re.compile(r"_(q?u?int[48]\w*|fp16|quantized)$", re.IGNORECASE)
_TAR = re.compile(r"\.tar$", re.IGNORECASE)
# The weights again as their authors' own code wants them.
_ORIGINAL = re.compile(r"(?:^|/)(consolidated|open_clip)(?:[._-][^/]*)?\.(?:safetensors|pth?(?:\.tar)?|bin)$")


@dataclass(frozen=True, slots=True)
class WeightFile:
    """What the path of a weight file says.

    Attributes:
        family: of formats.
        component: the folder whose weights it holds, "" for that of the part; None: it holds the whole model.
        stem: which weights of the component: files that differ in it are no copies of each other; "" = all of them.
        copy: which copy: ``safetensors``, ``torch-fp16``, ``onnx``, ``original``, the stem of a GGUF file.
        rank: smaller is preferred; the last number tells apart what is equal otherwise.
    """

    family: str
    component: str | None
    stem: str
    copy: str
    rank: tuple[bool, int, bool, str, int, int]


def is_training_state(path: str) -> bool:
    """Whether ``path`` is optimizer, scheduler or logging state that a served model does not need."""
    return _TRAINING_STATE.search(path) is not None


def is_marker(name: str) -> bool:
    """Whether a file called ``name`` makes its folder one part."""
    return name in MARKERS or name.endswith(_INDEX_SUFFIXES)


def weight_format(path: str, readable: tuple[str, ...] = ()) -> str | None:
    """The family of formats that ``path`` belongs to by its ending, or None if it holds no weights.

    Args:
        readable: file endings for which an extractor is installed; those of no known family make ``other``.
    """
    name = path.lower()
    if name.endswith(".json"):
        return None
    found = next((family for family, pattern in FAMILIES if pattern.search(name)), None)
    if found is None and readable and name.endswith(readable):
        found = OTHER_FAMILY
    return None if found is None or is_training_state(path) else found


def is_readable(path: str, family: str, readable: tuple[str, ...]) -> bool:
    """Whether an extractor for the format of ``path`` is installed."""
    telling = _TELLING_SUFFIX.get(family)
    return path.lower().endswith(readable if telling is None else tuple(suffix for suffix in telling if suffix in readable))


def without_shard(path: str) -> str:
    """``path`` without ``-00001-of-00003``."""
    return _SHARD.sub("", path)


def n_shards(path: str) -> int:
    """Of how many files ``path`` says that it is one; 0 if it says nothing."""
    shard = _SHARD.search(path)
    return int(shard[2]) if shard is not None else 0


def missing_shards(paths: list[str]) -> list[str]:
    """Names of the shards that ``paths`` count on (``-00002-of-00003``) and do not hold."""
    numbers: dict[tuple[str, str], set[int]] = {}
    for path in paths:
        shard = _SHARD.search(path)
        if shard is not None:
            numbers.setdefault((without_shard(path), shard[2]), set()).add(int(shard[1]))
    missing = []
    for (name, total), there in numbers.items():
        first = 0 if 0 in there else 1
        # A name may claim any total; nothing is listed beyond what a message needs.
        gaps = (number for number in range(first, first + min(int(total), len(there) + 4)) if number not in there)
        stem, dot, suffix = name.rpartition(".")
        missing += [f"{stem}-{number:0{len(total)}d}-of-{total}{dot}{suffix}" for number in gaps]
    return missing


def ending(path: str) -> str:
    """The ending of a weight file, ``.pth.tar`` as one, in lower case and without its first dot."""
    name = path.lower().rpartition("/")[2]
    return f"{name.removesuffix('.tar').rpartition('.')[2]}.tar" if name.endswith(".tar") else name.rpartition(".")[2]


def classify(path: str, family: str, *, pipeline: bool = False) -> WeightFile:
    """What a weight file's path, relative to its part, says of it.

    Args:
        family: its :func:`weight_format`.
        pipeline: the part's components are in sub-folders, so that weights outside of them are the whole model again.
    """
    pieces = path.split("/")
    *folders, name = pieces
    at = next((index for index, piece in enumerate(folders) if piece.lower() in COPY_FOLDERS), None)
    component = "/".join(folders if at is None else folders[:at])
    base = without_shard(name)
    base = (
        re.sub(r"\.onnx(?:[._]data(?:_\d+)?)?$", "", base, flags=re.IGNORECASE)
        if family == "onnx"
        else _TAR.sub("", base).rpartition(".")[0]
    )
    if family == "gguf":
        return WeightFile(family, None, "", base, _rank(family, "", copy=False))
    original = _ORIGINAL.search(path)
    if original is not None and at is None:
        return WeightFile(family, component, "", "open_clip" if original[1] == "open_clip" else "original", _rank(family, "", copy=True))
    if at is not None and family in _PER_STEM:
        # What lies in a folder like original/ or coreml/ is a copy as a whole, whatever its files are called.
        return WeightFile(family, component, "", folders[at].lower(), _rank(family, "", copy=True))
    if family not in _PER_STEM:
        found = {"onnx": _ONNX_PRECISION, "openvino": _OPENVINO_PRECISION}.get(family, _ONNX_PRECISION).search(base)
        precision = found[1].lower() if found else ""
        return WeightFile(family, component, "", _copy(family, precision), _rank(family, precision, copy=at is not None))
    if pipeline and not folders:
        return WeightFile(family, None, "", base if family == "safetensors" else f"{base}-{family}", _rank(family, "", copy=True))
    stem, precision = _stem(base)
    return WeightFile(family, component, stem, _copy(family, precision), _rank(family, precision, copy=False))


def _stem(base: str) -> tuple[str, str]:
    """``(stem, precision)`` of a name without shard and ending; all canonical names have the stem ``model``."""
    canonical = _CANONICAL.fullmatch(base)
    if canonical is not None:
        return "model", canonical["variant"] or canonical["precision"] or ""
    named = _NAMED_PRECISION.fullmatch(base)
    return (named["stem"], named["precision"]) if named is not None else (base, "")


def _copy(family: str, precision: str) -> str:
    return f"{family}-{precision}" if precision else family


def _rank(family: str, precision: str, *, copy: bool) -> tuple[bool, int, bool, str, int, int]:
    """What libraries load when nothing else is asked for comes first: the folder's own weights, in full precision, then by format."""
    order = _ORDER.get(family, len(_ORDER))
    return copy, 0 if order <= 1 else order, bool(precision), precision, order, 0
