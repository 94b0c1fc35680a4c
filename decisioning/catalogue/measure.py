"""What a decision is worth: declared measures over a customer's events and outcomes in the window after it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from decisioning.catalogue.channel import Channel

OPENED = frozenset({"viewed"})
CLICKED = frozenset({"clicked"})
ENGAGED = OPENED | CLICKED
"""Outcomes that a machine can report as well as a person."""

_SUBJECT = "subject"


@dataclass(frozen=True, slots=True, kw_only=True)
class Engagement:
    """How opens and clicks of machines are counted.

    Attributes:
        machine_weight: What one counts for beside a person's, in [0, 1].
        scanned_channels: Channels on which programs open and click before the customer does, as they do with e-mail:
            there, timing tells them too. On others only what the sender says of a report does.
    """

    machine_weight: float = 0.0
    scanned_channels: frozenset[str] = frozenset()


class Unit(StrEnum):
    """What a measure counts."""

    MONEY = "money"
    RATE = "rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Returns:
    """How what comes back reverses what a purchase brought.

    Attributes:
        window_days: Days after a purchase within which a return of it reverses it.
        events: Event types that are returns; outcomes `returned` always are.
    """

    window_days: float
    events: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A reward for learning, evaluation and experiments.

    A measure with `parts` is their weighted sum, in money. Any other money measure sums the amounts of `added_events`
    and subtracts those of `subtracted_events` within the window, each transaction first cut to `cap_minor` where there
    is one; it adds what the customer's `outcomes` are worth, whichever of their decisions they answer, so that silence
    is credited too. A rate measure is 1 where any of `outcomes` happened to the decision within the window, or any of
    `added_events` to the customer, else 0; what only a machine opened or clicked makes it `engagement.machine_weight`.

    What is returned within the window of `returns` counts as never bought, at the moment of the purchase.

    Attributes:
        measure_id: Name, such as `net_revenue`.
        unit: Money in minor units, or a rate in [0, 1].
        added_events: Event types whose amounts (money) or occurrence (rate) count.
        subtracted_events: Event types whose amounts are taken away; money only.
        outcomes: Outcome types whose occurrence (rate) or worth (money) counts.
        outcome_worth_minor: What an outcome of a type is worth where its report names no amount, in minor units;
            negative where it does harm.
        cap_minor: Largest amount that one transaction may count for when learning; None for no cap.
        event_worth_minor: The same as `outcome_worth_minor` for `added_events`, such as what a call costs.
        window_days: Its own window after a decision; None for that of whoever asks.
        parts: Measures of money that it adds up; then it has nothing else of its own.
        returns: What takes purchases back; None where nothing does.
        version: Raised by whoever declares it where its meaning changes and its declaration does not.
        engagement: How opens and clicks of machines count, as the catalogue says.
    """

    measure_id: str
    unit: Unit
    added_events: frozenset[str] = frozenset()
    subtracted_events: frozenset[str] = frozenset()
    outcomes: frozenset[str] = frozenset()
    cap_minor: int | None = None
    outcome_worth_minor: Mapping[str, float] = field(default_factory=dict[str, float])
    event_worth_minor: Mapping[str, float] = field(default_factory=dict[str, float])
    window_days: float | None = None
    parts: "tuple[MeasurePart, ...]" = ()
    returns: Returns | None = None
    version: int = 1
    engagement: Engagement = field(default_factory=Engagement)

    @property
    def plain(self) -> "tuple[tuple[Measure, float], ...]":
        """The measures without parts that it is made of, each with how often it counts; itself, once, without parts."""
        return tuple((part.measure, part.times) for part in self.parts) or ((self, 1.0),)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurePart:
    """A measure without parts, and how often it counts in a sum; negative where it is taken away."""

    measure: Measure
    times: float


def mail_channels(channels: Mapping[str, Channel]) -> frozenset[str]:
    """Channels whose messages have a subject: mail, which programs open before people do.

    Example:
        >>> mail = Channel(channel_id="email", required_fields=frozenset({"subject", "body"}))
        >>> sorted(mail_channels({"email": mail, "push": Channel(channel_id="push")}))
        ['email']
    """
    return frozenset(k for k, v in channels.items() if _SUBJECT in v.required_fields or _SUBJECT in v.max_lengths)
