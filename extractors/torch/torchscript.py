"""TorchScript archives (``torch.jit.save``): a tree of scripted modules whose classes lie beside it as source text.

Layout: ``data.pkl`` (the module tree), ``data/N`` (its storages), ``code/`` (classes), ``constants.pkl`` and ``constants/N`` (tensors in
the code), as documented in PyTorch's ``torch/csrc/jit/docs/serialization.md``. The lines ``__parameters__`` and ``__buffers__`` of a
class are searched for as text; nothing of it is parsed further, let alone run.
"""

from __future__ import annotations

import re
from typing import Any

from extractors.torch.inert import Global, Opaque, Table, Tensor
from extractors.torch.walking import entries
from extractors.torch.zip_archive import ZipArchive
from trimcache.errors import FormatError
from trimcache.tensors import Kind

_MAX_CODE_NBYTES = 16 << 20
_MAX_ALL_CODE_NBYTES = 64 << 20
_LIST = r"^  {}\s*=\s*\[([^\]]*)\]"
_CLASS = re.compile(r"^class (\w+)", re.MULTILINE)
_PARAMETERS = re.compile(_LIST.format("__parameters__"), re.MULTILINE)
_BUFFERS = re.compile(_LIST.format("__buffers__"), re.MULTILINE)
_QUOTED = re.compile(r'"([^"\n]*)"')


class ScriptedModules:
    """Tells the attributes of scripted modules apart, from the source of their classes."""

    def __init__(self, archive: ZipArchive, prefix: str, uri: str) -> None:
        self._archive = archive
        self._prefix = prefix
        self._uri = uri
        self._left = _MAX_ALL_CODE_NBYTES
        self._files: dict[str, dict[str, tuple[frozenset[str], frozenset[str]]]] = {}

    def children(self, value: Opaque) -> list[tuple[str, Any, Kind | None]] | None:
        """Attributes of a scripted module with their kinds; None for any other object.

        Parameters and buffers are what its ``state_dict()`` names. Further tensor attributes are kept as buffers, for they are needed to
        run it, unless they are empty.
        """
        made_by = value.made_by
        if type(made_by) is not Global or not made_by.module.startswith("__torch__") or type(value.state) is not Table:
            return None
        known = self._classes(made_by.module).get(made_by.name)
        if known is None:
            return None
        parameters, _ = known
        found: list[tuple[str, Any, Kind | None]] = []
        for key, child in entries(value.state):
            if key in parameters:
                found.append((key, child, Kind.PARAMETER))
            elif type(child) is not Tensor:
                found.append((key, child, None))
            elif key in known[1] or 0 not in child.shape:
                found.append((key, child, Kind.BUFFER))
        return found

    def _classes(self, module: str) -> dict[str, tuple[frozenset[str], frozenset[str]]]:
        """``{class: (parameters, buffers)}`` of one source file."""
        name = f"{self._prefix}code/{module.replace('.', '/')}.py"
        if name not in self._files:
            self._files[name] = {}
            if name in self._archive.entries:
                self._left -= self._archive.entries[name].nbytes
                if self._left < 0:
                    raise FormatError(self._uri, "holds more source text than any model needs", "save it again")
                raw = self._archive.read(name, _MAX_CODE_NBYTES)
                try:
                    self._files[name] = _parse(raw.decode("utf-8"))
                except UnicodeDecodeError as error:
                    raise FormatError(self._uri, f"the entry {name[:80]!r} is not UTF-8", "download it again") from error
        return self._files[name]


def _parse(text: str) -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    starts = [(match.start(), match.group(1)) for match in _CLASS.finditer(text)]
    ends = [*(start for start, _ in starts), len(text)][1:]
    return {
        name: (_names(_PARAMETERS, text, start, end), _names(_BUFFERS, text, start, end))
        for (start, name), end in zip(starts, ends, strict=True)
    }


def _names(pattern: re.Pattern[str], text: str, start: int, end: int) -> frozenset[str]:
    match = pattern.search(text, start, end)
    return frozenset(_QUOTED.findall(match.group(1))) if match else frozenset()
