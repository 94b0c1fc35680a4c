"""Check the names in `measures` and `engagement`."""

from typing import Any

from decisioning.catalogue.measure import Unit
from features.catalogue.reading.names import Names, check_name, check_names
from features.catalogue.reading.problems import shown
from features.catalogue.reading.sections import Sections
from features.log.outcome_types import OutcomeType


def check_measures(sections: Sections, sound: dict[str, Any], names: Names) -> None:
    """Add a problem for every unknown name, and for parts that cannot be added up."""
    for name, measure in sound["measures"].items():
        at = ("measures", name)
        check_names(sections, (*at, "add"), measure.add, names.events, "event type")
        check_names(sections, (*at, "subtract"), measure.subtract, names.events, "event type")
        check_names(sections, (*at, "outcomes"), measure.outcomes, frozenset(OutcomeType), "outcome type")
        if measure.returns:
            check_names(sections, (*at, "returns", "events"), measure.returns.events, names.events, "event type")
        for part in measure.parts:
            _check_part(sections, sound, names, (name, part))
    channels = sound["engagement"].scanned_channels or ()
    check_names(sections, ("engagement", "scanned_channels"), channels, frozenset(sound["channels"]), "channel")


def _check_part(sections: Sections, sound: dict[str, Any], names: Names, pair: tuple[str, str]) -> None:
    at, found = ("measures", pair[0], "parts", pair[1]), sound["measures"].get(pair[1])
    check_name(sections, at, pair[1], names.measures, "measure")
    if found is not None and (found.unit is not Unit.MONEY or found.parts):
        sections.add(at, "must be a measure of money without parts of its own", shown(pair[1]))
