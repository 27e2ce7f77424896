"""Taking models out of a catalog. The files they were scanned from are not touched."""

from __future__ import annotations

from collections.abc import Sequence

from trimcache.catalog.reader import Catalog, open_catalog
from trimcache.catalog.writer import CatalogWriter


def forget(catalog: Catalog, models: Sequence[str]) -> Catalog:
    """Forget the models of these names (any unambiguous ending) and open what is left.

    An adapter whose base is forgotten stays, incomplete until the base is scanned again.

    Raises:
        ModelNameError: a name fits no model, or more than one; nothing is forgotten then.
    """
    parts = {part.part: part for part in catalog.parts}
    doomed = [parts[catalog.find_model(name).parts[-1]] for name in models]
    with CatalogWriter(catalog.root, catalog.description) as writer:
        for part in {part.part: part for part in doomed}.values():
            writer.forget(part.part, part.name, part.source)
    return open_catalog(catalog.root)
