"""The examples there are, and how to convert one by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from decisioning.errors import InvalidInputError, UnknownNameError
from examples.conversion import ConvertReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A world that a newcomer can run.

    Attributes:
        name: Its package in `examples`.
        source: What SOURCE must be.
        options: Names of the options that its adapter takes.
        command: What makes it, where nothing is converted; None where `nextbest example convert` does.
    """

    name: str
    story: str
    source: str
    options: frozenset[str] = frozenset()
    command: str | None = None


EXAMPLES: Mapping[str, Example] = MappingProxyType(
    {
        "airline": Example(
            name="airline",
            story="An airline's customers from the first advertisement to the trip after the next; the truth is known.",
            source="nothing: its customers are simulated",
            command="nextbest world write OUT",
        ),
        "grocery": Example(
            name="grocery",
            story="A year of 2,469 grocery households and the coupon campaigns they were mailed (targeted).",
            source="the word `installed` (extra `grocery`), or a folder with The Complete Journey's files",
            options=frozenset({"ends_on"}),
        ),
        "rewards": Example(
            name="rewards",
            story="A rewards app that sent ten offers or silence at random in six waves.",
            source="a folder with portfolio, profile and transcript as Parquet or CSV",
            options=frozenset({"part", "held_back_rate", "starts_on"}),
        ),
        "email_test": Example(
            name="email_test",
            story="An e-mail experiment on past buyers with two mails and silence, a third each.",
            source="a folder with hillstrom as Parquet or CSV",
            options=frozenset({"starts_on"}),
        ),
    }
)


def convert_example(name: str, source: Path | None, out: Path, options: Mapping[str, Any]) -> ConvertReport:
    """Convert an example's source data to canonical tables; options that are None count as not given.

    Raises:
        UnknownNameError: No such example.
        InvalidInputError: An option that it does not take, a source that is not what it should be, or an example that
            another command makes.
    """
    if name not in EXAMPLES:
        raise UnknownNameError("example", name, EXAMPLES)
    command = EXAMPLES[name].command
    if command is not None:
        raise InvalidInputError(
            f"name must be of an example with data to convert, got {name}: make it with `{command}`"
        )
    given = {option: value for option, value in options.items() if value is not None}
    strange = sorted(set(given) - EXAMPLES[name].options)
    if strange:
        known = ", ".join(sorted(_flag(option) for option in EXAMPLES[name].options))
        raise InvalidInputError(f"options of {name} must be among {known}, got {', '.join(map(_flag, strange))}")
    return import_module(f"examples.{name}.adapter").convert(source, out, **given)


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"
