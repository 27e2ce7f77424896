"""A plan on disk: one JSON file, and two Parquet files beside it where the block lists are long."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from trimcache._files import atomic_write
from trimcache.errors import PlanError
from trimcache.plan.document import FORMAT, VERSION, Plan, PlanDocument

__all__ = ["MAX_JSON_ENTRIES", "read_plan", "write_plan"]

MAX_JSON_ENTRIES = 1_000_000
"""Rows of the block table plus entries of the servers' block lists that are still written as JSON."""


def write_plan(plan: Plan, path: str | os.PathLike[str], max_json_entries: int = MAX_JSON_ENTRIES) -> None:
    """Write ``plan``; the JSON file appears last and whole, so a reader never sees half a plan.

    Raises:
        PlanError: the place cannot be written.
    """
    target = Path(path)
    document = plan.to_dict()
    try:
        old = _sidecars(target)
        if plan.block_bytes.size + plan.server_blocks.size > max_json_entries:
            document["block_files"] = _write_parquet(plan, target)
        else:
            document["blocks"] = {"digest": plan.digests(), "nbytes": plan.block_bytes.tolist()}
            for m, server in enumerate(document["servers"]):
                server["blocks"] = plan.blocks_of(m).tolist()
        with atomic_write(target) as file:
            file.write(json.dumps(document, indent=None if plan.server_blocks.size > 10_000 else 1).encode() + b"\n")
        for stale in old - {target.parent / name for name in document.get("block_files", {}).values()}:
            stale.unlink(missing_ok=True)
    except OSError as error:
        raise PlanError(str(target), f"cannot be written ({error.strerror or error})", "choose another place") from error


def read_plan(path: str | os.PathLike[str]) -> Plan:
    """Read a plan and check every rule: sizes are recounted from the block table.

    Raises:
        PlanError: missing, damaged, written by a newer trimcache, or inconsistent; the line names the file.
    """
    subject = str(path)
    try:
        raw = json.loads(Path(path).read_bytes())
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            raise PlanError(subject, "is not a plan", "give a file written by trimcache plan")
        version = raw.get("version")
        if isinstance(version, int) and version > VERSION:
            raise PlanError(subject, f"has version {version}, this trimcache reads {VERSION}", "upgrade trimcache")
        document = PlanDocument.model_validate(raw)
        arrays = _read_parquet(raw, Path(path)) if "block_files" in raw else _read_lists(raw)
        return Plan(document, *arrays)
    except FileNotFoundError as error:
        raise PlanError(str(error.filename or subject), "does not exist", "run trimcache plan") from error
    except OSError as error:
        raise PlanError(subject, f"cannot be read ({error.strerror or error})", "check the file") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise PlanError(subject, f"{where}: {first['msg']}", "write the plan again") from error
    except PlanError as error:
        if error.subject == subject:
            raise
        raise PlanError(subject, f"{error.subject}: {error.problem}", error.fix) from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise PlanError(subject, f"is damaged ({type(error).__name__})", "write the plan again") from error


_Arrays = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]


def _read_lists(raw: dict[str, Any]) -> _Arrays:
    digests = [bytes.fromhex(text) for text in raw["blocks"]["digest"]]
    if len({len(digest) for digest in digests}) > 1:
        raise PlanError("block table", "has digests of different lengths", "write the plan again")
    width = len(digests[0]) if digests else 32
    lists = [server["blocks"] for server in raw["servers"]]
    return (
        np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(len(digests), width),
        _whole(raw["blocks"]["nbytes"], np.int64),
        np.cumsum([0, *map(len, lists)], dtype=np.int64),
        _whole([row for blocks in lists for row in blocks], np.int32),
    )


def _whole(values: list[Any], dtype: type[np.integer[Any]]) -> Any:
    if any(type(value) is not int for value in values):
        raise PlanError("block table", "holds something that is no whole number", "write the plan again")
    return np.array(values, dtype=dtype)


def _write_parquet(plan: Plan, target: Path) -> dict[str, str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    width = plan.block_digests.shape[1]
    digest = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width), plan.block_bytes.size, [None, pa.py_buffer(np.ascontiguousarray(plan.block_digests).tobytes())]
    )
    server = np.repeat(np.arange(len(plan.servers), dtype=np.int32), np.diff(plan.server_ptr))
    tables = {
        "blocks": pa.table({"digest": digest, "nbytes": plan.block_bytes}),
        "server_blocks": pa.table({"server": server, "block": plan.server_blocks}),
    }
    # The name holds a hash of the content: the files of the plan in place are not touched before it is replaced.
    content = hashlib.blake2b(plan.block_digests.tobytes() + plan.block_bytes.tobytes(), digest_size=6)
    content.update(plan.server_ptr.tobytes() + plan.server_blocks.tobytes())
    names = {what: f"{target.name}.{what}-{content.hexdigest()}.parquet" for what in tables}
    for what, table in tables.items():
        with atomic_write(target.parent / names[what]) as file:
            pq.write_table(table, file, compression="zstd")
    return names


def _read_parquet(raw: dict[str, Any], path: Path) -> _Arrays:
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = {what: raw["block_files"][what] for what in ("blocks", "server_blocks")}
    for name in files.values():
        if not isinstance(name, str) or Path(name).name != name:
            raise PlanError("block_files", f"{name!r} is not a file beside the plan", "write the plan again")
    try:
        blocks = pq.read_table(path.parent / files["blocks"], columns=["digest", "nbytes"])
        lists = pq.read_table(path.parent / files["server_blocks"], columns=["server", "block"])
        digests = blocks["digest"].to_pylist()
        width = len(digests[0]) if digests else 32
        server = lists["server"].to_numpy()
        if server.size and (bool((np.diff(server) < 0).any()) or server.min() < 0):
            raise PlanError(files["server_blocks"], "is not ordered by server", "write the plan again")
        return (
            np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(len(digests), width),
            blocks["nbytes"].to_numpy().astype(np.int64),
            np.cumsum([0, *np.bincount(server, minlength=len(raw["servers"]))], dtype=np.int64),
            lists["block"].to_numpy().astype(np.int32),
        )
    except pa.ArrowException as error:
        raise PlanError("block_files", f"cannot be read ({type(error).__name__})", "write the plan again") from error


def _sidecars(target: Path) -> set[Path]:
    """The Parquet files of the plan that is at ``target`` now, if any."""
    try:
        names = json.loads(target.read_bytes())["block_files"].values()
        return {target.parent / name for name in names if Path(name).name == name and name.startswith(f"{target.name}.")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()
