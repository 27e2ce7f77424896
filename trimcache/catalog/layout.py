"""Names and version of the catalog format, apart from its columns so that they cost no import of pyarrow."""

from __future__ import annotations

FORMAT = "trimcache-catalog"
# Readers accept every minor version of their major version: columns and tables are only ever added.
MAJOR_VERSION, MINOR_VERSION = 1, 0
DESCRIPTION = "catalog.json"

# Written in this order: a part counts as published once its row in ``parts`` is there.
TABLES = ("extents", "tensors", "files", "models", "parts")

# Values of parts.status.
SCANNED, FORGOTTEN = "scanned", "forgotten"

TEMPORARY_PREFIX = ".tmp-"
