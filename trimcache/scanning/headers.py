"""Reading the headers of one part: its tensors, without their bytes."""

from __future__ import annotations

from dataclasses import dataclass, field

from trimcache.bytesource import LocalFile
from trimcache.errors import FormatError, NoWeightsError, SourceChangedError
from trimcache.extraction import extractor_for
from trimcache.sources.parts import OpenPart, PartSpec, SourceFile
from trimcache.tensors import Kind, TensorRef


@dataclass(slots=True)
class Headers:
    """What the headers of a part say.

    Attributes:
        tensors: by the file that holds their bytes (a path in the part).
        formats: of the weight files, by path.
        notes: what was left out, and why.
        declared_base, base_revision: the base that an adapter names.
    """

    tensors: dict[str, list[TensorRef]] = field(default_factory=dict)
    formats: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    declared_base: str | None = None
    base_revision: str | None = None

    @property
    def format(self) -> str:
        """The formats of the part, joined."""
        return "+".join(sorted(set(self.formats.values())))

    @property
    def only_adapters(self) -> bool:
        """Whether all tensors are an adapter's: such a part cannot be served alone, whether or not it names its base."""
        return {tensor.kind for listed in self.tensors.values() for tensor in listed} == {Kind.ADAPTER}


def read_headers(spec: PartSpec) -> Headers:
    """Ask the extractor of every weight file of a part.

    Raises:
        FormatError: a file breaks the rules of its format.
        NoWeightsError: no file of the part holds weights.
        SourceUnreadableError, SourceChangedError: from reading.
    """
    files = OpenPart(spec.files)
    headers = Headers()
    for file in spec.files:
        extractor = extractor_for(file.path, files)
        if extractor is None:
            continue
        try:
            with open_same(file) as source:
                extraction = extractor.extract(source, files)
        except NoWeightsError as error:
            # Only its bytes tell that a .bin is no weight file; then it is a file like any other.
            headers.notes += (f"{file.path}: {error.problem}; kept as a plain file",)
            continue
        headers.formats[file.path] = extractor.format
        for tensor in extraction.tensors:
            holder = tensor.file or file.path
            if holder not in files.names():
                raise FormatError(file.location, f"keeps tensors in {holder[:200]!r}, which the model lacks", "download that file too")
            headers.tensors.setdefault(holder, []).append(tensor)
        headers.notes += extraction.notes
        if extraction.declared_base:
            headers.declared_base, headers.base_revision = extraction.declared_base, extraction.base_revision
    if not headers.formats:
        why = "; ".join(headers.notes) or "no installed extractor reads them"
        raise NoWeightsError(spec.name, f"holds no weights that can be read ({why})", "name a folder or file with weights")
    return headers


def open_same(file: SourceFile) -> LocalFile:
    """Open a file and make sure that it is still the one that was resolved.

    Raises:
        SourceChangedError: it is another one.
    """
    source = LocalFile(file.location, known_hash=file.known_hash)
    if source.stamp != file.stamp:
        source.close()
        raise SourceChangedError(file.location, "changed while it was scanned", "scan again when nothing writes to it")
    return source
