"""The names that a catalogue declares, and the message for an undeclared one."""

from collections.abc import Collection, Iterable
from typing import Any

from features.catalogue.reading.documents import Location, Value
from features.catalogue.reading.problems import nearest_to, shown
from features.catalogue.reading.sections import Sections
from features.log.contracts import EventType


class Names:
    """Names declared in the catalogue, whether or not their entries are sound."""

    def __init__(self, sections: Sections, sound: dict[str, Any]) -> None:
        def keys(section: str) -> frozenset[str]:
            value = sections.values.get(section)
            return frozenset(value) if isinstance(value, dict) else frozenset()

        self.goals, self.channels, self.touchpoints = keys("goals"), keys("channels"), keys("touchpoints")
        self.measures, self.offers = keys("measures"), keys("offers")
        self.departments = frozenset(str(each["department"]) for each in _raw(sections, "goals", "department"))
        self.creatives = _raw_creatives(sections)
        self.offer_attributes, self.customer_attributes = keys("offer_attributes"), keys("customer_attributes")
        self.offer_kinds = frozenset(sound["offer_kinds"])
        self.stages = frozenset(stage.stage for stage in sound["stages"]) | _raw_stages(sections)
        self.events = frozenset(EventType) | frozenset(sound["event_types"])
        self.context = {name: kind for each in sound["touchpoints"].values() for name, kind in each.context.items()}


def _raw_stages(sections: Sections) -> frozenset[str]:
    written = sections.values.get("stages")
    entries = written if isinstance(written, list) else []
    return frozenset(str(each["stage"]) for each in entries if isinstance(each, dict) and "stage" in each)


def _raw_creatives(sections: Sections) -> frozenset[str]:
    """Names of creatives, and their full names `offer/channel/creative`."""
    names: set[str] = set()
    offers = sections.values.get("offers")
    for offer, entry in offers.items() if isinstance(offers, dict) else ():
        written = entry.get("creatives") if isinstance(entry, dict) else None
        for each in written if isinstance(written, list) else ():
            if isinstance(each, dict) and "creative" in each:
                names |= {str(each["creative"]), f"{offer}/{each.get('channel')}/{each['creative']}"}
    return frozenset(names)


def _raw(sections: Sections, section: str, field: str) -> list[dict[str, Value]]:
    """Entries of a section as written that have a field."""
    written = sections.values.get(section)
    entries = written.values() if isinstance(written, dict) else ()
    return [each for each in entries if isinstance(each, dict) and field in each]


def check_name(sections: Sections, at: Location, name: str, known: Iterable[str], what: str) -> None:
    """Add a problem where a name is not among the known ones."""
    known = frozenset(known)
    if name not in known:
        sections.add(at, f"must be a known {what}", shown(name), nearest_to(name, known))


def check_names(sections: Sections, at: Location, given: Iterable[str], known: Collection[str], what: str) -> None:
    """Add a problem for each name of a list that is not among the known ones."""
    for index, name in enumerate(given):
        check_name(sections, (*at, index), name, known, what)
