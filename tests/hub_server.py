"""A server that speaks enough of the Hub's protocol for the real client to download revisions from it into a real cache."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

Files = Mapping[str, bytes]


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def is_large(path: str) -> bool:
    """Whether the Hub keeps the file outside of git, under its SHA-256."""
    return path.endswith((".safetensors", ".bin", ".gguf", ".onnx"))


def etag(path: str, data: bytes) -> str:
    return hashlib.sha256(data).hexdigest() if is_large(path) else git_sha1(data)


class Hub:
    """Repositories with revisions; ``refs`` maps (repo, name of a ref) to a commit.

    ``stalled`` names files of which the server sends half, and then waits.
    """

    def __init__(self) -> None:
        self.revisions: dict[tuple[str, str], Files] = {}
        self.refs: dict[tuple[str, str], str] = {}
        self.stalled: set[str] = set()
        self.stalling = threading.Event()
        self.ended = threading.Event()
        self.url = ""

    def push(self, repo: str, files: Files, ref: str = "main") -> str:
        """Add a revision and point ``ref`` at it. Returns the commit."""
        commit = hashlib.sha1(repr((repo, sorted(files.items()), len(self.revisions))).encode()).hexdigest()
        self.revisions[repo, commit] = dict(files)
        self.refs[repo, ref] = commit
        return commit

    def download(self, cache: Path, repo: str, revision: str = "main", **options: object) -> Path:
        """What ``snapshot_download`` of the real client leaves in ``cache``."""
        from huggingface_hub import snapshot_download

        found = snapshot_download(repo, revision=revision, cache_dir=cache, endpoint=self.url, token=False, max_workers=1, **options)  # type: ignore[call-overload]
        return Path(found)

    def commit(self, repo: str, revision: str) -> str | None:
        commit = self.refs.get((repo, revision), revision)
        return commit if (repo, commit) in self.revisions else None


@contextmanager
def serve() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            pieces = unquote(urlsplit(self.path).path).strip("/").split("/")
            if pieces[:2] == ["api", "models"]:
                repo, what = "/".join(pieces[2:4]), pieces[4:]
                commit = hub.commit(repo, what[1] if len(what) > 1 else "main")
                if commit is None:
                    return self._send(404, {"X-Error-Code": "RevisionNotFound"}, b"{}", body)
                files = hub.revisions[repo, commit]
                answer: object = {"id": repo, "sha": commit, "siblings": [{"rfilename": path} for path in files]}
                if what and what[0] == "tree":
                    answer = [_entry(path, data) for path, data in files.items()]
                return self._send(200, {"Content-Type": "application/json"}, json.dumps(answer).encode(), body)
            repo, commit, path = "/".join(pieces[:2]), hub.commit("/".join(pieces[:2]), pieces[3]), "/".join(pieces[4:])
            data = None if commit is None else hub.revisions[repo, commit].get(path)
            if data is None:
                return self._send(404, {"X-Error-Code": "EntryNotFound"}, b"", body)
            headers = {"X-Repo-Commit": str(commit), "ETag": f'"{etag(path, data)}"', "Accept-Ranges": "bytes"}
            return self._send(200, headers, data, body, stall=body and path in hub.stalled)

        def _send(self, status: int, headers: Mapping[str, str], data: bytes, body: bool, *, stall: bool = False) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if stall:
                self.wfile.write(data[: len(data) // 2])
                hub.stalling.set()
                hub.ended.wait(60)
                self.close_connection = True
            elif body:
                self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _entry(path: str, data: bytes) -> dict[str, object]:
    entry: dict[str, object] = {"type": "file", "path": path, "size": len(data), "oid": git_sha1(data)}
    if is_large(path):
        entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
    return entry
