"""Real folders to compare generated layouts with: ``save_pretrained`` of models with random weights."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from trimcache.synthesis.architectures import Architecture
from trimcache.synthesis.layouts import Layout


def save_randomly_initialised(arch: Architecture, folder: Path, *, labels: int | None = None, max_shard_size: str = "50GB") -> None:
    """Build the model from the configuration that is shipped, and save it."""
    import torch
    import transformers

    transformers.logging.disable_progress_bar()
    config = transformers.AutoConfig.for_model(**{k: v for k, v in arch.config.items() if k != "transformers_version"})
    if arch.labels is not None:
        config.num_labels = labels or arch.labels
    model_class = getattr(transformers, arch.model_class)
    if arch.parameters < 50_000_000:
        model = model_class(config).to(getattr(torch, arch.dtype))
    else:  # whatever the memory holds is random enough, and drawing it would take longer than all the rest
        with torch.device("meta"):
            model = model_class(config).to(getattr(torch, arch.dtype))
        model.to_empty(device="cpu")
        model.tie_weights()
    model.save_pretrained(folder, max_shard_size=max_shard_size)


def assert_same_files(layout: Layout, folder: Path) -> None:
    """Same files, same sizes, same headers, same tensors at the same places."""
    import trimcache

    real = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert {path: nbytes for path, nbytes, _ in layout.files} == real
    for extent in layout.extents:
        if extent.kind == "header":
            path = folder / layout.files[extent.file][0]
            with path.open("rb") as file:
                assert file.read(extent.nbytes) == extent.content, path
    catalog = trimcache.scan([str(folder)], folder.with_suffix(".catalog"))
    rows = catalog.table("tensors").to_pylist()
    found = {(r["file"], r["name"]): (r["dtype"], tuple(r["shape"]), r["offset"], r["nbytes"], r["kind"]) for r in rows}
    made = {}
    for tensor in layout.tensors:
        extent = layout.extents[tensor.extent]
        key = (layout.files[extent.file][0], tensor.name)
        made[key] = (tensor.dtype, tensor.shape, extent.offset, extent.nbytes, str(extent.kind))
    assert made == found
