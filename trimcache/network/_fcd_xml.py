"""SUMO's fcd-export XML, read as a stream. The file may be hostile: no document types, no entities, bounded memory.

<fcd-export> <timestep time="0.00"> <vehicle id="a" x="5.10" y="498.35" .../> <person .../> </timestep> ... </fcd-export>
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from xml.parsers import expat

import numpy as np

from trimcache.errors import NetworkError
from trimcache.network._fcd_rows import MAX_ID_LENGTH, MAX_USERS, Timestep

__all__ = ["read_xml"]

_CHUNK_BYTES = 1 << 16
_MAX_TOKEN_BYTES = 1 << 20  # expat holds a tag whole; SUMO's are some hundred bytes, its heading comment some thousand
_MAX_NAMES = 1000  # and it holds every name of an element or attribute; SUMO has some dozen
_MAX_DEPTH = 16  # and every open element; SUMO has three


def read_xml(path: Path) -> Iterator[Timestep]:
    """Timesteps in the order of the file; persons are users like vehicles, containers are not.

    Raises:
        NetworkError: the file breaks the format, with its line; or it is cut off, with the last time that was whole.
    """
    with path.open("rb") as plain:
        file = gzip.GzipFile(fileobj=plain) if path.suffix.lower() == ".gz" else plain
        yield from _Reader(path).read(file)


class _Reader:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.parser = expat.ParserCreate()
        self.parser.StartDoctypeDeclHandler = self._refuse_doctype
        self.parser.EntityDeclHandler = self._refuse_doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CommentHandler = self._comment
        self.open: list[str] = []
        self.done: list[Timestep] = []
        self.time_s: float | None = None
        self.last_s: float | None = None
        self.users: dict[str, tuple[float, float]] = {}

    def read(self, file: IO[bytes] | gzip.GzipFile) -> Iterator[Timestep]:
        fed = 0
        while True:
            try:
                chunk = file.read(_CHUNK_BYTES)
            except EOFError:
                raise self._error("is cut off", "copy it anew") from None
            except (OSError, zlib.error) as error:
                raise self._error(f"cannot be read ({error})", "is it gzip? write it anew") from error
            try:
                self.parser.Parse(chunk, not chunk)
            except expat.ExpatError as error:
                if not chunk and self.open:
                    raise self._error("is cut off", "copy it anew, or let the simulation end") from error
                raise self._error(f"is not XML ({expat.ErrorString(error.code)})", "write it with sumo --fcd-output") from error
            except (LookupError, ValueError) as error:  # an encoding that Python does not know
                raise self._error(f"is not XML ({error})", "write it in UTF-8") from error
            fed += len(chunk)
            if fed - self.parser.CurrentByteIndex > _MAX_TOKEN_BYTES:
                raise self._error(f"holds a tag or comment of more than {_MAX_TOKEN_BYTES} bytes", "write it with sumo --fcd-output")
            if len(self.parser.intern) > _MAX_NAMES:
                raise self._error(f"holds more than {_MAX_NAMES} names of elements", "write it with sumo --fcd-output")
            yield from self.done
            self.done.clear()
            if not chunk:
                return

    def _error(self, problem: str, fix: str) -> NetworkError:
        after = "" if self.last_s is None else f" after time {self.last_s:g}"
        return NetworkError(f"{self.path} line {self.parser.CurrentLineNumber}{after}", problem, fix)

    def _refuse_doctype(self, *_: Any) -> None:
        raise self._error("holds a document type or entities, which floating-car data never do", "remove the DOCTYPE")

    def _comment(self, text: str) -> None:
        # SUMO repeats its configuration in a comment, the only place that tells degrees from metres.
        if not self.open and 'fcd-output.geo value="true"' in text:
            raise self._error("holds longitudes and latitudes", "write it without --fcd-output.geo, in metres")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        depth = len(self.open)
        self.open.append(name)
        if depth >= _MAX_DEPTH:
            raise self._error(f"is nested more than {_MAX_DEPTH} deep", "write it with sumo --fcd-output")
        if depth == 0 and name != "fcd-export":
            raise self._error(f"is <{name[:40]}>, not <fcd-export>", "write it with sumo --fcd-output")
        if depth == 1 and name == "timestep":
            self.time_s = self._number(attributes, "time", "timestep")
            self.users = {}
        elif depth == 2 and name in ("vehicle", "person") and self.time_s is not None:
            user = attributes.get("id", "")
            if not 0 < len(user) <= MAX_ID_LENGTH:
                raise self._error(f"a {name} has {'a very long' if user else 'no'} id", f"give 1 to {MAX_ID_LENGTH} characters")
            if user in self.users:
                raise self._error(f"{user!r} is there twice at time {self.time_s:g}", "give every vehicle one place")
            self.users[user] = (self._number(attributes, "x", user), self._number(attributes, "y", user))
            if len(self.users) > MAX_USERS:
                raise self._error(f"has more than {MAX_USERS} vehicles", "cut the file")

    def _end(self, name: str) -> None:
        self.open.pop()
        if len(self.open) == 1 and name == "timestep" and self.time_s is not None:
            places = np.array(list(self.users.values()), dtype=np.float64).reshape(-1, 2)
            self.done.append(Timestep(self.time_s, list(self.users), places, f"line {self.parser.CurrentLineNumber}"))
            self.last_s, self.time_s = self.time_s, None

    def _number(self, attributes: dict[str, str], name: str, owner: str) -> float:
        text = attributes.get(name)
        if text is None:
            raise self._error(f"{owner!r} has no {name}", "write the attributes id, x and y")
        try:
            value = float(text)
        except ValueError:
            value = np.nan
        if not np.isfinite(value) or "_" in text:
            fix = "write times in seconds, without --human-readable-time" if name == "time" else "give finite metres"
            raise self._error(f"{name} {text[:40]!r} of {owner!r} is not a finite number", fix)
        return value
