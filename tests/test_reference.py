"""The reference pages and the help texts: up to date, complete, and with examples that can be typed."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from pipelines import cli
from pipelines.pages.reference import pages

ROOT = Path(__file__).parent.parent
EXAMPLE = re.compile(r"`nextbest ([^`]+)`")


@pytest.fixture(scope="module")
def tree() -> typer.core.TyperGroup:
    pages()  # registers every noun
    command = typer.main.get_command(cli.app)
    assert isinstance(command, typer.core.TyperGroup)
    return command


def leaves(group: typer.core.TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


def test_every_generated_page_is_up_to_date() -> None:
    stale = [name for name, text in pages().items() if (ROOT / "docs" / name).read_text() != text]
    assert stale == [], "run: nextbest docs generate"


def test_every_command_has_a_description_and_an_example(tree: typer.core.TyperGroup) -> None:
    without = [
        " ".join(path)
        for path, command in leaves(tree)
        if not any(example.startswith(" ".join(path)) for example in EXAMPLE.findall(command.help or ""))
    ]
    assert len(list(leaves(tree))) > 20
    assert without == []


def test_every_example_of_a_help_text_can_be_parsed(tree: typer.core.TyperGroup) -> None:
    for path, command in leaves(tree):
        for example in EXAMPLE.findall(command.help or ""):
            words = shlex.split(example)
            if tuple(words[: len(path)]) == path:
                command.make_context(" ".join(path), words[len(path) :])


def test_the_reference_page_lists_every_command(tree: typer.core.TyperGroup) -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    assert [path for path, _ in leaves(tree) if f"`nextbest {' '.join(path)}`" not in page] == []
