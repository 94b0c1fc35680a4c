"""The demo while it runs: a live table on a terminal, one plain line a week anywhere else."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isnan
from time import monotonic

from rich.box import SIMPLE_HEAD
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from decisioning.decision import Reason
from decisioning.explanation.spoken_names import spoken
from pipelines.demo.airline.scoreboard import MoneyTally, Scoreboard
from pipelines.demo.traffic import Traffic

SILENCES = {
    Reason.SILENCE_BEST: "no message was worth a contact",
    Reason.KEPT_FOR_LATER: "kept for a better moment",
    Reason.BETTER_HOUR: "waits for a better hour",
    Reason.NOTHING_PERMITTED: "no message passed every gate",
    Reason.CARE: "an open case comes before sales",
    Reason.HOLDOUT: "in the universal holdout",
    Reason.PROGRAMME_HOLDOUT: "in a programme's holdout",
    Reason.EXPERIMENT: "an experiment drew silence",
    Reason.EXPLORED: "exploration drew silence",
    Reason.DEFERRED: "quiet hours",
    Reason.NOT_PROFILED: "not profiled, and no declared value beat the cost",
    Reason.RULES: "no model available",
    Reason.COLD_START: "there is no model yet",
    Reason.DEGRADED: "a component was down",
    Reason.CONTENDED: "other decisions for the customer came first",
    Reason.UNKNOWN_CUSTOMER: "customer unknown",
    Reason.ALLOCATED: "the plan over the audience chose silence",
}
MOST_CHANNELS = 8
DRAWN_EVERY_SECONDS = 0.25


@dataclass(slots=True, kw_only=True)
class Screen:
    """Where the scoreboard is shown.

    Attributes:
        stages: The journey's stages in order.
    """

    console: Console
    board: Scoreboard
    traffic: Traffic
    stages: Sequence[str]
    live: Live | None = None
    _drawn_at: float = field(default=float("-inf"))

    def refresh(self, *, now: bool = False) -> None:
        """Draw the table anew, a few times a second at most, unless it must be now."""
        if self.live is None or (not now and monotonic() - self._drawn_at < DRAWN_EVERY_SECONDS):
            return
        self.live.update(table_of(self.board, self.traffic, self.stages), refresh=True)
        self._drawn_at = monotonic()

    def week_ends(self) -> None:
        """A line for those who watch no table."""
        if self.live is None:
            self.console.print(line_of(self.board, self.traffic), soft_wrap=True)


@contextmanager
def watching(screen: Screen) -> Iterator[Screen]:
    """Show the live table while the block runs, where the console is a terminal; its last state stays there."""
    if not screen.console.is_terminal:
        yield screen
        return
    with Live(console=screen.console, auto_refresh=False) as live:
        screen.live = live
        yield screen
        screen.refresh(now=True)
    screen.live = None


def line_of(board: Scoreboard, traffic: Traffic) -> str:
    """The state at the end of a week in one line."""
    care, money = board.care_count(), board.purse.money()
    return (
        f"  week {board.week} of {board.weeks}: {traffic.decided:,} decisions"
        f" ({traffic.decisions_per_second:,.0f} a second), {board.sent:,} messages,"
        f" {board.silences.total():,} silences;"
        f" cases {care.opened:,} opened, {care.still_open:,} open, {_in_time(care.in_time, care.due)};"
        f" {money.spoken_to:.2f} EUR per customer not held out, {_euro(money.held_out)} held out"
    )


def table_of(board: Scoreboard, traffic: Traffic, stages: Sequence[str]) -> RenderableType:
    """The live table."""
    title = Text.assemble(
        (f"week {board.week} of {board.weeks}", "bold"), f"   {board.now:%a %d %b %Y %H:%M} UTC   {board.doing}"
    )
    return Group(
        title,
        _facts(board, traffic),
        Columns([message_table(board.messages, stages), silence_table(board.silences)], padding=(0, 2)),
    )


def _facts(board: Scoreboard, traffic: Traffic) -> Table:
    care, money = board.care_count(), board.purse.money()
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_row("decisions", f"{traffic.decided:,}", f"{traffic.decisions_per_second:,.0f} a second over HTTP")
    table.add_row("messages", f"{board.sent:,}", f"{board.silences.total():,} silences")
    table.add_row("cases", f"{care.opened:,}", f"{care.still_open:,} open, {_in_time(care.in_time, care.due)}")
    table.add_row("contribution", f"{money.spoken_to:.2f} EUR", "per customer the engine may message, so far")
    table.add_row("", _euro(money.held_out), f"per customer held out; difference {gain_words(money)}")
    table.add_row("", _euro(money.left_alone), "per customer in a copy of the world without marketing")
    return table


def gain_words(money: MoneyTally) -> str:
    """The gain over the holdout with its interval; a few dozen customers cannot tell much in a few weeks."""
    if isnan(money.gain):
        return "not known yet"
    if isnan(money.gain_lower):
        return f"{money.gain:+.2f} EUR"
    return f"{money.gain:+.2f} EUR [{money.gain_lower:+.2f}, {money.gain_upper:+.2f}]"


def message_table(messages: Counter[tuple[str, str]], stages: Sequence[str]) -> Table:
    """Messages per stage and channel; the channels that carry most."""
    totals = Counter[str]()
    for (_, channel), count in messages.items():
        totals[channel] += count
    channels = [channel for channel, _ in totals.most_common(MOST_CHANNELS)]
    table = Table("messages", *map(spoken, channels), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
    for stage in stages:
        counts = [messages[stage, channel] for channel in channels]
        if any(counts):
            table.add_row(stage, *(f"{count:,}" if count else "" for count in counts))
    return table


def silence_table(silences: Counter[str]) -> Table:
    """Reasons for silence."""
    table = Table("silence, because", "", box=SIMPLE_HEAD, padding=(0, 1))
    for reason, count in silences.most_common():
        table.add_row(SILENCES.get(Reason(reason), reason), f"{count:,}")
    return table


def _in_time(in_time: int, due: int) -> str:
    return f"{in_time:,} of {due:,} answered in time" if due else "no answer due yet"


def _euro(amount: float) -> str:
    return "unknown" if isnan(amount) else f"{amount:.2f} EUR"
