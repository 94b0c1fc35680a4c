"""From checked models to the core's types, with money in minor units and everything in a canonical order."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from decisioning.catalogue import Attribute, Catalogue, Learning
from decisioning.experiment import Arm, Experiment, Holdout
from decisioning.exploration import Exploration
from decisioning.journey import Goal, JourneyStage, Touchpoint
from decisioning.measure import Measure
from decisioning.message import Channel, Creative, MessageClass, Offer
from features.catalogue.models import (
    AttributeFile,
    ChannelFile,
    ExperimentFile,
    MeasureFile,
    OfferFile,
    TouchpointFile,
)
from features.catalogue.rules import to_predicate
from features.contracts import EventType

_DEFAULT_PURPOSES = {
    MessageClass.MARKETING: "marketing",
    MessageClass.RECOVERY: "service",
    MessageClass.SERVICE: "service",
}
_WITHOUT_CENTS = frozenset({"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND"})
_WITH_MILLS = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})


def to_minor(amount: float, currency: str) -> float:
    """Minor units of an amount in major units.

    Example:
        >>> to_minor(1.15, "EUR"), to_minor(0.005, "EUR"), to_minor(300, "JPY")
        (115.0, 0.5, 300.0)
    """
    factor = 1 if currency in _WITHOUT_CENTS else 1000 if currency in _WITH_MILLS else 100
    return float(Decimal(repr(amount)) * factor)


def build_catalogue(sound: Mapping[str, Any], version: str = "") -> Catalogue:
    """The core's catalogue of sound sections; mappings and creatives are sorted, so file order changes nothing.

    Args:
        sound: Section name to models, as `validate_sections` returns them.
        version: Its version, where it is known already.
    """
    currency = sound["currency"]
    learning, holdout, exploration = sound["learning"], sound["holdout"], sound["exploration"]
    return Catalogue(
        version=version,
        currency=currency,
        goals={k: Goal(goal_id=k, department=v.department, weight=v.weight) for k, v in _sorted(sound["goals"])},
        stages=tuple(
            JourneyStage(stage_id=each.stage, goal_id=each.goal, entry=to_predicate(each.entry))
            for each in sound["stages"]
        ),
        touchpoints={k: _touchpoint(k, v) for k, v in _sorted(sound["touchpoints"])},
        channels={k: _channel(k, v, currency) for k, v in _sorted(sound["channels"])},
        offers={k: _offer(k, v, currency) for k, v in _sorted(sound["offers"])},
        creatives=tuple(each for k, v in _sorted(sound["offers"]) for each in _creatives(k, v)),
        offer_kinds=sound["offer_kinds"],
        event_types=(*(each.value for each in EventType), *sound["event_types"]),
        customer_attributes=tuple(_attribute(k, v) for k, v in sound["customer_attributes"].items()),
        offer_attributes=tuple(_attribute(k, v) for k, v in sound["offer_attributes"].items()),
        measures={k: _measure(k, v, currency) for k, v in _sorted(sound["measures"])},
        learning=Learning(measure_id=learning.measure, window_days=learning.window_days) if learning else None,
        exploration=Exploration(epsilon=exploration.epsilon, min_probability=exploration.min_probability),
        experiments=tuple(_experiment(k, v) for k, v in _sorted(sound["experiments"])),
        holdout=Holdout(share=holdout.share, salt=holdout.salt) if holdout else None,
    )


def _sorted[T](entries: Mapping[str, T]) -> Iterable[tuple[str, T]]:
    return sorted(entries.items())


def _attribute(name: str, file: AttributeFile) -> Attribute:
    return Attribute(name=name, kind=file.kind, values=file.values)


def _touchpoint(name: str, file: TouchpointFile) -> Touchpoint:
    return Touchpoint(
        touchpoint_id=name,
        channels=frozenset(file.channels),
        context=dict(sorted(file.context.items())),
        sticky_seconds=round(file.sticky_hours * 3600),
    )


def _channel(name: str, file: ChannelFile, currency: str) -> Channel:
    return Channel(
        channel_id=name,
        cost_minor=to_minor(file.cost, currency),
        is_online=file.online,
        max_lengths=dict(sorted(file.max_lengths.items())),
        required_fields=frozenset(file.required_fields),
    )


def _offer(name: str, file: OfferFile, currency: str) -> Offer:
    return Offer(
        offer_id=name,
        goal_id=file.goal,
        kind=file.kind,
        message_class=file.message_class,
        purpose=file.purpose or _DEFAULT_PURPOSES.get(file.message_class),
        stages=frozenset(file.stages),
        valid_from=file.valid_from,
        valid_until=file.valid_until,
        value_minor=to_minor(file.value, currency),
        weight=file.weight,
        attributes=dict(sorted(file.attributes.items())),
        eligibility=to_predicate(file.eligibility),
    )


def _creatives(offer_id: str, file: OfferFile) -> list[Creative]:
    creatives = [
        Creative(
            creative_id=each.creative,
            offer_id=offer_id,
            channel_id=each.channel,
            content=dict(sorted(each.content.items())),
            eligibility=to_predicate(each.eligibility),
        )
        for each in file.creatives
    ]
    return sorted(creatives, key=lambda each: (each.channel_id, each.creative_id))


def _measure(name: str, file: MeasureFile, currency: str) -> Measure:
    return Measure(
        measure_id=name,
        unit=file.unit,
        added_events=frozenset(file.add),
        subtracted_events=frozenset(file.subtract),
        outcomes=frozenset(file.outcomes),
        cap_minor=None if file.cap is None else round(to_minor(file.cap, currency)),
    )


def _experiment(name: str, file: ExperimentFile) -> Experiment:
    return Experiment(
        experiment_id=name,
        salt=file.salt,
        arms=tuple(Arm(arm_id=k, share=v.share, policy=v.policy) for k, v in file.arms.items()),
        control_arm_id=file.control,
        exposure=file.exposure,
        primary_measure_id=file.primary,
        secondary_measure_ids=file.secondary,
        starts_at=file.starts_at,
        ends_at=file.ends_at,
        touchpoints=frozenset(file.touchpoints),
    )
