"""`nextbest demo`: the whole engine on real data, in one go."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from pipelines.options import HomeOption, settings_for


def register(app: typer.Typer) -> None:
    """Add `nextbest demo`."""
    app.command("demo")(demo)


def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="Stop everything and exit at the end.")] = False,
    example: Annotated[
        str, typer.Option("--example", help="Which example; it must need no data of yours.")
    ] = "grocery",
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65_535, help="Port of the API; 0 takes any free one (8000).")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Import, build features, train, promote, serve, decide, report back: every step real, on a year of purchases.

    The server stays up until Ctrl-C. A second run reuses what is there.

    Example: `nextbest demo --once`
    """
    from pipelines.demo.show import show

    show(settings_for(home, port=port), example, stay=not once, clock=lambda: datetime.now(UTC))
