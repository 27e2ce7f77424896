"""Writing a report: whole or not at all, in one of four formats."""

from __future__ import annotations

import json
from pathlib import Path

from trimcache._files import atomic_write
from trimcache.errors import UsageError
from trimcache.report.content import ReportContent

__all__ = ["write_report"]


def write_report(content: ReportContent, path: Path, form: str = "html") -> None:
    """Write ``content`` as ``html``, ``md``, ``json`` or ``csv``.

    Raises:
        UsageError: a place that cannot be written, or a page without the packages of the extra ``report``.
    """
    raw = _encoded(content, form)
    try:
        with atomic_write(path) as file:
            file.write(raw)
    except OSError as error:
        raise UsageError(str(path), f"cannot be written ({error.strerror})", "choose another place") from error


def _encoded(content: ReportContent, form: str) -> bytes:
    if form == "html":
        from trimcache.report.html.page import render

        return render(content)
    if form == "json":
        return (json.dumps(content.to_dict(), indent=1) + "\n").encode()  # ASCII: a name that is no text becomes an escape
    from trimcache.report.text_report import csv_table, markdown

    return (markdown(content) if form == "md" else csv_table(content)).encode("utf-8", "backslashreplace")
