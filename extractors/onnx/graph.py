"""Where tensors are in a model: initializers and node attributes of the graph, of its subgraphs and of the model's functions.

Walked in file order, once. A node may say its name after its attributes, so names are put together at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from extractors.onnx.protobuf import LENGTH, VARINT, WireReader, signed64
from extractors.onnx.tensor_message import MAX_NAME_NBYTES, TensorMessage, read_entry, read_tensor
from trimcache.errors import FormatError

_AGAIN = "download or export the model again"
# Bounds on what no real model comes near: they limit memory and time for files made to cost both.
_MAX_SUBGRAPHS_DEEP = 32  # three messages each; the protobuf library itself stops at 100
_MAX_TENSORS = 1 << 18
_MAX_PROPERTIES = 1024


@dataclass(slots=True)
class Scope:
    """A node or a function, as a prefix of names inside it; ``label`` is final once all of it was read."""

    parent: Scope | None
    label: str = ""

    def prefix(self) -> str:
        """The labels from the model down to here, each followed by ``/``."""
        labels: list[str] = []
        scope: Scope | None = self
        while scope is not None:
            labels.append(scope.label)
            scope = scope.parent
        return "".join(f"{label}/" for label in reversed(labels))


@dataclass(slots=True)
class FoundTensor:
    """A tensor and what its name is made of: the scope it is in, ``label`` (final at the end too), a suffix for parts of sparse tensors."""

    message: TensorMessage
    scope: Scope | None
    label: str = ""
    suffix: str = ""


@dataclass(slots=True)
class Model:
    """What was found in a ``ModelProto``."""

    tensors: list[FoundTensor] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    has_training_info: bool = False


@dataclass(slots=True)
class _Attribute:
    """An attribute of a node: tensors directly in it, and scopes of the graphs in it."""

    name: str = ""
    tensors: list[FoundTensor] = field(default_factory=list)
    graphs: list[Scope] = field(default_factory=list)


def read_model(reader: WireReader) -> Model:
    """All tensors of the ``ModelProto`` that fills the reader's source.

    Raises:
        FormatError: it is no valid ONNX model, or exceeds the bounds above.
    """
    return _ModelWalker(reader).walk()


class _ModelWalker:
    def __init__(self, reader: WireReader) -> None:
        self._reader = reader
        self._model = Model()

    def walk(self) -> Model:
        reader, metadata, end = self._reader, self._model.metadata, self._reader.size
        n_graphs = 0
        for number, wire_type in reader.fields(end):
            if number == 7 and wire_type == LENGTH:
                n_graphs += 1
                self._graph(reader.message_end(end), None, 0)
            elif number == 25 and wire_type == LENGTH:
                self._function(reader.message_end(end))
            elif number == 20:
                self._model.has_training_info = True
                reader.skip_value(wire_type, end)
            elif number in (1, 5) and wire_type == VARINT:
                metadata["ir_version" if number == 1 else "model_version"] = str(signed64(reader.varint()))
            elif number in (2, 3, 4) and wire_type == LENGTH:
                key = {2: "producer_name", 3: "producer_version", 4: "domain"}[number]
                metadata[key] = reader.free_text(end, MAX_NAME_NBYTES, key)
            elif number == 14 and wire_type == LENGTH:
                self._property(end)
            else:
                reader.skip_value(wire_type, end)
        if not n_graphs:
            raise FormatError(reader.uri, "holds no graph, so it is no ONNX model", _AGAIN)
        return self._model

    def _property(self, end: int) -> None:
        """A pair of free text; long ones (embedded configurations) are not kept."""
        reader, metadata = self._reader, self._model.metadata
        nbytes = reader.length(end)
        if nbytes > MAX_NAME_NBYTES or len(metadata) >= _MAX_PROPERTIES:
            reader.skip(nbytes)
            return
        key, value = read_entry(reader, reader.position + nbytes)
        metadata.setdefault(key, value)

    def _graph(self, end: int, scope: Scope | None, depth: int) -> None:
        reader = self._reader
        if depth > _MAX_SUBGRAPHS_DEEP:
            raise FormatError(reader.uri, f"nests graphs more than {_MAX_SUBGRAPHS_DEEP} deep", _AGAIN)
        n_unnamed = 0
        for number, wire_type in reader.fields(end):
            if number == 1 and wire_type == LENGTH:
                self._node(reader.message_end(end), scope, depth)
            elif number == 5 and wire_type == LENGTH:
                found = self._tensor(reader.message_end(end), scope)
                n_unnamed += not found.message.name
                found.label = found.message.name or f"initializer.{n_unnamed - 1}"
            elif number == 15 and wire_type == LENGTH:
                for found in self._sparse(reader.message_end(end), scope):
                    n_unnamed += not found.label
                    found.label = found.label or f"sparse_initializer.{n_unnamed - 1}"
            else:
                reader.skip_value(wire_type, end)

    def _function(self, end: int) -> None:
        reader = self._reader
        scope = Scope(None)
        name = domain = ""
        for number, wire_type in reader.fields(end):
            if number == 1 and wire_type == LENGTH:
                name = reader.text(end, MAX_NAME_NBYTES, "the name of a function")
            elif number == 10 and wire_type == LENGTH:
                domain = reader.text(end, MAX_NAME_NBYTES, "the domain of a function")
            elif number == 7 and wire_type == LENGTH:
                self._node(reader.message_end(end), scope, 0)
            elif number == 11 and wire_type == LENGTH:
                attribute = self._attribute(reader.message_end(end), scope, 0)
                _label(attribute, attribute.name or "default")
            else:
                reader.skip_value(wire_type, end)
        scope.label = f"{domain}.{name}" if domain else name or "function"

    def _node(self, end: int, scope: Scope | None, depth: int) -> None:
        reader = self._reader
        name = op_type = output = ""
        attributes: list[_Attribute] = []
        for number, wire_type in reader.fields(end):
            if number == 2 and wire_type == LENGTH and not output:
                output = reader.text(end, MAX_NAME_NBYTES, "the name of a value")
            elif number == 3 and wire_type == LENGTH:
                name = reader.text(end, MAX_NAME_NBYTES, "the name of a node")
            elif number == 4 and wire_type == LENGTH:
                op_type = reader.text(end, MAX_NAME_NBYTES, "the type of a node")
            elif number == 5 and wire_type == LENGTH:
                attribute = self._attribute(reader.message_end(end), scope, depth)
                if attribute.tensors or attribute.graphs:
                    attributes.append(attribute)
            else:
                reader.skip_value(wire_type, end)
        node = name or output or op_type or "node"
        for attribute in attributes:
            # What a Constant holds is the value it puts out: the name that an initializer in its place would have.
            is_constant = op_type == "Constant" and output and attribute.name in ("value", "sparse_value")
            _label(attribute, output if is_constant else f"{node}.{attribute.name}")

    def _attribute(self, end: int, scope: Scope | None, depth: int) -> _Attribute:
        reader = self._reader
        attribute = _Attribute()
        n_tensors = 0
        for number, wire_type in reader.fields(end):
            if number == 1 and wire_type == LENGTH:
                attribute.name = reader.text(end, MAX_NAME_NBYTES, "the name of an attribute")
            elif number in (5, 10) and wire_type == LENGTH:
                n_tensors += number == 5
                attribute.tensors.append(self._tensor(reader.message_end(end), scope))
            elif number in (22, 23) and wire_type == LENGTH:
                n_tensors += number == 22
                attribute.tensors.extend(self._sparse(reader.message_end(end), scope))
            elif number in (6, 11) and wire_type == LENGTH:
                attribute.graphs.append(Scope(scope))
                self._graph(reader.message_end(end), attribute.graphs[-1], depth + 1)
            else:
                reader.skip_value(wire_type, end)
        if n_tensors > 1:
            # Protobuf would merge the two into one, its shape that of both: no writer means that.
            raise FormatError(reader.uri, f"the attribute {attribute.name[:80]!r} holds two values", _AGAIN)
        return attribute

    def _sparse(self, end: int, scope: Scope | None) -> list[FoundTensor]:
        """Values and indices of a ``SparseTensorProto``; its name is that of its values."""
        reader = self._reader
        found: dict[int, FoundTensor] = {}
        for number, wire_type in reader.fields(end):
            if number in (1, 2) and wire_type == LENGTH:
                if number in found:
                    raise FormatError(reader.uri, "a sparse tensor holds its values or indices twice", _AGAIN)
                found[number] = self._tensor(reader.message_end(end), scope)
                found[number].suffix = ".values" if number == 1 else ".indices"
            else:
                reader.skip_value(wire_type, end)
        label = found[1].message.name if 1 in found else ""
        for tensor in found.values():
            tensor.label = label
        return list(found.values())

    def _tensor(self, end: int, scope: Scope | None) -> FoundTensor:
        found = FoundTensor(read_tensor(self._reader, end), scope)
        if len(self._model.tensors) >= _MAX_TENSORS:
            raise FormatError(self._reader.uri, f"holds more than {_MAX_TENSORS} tensors", _AGAIN)
        self._model.tensors.append(found)
        return found


def _label(attribute: _Attribute, label: str) -> None:
    """Name what is in an attribute: numbered where there is more than one of it."""
    names = {tensor.suffix for tensor in attribute.tensors}
    several = len(attribute.tensors) > max(1, len(names))
    counters = dict.fromkeys(names, 0)
    for tensor in attribute.tensors:
        tensor.label = f"{label}.{counters[tensor.suffix]}" if several else label
        counters[tensor.suffix] += 1
    for i, graph in enumerate(attribute.graphs):
        graph.label = f"{label}.{i}" if len(attribute.graphs) > 1 else label
