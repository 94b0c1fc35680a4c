"""Check that every name in the catalogue exists, and that names are unique where they must be."""

from collections.abc import Collection, Iterable
from typing import Any

from decisioning.catalogue.message import SILENCE
from features.catalogue.checks.experiment_references import check_tests
from features.catalogue.checks.measure_references import check_measures
from features.catalogue.checks.policy_references import check_policies
from features.catalogue.forms.offer_form import OfferFile
from features.catalogue.reading.documents import Location
from features.catalogue.reading.names import Names, check_name, check_names
from features.catalogue.reading.problems import nearest_to, shown
from features.catalogue.reading.sections import Sections
from features.log.event_types import EventType, StateEventType

MOST_STAGES = 200
"""Stages of a journey: whether somebody enters one is proven against all before it, which grows with their square."""


def check_references(sections: Sections, sound: dict[str, Any], names: Names) -> None:
    """Add a problem for every name that is unknown or given twice."""
    check_measures(sections, sound, names)
    _check_stages(sections, sound, names)
    _check_touchpoints(sections, sound, names)
    _check_purposes(sections, sound, names)
    _check_offers(sections, sound, names)
    check_tests(sections, sound, names)
    check_policies(sections, sound, names)
    _check_event_types(sections, sound)
    if sound["learning"]:
        check_name(sections, ("learning", "measure"), sound["learning"].measure, names.measures, "measure")


def _check_stages(sections: Sections, sound: dict[str, Any], names: Names) -> None:
    if len(sound["stages"]) > MOST_STAGES:
        rule = f"must be at most {MOST_STAGES} stages; tell customers apart by rules of offers instead"
        sections.add(("stages",), rule, f"{len(sound['stages']):,}")
    seen: set[str] = set()
    open_stage: str | None = None
    for index, stage in enumerate(sound["stages"]):
        at = ("stages", index)
        check_name(sections, (*at, "goal"), stage.goal, names.goals, "goal")
        if stage.stage in seen:
            sections.add((*at, "stage"), "must be given once", f"{stage.stage!r} again")
        if open_stage is not None:
            rule = f"must come before {open_stage!r}, which has no rule and so takes every customer"
            sections.add((*at, "stage"), rule, shown(stage.stage))
        seen.add(stage.stage)
        open_stage = open_stage or (stage.stage if stage.entry is None else None)


def _check_touchpoints(sections: Sections, sound: dict[str, Any], names: Names) -> None:
    for name, touchpoint in sound["touchpoints"].items():
        check_names(sections, ("touchpoints", name, "channels"), touchpoint.channels, names.channels, "channel")


def _check_purposes(sections: Sections, sound: dict[str, Any], names: Names) -> None:
    for name, channel in sound["channels"].items():
        for stage, goals in (channel.purposes or {}).items():
            at = ("channels", name, "purposes", stage)
            check_name(sections, at, stage, names.stages, "stage")
            check_names(sections, at, goals, names.goals, "goal")


def _check_offers(sections: Sections, sound: dict[str, Any], names: Names) -> None:
    for name, offer in sound["offers"].items():
        at = ("offers", name)
        if name == SILENCE:
            sections.add(at, "must have another name: silence means sending nothing", shown(name))
        check_name(sections, (*at, "goal"), offer.goal, names.goals, "goal")
        check_name(sections, (*at, "kind"), offer.kind, names.offer_kinds, "offer kind")
        _check_neighbours(sections, at, name, offer, names)
        check_names(sections, (*at, "stages"), offer.stages, names.stages, "stage")
        check_names(sections, (*at, "asks"), offer.asks, names.customer_attributes, "customer attribute")
        _check_attributes(sections, sound, at, offer.attributes, names)
        _check_creatives(sections, at, offer.creatives, names)
        _check_follow_ups(sections, sound, at, offer)


def _check_neighbours(sections: Sections, at: Location, name: str, offer: OfferFile, names: Names) -> None:
    check_names(sections, (*at, "never_with"), offer.never_with, names.offers, "offer")
    if name in offer.never_with:
        rule = "must name other offers only: with itself it could never be sent"
        sections.add((*at, "never_with", offer.never_with.index(name)), rule, shown(name))
    for other in offer.not_after:
        check_name(sections, (*at, "not_after", other), other, names.offers, "offer")


def _check_attributes(
    sections: Sections, sound: dict[str, Any], at: Location, attributes: dict[str, Any], names: Names
) -> None:
    for name, value in attributes.items():
        here = (*at, "attributes", name)
        check_name(sections, here, name, names.offer_attributes, "offer attribute")
        declared = sound["offer_attributes"].get(name)
        if declared is not None:
            check_value(sections, here, value, declared.kind, declared.values)


def check_value(sections: Sections, at: Location, value: object, kind: str, words: Collection[str]) -> None:
    """Add a problem where a value does not fit the kind of its attribute."""
    if kind == "category":
        if value not in words:
            sections.add(at, f"must be one of {', '.join(words)}", shown(value), nearest_to(value, words))
    elif kind == "flag" and not isinstance(value, bool):
        sections.add(at, "must be true or false", shown(value))
    elif kind == "number" and (isinstance(value, bool) or not isinstance(value, int | float)):
        sections.add(at, "must be a number", shown(value))


def _check_creatives(sections: Sections, at: Location, creatives: Iterable[Any], names: Names) -> None:
    seen: set[tuple[str, str]] = set()
    for index, creative in enumerate(creatives):
        here = (*at, "creatives", index)
        check_name(sections, (*here, "channel"), creative.channel, names.channels, "channel")
        if (creative.channel, creative.creative) in seen:
            rule = f"must be given once for channel {creative.channel!r}"
            sections.add((*here, "creative"), rule, f"{creative.creative!r} again")
        seen.add((creative.channel, creative.creative))


def _check_follow_ups(sections: Sections, sound: dict[str, Any], at: Location, offer: OfferFile) -> None:
    """Nothing is remembered as seen without a conversation, so nothing could ever be followed up."""
    for index, creative in enumerate(offer.creatives):
        if creative.follow_up and sound["conversation"] is None:
            rule = "must be false, or the catalogue must have a `conversation`, such as {seen_days: 14}"
            sections.add((*at, "creatives", index, "follow_up"), rule, "true")


def _check_event_types(sections: Sections, sound: dict[str, Any]) -> None:
    seen: set[str] = {*EventType, *StateEventType}
    for name in ("event_types", "offer_kinds"):
        for index, word in enumerate(sound[name]):
            if word in seen:
                sections.add((name, index), "must be given once and not be built in", f"{word!r} again")
            seen.add(word)
        seen = set()
