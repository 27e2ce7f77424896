"""Sampling from a fitted library: as many models as wanted, in families like the real ones, none of them trained on anything.

What is drawn: how many members each family has (proportional, give or take one), which regime each child follows (stratified over the
family's children), how deep it froze (a layer up or down, where layers are known), its number of labels and so the size of its head,
the rank of an adapter (from the family's), the length of its configuration, its popularity. What is kept: architectures, what a base
is, and that equal came from equal.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from trimcache.errors import UsageError
from trimcache.synthesis.fit import LIBRARY, OWN, Family, Fitted, Member, Row, is_task_row
from trimcache.synthesis.layouts import ExtentRow, Layout, TensorRow
from trimcache.synthesis.lineage import ROOT, Forest
from trimcache.tensors import Kind

# A configuration spells out the labels and other names of a task: assumption, up to 64 bytes more or fewer.
CONFIG_SPREAD_NBYTES = 64


def sample(fitted: Fitted, n_models: int, seed: int) -> Forest:
    """A forest with ``n_models`` listed models.

    Raises:
        UsageError: none wanted.
    """
    if n_models < 1:
        raise UsageError(f"{n_models} models", "is no library", "ask for at least 1 with --models")
    rng = np.random.default_rng([seed, n_models, fitted.n_models])
    forest = Forest()
    for copy, sizes in enumerate(_sizes(fitted, n_models, rng)):
        for number, (family, size) in enumerate(zip(fitted.families, sizes, strict=True)):
            if size:
                _add_family(forest, family, int(size), f"{number:04d}-{copy:04d}", rng)
    assert forest.n_listed == n_models
    return forest


def _sizes(fitted: Fitted, n_models: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Members of each family, for as many copies of the whole library as are wanted; the last copy is a smaller one."""
    real = np.array([len(family.members) for family in fitted.families], np.int64)
    copies = []
    left = n_models
    while left > 0:
        wanted = min(left, int(real.sum()))
        sizes = _proportional(real, wanted, rng)
        for _ in range(len(sizes) // 2):  # one member more here, one fewer there
            a, b = rng.choice(len(sizes), 2, replace=False)
            if sizes[a] > 2 and sizes[b] > 1 and rng.random() < 0.5:
                sizes[a], sizes[b] = sizes[a] - 1, sizes[b] + 1
        copies.append(sizes)
        left -= wanted
    return copies


def _proportional(real: np.ndarray, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """Whole numbers with expectations ``real * wanted / sum`` that add up to ``wanted`` (systematic sampling)."""
    order = rng.permutation(len(real))
    ends = np.cumsum(real[order]) * (wanted / real.sum())
    ends[-1] = wanted
    marks = np.ceil(ends - rng.random()).clip(0, wanted)
    marks[-1] = wanted
    sizes = np.empty(len(real), np.int64)
    sizes[order] = np.diff(marks, prepend=0)
    return sizes


def _add_family(forest: Forest, family: Family, size: int, tag: str, rng: np.random.Generator) -> None:
    trunk = f"family {tag}"
    # What the family has in common comes from behind the scenes: its base is one of those who hold it.
    empty = forest.layout_id(("empty", trunk), lambda: Layout(""))
    everything = forest.write_id(("all", trunk), trunk, lambda: None)
    root = forest.add(f"{tag}/origin", ROOT, empty, everything, architecture="", regime="origin", listed=False, family=len(forest))
    base_name = f"{tag}/{_plain(family.base.name)}-{tag}"
    base = _add_member(forest, root, family.base, family, base_name, None, rng)
    drawn = _children(family, size - 1, rng)
    for number, template in enumerate(drawn):
        name = f"{tag}/{number:04d}-{template.regime}-{_plain(template.name)}"
        _add_member(forest, root, template, family, name, forest.name[base] if template.needs_base else None, rng)


def _plain(name: str) -> str:
    return name.partition("#")[0].partition("@")[0].replace("/", "-").removesuffix(".safetensors") or "model"


def _children(family: Family, count: int, rng: np.random.Generator) -> list[Member]:
    """``count`` templates, every child of the family equally often, give or take one."""
    if not family.children:
        return [family.base] * count
    result: list[Member] = []
    while len(result) < count:
        order = rng.permutation(len(family.children))
        result += [family.children[i] for i in order[: count - len(result)]]
    return result


def _add_member(
    forest: Forest, root: int, template: Member, family: Family, name: str, base_name: str | None, rng: np.random.Generator
) -> int:
    rows = _varied(template, family, rng)
    layout = _layout(template, rows)
    own = {f"own {row.gene}" for row in rows if row.scope == OWN}
    trunk = forest.writes[forest.written[root]].trunk
    number = len(forest)
    node = forest.add(
        name,
        root,
        forest.layout_id(("member", number), lambda: layout),
        forest.write_id(("member", number), trunk, lambda: own),
        architecture=template.architecture,
        regime=template.regime,
        base=base_name,
        needs_base=template.needs_base,
    )
    forest.weight[node] = template.popularity
    return node


def _varied(template: Member, family: Family, rng: np.random.Generator) -> list[Row]:
    """The template's rows with another depth, other labels, another rank and another length of configuration."""
    rows = template.rows
    if template is family.base:
        return rows
    if template.regime == "frozen" and template.depth is not None:
        depth = min(max(template.depth + int(rng.choice((-1, 0, 0, 1))), 1), template.n_layers - 2)
        rows = _at_depth(rows, family.base, depth)
    if template.labels is not None:
        labels = max(2, template.labels + int(rng.choice((-1, 1, 2))))
        rows = [_resized(row, 0, template.labels, labels) if _of_task(row, template.labels) else row for row in rows]
    ranks = [member.rank for member in family.children if member.rank is not None]
    if template.rank is not None and ranks:
        rank = int(rng.choice(ranks))
        rows = [_resized(row, row.shape.index(template.rank), template.rank, rank) if ".lora_" in row.name else row for row in rows]
    spread = int(rng.integers(-CONFIG_SPREAD_NBYTES, CONFIG_SPREAD_NBYTES + 1))
    own = [replace(row, nbytes=max(1, row.nbytes + spread)) if row.scope == OWN and row.file == "config.json" else row for row in rows]
    return own


def _at_depth(rows: list[Row], base: Member, depth: int) -> list[Row]:
    """Train everything from layer ``depth`` on, and take the rest from the base."""
    tails = {_tail(row.name): row for row in base.rows if row.name}
    result = []
    for row in rows:
        counterpart = tails.get(_tail(row.name)) if row.name else None
        if row.layer is None or counterpart is None or counterpart.nbytes != row.nbytes:
            result.append(row)
        elif row.layer < depth:
            result.append(replace(row, gene=counterpart.gene, scope=counterpart.scope))
        elif row.gene == counterpart.gene and not _stays(rows, row):
            result.append(replace(row, scope=OWN))
        else:
            result.append(row)
    return result


def _stays(rows: list[Row], row: Row) -> bool:
    """Whether the template left ``row`` as it was although it trained its layer: so will others."""
    return any(other.layer == row.layer and other.scope == OWN for other in rows)


def _tail(name: str) -> str:
    """A tensor's name without what a head puts before it."""
    for prefix in ("bert.", "roberta.", "distilbert.", "model.", "base_model."):
        name = name.removeprefix(prefix)
    return name


def _of_task(row: Row, labels: int) -> bool:
    return row.scope == OWN and is_task_row(row) and row.shape[0] == labels


def _resized(row: Row, axis: int, size: int, wanted: int) -> Row:
    shape = (*row.shape[:axis], wanted, *row.shape[axis + 1 :])
    return replace(row, shape=shape, nbytes=row.nbytes // size * wanted)


def _layout(template: Member, rows: list[Row]) -> Layout:
    """Files tiled by ``rows``, in the template's order."""
    sizes = Counter[str]()
    for row in rows:
        sizes[row.file] += row.nbytes
    layout = Layout(template.format)
    layout.files = [(path, sizes[path], file_format) for path, _, file_format in template.files]
    number = {path: i for i, (path, _, _) in enumerate(layout.files)}
    positions = Counter[str]()
    for row in rows:
        slot = None if row.scope == LIBRARY else f"{row.scope} {row.gene}"
        content = b"library %d" % row.gene if slot is None else b""
        if row.name:
            layout.tensors.append(TensorRow(len(layout.extents), row.name, row.dtype, row.shape))
        layout.extents.append(ExtentRow(number[row.file], positions[row.file], row.nbytes, Kind(row.kind), slot, content))
        positions[row.file] += row.nbytes
    return layout
