"""The reference pages, made from the code: commands, HTTP API, catalogue schema, a decision."""

import tempfile
from pathlib import Path

import orjson
import typer
from typer.cli import get_docs_for_click

from features.settings import Settings


def pages() -> dict[str, str]:
    """Text of each generated page, by its path below docs/."""
    from features.catalogue import catalogue_json_schema
    from pipelines.pages.decision_page import decision_page

    return {
        "cli.md": _command_reference(),
        "decisions.md": decision_page(),
        "openapi.json": _as_text(_openapi()),
        "schemas/catalogue.schema.json": _as_text(catalogue_json_schema()),
    }


def _command_reference() -> str:
    from pipelines import cli

    if not cli.app.registered_groups:
        cli.register_nouns()
    command = typer.main.get_command(cli.app)
    body = get_docs_for_click(obj=command, ctx=typer.Context(command, info_name="nextbest"), name="nextbest")
    return f"<!-- written by `nextbest docs generate`; change the help texts instead -->\n\n{body.rstrip()}\n"


def _openapi() -> dict[str, object]:
    from serving.http.app import create_app

    with tempfile.TemporaryDirectory() as home:
        return create_app(Settings(home=Path(home))).openapi()


def _as_text(document: dict[str, object]) -> str:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode() + "\n"
