"""The figures of docs/how-much-is-shared.md on trained models, counted again with BLAKE3 and sets from the files alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from finetunes.recipes import RECIPES
from finetunes_fixture import ROOT, finetunes_folder
from independent_count import files, pieces

from trimcache.sizes import parse_size

pytestmark = pytest.mark.slow
_PAGE = ROOT / "docs" / "how-much-is-shared.md"


def _blocks(folder: Path) -> dict[bytes, int]:
    return {piece.digest: piece.nbytes for path in files(folder) for piece in pieces(path)}


def test_what_the_page_says_that_trained_models_add() -> None:
    folder = finetunes_folder()
    rows = re.findall(
        r"^\| [^|]+ \| (\w+/[\w-]+)(?:, [^|]+ layers)? \| ([\d.]+ \w+) \| ([\d.]+ \w+) \|", _PAGE.read_text("utf-8"), re.MULTILINE
    )
    parents = {recipe.path: recipe.parent for recipe in RECIPES if recipe.parent}
    shown = {name: (parse_size(size), parse_size(adds)) for name, size, adds in rows if name in parents}
    assert shown.keys() == parents.keys()
    for name, (size, adds) in shown.items():
        base, own = _blocks(folder / str(parents[name])), _blocks(folder / name)
        # Sizes on the page have four digits; a trained scalar that equals its base's by chance is less than that.
        assert adds == pytest.approx(sum(nbytes for digest, nbytes in own.items() if digest not in base), rel=1e-3), name
        folders = [folder / name, *([folder / str(parents[name])] if (folder / name / "adapter_config.json").exists() else [])]
        assert size == pytest.approx(sum(path.stat().st_size for one in folders for path in files(one)), rel=1e-3), name
