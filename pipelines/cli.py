"""The `nextbest` command: nouns, verbs, and the one place where errors become exit codes.

Results go to stdout, progress and errors to stderr; an expected failure prints one message and no traceback.
"""

import importlib
import pkgutil
import sys
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console

from decisioning.errors import InsufficientDataError, InvalidInputError, NextbestError, NoModelError, UnavailableError
from features.zone_rules import use_newest_rules
from pipelines import commands
from pipelines.exit_codes import EXIT_FAILED, EXIT_INSUFFICIENT, EXIT_INVALID, EXIT_UNAVAILABLE, IN_WORDS

app = typer.Typer(
    name="nextbest",
    help="Decide which message a customer should get next, or that none is better, and measure what that was worth.\n\n"
    + IN_WORDS,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def register_nouns() -> None:
    """Add the `app` of each module of `pipelines.commands`: first those without a noun, whose verbs stand alone."""
    names = (module.name for module in pkgutil.iter_modules(commands.__path__))
    found: list[typer.Typer] = [importlib.import_module(f"pipelines.commands.{name}").app for name in names]
    for one in sorted(found, key=lambda one: bool(one.info.name)):
        app.add_typer(one)


def exit_code(error: NextbestError) -> int:
    """Exit code of a foreseen failure."""
    codes = {
        InvalidInputError: EXIT_INVALID,
        NoModelError: EXIT_INVALID,
        InsufficientDataError: EXIT_INSUFFICIENT,
        UnavailableError: EXIT_UNAVAILABLE,
    }
    return next((code for kind, code in codes.items() if isinstance(error, kind)), EXIT_FAILED)


@dataclass(slots=True)
class RootOptions:
    """What the root command was told, for the edge below."""

    debug: bool = False


OPTIONS = RootOptions()


@app.callback()
def root(*, debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a failure.")] = False) -> None:
    """Options that every command takes."""
    OPTIONS.debug = debug


def main() -> None:
    """Entry point: run, and turn a foreseen failure into one line and an exit code."""
    use_newest_rules()
    register_nouns()
    try:
        app()
    except NextbestError as error:
        _fail(f"error: {error}", exit_code(error))
    except Exception as error:  # noqa: BLE001 - the edge: a person gets a sentence, --debug gets the traceback
        _fail(f"unexpected error: {type(error).__name__}: {error}\nrun `nextbest --debug ...` for details", EXIT_FAILED)


def _fail(text: str, code: int) -> None:
    if OPTIONS.debug:
        raise  # noqa: PLE0704 - called while an exception is handled
    Console(stderr=True, soft_wrap=True, highlight=False).print(text, markup=False)
    sys.exit(code)
