"""`nextbest world`: simulated customers whose true treatment effects are known."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from features.clock import clock_of
from pipelines.options import JsonOption, print_result, progress_of, say, settings_for

app = typer.Typer(
    name="world", help="Simulated customers whose true treatment effects are known.", no_args_is_help=True
)


@app.command("write")
def write(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    customers: Annotated[int, typer.Option(min=1, help="How many customers.")] = 20_000,
    days: Annotated[int, typer.Option(min=1, help="Days of history, rounded to whole weeks.")] = 180,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 1,
    ends_on: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day of the history; default yesterday.")
    ] = None,
    emphasis: Annotated[
        float, typer.Option(min=0.0, help="Factor on every treatment effect; larger effects need less data.")
    ] = 1.0,
    as_json: JsonOption = False,
) -> None:
    """Write a history of an airline's customers and its catalogue, ready for `nextbest import OUT`.

    The history's messages were drawn at random among the permitted ones, with known probabilities. The same seed and
    day give the same bytes.

    Example: `nextbest world write /tmp/airline --customers 500 --days 60 --seed 1 --ends-on 2026-11-01`
    """
    from pipelines.simulation.history import write_history

    last = (ends_on or clock_of(settings_for(None))() - timedelta(days=1)).date()
    with progress_of("weeks") as tell:
        report = write_history(
            out, customers=customers, days=days, seed=seed, ends_on=last, emphasis=emphasis, on_progress=tell
        )
    print_result({"out": str(report.out), **report.rows}, as_json=as_json)
    for note in report.notes:
        say(f"note: {note}")
