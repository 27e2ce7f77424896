"""Files that ``torch.save`` wrote before PyTorch 1.6 (and still writes on request): pickles one behind another, then the storages.

In order: a magic number, a protocol version, facts about the machine, the value itself, the list of storage keys; then for each key, in
that order, its number of elements in 8 bytes and its elements, little-endian whatever the machine was. Source: ``_legacy_save`` and
``_legacy_load`` in ``torch/serialization.py``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, NoReturn

from extractors.byte_streams import range_chunks
from extractors.torch.inert import Table
from extractors.torch.pickle_input import PickleInput
from extractors.torch.pickle_machine import PickleMachine
from extractors.torch.placing import Place
from extractors.torch.rebuild import Rebuilder
from extractors.torch.spots import read_spots
from trimcache.bytesource import ByteSource
from trimcache.errors import FormatError

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001
_MAGIC_BYTES = (_MAGIC_NUMBER.to_bytes(10, "little"), str(_MAGIC_NUMBER).encode())
_TAR_MAGIC_AT = 257


@dataclass(frozen=True, slots=True)
class Loaded:
    """The value of a file, the bytes of its pickles, and where its storages lie."""

    root: Any
    pickle_nbytes: int
    places: dict[str, Place]


def looks_legacy(head: bytes) -> bool:
    """Whether a file that starts with ``head`` (512 bytes) is of this format, possibly damaged."""
    return any(magic in head[:64] for magic in _MAGIC_BYTES) or b"little_endian" in head


def is_tar(head: bytes) -> bool:
    """The format before PyTorch 0.1.10, a tar archive."""
    return head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar"


def load_legacy(source: ByteSource) -> Loaded:
    """Read the pickles, and of each storage the 8 bytes that say how long it is.

    Raises:
        FormatError: the pickles or the storages are not what ``torch.save`` writes.
    """
    stream = PickleInput(range_chunks(source, 0, source.size), source.size, source.uri)
    rebuilder = Rebuilder(source.uri)
    if _load(stream, rebuilder) != _MAGIC_NUMBER:
        _fail(source, "its magic number is damaged")
    version = _load(stream, rebuilder)
    if version != _PROTOCOL_VERSION or type(version) is not int:
        _fail(source, "is of an unknown version of the torch format")
    if type(_load(stream, rebuilder)) is not Table:
        _fail(source, "does not say on which machine it was written")
    root = _load(stream, rebuilder)
    pickle_nbytes = stream.consumed
    keys = _load(stream, rebuilder)
    if type(keys) is not list:
        _fail(source, "does not list its storages")
    return Loaded(root, pickle_nbytes, _places(source, rebuilder, keys, stream.consumed))


def _load(stream: PickleInput, rebuilder: Rebuilder) -> Any:
    return PickleMachine(stream, rebuilder).load()


def _places(source: ByteSource, rebuilder: Rebuilder, keys: list[Any], position: int) -> dict[str, Place]:
    places: dict[str, Place] = {}
    expected: dict[int, int] = {}
    for key in keys:
        text = key.decode("latin-1") if type(key) is bytes else str(key) if type(key) is int else key
        storage = rebuilder.storages.get(text) if type(text) is str else None
        if storage is None or storage.key in places:
            _fail(source, "lists a storage that it does not use, or one twice")
        source.check_range(position, 8 + storage.nbytes)
        expected[position] = storage.n_elements
        places[storage.key] = Place(position + 8, storage.nbytes)
        position += 8 + storage.nbytes
    for offset, raw in read_spots(source, ((offset, 8) for offset in expected)).items():
        (n_elements,) = struct.unpack("<q", raw)
        if n_elements != expected[offset]:
            _fail(source, f"the storage at byte {offset} has {n_elements} elements where its pickle says {expected[offset]}")
    return places


def _fail(source: ByteSource, problem: str) -> NoReturn:
    raise FormatError(source.uri, problem, "download or save the file again")
