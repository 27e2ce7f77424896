"""The pages hold together: links lead somewhere, and the commands and options that they show exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from trimcache.cli import app

_ROOT = Path(__file__).resolve().parents[1]
_PAGES = [_ROOT / "README.md", *sorted((_ROOT / "docs").glob("*.md")), *sorted((_ROOT / "examples").rglob("*.md"))]
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_OPTION = re.compile(r"--?[a-z][a-z-]*")


def _name(page: Path) -> str:
    return str(page.relative_to(_ROOT))


@cache
def _anchors(page: Path) -> frozenset[str]:
    """What GitHub makes of the headings: lower case, no punctuation, hyphens for spaces."""
    headings = re.findall(r"^#+ +(.*)$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)


@pytest.mark.parametrize("page", _PAGES, ids=_name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(_ROOT), f"{link} leaves the repository"
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in _anchors(target), f"{link}: no such heading"


def _shown_commands(page: Path) -> Iterator[list[str]]:
    """The words of every ``trimcache ...`` in a code block or between backticks."""
    text = re.sub(r"\\\n\s*", " ", page.read_text(encoding="utf-8"))
    blocks = [*re.findall(r"^(?: {4}|\t).*$", text, re.MULTILINE), *"\n".join(_FENCE.findall(text)).splitlines()]
    shown = [line.strip().removeprefix("$ ") for line in blocks] + re.findall(r"`(trimcache [a-z][^`]*)`", text)
    for line in shown:
        if re.match(r"trimcache [a-z]", line):
            yield shlex.split(line.replace("'", ""), comments=True)


@pytest.mark.parametrize("page", _PAGES, ids=_name)
def test_commands_that_are_shown_exist(page: Path) -> None:
    for _, name, *words in _shown_commands(page):
        command = app.get_command(click.Context(app), name)
        assert command is not None, f"there is no command {name}"
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {"--help", "-h"}
        for word in words:
            if found := _OPTION.match(word):
                assert found[0] in known, f"trimcache {name} has no {word}"


def test_the_checks_see_links_and_commands() -> None:
    """A pattern that finds nothing would let everything pass."""
    assert len(_LINK.findall((_ROOT / "docs" / "guide.md").read_text(encoding="utf-8"))) > 15
    commands = {words[1] for page in _PAGES for words in _shown_commands(page)}
    assert {"scan", "stats", "compare", "families", "granularity", "plan", "simulate", "replay", "report", "generate"} <= commands


def test_the_guide_leads_to_every_page() -> None:
    """Further benchmarks are linked from the first page of them."""
    linked = {
        link.partition("#")[0] for name in ("guide", "benchmarks") for link in _LINK.findall((_ROOT / f"docs/{name}.md").read_text("utf-8"))
    }
    left_out = {page.name for page in (_ROOT / "docs").glob("*.md")} - linked - {"guide.md"}
    assert not left_out, f"docs/guide.md or docs/benchmarks.md should link {sorted(left_out)}"
