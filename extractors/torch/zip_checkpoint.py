"""Archives that ``torch.save`` (since PyTorch 1.6) and ``torch.jit.save`` write: pickles and storages as entries of a ZIP file.

All entries lie below one folder: ``data.pkl``, ``data/<key>`` for each storage, ``version``, and ``byteorder`` unless the file is old
(then it is little-endian). Source: "torch.save file format" in https://docs.pytorch.org/docs/stable/notes/serialization.html.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from extractors.torch.inert import Storage
from extractors.torch.pickle_input import MAX_PICKLE_NBYTES, PickleInput
from extractors.torch.pickle_machine import PickleMachine
from extractors.torch.placing import Place
from extractors.torch.rebuild import Rebuilder
from extractors.torch.zip_archive import ZipArchive
from trimcache.bytesource import ByteSource
from trimcache.errors import FormatError, NoWeightsError

# What only torch writes; an archive with none of them is some other ZIP file.
_SIGNS = ("data.pkl", "version", "byteorder", ".data/serialization_id", ".format_version")


@dataclass(slots=True)
class Pickled:
    """A pickle of the archive: its value, its size, and where its storages lie."""

    root: Any
    nbytes: int
    places: dict[str, Place] = field(default_factory=dict)


class ZipCheckpoint:
    """One archive; ``prefix`` is the folder that holds everything, with its slash.

    Raises:
        NoWeightsError: a ZIP file of something else.
        FormatError: the archive is damaged, or lacks what torch always writes.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self.archive = ZipArchive(source)
        names = self.archive.entries
        found = [name for name in names if name == "data.pkl" or (name.endswith("/data.pkl") and name.count("/") == 1)]
        if len(found) > 1:
            raise FormatError(source.uri, "holds two checkpoints", "save each in a file of its own")
        if not found:
            if not any(name.split("/", 1)[-1] in _SIGNS for name in names):
                raise NoWeightsError(source.uri, "is not a torch file", "it is a ZIP archive of something else")
            raise FormatError(source.uri, "has no data.pkl, which names its tensors", "download or save the file again")
        self.prefix = found[0].removesuffix("data.pkl")

    @property
    def is_scripted(self) -> bool:
        return f"{self.prefix}constants.pkl" in self.archive.entries

    def is_big_endian(self) -> bool:
        name = f"{self.prefix}byteorder"
        if name not in self.archive.entries:
            return False
        order = self.archive.read(name, 64)
        if order not in (b"little", b"big"):
            raise FormatError(self._source.uri, "says nothing sensible about its byte order", "download or save the file again")
        return order == b"big"

    def load(self, name: str) -> Pickled:
        """The pickle ``<name>.pkl``, its storages found at ``<name>/<key>``."""
        entry = self.archive.entries[f"{self.prefix}{name}.pkl"]
        uri = self._source.uri
        if entry.nbytes > MAX_PICKLE_NBYTES:
            raise FormatError(uri, f"its pickle is longer than {MAX_PICKLE_NBYTES} bytes", "save the tensors alone")
        rebuilder = Rebuilder(uri)
        stream = PickleInput(self.archive.chunks(entry.name), entry.nbytes, uri)
        root = PickleMachine(stream, rebuilder).load()
        return Pickled(root, entry.nbytes, self._places(name, rebuilder.storages))

    def _places(self, folder: str, storages: dict[str, Storage]) -> dict[str, Place]:
        entries = self.archive.entries
        names = {key: f"{self.prefix}{folder}/{key}" for key in storages}
        present = {key: name for key, name in names.items() if name in entries}
        starts = self.archive.locate(present.values())
        places: dict[str, Place] = {}
        for key, name in present.items():
            entry, nbytes = entries[name], storages[key].nbytes
            if entry.nbytes != nbytes:
                raise FormatError(
                    self._source.uri,
                    f"the storage {key[:40]!r} holds {entry.nbytes} bytes where its pickle says {nbytes}",
                    "download or save the file again",
                )
            places[key] = Place(starts[name], entry.stored_nbytes, not entry.is_stored)
        return places
