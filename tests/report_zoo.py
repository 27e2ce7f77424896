"""Small zoos for the tests of the report: real files, scanned."""

from __future__ import annotations

from pathlib import Path

from tiny_models import floats, write_model

from trimcache import scan
from trimcache.catalog.reader import Catalog

HOSTILE = (
    "<img src=x onerror=window.hacked=1>",
    "</script><script>window.hacked=1</script>",
    "a'\"&<b>{{7*7}}",
    "evil\u202egnp.exe",
    "\x1b[31mred\nline",
    "\U0001f984 $$x$$ |pipe|",
    "\u05e9\u05dc\u05d5\u05dd",
    "n" * 250,
)


def tensors(**seeds: object) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Float32 tensors of 160 kB each, enough to tie a family; equal seeds give equal bytes."""
    return {f"layers.{n}.{name}.weight": ("F32", (200, 200), floats(40_000, seed)) for n, (name, seed) in enumerate(seeds.items())}


def zoo(folder: Path) -> Catalog:
    """Three of a family (a base, a fine-tuned half, an exact copy) and one alone."""
    write_model(folder / "zoo" / "base", tensors(a=1, b=2))
    write_model(folder / "zoo" / "half", tensors(a=1, b=3))
    write_model(folder / "zoo" / "copy", tensors(a=1, b=2))
    write_model(folder / "zoo" / "alone", tensors(c=9), architecture="Other")
    return scan(folder / "zoo", folder / "zoo.catalog")


def hostile_zoo(folder: Path) -> Catalog:
    """Models whose names are markup, escapes, right-to-left, very long; two of them share."""
    for n, name in enumerate(HOSTILE):
        write_model(folder / "zoo" / name, tensors(a=n // 2, b=f"own {n}"))
    return scan(folder / "zoo", folder / "hostile.catalog")
