"""Options that commands share, and how a result is printed."""

import getpass
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, cast

import orjson
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table as RichTable

from decisioning.errors import InvalidInputError, UnknownNameError
from features.clock import clock_of
from features.moments import moment_from
from features.progress import OnProgress
from features.settings import Settings
from features.zone_rules import rules_in_force

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of all state (NEXTBEST_HOME; default .nextbest).", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
AsOfOption = Annotated[
    datetime | None,
    typer.Option(
        "--as-of",
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"],
        help="Read as of this moment; UTC without offset.",
    ),
]


def settings_for(home: Path | None, **changes: object) -> Settings:
    """Settings of this call: the environment, with what the command line says on top."""
    given = {name: value for name, value in {"home": home, **changes}.items() if value is not None}
    try:
        return Settings(**given)  # pyright: ignore[reportArgumentType] - pydantic checks each value
    except ValidationError as error:
        raise InvalidInputError(_first_problem(error)) from error


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    name = ".".join(map(str, problem["loc"]))
    return f"setting {name} must be valid ({problem['msg']}), got {problem['input']!r}; see NEXTBEST_{name.upper()}"


def print_result(result: Mapping[str, Any], *, as_json: bool, title: str = "") -> None:
    """Write a flat result to stdout: a table for people, one JSON object for programs."""
    if as_json:
        print_json(result)
        return
    table = RichTable(title=title or None, show_header=False, title_justify="left")
    for name, value in result.items():
        if value != {}:
            table.add_row(name, _in_words(value))
    Console().print(table)


def _in_words(value: object) -> str:
    if isinstance(value, Mapping):
        named = cast("Mapping[str, object]", value)
        return "\n".join(f"{name}: {_in_words(one)}" for name, one in named.items())
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def print_rows(rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows, at least one, to stdout as a table."""
    table = RichTable(*rows[0])
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)


def print_json(document: object) -> None:
    """Write plain values to stdout as one JSON document."""
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode())


def not_later_than(now: datetime, as_of: datetime) -> datetime:
    """What `--as-of` names, in UTC.

    Raises:
        InvalidInputError: It is later than now.
    """
    moment = as_of.replace(tzinfo=as_of.tzinfo or UTC).astimezone(UTC)
    if moment > now:
        raise InvalidInputError(
            f"--as-of must not be later than now ({now:%Y-%m-%dT%H:%M:%S}), got {moment:%Y-%m-%dT%H:%M:%S}"
        )
    return moment


def say(text: str) -> None:
    """Tell a person what is going on, on stderr."""
    Console(stderr=True, highlight=False, markup=False).print(text)


def moment_or_now(settings: Settings, text: str | None, name: str) -> datetime:
    """The moment that an option names (aware, UTC); now where it is left out.

    Raises:
        InvalidInputError: It names none.
    """
    return clock_of(settings)() if text is None else moment_from(text, name)


def known_as[T](kind: str, name: str, known: Mapping[str, T]) -> T:
    """What a name stands for.

    Raises:
        UnknownNameError: It is none of those known.
    """
    if name not in known:
        raise UnknownNameError(kind, name, known)
    return known[name]


def warn_of_old_zone_rules(now: datetime) -> None:
    """Say on stderr where the time zone rules that quiet hours follow are old at a moment (aware)."""
    if (problem := rules_in_force().problem(now)) is not None:
        say(f"warning: {problem}")


def account() -> str:
    """The account that runs this command; empty where it has no name, as in many a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


@contextmanager
def progress_bar(*further: ProgressColumn) -> Iterator[Progress]:
    """Progress on stderr, for as long as the block runs; add tasks to what it yields."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), *further)
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield bar


@contextmanager
def progress_of(words: str) -> Iterator[OnProgress]:
    """One bar on stderr for as long as the block runs; what it yields is told how much is done, and of how much.

    It shows the time that has passed and the time that is left.
    """
    with progress_bar(TimeRemainingColumn()) as bar:
        task = bar.add_task(words, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
