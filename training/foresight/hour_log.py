"""Decisions of a log as `hour_effects` looks at them: the customer's local hour, and what the model did not expect."""

from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from decisioning.arrays import FloatArray, IntArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message import Message, MessageClass
from decisioning.catalogue.quiet_hours import zones_of
from decisioning.customer import Customer
from decisioning.foresight.hours import HourGroup, hour_of_week
from decisioning.local_time import find_zone
from features.history import History
from training.foresight.hour_effects import HourLog
from training.models.learner import Learned, customers_at_random
from training.off_policy.profiles import profiles_at

MOST_DECISIONS = 300_000
"""Decisions that hours are learned from, those of customers drawn at random."""

_SEED = 19


def longest_wait_hours(catalogue: Catalogue) -> float:
    """The longest wait that a touchpoint allows, in hours; 0 where nothing waits."""
    return max((one.wait_seconds for one in catalogue.touchpoints.values()), default=0) / 3600


def hour_log(learned: Learned, history: History, catalogue: Catalogue) -> HourLog | None:
    """Decisions about customers whose zone is known; None where none of them sent marketing.

    Args:
        learned: What estimates that did not see the customers expect.
        history: The log, for profiles as of each decision.
        catalogue: Says which zones are known.
    """
    dataset, evidence = learned.dataset, learned.evidence
    groups, group_of = _groups(dataset.messages)
    places = np.arange(dataset.size)[learned.rows]
    drawn = customers_at_random(dataset, MOST_DECISIONS / dataset.size, _SEED)[places]
    hours = np.full(len(places), -1)
    hours[drawn] = _local_hours(dataset.decisions[places[drawn]], history, catalogue)
    contacts = np.append(-1, group_of)[evidence.actions]
    kept = (hours >= 0) & (contacts >= -1)
    if not (contacts[kept] >= 0).any():
        return None
    weights = evidence.choice.weights(evidence.actions)[kept]
    return HourLog(
        groups=groups,
        hours=hours[kept],
        contacts=contacts[kept],
        weights=weights / weights.mean(),
        left=_left(learned)[kept],
        customers=evidence.customers[kept],
    )


def _groups(messages: tuple[Message, ...]) -> tuple[tuple[HourGroup, ...], IntArray]:
    """Groups of marketing messages, and the place of each message's, shape (k,); -2 for what is no marketing."""
    of_each = [
        (one.channel.channel_id, one.offer.kind) if one.offer.message_class is MessageClass.MARKETING else None
        for one in messages
    ]
    groups = tuple(sorted({one for one in of_each if one is not None}))
    return groups, np.array([-2 if one is None else groups.index(one) for one in of_each], dtype=np.int64)


def _left(learned: Learned) -> FloatArray:
    """What came of each choice less what was expected of it, shape (n,)."""
    evidence = learned.evidence
    expected = learned.parts.values(evidence.raw, evidence.linear, evidence.slopes)
    return evidence.values - np.take_along_axis(expected, evidence.actions[:, np.newaxis], axis=1)[:, 0]


def _local_hours(decisions: pl.DataFrame, history: History, catalogue: Catalogue) -> IntArray:
    """The hour of each customer's local week, shape (n,); -1 where their zone is not known."""
    profiles = profiles_at(history, decisions)
    moments = decisions["decided_at"].to_list()
    zones = (_zone_of(one, catalogue) for one in profiles)
    found = [-1 if zone is None else hour_of_week(at, zone) for at, zone in zip(moments, zones, strict=True)]
    return np.array(found, dtype=np.int64)


def _zone_of(profile: Customer | None, catalogue: Catalogue) -> ZoneInfo | None:
    if profile is None:
        return None
    zones = zones_of(profile, catalogue.quiet_hours)
    return find_zone(zones[0]) if len(zones) == 1 else None
