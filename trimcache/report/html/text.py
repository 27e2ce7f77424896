"""Names on the page: they come from files that nobody vouches for."""

from __future__ import annotations

import json
from typing import Any

from trimcache._printable import printable

__all__ = ["json_in_script", "shown"]

_LONGEST = 300  # characters; longer names are cut in the middle


def shown(name: str) -> str:
    """``name`` with control characters as escapes, cut in the middle where it is very long. Markup is left to the template."""
    text = printable(name)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 :]}"


def json_in_script(value: Any) -> str:
    """JSON that may stand in a ``<script>`` element: no ``<``, ``>`` or ``&``, so no end of it and no comment, and nothing but ASCII."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
