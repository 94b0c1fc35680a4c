"""What the airline's demo tells a person at its end: one customer's journey, and whether it paid."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from features.readouts import Readout
from pipelines.demo.live_table import gain_words, message_table, silence_table
from pipelines.demo.scoreboard import Scoreboard
from pipelines.demo.telling import Line
from pipelines.demo.traffic import Traffic

HALF, MOST = 0.5, 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a policy did on the demo's customers and weeks.

    Attributes:
        name: What it does, in words.
        per_customer: Contribution less contact costs per customer, in euro.
        is_engine: It is the one that was served.
    """

    name: str
    per_customer: float
    is_engine: bool = False


def print_numbers(console: Console, board: Scoreboard, traffic: Traffic, stages: Sequence[str]) -> None:
    """Print what went over HTTP, what was sent where, and why nothing was."""
    console.print(
        f"\n[bold]{traffic.decided:,} decisions over HTTP[/], {board.sent:,} messages and"
        f" {board.silences.total():,} silences; {traffic.decisions_per_second:,.0f} a second,"
        f" asked one by one half within {traffic.latency_ms(HALF):.1f} ms, 99 of 100 within"
        f" {traffic.latency_ms(MOST):.1f} ms",
        soft_wrap=True,
    )
    console.print(message_table(board.messages, stages))
    console.print(silence_table(board.silences))
    care = board.care_count()
    console.print(
        f"[bold]care[/]: {care.opened:,} cases opened, {care.still_open:,} still open; of {care.due:,} answers that"
        f" were due, {care.in_time:,} came in time\n",
        soft_wrap=True,
    )


def print_journey(console: Console, customer_id: str, lines: Sequence[Line], *, here: float, alone: float) -> None:
    """Print one customer's journey.

    Args:
        console: Where to.
        customer_id: Whose.
        lines: The story.
        here: What the customer brought in these weeks, in euro, less contact costs.
        alone: What they would have brought had nobody sent marketing to anybody.
    """
    console.print(f"[bold]one customer, {customer_id}[/] (what the engine was asked and answered is marked)\n")
    table = Table("when (UTC)", "", "what happened", "why", box=SIMPLE_HEAD, padding=(0, 1))
    for line in lines:
        mark = "→" if line.is_decision else ""
        table.add_row(f"{line.at:%a %d %b %H:%M}", mark, line.what, line.why, style="bold" if mark else "")
    console.print(table)
    console.print(
        f"In these weeks {customer_id} brought {here:.2f} EUR; the same customer, with the same luck, would have"
        f" brought {alone:.2f} EUR had nobody sent any marketing.\n",
        soft_wrap=True,
    )


def print_worth(console: Console, board: Scoreboard, readout: Readout, standings: Sequence[Standing]) -> None:
    """Print whether it paid: what a company could know, and what only this world's maker knows."""
    money = board.purse.money()
    console.print(f"[bold]did it pay?[/] What the holdout says: {readout.verdict}", soft_wrap=True)
    console.print(f"Per customer so far: {gain_words(money)} more where the engine may speak.", soft_wrap=True)
    console.print(
        f"What is true here, since the same weeks were also lived without marketing: {money.true_gain:+.2f} EUR per"
        " customer, all customers counted.\n",
        soft_wrap=True,
    )
    if standings:
        console.print(_standings(standings))


def _standings(standings: Sequence[Standing]) -> Table:
    """Every policy's gain over silence, and its share of what was possible; the first is silence, the last the best."""
    silence, best = standings[0].per_customer, standings[-1].per_customer
    table = Table(
        "the same customers, the same weeks",
        "EUR per customer",
        "over silence",
        "of what is possible",
        box=SIMPLE_HEAD,
        padding=(0, 1),
    )
    for one in standings:
        gain = one.per_customer - silence
        share = f"{gain / (best - silence):.0%}" if best > silence else ""
        cells = (one.name, f"{one.per_customer:.2f}", f"{gain:+.2f}", share)
        table.add_row(*cells, style="bold" if one.is_engine else "")
    return table
