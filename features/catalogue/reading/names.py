"""The names that a catalogue declares, and the message for an undeclared one."""

from collections.abc import Collection, Iterable
from typing import Any

from features.catalogue.reading.documents import Location, Value
from features.catalogue.reading.problems import nearest_to, shown
from features.catalogue.reading.sections import Sections
from features.log.event_types import EventType


class Names:
    """Names declared in the catalogue, whether or not their entries are sound."""

    def __init__(self, sections: Sections, sound: dict[str, Any]) -> None:
        def keys(section: str) -> frozenset[str]:
            value = sections.values.get(section)
            return frozenset(value) if isinstance(value, dict) else frozenset()

        self.goals, self.channels, self.touchpoints = keys("goals"), keys("channels"), keys("touchpoints")
        self.measures, self.offers = keys("measures"), keys("offers")
        goals = _having("department", sections.values.get("goals"))
        self.departments = frozenset(str(each["department"]) for each in goals)
        self.creatives = _raw_creatives(sections)
        self.offer_attributes, self.customer_attributes = keys("offer_attributes"), keys("customer_attributes")
        self.offer_kinds = frozenset(sound["offer_kinds"])
        written = (str(each["stage"]) for each in _having("stage", sections.values.get("stages")))
        self.stages = frozenset(stage.stage for stage in sound["stages"]).union(written)
        self.events = frozenset(EventType) | frozenset(sound["event_types"])
        self.context = {name: kind for each in sound["touchpoints"].values() for name, kind in each.context.items()}


def _raw_creatives(sections: Sections) -> frozenset[str]:
    """Names of creatives, and their full names `offer/channel/creative`."""
    names: set[str] = set()
    offers = sections.values.get("offers")
    for offer, entry in offers.items() if isinstance(offers, dict) else ():
        for each in _having("creative", entry.get("creatives") if isinstance(entry, dict) else None):
            names |= {str(each["creative"]), f"{offer}/{each.get('channel')}/{each['creative']}"}
    return frozenset(names)


def _having(field: str, written: Value) -> list[dict[str, Value]]:
    """Entries of a list or a mapping as written that have a field."""
    entries = written.values() if isinstance(written, dict) else written if isinstance(written, list) else ()
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
