"""Models in memory: any ``torch.nn.Module``, without importing torch unless one is given.

The tensors of a module form a virtual file: their canonical bytes back to back in ``state_dict`` order, tied tensors once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from trimcache.bytesource import ByteSource
from trimcache.dtypes import normalize_dtype
from trimcache.errors import FormatError
from trimcache.tensors import Extraction, Kind, TensorRef


class ModuleExtractor:
    """Parameters and persistent buffers of an ``nn.Module`` (plain, transformers, peft-wrapped)."""

    format: ClassVar[str] = "module"

    def accepts(self, obj: Any) -> bool:
        return any(f"{base.__module__}.{base.__qualname__}" == "torch.nn.modules.module.Module" for base in type(obj).__mro__)

    def extract_object(self, obj: Any) -> Extraction:
        parameters = {name for name, _ in obj.named_parameters(remove_duplicate=False)}
        adapter_marks = _adapter_marks(obj)
        tensors: list[TensorRef] = []
        placed: dict[tuple[Any, ...], int] = {}
        position = 0
        for name, tensor in obj.state_dict(keep_vars=True).items():
            if not hasattr(tensor, "element_size"):
                continue  # extra state of a module is any object, not a tensor
            if tensor.is_meta:
                raise FormatError(name, "the tensor is on the meta device and has no bytes", "load the weights first")
            nbytes = tensor.numel() * tensor.element_size()
            same_memory = (tensor.device, tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tuple(tensor.stride()))
            offset = placed.setdefault(same_memory, position) if nbytes else position
            if offset == position:
                position += nbytes
            kind = Kind.PARAMETER if name in parameters else Kind.BUFFER
            if any(mark in name for mark in adapter_marks):
                kind = Kind.ADAPTER
            dtype = normalize_dtype(str(tensor.dtype))
            tensors.append(TensorRef(name, dtype, tuple(tensor.shape), kind, nbytes, offset, data=_bytes_of(tensor)))
        return Extraction(tuple(tensors))


def _adapter_marks(obj: Any) -> tuple[str, ...]:
    """Parts of parameter names that belong to adapters, if ``obj`` is wrapped by peft: its own prefix plus the adapters' names."""
    configs = getattr(obj, "peft_config", None)
    if not isinstance(configs, dict):
        return ()
    prefix = getattr(getattr(obj, "base_model", None), "prefix", None)
    return (prefix,) if isinstance(prefix, str) and prefix else ("lora_", "prompt_encoder")


def _bytes_of(tensor: Any) -> Callable[[ByteSource], memoryview]:
    def canonical(_source: ByteSource) -> memoryview:
        import torch

        flat = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
        # numpy has no bfloat16 or float8, so the bytes are viewed before they cross.
        # One element counts as contiguous whatever its stride, but only a stride of 1 can be viewed.
        return memoryview(flat.as_strided(flat.shape, (1,)).view(torch.uint8).numpy()).cast("B")

    return canonical
