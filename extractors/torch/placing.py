"""From described tensors to byte ranges: every view is checked against its storage, every storage against the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from extractors.stored_array import StoredArray
from extractors.torch.gather import StoredView
from extractors.torch.inert import Tensor
from extractors.torch.types import COMPLEX, ELEMENT_NBYTES, FLOATING, PACKED, canonical, component_nbytes
from trimcache.bytesource import ByteSource
from trimcache.errors import FormatError
from trimcache.tensors import Kind, TensorRef

# What all distinct tensors of a file may add up to: a few views of a storage are common, a thousand are an attack on whoever hashes them.
_FREE_NBYTES = 64 << 20
_MAX_TIMES = 16


@dataclass(frozen=True, slots=True)
class Place:
    """Where a storage lies in the file: ``stored_nbytes`` from ``start`` on."""

    start: int
    stored_nbytes: int
    deflated: bool = False


class Placing:
    """Makes the tensors of one file; ``places`` maps storage keys to ranges that lie inside the file."""

    def __init__(self, source: ByteSource, places: dict[str, Place], *, big_endian: bool = False) -> None:
        self._uri = source.uri
        self._places = places
        self._big_endian = big_endian
        self._budget = _FREE_NBYTES + _MAX_TIMES * source.size
        self._seen: set[tuple[int, int]] = set()

    def tensor(self, name: str, tensor: Tensor, kind: Kind) -> TensorRef:
        """The tensor under its canonical type.

        Raises:
            FormatError: it leaves its storage, its storage is not in the file, or all tensors together are absurdly large.
        """
        storage, itemsize = tensor.storage, ELEMENT_NBYTES[tensor.dtype]
        count, span = self._extent(name, tensor)
        place = self._places.get(storage.key)
        if place is None:
            self._fail(name, f"lies in the storage {storage.key[:40]!r}, which the file does not hold")
        dtype, shape = canonical(tensor.dtype, tensor.shape)
        nbytes = count * itemsize
        begin = tensor.first * itemsize
        if tensor.dtype in PACKED and count:
            per_byte = PACKED[tensor.dtype]
            if tensor.first or not is_row_major(tensor.shape, tensor.stride):
                self._fail(name, "is a view of packed values, which have no address")
            nbytes = span = -(-count // per_byte)
        if count == 0:
            return TensorRef(name, dtype, shape, kind, 0, place.start)
        if begin + span * itemsize > storage.nbytes:
            self._fail(name, f"needs bytes {begin} to {begin + span * itemsize} of a storage of {storage.nbytes}")
        swap = component_nbytes(tensor.dtype) if self._big_endian else 1
        plain = swap == 1 and not (tensor.conj or tensor.neg or place.deflated)
        view_shape, view_stride = (tensor.shape, tensor.stride) if tensor.dtype not in PACKED else ((nbytes,), (1,))
        if plain and is_row_major(view_shape, view_stride):
            self._spend(place.start + begin, nbytes)
            return TensorRef(name, dtype, shape, kind, nbytes, place.start + begin)
        self._spend(-1, nbytes + (storage.nbytes if place.deflated else span * itemsize))
        stored = (place.start, place.stored_nbytes) if place.deflated else (place.start + begin, span * itemsize)
        if is_row_major(view_shape, view_stride) and not (tensor.conj or tensor.neg):
            unpacked_nbytes, skip = (storage.nbytes, begin) if place.deflated else (None, 0)
            data: StoredArray | StoredView = StoredArray((stored,), nbytes, unpacked_nbytes, skip, swap)
            return TensorRef(name, dtype, shape, kind, nbytes, None, data=data, stored=(stored,))
        data = StoredView(
            start=place.start,
            stored_nbytes=place.stored_nbytes,
            nbytes=storage.nbytes,
            deflated=place.deflated,
            itemsize=itemsize,
            first=tensor.first,
            shape=view_shape,
            stride=view_stride,
            swap=swap,
            component=component_nbytes(tensor.dtype),
            floating=tensor.dtype in FLOATING,
            conj=tensor.conj and tensor.dtype in COMPLEX,
            neg=tensor.neg,
        )
        return TensorRef(name, dtype, shape, kind, nbytes, None, data=data, stored=(stored,))

    def _extent(self, name: str, tensor: Tensor) -> tuple[int, int]:
        """``(elements, elements from the first to the last in the storage)``; stops early at absurd ones."""
        count, span = 1, 1
        for size, stride in zip(tensor.shape, tensor.stride, strict=True):
            count *= size
            span += (size - 1) * stride
            if count > 2**62 and 0 not in tensor.shape:
                self._fail(name, "has more elements than any file could hold")
            count = min(count, 2**63)
        return (0, 0) if 0 in tensor.shape else (count, span)

    def _spend(self, offset: int, nbytes: int) -> None:
        """Count what reading a tensor costs; the same range again costs nothing."""
        if offset >= 0:
            if (offset, nbytes) in self._seen:
                return
            self._seen.add((offset, nbytes))
        self._budget -= nbytes
        if self._budget < 0:
            problem = f"its tensors describe more than {_MAX_TIMES} times the bytes it holds"
            raise FormatError(self._uri, problem, "save clones of the views")

    def _fail(self, name: str, problem: str) -> NoReturn:
        raise FormatError(self._uri, f"the tensor {name[:80]!r} {problem}", "download or save the file again")


def is_row_major(shape: tuple[int, ...], stride: tuple[int, ...]) -> bool:
    """Whether a view lists consecutive elements in order."""
    expected = 1
    for size, step in zip(reversed(shape), reversed(stride), strict=True):
        if size != 1:
            if step != expected:
                return False
            expected *= size
    return True
