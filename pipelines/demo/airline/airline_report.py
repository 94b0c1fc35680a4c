"""The closing report of the airline demo: one customer's journey, and whether marketing paid."""

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pipelines.demo.airline.live_table import message_table, silence_table
from pipelines.demo.airline.rivals import CONSTANT_NAME, EVERYTHING_NAME, PROPENSITY_NAME
from pipelines.demo.airline.scoreboard import Scoreboard
from pipelines.demo.airline.story import StoryLine
from pipelines.demo.traffic import Traffic
from pipelines.simulation.contest.comparison import ENGINE_NAME, ORACLE_NAME, SILENCE_NAME, ContestComparison

HALF, MOST = 0.5, 0.99
SERVED = "served"
WORDS = {
    SILENCE_NAME: "silence",
    EVERYTHING_NAME: "everyone gets everything",
    PROPENSITY_NAME: "most likely to be accepted",
    ENGINE_NAME: "the engine, without holdout, test and exploration",
    SERVED: "the engine, as it was served over HTTP",
    ORACLE_NAME: "the oracle, which knows the truth",
}


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


def print_journey(console: Console, customer_id: str, lines: Sequence[StoryLine], *, here: float, alone: float) -> None:
    """Print a customer's journey: `here` is what they brought (EUR less contact costs), `alone` without marketing."""
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


def print_worth(
    console: Console, board: Scoreboard, verdict: str, comparison: ContestComparison, *, emphasis: float
) -> None:
    """Print whether it paid: what a company could know, and the truth that only a simulation has."""
    money = board.purse.money()
    console.print(f"[bold]did it pay?[/] The holdout, as any company would read it: {verdict}", soft_wrap=True)
    console.print(
        f"The truth, which only a simulated world has: marketing added {money.expected_gain:+.2f} EUR per customer in"
        f" exact expectation ({money.realised_gain:+.2f} EUR with the luck that these weeks had).\n",
        soft_wrap=True,
    )
    console.print(_standings(comparison))
    best = comparison.notes.get(CONSTANT_NAME)
    console.print(
        f"The best single message for everybody, found on other customers, was {best}.\n"
        f"Rules broken by any of them, counted again from the logs: {comparison.violations:,}.\n",
        soft_wrap=True,
    )
    if emphasis != 1:
        console.print(
            f"Treatment effects are {emphasis:g} times as large here as in the world that docs/quality.md measures, so"
            " that so few customers are enough to learn from (--emphasis 1 switches this off).\n",
            soft_wrap=True,
        )


def print_invitation(console: Console, url: str, clock_path: Path) -> None:
    """Print where to look and what to try next."""
    console.print(f"API page        {url}/docs")
    console.print(f"experiments     {url}/console/experiments")
    console.print("models          nextbest mlflow ui")
    console.print("a second run    plays the weeks that follow")
    console.print(f"serve it again  NEXTBEST_REHEARSAL_CLOCK={clock_path} nextbest serve", soft_wrap=True)


def _standings(comparison: ContestComparison) -> Table:
    """Every policy's gain over silence in exact expectation, and its share of the oracle's."""
    table = Table(
        "the same customers, the same weeks",
        "messages per customer",
        "gain over silence, EUR per customer",
        "of the oracle's gain",
        box=SIMPLE_HEAD,
        padding=(0, 1),
    )
    for one in comparison.standings:
        gain = f"{one.gain.value:+.2f} [{one.gain.lower:+.2f}, {one.gain.upper:+.2f}]"
        cells = (WORDS.get(one.name, one.name), f"{one.messages:.2f}", gain, f"{one.share.value:.0%}")
        table.add_row(*cells, style="bold" if one.name == SERVED else "")
    return table
