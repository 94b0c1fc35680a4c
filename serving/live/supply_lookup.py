"""Which counters of shared limits a decision must read: those that any of its messages could use now."""

from datetime import datetime

from decisioning.catalogue.catalogue import Catalogue
from decisioning.gates.capacity import uses
from serving.live.changes import touch_in_catalogue
from serving.live.reader import SupplyQuery

_LONGEST_MEMORY = 4
"""Seconds whose counters are remembered; clocks may go back a little."""


class SupplyLookup:
    """The counters of a catalogue, worked out once a second."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._has_counters = bool(catalogue.limits or catalogue.shares)
        self._wants_evidence = catalogue.exploration.ramp.needed > 0
        self._known: dict[datetime, tuple[str, ...]] = {}

    def query(self, now: datetime) -> SupplyQuery:
        """What to read for a decision at a moment."""
        return SupplyQuery(now=now, counters=self._counters(now), wants_evidence=self._wants_evidence)

    def _counters(self, now: datetime) -> tuple[str, ...]:
        if not self._has_counters:
            return ()
        second = now.replace(microsecond=0)
        found = self._known.get(second)
        if found is None:
            while len(self._known) >= _LONGEST_MEMORY:
                self._known.pop(next(iter(self._known)))
            found = self._known[second] = self._counted(now)
        return found

    def _counted(self, now: datetime) -> tuple[str, ...]:
        names: set[str] = set()
        for creative in self._catalogue.creatives:
            touch = touch_in_catalogue(self._catalogue, creative.offer_id, creative.channel_id, creative.creative_id)
            if touch is not None:
                cost_minor = self._catalogue.channels[creative.channel_id].cost_minor
                names.update(uses(self._catalogue, touch, cost_minor, now))
        return tuple(sorted(names))
