"""A real headless Chromium for the tests of the page, or a skip that says why there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

# No sandbox: CI runs as root. The rest: nothing of the browser's own may reach for the network.
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


def _absent(reason: str) -> None:
    if os.environ.get("TRIMCACHE_REQUIRE_BROWSER"):
        pytest.fail(f"{reason}, and TRIMCACHE_REQUIRE_BROWSER forbids skipping")
    pytest.skip(f"{reason}: the page is not tested in a browser")


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser of playwright, driving the Chromium of this machine; none is ever downloaded."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        _absent("there is no chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _absent("playwright is not installed")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(_OPTIONS))
        yield browser
        browser.close()


class Opened:
    """A page that was opened and has drawn its charts; what it asked for and complained of."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None)
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-drawn=true]", timeout=60_000)
        self.uri = path.as_uri()
