"""Read one YAML file into plain values and the line of every field.

A small, closed part of YAML: mappings, lists and plain values, read from parser events. Anchors, aliases and tags are
refused, so a file cannot expand into more than it holds or construct objects; depth and size are limited; a key given
twice is a problem, where YAML would silently keep the last one. `true` and `false` are the only flags (`no` is a word,
and Norway's code), and dates stay text until a field asks for one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from features.catalogue.reading.problems import CatalogueProblem, shown

type Location = tuple[str | int, ...]
type Value = bool | int | float | str | list["Value"] | dict[str, "Value"] | None

MAX_FILE_BYTES = 1_000_000
MAX_DEPTH = 20

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS: dict[str, Value] = {"": None, "~": None, "null": None, "true": True, "false": False}
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlFile:
    """A file as read.

    Attributes:
        file: Name relative to the catalogue's folder.
        sections: The top-level mapping; empty where the file could not be read.
        lines: 1-based line of every field by its path.
    """

    file: str
    sections: dict[str, Value] = field(default_factory=dict)
    lines: dict[Location, int] = field(default_factory=dict)
    problems: tuple[CatalogueProblem, ...] = ()


class _UnreadableError(Exception):
    """Reading this file stops here, at a line, with a rule that it breaks."""

    def __init__(self, line: int, rule: str, got: str) -> None:
        super().__init__(rule)
        self.line, self.rule, self.got = line, rule, got


def read_document(path: Path) -> YamlFile:
    """Read a file of the catalogue's folder; whatever is wrong with it is in `problems`, never raised."""
    reader = _Reader(path.name)
    try:
        sections = reader.read(_text_of(path))
    except _UnreadableError as error:
        broken = CatalogueProblem(file=path.name, line=error.line, field="", rule=error.rule, got=error.got)
        return YamlFile(file=path.name, problems=(*reader.problems, broken))
    return YamlFile(file=path.name, sections=sections, lines=reader.lines, problems=tuple(reader.problems))


def dotted(location: Location) -> str:
    """A field's path as messages show it: `stages[0].goal`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".")


def _text_of(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise _UnreadableError(1, f"must be at most {MAX_FILE_BYTES:,} bytes long", f"{size:,} bytes")
        content = path.read_bytes()
    except OSError as error:
        raise _UnreadableError(1, "must be a file that can be read", error.strerror or "an error") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _UnreadableError(line, "must be text in UTF-8", f"byte 0x{content[error.start]:02x}") from error


class _Reader:
    """Builds values from parser events and notes the line of each."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[Location, int] = {}
        self.problems: list[CatalogueProblem] = []

    def read(self, text: str) -> dict[str, Value]:
        events = self._events(text)
        opening = next(events, None)
        if opening is None or isinstance(opening, yaml.StreamEndEvent):
            raise _UnreadableError(1, "must hold at least one section, such as `offers:`", "an empty file")
        value = self._value(opening, events, ())
        self._end_of(events)
        if not isinstance(value, dict):
            raise _UnreadableError(1, "must be a mapping of sections, such as `offers:`", shown(value))
        return value

    def _events(self, text: str) -> Iterator[yaml.Event]:
        """Events of the file's only document, without the marks of its beginning; foreign errors translated."""
        try:
            for event in yaml.parse(text, Loader=_LOADER):
                if not isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent | yaml.DocumentEndEvent):
                    yield event
        except yaml.MarkedYAMLError as error:
            raise self._not_yaml(error, text) from error
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise _UnreadableError(line, "must hold printable text only", "a control character") from error

    def _not_yaml(self, error: yaml.MarkedYAMLError, text: str) -> _UnreadableError:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        rows = text.splitlines()
        row = rows[line - 1] if line <= len(rows) else ""
        if "\t" in row[: len(row) - len(row.lstrip())]:
            return _UnreadableError(line, "must be indented with spaces", "a tab")
        return _UnreadableError(line, f"must be valid YAML ({error.problem})", shown(row.strip()))

    def _end_of(self, events: Iterator[yaml.Event]) -> None:
        rest = next(events, None)
        if rest is not None and not isinstance(rest, yaml.StreamEndEvent):
            raise _UnreadableError(_line_of(rest), "must hold one document", "a second one after `---`")

    def _value(self, event: yaml.Event, events: Iterator[yaml.Event], at: Location) -> Value:
        line = _line_of(event)
        self.lines.setdefault(at, line)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _UnreadableError(line, "must be written out: anchors (&) and aliases (*) are not read", "one")
        if getattr(event, "tag", None) not in {None, "!"}:
            raise _UnreadableError(line, "must be plain: tags (!) are not read", shown(getattr(event, "tag", None)))
        if len(at) > MAX_DEPTH:
            raise _UnreadableError(line, f"must be nested at most {MAX_DEPTH} deep", "more")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(events, at)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, at)
        assert isinstance(event, yaml.ScalarEvent)  # noqa: S101 - no other event opens a value
        return _plain(event.value) if event.implicit[0] else event.value

    def _mapping(self, events: Iterator[yaml.Event], at: Location) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            if not isinstance(event, yaml.ScalarEvent) or event.anchor or event.tag:
                raise _UnreadableError(_line_of(event), "must have plain words as field names", "something else")
            self._entry(event, events, at, values)
        return values

    def _entry(self, key: yaml.ScalarEvent, events: Iterator[yaml.Event], at: Location, into: dict[str, Value]) -> None:
        here, line, name = (*at, key.value), _line_of(key), key.value
        if name in into:
            first = self.lines[here]
            rule = f"must be given once, the first is on line {first}"
            self.problems.append(
                CatalogueProblem(file=self.file, line=line, field=dotted(here), rule=rule, got="it again")
            )
            self._value(next(events), events, (*at, f"{name} (again)"))
            return
        self.lines[here] = line
        into[name] = self._value(next(events), events, here)

    def _sequence(self, events: Iterator[yaml.Event], at: Location) -> list[Value]:
        values: list[Value] = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            values.append(self._value(event, events, (*at, len(values))))
        return values


def _line_of(event: yaml.Event) -> int:
    mark = event.start_mark
    return 1 if mark is None else mark.line + 1


def _plain(text: str) -> Value:
    """An unquoted value: nothing, a flag, a number, or the text itself."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text
