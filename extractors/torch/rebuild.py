"""The allow-list: what a call of a known function means, worked out from its arguments without calling it.

The functions are those that ``torch.save`` writes (``torch._utils._rebuild_*``, listed by the weights-only unpickler of
https://docs.pytorch.org/docs/stable/notes/serialization.html) and the containers of the standard library. Every other call becomes an
:class:`Opaque` object.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from extractors.torch.inert import Composite, Global, NoBytes, Opaque, Storage, StorageView, Table, Tensor
from extractors.torch.types import ELEMENT_NBYTES, TENSOR_CLASSES, storage_dtype, torch_dtype
from trimcache.errors import FormatError

_MAX_DIMENSIONS = 64  # torch's own limit
_MAX_SIZE = 2**63
_COMPRESSED = {
    "torch.sparse_csr": ("crow_indices", "col_indices"),
    "torch.sparse_bsr": ("crow_indices", "col_indices"),
    "torch.sparse_csc": ("ccol_indices", "row_indices"),
    "torch.sparse_bsc": ("ccol_indices", "row_indices"),
}


class Rebuilder:
    """Gives persistent ids and calls their meaning; knows the storages of one file.

    Attributes:
        storages: every storage that was named, by key.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.storages: dict[str, Storage] = {}

    def fail(self, problem: str) -> NoReturn:
        raise FormatError(self.uri, f"its pickle {problem}", "download or save the file again")

    # Persistent ids: how a pickle refers to what is stored outside it.

    def persistent(self, saved: Any) -> Any:
        """The storage (or, in the oldest files, the container class) that a persistent id names."""
        if type(saved) is not tuple or len(saved) < 2:
            self.fail("refers to something outside it that is no storage")
        kind = _text(saved[0])
        if kind == "module":
            return saved[1]
        if kind != "storage" or len(saved) not in (5, 6):
            self.fail("refers to something outside it that is no storage")
        dtype = _dtype_of_storage_class(saved[1])
        key, n_elements = _text(saved[2]) if type(saved[2]) is not int else str(saved[2]), saved[4]
        if dtype is None or key is None or not _is_size(n_elements):
            self.fail("describes a storage that cannot be")
        storage = self.storages.get(key)
        if storage is None:
            storage = self.storages[key] = Storage(key, dtype, n_elements, n_elements * ELEMENT_NBYTES[dtype])
        elif (storage.dtype, storage.n_elements) != (dtype, n_elements):
            self.fail(f"describes the storage {key[:40]!r} in two ways")
        view = saved[5] if len(saved) == 6 else None
        if view is None:
            return storage
        if type(view) is not tuple or len(view) != 3 or not _is_size(view[1]) or not _is_size(view[2]) or view[1] + view[2] > n_elements:
            self.fail(f"describes a view that leaves the storage {key[:40]!r}")
        return StorageView(storage, view[1], view[2])

    # Calls.

    def call(self, function: Any, args: Any) -> Any:
        """What ``function(*args)`` stands for."""
        if type(args) is not tuple:
            self.fail("calls something without a tuple of arguments")
        if type(function) is Global:
            known = _KNOWN.get(function.path)
            if known is not None:
                return known(self, args)
            if function.module.startswith("torch") and function.name in TENSOR_CLASSES:
                return _old_tensor(self, args)
        return Opaque(function, args)

    def build(self, target: Any, state: Any) -> Any:
        """``target`` with ``state`` set on it, as far as that means anything here."""
        if type(target) is Opaque:
            if type(target.made_by) is Global and _is_old_tensor(target.made_by) and type(state) is tuple and 4 <= len(state) <= 5:
                return self.tensor(state[-4], state[-3], state[-2], state[-1], "")
            target.state = state
        return target

    def tensor(self, storage: Any, first: Any, shape: Any, stride: Any, dtype: str) -> Tensor:
        """A strided view, its arguments checked one by one; whether it fits its storage is checked where it is placed."""
        shift = 0
        if type(storage) is StorageView:
            shift, storage = storage.first, storage.storage
        if type(storage) is not Storage:
            self.fail("rebuilds a tensor from something that is no storage")
        if type(shape) is not tuple or type(stride) is not tuple or len(shape) != len(stride) or len(shape) > _MAX_DIMENSIONS:
            self.fail("rebuilds a tensor without a proper shape and stride")
        if not _is_size(first):
            self.fail("rebuilds a tensor at an impossible offset")
        for size, step in zip(shape, stride, strict=True):
            if type(size) is not int or not 0 <= size < _MAX_SIZE:
                self.fail("rebuilds a tensor of an impossible shape")
            if type(step) is not int or not 0 <= step < _MAX_SIZE:
                self.fail("rebuilds a tensor of an impossible stride")
        return Tensor(storage, dtype or storage.dtype or "uint8", first + shift, shape, stride)


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MAX_SIZE


def _text(value: Any) -> str | None:
    """Text, or the bytes that Python 2 wrote for it."""
    if type(value) is bytes:
        return value.decode("latin-1")
    return value if type(value) is str else None


def _dtype_of_storage_class(value: Any) -> str | None:
    """Of ``torch.FloatStorage``, ``torch.cuda.FloatStorage``, ``torch.storage.UntypedStorage``: the class name decides."""
    return storage_dtype(value.name) if type(value) is Global else None


def _is_old_tensor(made_by: Global) -> bool:
    return made_by.module.startswith("torch") and (made_by.name in TENSOR_CLASSES or made_by.name == "Tensor")


def _rebuild_tensor(rebuilder: Rebuilder, args: tuple[Any, ...]) -> Any:
    if len(args) < 4:
        rebuilder.fail("rebuilds a tensor from too few arguments")
    return rebuilder.tensor(args[0], args[1], args[2], args[3], "")


def _rebuild_tensor_v2(rebuilder: Rebuilder, args: tuple[Any, ...]) -> Any:
    tensor = _rebuild_tensor(rebuilder, args)
    _set_bits(rebuilder, tensor, args[6] if len(args) > 6 else None)
    return tensor


def _rebuild_tensor_v3(rebuilder: Rebuilder, args: tuple[Any, ...]) -> Any:
    if len(args) < 7:
        rebuilder.fail("rebuilds a tensor from too few arguments")
    dtype = _dtype(rebuilder, args[6])
    tensor = rebuilder.tensor(args[0], args[1], args[2], args[3], dtype)
    _set_bits(rebuilder, tensor, args[7] if len(args) > 7 else None)
    return tensor


def _set_bits(rebuilder: Rebuilder, tensor: Any, metadata: Any) -> None:
    """The lazy conjugation and negation that a view may carry."""
    if metadata is None:
        return
    if type(metadata) is not Table:
        rebuilder.fail("gives a tensor metadata that is no dictionary")
    tensor.conj = metadata.get("conj") is True
    tensor.neg = metadata.get("neg") is True


def _dtype(rebuilder: Rebuilder, value: Any) -> str:
    name = torch_dtype(value.name) if type(value) is Global and value.module == "torch" else None
    if name is None:
        spelled = value.path if type(value) is Global else type(value).__name__
        raise FormatError(rebuilder.uri, f"a tensor has the unknown dtype {spelled[:40]!r}", "update trimcache")
    return name


def _rebuild_parameter(rebuilder: Rebuilder, args: tuple[Any, ...]) -> Any:
    if not args:
        rebuilder.fail("rebuilds a parameter from nothing")
    return args[0]


def _rebuild_from_type_v2(rebuilder: Rebuilder, args: tuple[Any, ...]) -> Any:
    """``(function, class, arguments, state)``: a tensor with attributes, or of a subclass."""
    if len(args) != 4:
        rebuilder.fail("rebuilds a tensor from too few arguments")
    result = Opaque(args[0], args[2]) if _is_call_to(args[0], "_rebuild_from_type_v2") else rebuilder.call(args[0], args[2])
    if type(result) is Opaque:
        result.state = args[3]
    return result


def _is_call_to(function: Any, name: str) -> bool:
    return type(function) is Global and function.name == name


def _rebuild_sparse(rebuilder: Rebuilder, args: tuple[Any, ...]) -> Any:
    if len(args) != 2 or type(args[1]) is not tuple or len(args[1]) < 3:
        rebuilder.fail("rebuilds a sparse tensor from too few arguments")
    layout, data = args
    if layout == "torch.sparse_coo":
        return Composite({"indices": data[0], "values": data[1]})
    names = _COMPRESSED.get(layout) if type(layout) is str else None
    if names is None:
        rebuilder.fail("rebuilds a sparse tensor of an unknown layout")
    return Composite({names[0]: data[0], names[1]: data[1], "values": data[2]})


def _rebuild_nested(rebuilder: Rebuilder, args: tuple[Any, ...]) -> Any:
    if len(args) != 4:
        rebuilder.fail("rebuilds a nested tensor from too few arguments")
    return Composite(dict(zip(("buffer", "sizes", "strides", "offsets"), args, strict=True)))


def _rebuild_quantized(rebuilder: Rebuilder, args: tuple[Any, ...]) -> Any:
    """The integers under the quantized tensor's name; scales and zero points by channel, where they are tensors, beside it."""
    if len(args) < 5:
        rebuilder.fail("rebuilds a quantized tensor from too few arguments")
    whole = _rebuild_tensor(rebuilder, args)
    parameters = args[4] if type(args[4]) is tuple else ()
    if len(parameters) < 3 or type(parameters[1]) is not Tensor:
        return whole
    return Composite({"": whole, "scales": parameters[1], "zero_points": parameters[2]})


def _no_storage(rebuilder: Rebuilder, args: tuple[Any, ...]) -> Any:
    return NoBytes("it is on the meta device")


def _from_numpy(rebuilder: Rebuilder, args: tuple[Any, ...]) -> Any:
    return NoBytes("it is stored as a NumPy array inside the pickle")


def _from_other_device(rebuilder: Rebuilder, args: tuple[Any, ...]) -> Any:
    """``(tensor on the CPU, dtype, device, requires_grad)``."""
    if len(args) < 2 or type(args[0]) is not Tensor or _dtype(rebuilder, args[1]) != args[0].dtype:
        return NoBytes("it is stored in another type than it is used in")
    return args[0]


def _old_tensor(rebuilder: Rebuilder, args: tuple[Any, ...]) -> Any:
    """``torch.FloatTensor(storage, offset, shape, stride)``, or an empty one whose state is set afterwards."""
    if len(args) == 4:
        return rebuilder.tensor(args[0], args[1], args[2], args[3], "")
    return NoBytes("its class names no storage")


def _table(rebuilder: Rebuilder, args: tuple[Any, ...]) -> Any:
    """An OrderedDict or dict: empty, from a table, or (Python 2) from a list of pairs."""
    if not args:
        return Table()
    source = args[-1]
    if type(source) is Table:
        return Table(list(source.pairs))
    if type(source) is not list or not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in source):
        rebuilder.fail("makes a dictionary from something that is none")
    return Table([item for pair in source for item in pair])


def _defaultdict(rebuilder: Rebuilder, args: tuple[Any, ...]) -> Any:
    return Table()


def _sequence(rebuilder: Rebuilder, args: tuple[Any, ...]) -> Any:
    """``torch.Size``, ``set``, ``list``, ...: the sequence it is made from."""
    source = args[0] if args else ()
    return source if type(source) in (tuple, list) else Opaque(None, args)


def _size(rebuilder: Rebuilder, args: tuple[Any, ...]) -> Any:
    source = args[0] if args else ()
    if type(source) not in (tuple, list) or len(source) > _MAX_DIMENSIONS:
        rebuilder.fail("makes a torch.Size from something that is no shape")
    return tuple(source)


def _encode(rebuilder: Rebuilder, args: tuple[Any, ...]) -> Any:
    """``_codecs.encode(text, "latin1")`` is how protocol 2 writes bytes."""
    if len(args) == 2 and type(args[0]) is str and args[1] in ("latin1", "latin-1") and len(args[0]) <= 256:
        try:
            return args[0].encode("latin-1")
        except UnicodeEncodeError as error:
            raise FormatError(rebuilder.uri, "its pickle holds bytes beyond 255", "download or save the file again") from error
    return Opaque(None, ())


def _get_layout(rebuilder: Rebuilder, args: tuple[Any, ...]) -> Any:
    return args[0] if args else None


_KNOWN: dict[str, Callable[[Rebuilder, tuple[Any, ...]], Any]] = {
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor_v2,
    "torch._utils._rebuild_tensor_v3": _rebuild_tensor_v3,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch.nn.parameter.Parameter": _rebuild_parameter,
    "torch._tensor._rebuild_from_type": _rebuild_from_type_v2,
    "torch._tensor._rebuild_from_type_v2": _rebuild_from_type_v2,
    "torch._utils._rebuild_sparse_tensor": _rebuild_sparse,
    "torch._utils._rebuild_nested_tensor": _rebuild_nested,
    "torch._utils._rebuild_qtensor": _rebuild_quantized,
    "torch._utils._rebuild_meta_tensor_no_storage": _no_storage,
    "torch._utils._rebuild_device_tensor_from_numpy": _from_numpy,
    "torch._utils._rebuild_xla_tensor": _from_numpy,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _from_other_device,
    "torch.serialization._get_layout": _get_layout,
    "torch.Size": _size,
    "torch.jit._pickle.build_intlist": _sequence,
    "torch.jit._pickle.build_doublelist": _sequence,
    "torch.jit._pickle.build_boollist": _sequence,
    "torch.jit._pickle.build_tensorlist": _sequence,
    "torch.jit._pickle.restore_type_tag": _get_layout,
    "collections.OrderedDict": _table,
    "collections.Counter": _table,
    "collections.defaultdict": _defaultdict,
    "_codecs.encode": _encode,
    **{f"{module}.{name}": _sequence for module in ("builtins", "__builtin__") for name in ("set", "frozenset", "list", "tuple")},
    **{f"{module}.dict": _table for module in ("builtins", "__builtin__")},
}
