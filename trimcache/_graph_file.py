"""A model-block graph as one npz file: plain npy members and one JSON member. See docs/formats.md."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trimcache._files import atomic_write
from trimcache.errors import GraphError

if TYPE_CHECKING:
    from trimcache.graph import ModelBlockGraph

FORMAT = "trimcache-graph"
VERSION = 1
_DOCUMENT = "graph.json"
_ARRAYS = ("block_bytes", "indptr", "indices", "model_bytes")
_OPTIONAL_ARRAYS = ("block_ids", "popularity")
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can hold: the same graph gives the same bytes


def save_graph(graph: ModelBlockGraph, path: str | os.PathLike[str]) -> None:
    """Write ``graph`` beside ``path`` and rename it there, so a reader sees the old file or the whole new one."""
    target = Path(path)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "model_names": list(graph.model_names),
        "synthetic": graph.synthetic,
        "meta": dict(graph.meta),
    }
    try:
        with atomic_write(target) as file:
            _write(file, graph, document)
    except OSError as error:
        raise GraphError(str(target), f"cannot be written ({error.strerror})", "choose another place") from error


def _write(file: Any, graph: ModelBlockGraph, document: dict[str, Any]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        text = json.dumps(document, indent=1)
        archive.writestr(zipfile.ZipInfo(_DOCUMENT, _FIXED_TIME), text.encode(), zipfile.ZIP_DEFLATED)
        for name in (*_ARRAYS, *_OPTIONAL_ARRAYS):
            array = getattr(graph, name)
            if array is None:
                continue
            info = zipfile.ZipInfo(f"{name}.npy", _FIXED_TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            with archive.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, little, version=(1, 0), allow_pickle=False)


def load_graph(path: str | os.PathLike[str]) -> ModelBlockGraph:
    """Read and validate a graph; every fault is a GraphError that names the file."""
    from trimcache.graph import ModelBlockGraph

    subject = str(path)
    try:
        with zipfile.ZipFile(path) as archive:
            document = json.loads(archive.read(_DOCUMENT))
            if not isinstance(document, dict) or document.get("format") != FORMAT:
                raise GraphError(subject, "is not a model-block graph", "give a file written by graph.save")
            version = document.get("version")
            if not isinstance(version, int) or version > VERSION:
                raise GraphError(subject, f"has format version {version!r}, this trimcache reads {VERSION}", "upgrade")
            names = set(archive.namelist())
            arrays = {}
            for name in (*_ARRAYS, *(extra for extra in _OPTIONAL_ARRAYS if f"{extra}.npy" in names)):
                with archive.open(f"{name}.npy") as member:
                    arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
        return ModelBlockGraph(
            model_names=tuple(document["model_names"]),
            synthetic=bool(document.get("synthetic", False)),
            meta=document.get("meta", {}),
            **arrays,
        )
    except FileNotFoundError as error:
        raise GraphError(subject, "does not exist", "check the path") from error
    except OSError as error:
        raise GraphError(subject, f"cannot be read ({error.strerror or error})", "check the file") from error
    except GraphError as error:
        if error.subject == subject:
            raise
        raise GraphError(subject, f"is inconsistent ({error.subject} {error.problem})", "write it again") from error
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, MemoryError, OverflowError,
            NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error, RecursionError) as error:  # fmt: skip
        problem = f"is damaged or not a model-block graph ({type(error).__name__})"
        raise GraphError(subject, problem, "write it again with graph.save") from error
