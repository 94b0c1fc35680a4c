"""Stream entries that are not valid rows: kept aside with the reason, so that they do not block the log."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from features.durability import append_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An entry that could not become a row.

    Attributes:
        source: The stream or spool file it came from.
        entry_id: Its id or line number there.
        reason: The rule it broke.
        content: The entry as text.
    """

    source: str
    entry_id: str
    reason: str
    content: str


def bury(path: Path, letters: Sequence[DeadLetter]) -> None:
    """Append letters to a JSON-lines file, on the disk when this returns; one that is there already is left alone."""
    if not letters:
        return
    known = {(letter["source"], letter["entry_id"]) for letter in read_letters(path)}
    fresh = [letter for letter in letters if (letter.source, letter.entry_id) not in known]
    if path.exists():
        os.truncate(path, _end_of_last_letter(path))
    append_lines(path, fresh)


def read_letters(path: Path) -> list[dict[str, str]]:
    """All letters of a file, oldest first; none where there is no file."""
    if not path.exists():
        return []
    return [orjson.loads(line) for line in path.read_bytes()[: _end_of_last_letter(path)].splitlines()]


def _end_of_last_letter(path: Path) -> int:
    """Length of the file without a last line that a crash tore: its entry was not removed, so it comes again."""
    return path.read_bytes().rfind(b"\n") + 1
