"""A customer's data as a report for people, and as a file to hand out."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.padding import Padding
from rich.pretty import Pretty

from decisioning.errors import InvalidInputError

_OWNER_ONLY = 0o600
_SHOWN_ROWS = 50
_SHOWN_LENGTH = 40


def print_shown(shown: Mapping[str, Any]) -> None:
    """Place by place: what it is for, how long it stays, and the rows; long lists are cut, the JSON form has all."""
    console = Console(highlight=False)
    for one in shown["held"]:
        rows = one["rows"]
        console.print(f"\n[bold]{one['where']}[/bold]  {len(rows)} {'entry' if len(rows) == 1 else 'entries'}")
        console.print(f"  what for: {one['purpose']}\n  source:   {one['source']}\n  kept:     {one['kept']}")
        for row in rows[:_SHOWN_ROWS]:
            pretty = Pretty(row, max_length=_SHOWN_LENGTH, max_string=200, expand_all=False)
            console.print(Padding(pretty, (0, 0, 0, 4)))
        if len(rows) > _SHOWN_ROWS:
            console.print(f"    and {len(rows) - _SHOWN_ROWS} more: see --json")


def write_shown(path: Path, shown: Mapping[str, Any]) -> None:
    """Write it as JSON, for the owner's eyes only.

    Raises:
        InvalidInputError: The file cannot be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _OWNER_ONLY)
        with os.fdopen(handle, "wb") as file:
            file.write(orjson.dumps(shown, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    except OSError as error:
        raise InvalidInputError(f"out must be a file that can be written, got {error.strerror}") from error
