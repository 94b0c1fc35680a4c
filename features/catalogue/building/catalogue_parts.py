"""From checked models to the core's types, with money in minor units and everything in a canonical order."""

from collections.abc import Iterable, Mapping
from typing import Any

from decisioning.catalogue.catalogue import Attribute, Catalogue, Learning
from decisioning.catalogue.channel import Channel
from decisioning.catalogue.experiment import Holdout, ProgrammeHoldout
from decisioning.catalogue.journey import Goal, JourneyStage, Touchpoint
from decisioning.catalogue.levers import ArbitrationSwitches
from decisioning.catalogue.limits import DepartmentShare
from decisioning.catalogue.measure import Unit
from decisioning.catalogue.message import Creative, MessageClass, Offer
from features.catalogue.building.choice_parts import build_experiment, build_exploration, build_lever, build_limit
from features.catalogue.building.contact_parts import (
    DAY_SECONDS,
    build_care,
    build_classes,
    build_contact_policy,
    build_conversation,
    build_listening,
    build_quiet_hours,
)
from features.catalogue.building.core_part import core_part
from features.catalogue.building.measure_parts import build_engagement, build_measures
from features.catalogue.building.money import to_minor
from features.catalogue.forms.catalogue_form import LearningFile, MeasureFile
from features.catalogue.forms.channel_form import ChannelFile
from features.catalogue.forms.offer_form import OfferFile
from features.catalogue.forms.rule_form import to_predicate
from features.catalogue.forms.touchpoint_form import TouchpointFile
from features.log.event_types import EventType

_DEFAULT_PURPOSES = {
    MessageClass.MARKETING: "marketing",
    MessageClass.RECOVERY: "service",
    MessageClass.SERVICE: "service",
}


def build_catalogue(sound: Mapping[str, Any], version: str = "") -> Catalogue:
    """The core's catalogue of sound sections; mappings and creatives are sorted, so file order changes nothing."""
    currency = sound["currency"]
    learning = sound["learning"]
    channels = {k: build_channel(k, v, currency) for k, v in _sorted(sound["channels"])}
    engagement = build_engagement(sound["engagement"], channels)
    return Catalogue(
        version=version,
        currency=currency,
        goals={k: Goal(goal_id=k, department=v.department) for k, v in _sorted(sound["goals"])},
        stages=tuple(
            JourneyStage(stage_id=each.stage, goal_id=each.goal, entry=to_predicate(each.entry))
            for each in sound["stages"]
        ),
        touchpoints={k: _touchpoint(k, v) for k, v in _sorted(sound["touchpoints"])},
        channels=channels,
        offers={k: _offer(k, v, currency) for k, v in _sorted(sound["offers"])},
        creatives=tuple(each for k, v in _sorted(sound["offers"]) for each in _creatives(k, v)),
        offer_kinds=sound["offer_kinds"],
        event_types=(*(each.value for each in EventType), *sound["event_types"]),
        customer_attributes=tuple(core_part(Attribute, v, name=k) for k, v in sound["customer_attributes"].items()),
        offer_attributes=tuple(core_part(Attribute, v, name=k) for k, v in sound["offer_attributes"].items()),
        measures=build_measures(sound, engagement, currency),
        engagement=engagement,
        learning=_learning(learning, sound["measures"], currency) if learning else None,
        experiments=tuple(build_experiment(k, v) for k, v in _sorted(sound["experiments"])),
        holdout=core_part(Holdout, sound["holdout"]) if sound["holdout"] else None,
        programme_holdouts=tuple(core_part(ProgrammeHoldout, v, programme_id=k) for k, v in _sorted(sound["holdouts"])),
        **_policies(sound, currency),
    )


def _learning(file: LearningFile, measures: Mapping[str, MeasureFile], currency: str) -> Learning:
    is_rate = file.measure in measures and measures[file.measure].unit is Unit.RATE
    change_cost = file.change_cost if is_rate else to_minor(file.change_cost, currency)
    return core_part(Learning, file, measure_id=file.measure, change_cost=change_cost)


def _policies(sound: Mapping[str, Any], currency: str) -> dict[str, Any]:
    return {
        "exploration": build_exploration(sound["exploration"], currency),
        "classes": build_classes(sound["classes"]),
        "contact_policy": build_contact_policy(sound["contact_policy"], currency),
        "conversation": build_conversation(sound["conversation"], sound["offers"]),
        "quiet_hours": build_quiet_hours(sound["quiet_hours"]),
        "care": build_care(sound["care"]),
        "listening": build_listening(sound["listening"]),
        "limits": tuple(build_limit(k, v, currency) for k, v in _sorted(sound["limits"])),
        "shares": tuple(core_part(DepartmentShare, v, share_id=k, period=v.per) for k, v in _sorted(sound["shares"])),
        "levers": tuple(build_lever(k, v) for k, v in _sorted(sound["levers"])),
        "switches": core_part(ArbitrationSwitches, sound["arbitration"]),
    }


def _sorted[T](entries: Mapping[str, T]) -> Iterable[tuple[str, T]]:
    return sorted(entries.items())


def _touchpoint(name: str, file: TouchpointFile) -> Touchpoint:
    return core_part(
        Touchpoint,
        file,
        touchpoint_id=name,
        sticky_seconds=round(file.sticky_hours * 3600),
        needs_permit=file.permit == "required",
        reserve_seconds=round(file.reserve_hours * 3600),
        wait_seconds=round(file.wait_hours * 3600),
    )


def build_channel(name: str, file: ChannelFile, currency: str) -> Channel:
    """A channel with its cost in minor units and its times in seconds and minutes."""
    return core_part(
        Channel,
        file,
        channel_id=name,
        cost_minor=to_minor(file.cost, currency),
        is_online=file.online,
        allowed_formats=frozenset(file.formats),
        lead_time_seconds=file.lead_time_days * DAY_SECONDS,
        cut_off_minute=file.cut_off,
        purposes=None
        if file.purposes is None
        else {stage: frozenset(goals) for stage, goals in _sorted(file.purposes)},
        address_fields=file.address,
    )


def _offer(name: str, file: OfferFile, currency: str) -> Offer:
    return core_part(
        Offer,
        file,
        offer_id=name,
        goal_id=file.goal,
        purpose=file.purpose or _DEFAULT_PURPOSES.get(file.message_class),
        value_minor=to_minor(file.value, currency),
        not_after={offer: days * DAY_SECONDS for offer, days in _sorted(file.not_after)},
    )


def _creatives(offer_id: str, file: OfferFile) -> list[Creative]:
    creatives = [
        core_part(
            Creative,
            each,
            creative_id=each.creative,
            offer_id=offer_id,
            channel_id=each.channel,
            requires=tuple(sorted(set(each.requires))),
            place=0 if file.message_class is MessageClass.MARKETING else place,
        )
        for place, each in enumerate(file.creatives)
    ]
    return sorted(creatives, key=lambda each: (each.channel_id, each.creative_id))
