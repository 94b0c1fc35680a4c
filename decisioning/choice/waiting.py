"""When to send within the wait that a touchpoint allows: message, channel and hour are chosen together.

The hour adds to every marketing message what the model learned of it (`decisioning.foresight.hours`): now, and at each
later hour within the wait that quiet hours allow. The best pair of message and hour wins. If its hour is the present
one, the decision is as ever; if it is a later one, and the pair is worth more than the best choice now by
`WORTH_WAITING`, the ask is put off to the beginning of that hour, and everything is looked at again then. Nothing is
reserved meanwhile.

Nothing is put off for ever. The wait counts from the first ask of an occasion. From the promised hour on nothing waits
any more: an ask then is decided at once, and ends the occasion; one that comes earlier may be put off again, within the
same wait. An occasion whose promised hour nobody asked at is over one wait later.

Only marketing waits, and only for marketing: what is owed goes at once where it is the best choice, as do slates, what
a plan over all customers gave, and what an arm draws. Where exploration leaves something to chance, a share of asks,
`AT_ONCE`, is decided at once whatever the hour, so that the log goes on telling hours apart.

The hour is that of the customer's own zone; where the zone is not known, it adds nothing and nothing waits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from decisioning.arrays import FloatArray, IndexArray
from decisioning.catalogue.exploration import Exploration
from decisioning.catalogue.journey import Touchpoint
from decisioning.decision import Decision, Inputs, PutOff
from decisioning.draw import unit_hash
from decisioning.foresight.hours import HOURS, HourEffects, HourGroup, hour_of_week
from decisioning.gates.candidate import Candidate
from decisioning.gates.situation import Situation
from decisioning.value_class import value_class

WORTH_WAITING = 1.05
"""What the best later pair must be worth of the best choice now."""

AT_ONCE = 0.1
"""Share of asks that are decided at once where exploration leaves something to chance."""

_HOUR = timedelta(hours=1)

type SeenHours = dict[HourGroup, dict[int, float]]
"""What was looked up, by group and hour of the week."""


def wait_ends_at(touchpoint: Touchpoint, inputs: Inputs, exploration: Exploration, seed: str) -> datetime | None:
    """Until when marketing may wait; None where nothing does.

    Args:
        touchpoint: Says how long.
        inputs: Who asks, when, and whether this occasion was put off before.
        exploration: Whether anything is left to chance.
        seed: Of the policy.
    """
    request, length = inputs.request, timedelta(seconds=touchpoint.wait_seconds)
    if not length or len(request.placements) > 1 or inputs.allocated is not None:
        return None
    former = inputs.put_off
    if former is not None and former.until <= inputs.now < former.until + length:
        return None
    if exploration.leaves_chance and unit_hash("at once", seed, request.customer_id, request.request_key) < AT_ONCE:
        return None
    return first_asked_at(inputs) + length


def first_asked_at(inputs: Inputs) -> datetime:
    """When the occasion of an ask that may wait began."""
    former = inputs.put_off
    return former.asked_at if former is not None and inputs.now < former.until else inputs.now


def left_put_off(decision: Decision) -> PutOff | None:
    """What a decision leaves put off for the next ask at its touchpoint; None for nothing."""
    better = decision.better_hour
    return None if better is None else PutOff(asked_at=first_asked_at(decision.inputs), until=better.at)


def as_seen(effects: HourEffects | None, seen: SeenHours) -> HourEffects | None:
    """Effects with nothing but what was looked up, which decide alike; None where that is nothing."""
    return None if effects is None or not seen else replace(effects, by_group=seen)


@value_class
class LaterHours:
    """The best later hour of every candidate.

    Attributes:
        added: shape (k + 1,), what it adds, in the unit of what was learned; NaN where there is none.
        moments: Beginning of the hour by row; None where there is none.
    """

    added: FloatArray
    moments: Sequence[datetime | None]


class HourPricing:
    """What hours add to the candidates of a touchpoint; only marketing heeds them.

    Attributes:
        heeds: The touchpoint lets messages wait; where it does not, hours add nothing.
    """

    __slots__ = ("_candidates", "_rows", "heeds")

    def __init__(self, candidates: Sequence[Candidate], wait_seconds: int) -> None:
        """Group candidates that hours treat alike."""
        self._candidates, self.heeds = candidates, wait_seconds > 0
        self._rows: dict[HourGroup, list[int]] = {}
        for row, one in enumerate(candidates, start=1):
            if one.is_marketing:
                self._rows.setdefault((one.channel_id, one.message.offer.kind), []).append(row)

    def now(self, effects: HourEffects, situation: Situation, rows: IndexArray, seen: SeenHours) -> FloatArray | None:
        """What the present hour adds: shape (k + 1,), 0 for silence; None where the customer's zone is not known.

        Args:
            effects: What was learned.
            situation: When, and where the customer lives.
            rows: shape (n,), those that are asked for, candidate i as i + 1; 0 or NaN is given for the others.
            seen: Takes down what was looked up.
        """
        zone = situation.times.zone
        if zone is None:
            return None
        hour, added = hour_of_week(situation.now, zone), np.zeros(len(self._candidates) + 1)
        for group, asked in self._groups(effects, rows):
            if hour in effects.by_group[group]:
                added[asked] = _look(effects, group, hour, seen)
        return added

    def later(
        self, effects: HourEffects, situation: Situation, until: datetime, rows: IndexArray, seen: SeenHours
    ) -> LaterHours | None:
        """The best later hour until some moment that quiet hours allow, of several the first; None without a zone.

        An hour that begins in quiet time counts from where that ends. What has to arrive before an offer ends must.
        Arguments are those of `now`.
        """
        zone = situation.times.zone
        if zone is None:
            return None
        hours, size = _hours_to_come(situation.now, until, zone), len(self._candidates) + 1
        added, moments = np.full(size, np.nan), list[datetime | None]([None] * size)
        found: dict[HourGroup, tuple[datetime, float] | None] = {}
        for group, asked in self._groups(effects, rows):
            if group not in found:
                found[group] = _best_hour(effects, group, hours, situation, seen)
            best = found[group]
            for row in asked if best is not None else ():
                if best is not None and self._arrives(row, best[0], situation):
                    moments[row], added[row] = best
        return LaterHours(added=added, moments=moments)

    def _groups(self, effects: HourEffects, rows: IndexArray) -> Iterator[tuple[HourGroup, list[int]]]:
        """Groups that know most of some candidates, and which of these."""
        wanted = set(rows.tolist())
        for named, members in self._rows.items():
            asked = [row for row in members if row in wanted]
            group = effects.group_of(*named) if asked else None
            if group is not None:
                yield group, asked

    def _arrives(self, row: int, at: datetime, situation: Situation) -> bool:
        """Whether an offer is still valid when a message that leaves at `at` arrives."""
        candidate = self._candidates[row - 1]
        until = candidate.valid_until
        return until is None or situation.times.arrival(candidate.message.channel, at) < until


def _look(effects: HourEffects, group: HourGroup, hour: int, seen: SeenHours) -> float:
    value = effects.by_group[group][hour]
    seen.setdefault(group, {})[hour] = value
    return value


def _hours_to_come(now: datetime, until: datetime, zone: ZoneInfo) -> list[tuple[datetime, int]]:
    """Beginnings of the local hours after the present one, until some moment, and which hours of the week they are."""
    local = now.astimezone(zone)
    into = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    start = (now - into).astimezone(UTC)
    moments = [start + number * _HOUR for number in range(1, int((until - start) / _HOUR) + 1)]
    if not moments:
        return []
    first = hour_of_week(moments[0], zone)
    is_steady = hour_of_week(moments[-1], zone) == (first + len(moments) - 1) % HOURS
    if is_steady:  # no clock is changed meanwhile
        return [(at, (first + number) % HOURS) for number, at in enumerate(moments)]
    return [(at, hour_of_week(at, zone)) for at in moments]


def _best_hour(
    effects: HourEffects, group: HourGroup, hours: Sequence[tuple[datetime, int]], situation: Situation, seen: SeenHours
) -> tuple[datetime, float] | None:
    """When the group's best hour begins, and what it adds; None where none is known, or all are quiet."""
    known = effects.by_group[group]
    left = [one for one in hours if one[1] in known]
    while left:
        at, hour = best = max(left, key=lambda one: known[one[1]])
        awake_at = situation.times.quiet_until(group[0], at) or at
        if awake_at < at + _HOUR:
            return awake_at, _look(effects, group, hour, seen)
        left.remove(best)
    return None
