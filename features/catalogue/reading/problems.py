"""A problem of a catalogue, described by file, line, field and remedy."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from decisioning.errors import nearest_names

_LONGEST_VALUE = 60
_MOST_COMPARED = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueProblem:
    """A broken rule of a catalogue.

    Attributes:
        file: Name of the file, relative to the catalogue's folder; `.` for the folder as a whole.
        field: Dotted path of the field, such as `offers.free-coffee.kind`; empty for the whole file.
        rule: What must be, starting with `must`.
        got: The value as written, shortened.
        nearest: Known names most like the one written, best first.
    """

    file: str
    line: int
    field: str
    rule: str
    got: str
    nearest: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The one line that people read."""
        where = f"{self.file}:{self.line}: {self.field}: " if self.field else f"{self.file}:{self.line}: "
        hint = f"; did you mean {' or '.join(map(repr, self.nearest))}?" if self.nearest else ""
        return f"{where}{self.rule}, got {self.got}{hint}"


def shown(value: object) -> str:
    """A value as a message shows it: one line, shortened.

    Example:
        >>> shown(["a", 1])
        "['a', 1]"
        >>> shown(None)
        'nothing'
    """
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def nearest_to(name: object, known: Iterable[str]) -> tuple[str, ...]:
    """The one known name most like a misspelt one; nothing where too many are known to compare with each."""
    names = [str(each) for each in known]
    return nearest_names(name, names, limit=1) if isinstance(name, str) and len(names) <= _MOST_COMPARED else ()


def listed(names: Sequence[str], most: int) -> str:
    """The first names, and how many more there are.

    Example:
        >>> listed(["a", "b", "c"], 2)
        'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
