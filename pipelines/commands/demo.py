"""`nextbest demo`: the whole engine in one go, on simulated customers or on real purchases."""

from typing import Annotated

import typer

from decisioning.errors import InvalidInputError
from features.clock import wall_clock
from pipelines.options import HomeOption, settings_for

AIRLINE, GROCERY = "airline", "grocery"
CUSTOMERS, WEEKS, SEED, EMPHASIS = 1_000, 4, 7, 3.0


app = typer.Typer()


@app.command("demo")
def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="Exit at the end instead of keeping the server up.")] = False,
    example: Annotated[
        str, typer.Option(help=f"{AIRLINE}: simulated customers; {GROCERY}: a year of real purchases.")
    ] = AIRLINE,
    customers: Annotated[int | None, typer.Option(min=200, help=f"{AIRLINE}: how many ({CUSTOMERS:,}).")] = None,
    weeks: Annotated[int, typer.Option(min=1, max=26, help=f"{AIRLINE}: live weeks to play.")] = WEEKS,
    seed: Annotated[int | None, typer.Option(min=0, help=f"{AIRLINE}: random seed ({SEED}).")] = None,
    emphasis: Annotated[
        float | None, typer.Option(min=0.0, help=f"{AIRLINE}: factor on every treatment effect ({EMPHASIS:g}).")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Port of the API; 0 takes any free one (8000).")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Train on half a year of airline customers, serve the following weeks live, and measure whether it paid.

    The customers are simulated, so their true treatment effects are known. Everything else is real: log, features,
    training, server, HTTP. The server stays up until Ctrl-C. A second run plays the weeks that follow.

    Example: `nextbest demo --once`
    """
    settings = settings_for(home, port=port)
    if example == GROCERY:
        from pipelines.demo.grocery import show_grocery

        show_grocery(settings, stay=not once, clock=wall_clock)
    elif example == AIRLINE:
        from pipelines.demo.airline.airline_demo import show_airline

        asked = {"customers": customers, "seed": seed, "emphasis": emphasis}
        show_airline(settings, asked, weeks=weeks, stay=not once, clock=wall_clock)
    else:
        raise InvalidInputError(
            f"--example must be {AIRLINE} or {GROCERY}, got {example!r}: others need a folder of yours, "
            "see `nextbest example list`"
        )
