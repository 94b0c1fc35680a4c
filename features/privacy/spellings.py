"""How a text is spelt in files: as it is, and as JSON and CSV escape it, within one another too."""

import json
import re
from functools import lru_cache

import orjson

_DEEPEST = 3
"""JSON within JSON within JSON: a row's properties, in a row of the stream, in a line of a file."""

_ALONE_BEFORE = r"(?:(?<![\w-])|(?<=\\[bfnrt])|(?<=\\u[0-9a-fA-F]{4}))"
_ALONE_AFTER = r"(?![\w-])"


@lru_cache(maxsize=64)
def spellings(text: str) -> tuple[str, ...]:
    r"""Every way in which a text may be spelt, the plain one first; one alone where nothing in it is escaped.

    Example:
        >>> spellings("C-1"), spellings("C\\1")[:2]
        (('C-1',), ('C\\1', 'C\\\\1'))
    """
    found = {text: None}
    layer = [text]
    for _ in range(_DEEPEST):
        layer = [spelt for one in layer for spelt in (orjson.dumps(one).decode()[1:-1], json.dumps(one)[1:-1])]
        found |= dict.fromkeys(layer)
    return tuple(found | dict.fromkeys(one.replace('"', '""') for one in list(found)))


def standing_alone(text: str) -> str:
    """A regular expression that finds a text, however spelt, where it is no part of a longer word."""
    longest_first = sorted(spellings(text), key=len, reverse=True)
    return rf"{_ALONE_BEFORE}(?:{'|'.join(map(re.escape, longest_first))}){_ALONE_AFTER}"


def quoted_forms(text: str) -> tuple[str, ...]:
    r"""The text as a whole JSON value, and as one of JSON that is a text of JSON itself.

    Example:
        >>> quoted_forms("C-1")
        ('"C-1"', '\\"C-1\\"')
    """
    forms = dict.fromkeys((orjson.dumps(text).decode(), json.dumps(text)))
    return tuple(forms | dict.fromkeys(orjson.dumps(one).decode()[1:-1] for one in list(forms)))
