"""Options that commands share, and how a result is printed."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as RichTable

from decisioning.errors import InvalidInputError
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
        sys.stdout.write(orjson.dumps(result, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode() + "\n")
        return
    table = RichTable(title=title or None, show_header=False, title_justify="left")
    for name, value in result.items():
        table.add_row(name, f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value))
    Console().print(table)


def say(text: str) -> None:
    """Tell a person what is going on, on stderr."""
    Console(stderr=True, highlight=False, markup=False).print(text)


def warn_of_old_zone_rules(now: datetime) -> None:
    """Say on stderr where the time zone rules that quiet hours follow are old at a moment (aware)."""
    if (problem := rules_in_force().problem(now)) is not None:
        say(f"warning: {problem}")


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Progress on stderr, for as long as the block runs; add tasks to what it yields."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield bar
