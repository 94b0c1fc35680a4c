"""`nextbest docs`: pages that are written from the code itself, so that they cannot drift from it."""

from pathlib import Path
from typing import Annotated

import typer

from decisioning.errors import InvalidInputError

app = typer.Typer(name="docs", help="Write the reference pages from the code.", no_args_is_help=True)


@app.command()
def generate(
    folder: Annotated[Path, typer.Option(help="Where the pages are.")] = Path("docs"),
    *,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if a page is out of step.")] = False,
) -> None:
    """Write the CLI reference, the OpenAPI description and the catalogue's JSON Schema.

    Example: `nextbest docs generate --check`
    """
    from pipelines.pages.reference import pages

    stale = [name for name, text in pages().items() if not _is_in_step(folder / name, text)]
    if check and stale:
        raise InvalidInputError(f"pages must be in step with the code, got stale {stale}; run: nextbest docs generate")
    for name in stale:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(pages()[name], encoding="utf-8")
    typer.echo(f"{len(stale)} pages written" if stale else "every page is in step")


def _is_in_step(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text
