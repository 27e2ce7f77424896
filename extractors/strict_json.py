"""JSON from files nobody vouches for: no duplicate keys, no deep nesting, no half characters, every failure a FormatError."""

from __future__ import annotations

import json
import re
from typing import Any

from trimcache.errors import FormatError

_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_object(raw: bytes, uri: str, what: str) -> dict[str, Any]:
    """The JSON object in ``raw``; ``what`` names it in errors ("header", "adapter_config.json").

    Raises:
        FormatError: not UTF-8, not JSON, a key twice in one object, half a surrogate pair, nested beyond the parser, or not an object.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) != len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise FormatError(uri, f"{what} holds the key {twice[:80]!r} twice", "save the file again")
        return table

    def refuse_constant(name: str) -> Any:
        raise FormatError(uri, f"{what} holds {name}, which is not JSON", "save the file again")

    try:
        text = raw.decode("utf-8")
        parsed = json.loads(text, object_pairs_hook=unique, parse_constant=refuse_constant)
        if _ESCAPED_SURROGATE.search(text):
            # Half a pair is a legal escape to Python's parser, but no text that could be stored or printed.
            json.dumps(parsed, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(uri, f"{what} is not UTF-8 at byte {error.start}", "download or copy it again") from error
    except UnicodeEncodeError as error:
        raise FormatError(uri, f"{what} holds half a surrogate pair, which is no character", "save the file again") from error
    except json.JSONDecodeError as error:
        raise FormatError(uri, f"{what} is not JSON ({error.msg} at {error.pos})", "download or copy it again") from error
    except RecursionError as error:
        raise FormatError(uri, f"{what} is nested too deeply", "save the file again") from error
    except ValueError as error:
        # json.loads hands on int()'s refusal of numbers beyond sys.get_int_max_str_digits().
        raise FormatError(uri, f"{what} holds a number that is too long", "save the file again") from error
    if not isinstance(parsed, dict):
        raise FormatError(uri, f"{what} is not a JSON object", "save the file again")
    return parsed
