"""`nextbest example`: worlds to run without data of your own."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pipelines.options import JsonOption, print_result, say

app = typer.Typer(
    name="example", help="Example data sets and catalogues to try without your own data.", no_args_is_help=True
)


@app.command("list")
def list_examples(as_json: JsonOption = False) -> None:
    """List the examples and what each needs.

    Example: `nextbest example list`
    """
    from examples.registry import EXAMPLES

    rows: dict[str, str] = {}
    for each in EXAMPLES.values():
        made_by = f"\nMade by: {each.command}" if each.command else ""
        rows[each.name] = each.story if as_json else f"{each.story}\nSOURCE: {each.source}{made_by}"
    print_result(rows, as_json=as_json)


@app.command("convert")
def convert(
    name: Annotated[str, typer.Argument(metavar="NAME", help="One of `nextbest example list`.")],
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Folder of the data, or `installed` for grocery.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    ends_on: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="grocery: the data ends in the week before; default today."),
    ] = None,
    starts_on: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="rewards, email_test: day of the first decision.")
    ] = None,
    part: Annotated[str | None, typer.Option(help="rewards: all, train or held-back customers.")] = None,
    held_back_rate: Annotated[float | None, typer.Option(help="rewards: share held back.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write an example's data as canonical tables with its catalogue, ready for `nextbest import OUT`.

    Example: `nextbest example convert grocery installed /tmp/grocery`
    """
    from examples.registry import convert_example

    if name == "grocery" and ends_on is None:
        ends_on = datetime.now(UTC)
    dates = {"ends_on": ends_on and ends_on.date(), "starts_on": starts_on and starts_on.date()}
    report = convert_example(name, source, out, {**dates, "part": part, "held_back_rate": held_back_rate})
    print_result({"out": str(report.out), **report.rows, **report.dropped}, as_json=as_json)
    for note in report.notes:
        say(f"note: {note}")
