"""Check that every name in the catalogue means something, and that names which must differ do."""

from collections.abc import Collection, Iterable
from typing import Any

from decisioning.message import SILENCE
from features.catalogue.documents import Location
from features.catalogue.problems import nearest_to, shown
from features.catalogue.sections import Sections
from features.contracts import EventType, OutcomeType


class Names:
    """Names declared in the catalogue, whether or not their entries are sound."""

    def __init__(self, sections: Sections, sound: dict[str, Any]) -> None:
        def keys(section: str) -> frozenset[str]:
            value = sections.values.get(section)
            return frozenset(value) if isinstance(value, dict) else frozenset()

        self.goals, self.channels, self.touchpoints = keys("goals"), keys("channels"), keys("touchpoints")
        self.measures = keys("measures")
        self.offer_attributes, self.customer_attributes = keys("offer_attributes"), keys("customer_attributes")
        self.offer_kinds = frozenset(sound["offer_kinds"])
        self.stages = frozenset(stage.stage for stage in sound["stages"]) | _raw_stages(sections)
        self.events = frozenset(EventType) | frozenset(sound["event_types"])
        self.context = {name: kind for each in sound["touchpoints"].values() for name, kind in each.context.items()}


def _raw_stages(sections: Sections) -> frozenset[str]:
    written = sections.values.get("stages")
    entries = written if isinstance(written, list) else []
    return frozenset(str(each["stage"]) for each in entries if isinstance(each, dict) and "stage" in each)


def check_references(sections: Sections, sound: dict[str, Any], names: Names) -> None:
    """Add a problem for every name that is unknown or given twice."""
    _check_measures(sections, sound, names)
    _check_stages(sections, sound, names)
    _check_touchpoints(sections, sound, names)
    _check_offers(sections, sound, names)
    _check_experiments(sections, sound, names)
    _check_event_types(sections, sound)
    if sound["learning"]:
        _known(sections, ("learning", "measure"), sound["learning"].measure, names.measures, "measure")


def _known(sections: Sections, at: Location, name: str, known: Iterable[str], what: str) -> None:
    known = frozenset(known)
    if name not in known:
        sections.add(at, f"must be a known {what}", shown(name), nearest_to(name, known))


def _all_known(sections: Sections, at: Location, given: Iterable[str], known: Collection[str], what: str) -> None:
    for index, name in enumerate(given):
        _known(sections, (*at, index), name, known, what)


def _check_measures(sections: Sections, sound: dict[str, Any], names: Names) -> None:
    for name, measure in sound["measures"].items():
        at = ("measures", name)
        _all_known(sections, (*at, "add"), measure.add, names.events, "event type")
        _all_known(sections, (*at, "subtract"), measure.subtract, names.events, "event type")
        _all_known(sections, (*at, "outcomes"), measure.outcomes, frozenset(OutcomeType), "outcome type")


def _check_stages(sections: Sections, sound: dict[str, Any], names: Names) -> None:
    seen: set[str] = set()
    open_stage: str | None = None
    for index, stage in enumerate(sound["stages"]):
        at = ("stages", index)
        _known(sections, (*at, "goal"), stage.goal, names.goals, "goal")
        if stage.stage in seen:
            sections.add((*at, "stage"), "must be given once", f"{stage.stage!r} again")
        if open_stage is not None:
            rule = f"must come before {open_stage!r}, which has no rule and so takes every customer"
            sections.add((*at, "stage"), rule, shown(stage.stage))
        seen.add(stage.stage)
        open_stage = open_stage or (stage.stage if stage.entry is None else None)


def _check_touchpoints(sections: Sections, sound: dict[str, Any], names: Names) -> None:
    for name, touchpoint in sound["touchpoints"].items():
        _all_known(sections, ("touchpoints", name, "channels"), touchpoint.channels, names.channels, "channel")


def _check_offers(sections: Sections, sound: dict[str, Any], names: Names) -> None:
    for name, offer in sound["offers"].items():
        at = ("offers", name)
        if name == SILENCE:
            sections.add(at, "must have another name: silence means sending nothing", shown(name))
        _known(sections, (*at, "goal"), offer.goal, names.goals, "goal")
        _known(sections, (*at, "kind"), offer.kind, names.offer_kinds, "offer kind")
        _all_known(sections, (*at, "stages"), offer.stages, names.stages, "stage")
        _check_attributes(sections, sound, at, offer.attributes, names)
        _check_creatives(sections, at, offer.creatives, names)


def _check_attributes(
    sections: Sections, sound: dict[str, Any], at: Location, attributes: dict[str, Any], names: Names
) -> None:
    for name, value in attributes.items():
        here = (*at, "attributes", name)
        _known(sections, here, name, names.offer_attributes, "offer attribute")
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
        _known(sections, (*here, "channel"), creative.channel, names.channels, "channel")
        if (creative.channel, creative.creative) in seen:
            rule = f"must be given once for channel {creative.channel!r}"
            sections.add((*here, "creative"), rule, f"{creative.creative!r} again")
        seen.add((creative.channel, creative.creative))


def _check_experiments(sections: Sections, sound: dict[str, Any], names: Names) -> None:
    salts = {sound["holdout"].salt: "the holdout"} if sound["holdout"] else {}
    for name, experiment in sound["experiments"].items():
        at = ("experiments", name)
        _known(sections, (*at, "control"), experiment.control, experiment.arms, "arm of the experiment")
        _known(sections, (*at, "primary"), experiment.primary, names.measures, "measure")
        _all_known(sections, (*at, "secondary"), experiment.secondary, names.measures, "measure")
        _all_known(sections, (*at, "touchpoints"), experiment.touchpoints, names.touchpoints, "touchpoint")
        if experiment.salt in salts:
            rule = f"must differ from the salt of {salts[experiment.salt]}, or both pick the same customers"
            sections.add((*at, "salt"), rule, shown(experiment.salt))
        salts[experiment.salt] = f"experiment {name!r}"


def _check_event_types(sections: Sections, sound: dict[str, Any]) -> None:
    seen = set(EventType)
    for name in ("event_types", "offer_kinds"):
        for index, word in enumerate(sound[name]):
            if word in seen:
                sections.add((name, index), "must be given once and not be built in", f"{word!r} again")
            seen.add(word)
        seen = set()
