"""``catalog.json``: what a catalog is and by which rules it was made."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimcache.catalog.layout import DESCRIPTION, FORMAT, MAJOR_VERSION, MINOR_VERSION, TEMPORARY_PREFIX
from trimcache.errors import (
    CatalogCorruptError,
    CatalogNotFoundError,
    CatalogRulesError,
    CatalogVersionError,
    UsageError,
)
from trimcache.rules import Rules

SCANNED_ORIGIN, SYNTHETIC_ORIGIN = "scanned", "synthetic"


@dataclass(frozen=True, slots=True)
class CatalogDescription:
    """Rules, and whether the catalog describes real files or generated models."""

    rules: Rules
    origin: str = SCANNED_ORIGIN

    def to_json(self) -> str:
        from trimcache._version import __version__

        document = {
            "format": FORMAT,
            "version": f"{MAJOR_VERSION}.{MINOR_VERSION}",
            "rules": self.rules.to_dict(),
            "origin": self.origin,
            "created_by": f"trimcache {__version__}",
        }
        return json.dumps(document, indent=2) + "\n"


def read_description(root: Path) -> CatalogDescription:
    """The description of the catalog in ``root``.

    Raises:
        CatalogNotFoundError: there is no catalog.
        CatalogVersionError: it needs a newer trimcache.
        CatalogCorruptError: its description is damaged.
    """
    path = root / DESCRIPTION
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CatalogNotFoundError(str(root), "is not a catalog", "make one with: trimcache scan SOURCE -o CATALOG") from error
    except OSError as error:
        raise CatalogCorruptError(str(path), f"cannot be read ({error.strerror})", "check its permissions") from error
    except (ValueError, RecursionError) as error:
        raise CatalogCorruptError(str(path), "is not JSON", "restore it or scan again into a new folder") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise CatalogCorruptError(str(path), "does not describe a catalog", "restore it or scan again into a new folder")
    major = str(document.get("version", "")).partition(".")[0]
    if not major.isdecimal():
        raise CatalogCorruptError(str(path), "states no version", "restore it or scan again into a new folder")
    if int(major) > MAJOR_VERSION:
        raise CatalogVersionError(str(root), f"has format version {document['version'][:20]}", "update trimcache to read it")
    rules: Any = document.get("rules")
    try:
        parsed = Rules(str(rules["digest"]), str(rules["granularity"]), dict(rules.get("parameters") or {}))
    except (TypeError, KeyError, ValueError) as error:
        raise CatalogCorruptError(str(path), "states no rules", "restore it or scan again into a new folder") from error
    except UsageError as error:
        raise CatalogVersionError(str(root), f"was made with rules this version lacks ({error})", "update trimcache to read it") from error
    return CatalogDescription(parsed, str(document.get("origin", SCANNED_ORIGIN)))


def create_or_check(root: Path, wanted: CatalogDescription) -> None:
    """Create the catalog ``root``, or make sure that the one already there was made in the same way.

    Raises:
        CatalogRulesError: it was made with other rules or from another origin.
        CatalogNotFoundError: ``root`` is a folder of something else.
    """
    if not (root / DESCRIPTION).exists():
        foreign = root.exists() and (not root.is_dir() or not _only_temporary(root))
        # Looked at again: another scan may have created the catalog since, and its description is always there first.
        if foreign and not (root / DESCRIPTION).exists():
            raise CatalogNotFoundError(str(root), "exists and is not a catalog", "choose another place with -o")
        try:
            root.mkdir(parents=True, exist_ok=True)
            _write_once(root / DESCRIPTION, wanted.to_json())
        except OSError as error:
            raise CatalogNotFoundError(str(root), f"cannot be created ({error.strerror})", "choose another place with -o") from error
    present = read_description(root)
    if present.origin != wanted.origin:
        raise CatalogRulesError(
            str(root), f"is a {present.origin} catalog, which cannot take in {wanted.origin} models", "choose another place with -o"
        )
    if present.rules != wanted.rules:
        raise CatalogRulesError(
            str(root), f"was made with {present.rules}, not with {wanted.rules}", "use the same rules, or another place with -o"
        )


def _only_temporary(root: Path) -> bool:
    """Whether ``root`` holds nothing but what a killed creation may have left."""
    return all(entry.name.startswith(TEMPORARY_PREFIX) for entry in root.iterdir())


def _write_once(path: Path, text: str) -> None:
    """Publish ``path`` whole; if another process was first, its file stays."""
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.urandom(6).hex()}")
    try:
        with temporary.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        except OSError:
            os.replace(temporary, path)
            return
    finally:
        temporary.unlink(missing_ok=True)
