"""`nextbest world compare`: how close the engine comes to the truth, beside what else one could do."""

import sys
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from features.clock import clock_of
from pipelines.options import JsonOption, say, settings_for

if TYPE_CHECKING:
    from pipelines.simulation.contest.comparison import ContestComparison
    from pipelines.simulation.contest.contest import Summary

_COLUMNS = ("policy", "gain over silence", "share of the oracle's", "gain as it happened", "messages", "violations")


def compare(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where worlds are kept; what is there is reused.")],
    customers: Annotated[int, typer.Option("--customers", min=100, help="How many customers.")] = 20_000,
    weeks: Annotated[int, typer.Option("--weeks", min=1, help="Weeks that are compared.")] = 12,
    history_days: Annotated[int, typer.Option("--history-days", min=60, help="Days to learn from.")] = 180,
    seeds: Annotated[str, typer.Option("--seeds", help="Worlds, by their seeds, such as 1,2,3.")] = "1",
    ends_on: Annotated[
        datetime | None,
        typer.Option("--ends-on", formats=["%Y-%m-%d"], help="Last day of the history; default yesterday."),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Policies that play side by side.")] = 2,
    as_json: JsonOption = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Compare engine, oracle, silence, everything to everyone, the best single message and propensity alone.

    Each world lives a history that the engine learns from; then every policy lives the same weeks with the same
    customers and the same chance, under the same gates, caps and capacities. A judge counts contacts again, and
    exit code 1 says that a rule was broken.

    Example: `nextbest world compare worlds --customers 100 --weeks 1 --history-days 70 --workers 1`
    """
    from pipelines.simulation.contest.contest import Contest, hold

    last = (ends_on or clock_of(settings_for(None))() - timedelta(days=1)).date()
    contest = Contest(
        folder=folder,
        customers=customers,
        weeks=weeks,
        history_days=history_days,
        seeds=_numbers(seeds),
        ends_on=last,
        workers=workers,
    )
    found = hold(contest, on_progress=say)
    if as_json:
        sys.stdout.write(orjson.dumps(asdict(found), option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode())
        sys.stdout.write("\n")
    else:
        _print(found)
    if found.violations:
        raise typer.Exit(1)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        found = tuple(int(one) for one in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"--seeds must be whole numbers with commas, got {text!r}") from error
    if min(found) < 0 or len(set(found)) < len(found):
        raise typer.BadParameter(f"--seeds must be different and not negative, got {text!r}")
    return found


def _print(found: "Summary") -> None:
    console = Console()
    for comparison in found.comparisons:
        console.print(_table(comparison))
        console.print(f"No policy can gain more than {comparison.bound:+.2f} in expectation.", highlight=False)
        for name, value in comparison.notes.items():
            console.print(f"{name}: {value}", highlight=False)
    for name, share in found.shares.items():
        spread = f"{share.value:.1%} [{share.lower:.1%}, {share.upper:.1%}]"
        console.print(f"{name}: {spread} of the oracle's gain over all worlds", highlight=False)


def _table(comparison: "ContestComparison") -> Table:
    from pipelines.simulation.contest.contest import rows_of

    title = f"World {comparison.seed}: {comparison.customers:,} customers, {comparison.weeks} weeks, per customer"
    table = Table(*_COLUMNS, title=title, title_justify="left")
    for row in rows_of(comparison):
        table.add_row(*row)
    return table
