"""The candidates of one touchpoint, laid out once so that gates answer for many of them at a time."""

from collections.abc import Iterable, Mapping, Sequence

from decisioning.gates.candidate import Candidate
from decisioning.gates.contact_ledger import TouchGroups
from decisioning.gates.contact_rules import TOUCH_SIDES
from decisioning.gates.message_sets.grouping import MessageGroup, MessageGrouping, MessageSet, sets_by


class Lineup:
    """The k candidates of a touchpoint, in their order, and the sets of them that gates ask for.

    Attributes:
        candidates: k of them, in the order of their keys.
        keys: Their message keys.
        place_of: Index by message key.
        everything: All of them.
        leaders: Those of classes with precedence.
        touch_groups: By side of a message that a contact policy may look at and by its value: candidates in groups of
            one class and one channel.
    """

    __slots__ = (
        "_offers",
        "_opponents",
        "_successors",
        "candidates",
        "everything",
        "keys",
        "leaders",
        "place_of",
        "touch_groups",
    )

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        """Lay out the candidates."""
        self.candidates = tuple(candidates)
        self.keys = tuple(one.key for one in candidates)
        self.place_of: Mapping[str, int] = {key: place for place, key in enumerate(self.keys)}
        self.everything: MessageSet = (1 << len(candidates)) - 1
        self.leaders = sets_by(candidates, lambda one: (one.precedence is not None,)).get(True, 0)
        self.touch_groups: TouchGroups = {name: _touch_groups(candidates, name) for name in TOUCH_SIDES}
        self._offers = sets_by(candidates, lambda one: (one.offer_id,))
        self._opponents = sets_by(candidates, lambda one: one.never_with)
        self._successors = sets_by(candidates, lambda one: one.not_after)

    def of_keys(self, keys: Iterable[str]) -> MessageSet:
        """The messages with some keys."""
        messages = 0
        for key in keys:
            if (place := self.place_of.get(key)) is not None:
                messages |= 1 << place
        return messages

    def of_offers(self, offers: Iterable[str]) -> MessageSet:
        """All messages of some offers."""
        return _union(self._offers, offers)

    def opposing(self, offers: Iterable[str]) -> MessageSet:
        """Messages that must never meet one of the offers."""
        return _union(self._opponents, offers)

    def resting_after(self, offers: Iterable[str]) -> MessageSet:
        """Messages that must not follow one of the offers too soon."""
        return _union(self._successors, offers)


def _union(sets: Mapping[str, MessageSet], names: Iterable[str]) -> MessageSet:
    messages = 0
    if sets:
        for name in names:
            messages |= sets.get(name, 0)
    return messages


def _touch_groups(candidates: Sequence[Candidate], name: str) -> Mapping[str, tuple[MessageGroup, ...]]:
    value_of = TOUCH_SIDES[name]
    groups = MessageGrouping(candidates, lambda one: (value_of(one.touch), one.message_class, one.channel_id)).groups
    found: dict[str, list[MessageGroup]] = {}
    for group in groups:
        found.setdefault(value_of(group.example.touch), []).append(group)
    return {value: tuple(alike) for value, alike in found.items()}
