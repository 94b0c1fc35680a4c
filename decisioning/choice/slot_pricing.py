"""What marketing messages pay for the room that they take under a customer's own caps.

The price of a contact is what its room would be worth at a better moment, by the tables of a `Foresight`. Of a cap that
counts all that a touchpoint could send, that is asked with the gain of the best message. Of one that counts some of it,
such as a channel's or an offer's, with what the best of these brings more than the best of the others: only that is
lost where there is no room. A message pays for all the caps it counts in. Only marketing pays: what is owed to
customers keeps nothing back.

Fatigue is charged beside it and is another thing: goodwill that a contact costs now, whether any cap is near or not.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from decisioning.arrays import BoolArray, FloatArray, IndexArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message_classes import CapScope
from decisioning.foresight.slots import Foresight, SlotPrices
from decisioning.gates.contact_rules import TOUCH_SIDES, CapRule
from decisioning.gates.message_sets.lineup import Lineup
from decisioning.gates.situation import Situation

PRICED_SCOPES = frozenset(CapScope) - {CapScope.PRESSURE}
"""What counts contacts one by one."""

type Looked = dict[tuple[int, int], None]
"""Tables of a foresight, by their place, and patterns that were looked up."""


class SlotPricing:
    """The caps of a catalogue over the messages of a touchpoint."""

    __slots__ = ("_caps", "_counted", "_is_on")

    def __init__(self, catalogue: Catalogue, lineup: Lineup) -> None:
        """Work out which messages each cap counts."""
        rules = [CapRule(cap) for cap in catalogue.contact_policy.caps if cap.scope in PRICED_SCOPES]
        self._is_on = catalogue.switches.slot_prices
        self._caps = {rule.cap.cap_id: rule for rule in rules}
        self._counted = {rule.cap.cap_id: _counted(rule, catalogue, lineup) for rule in rules}

    def charge(
        self, foresight: Foresight, situation: Situation, rows: IndexArray, gains: FloatArray, looked: Looked
    ) -> FloatArray:
        """What silence and the permitted candidates pay: shape (n,), at least 0.

        Args:
            foresight: What was learned.
            situation: Whose contacts count.
            rows: shape (n,), silence as 0 and candidate i as i + 1.
            gains: shape (n,), what each brings net of its cost.
            looked: Takes down what was looked up.
        """
        prices = np.zeros(len(rows))
        for place, slot in enumerate(foresight.slots if self._is_on else ()):
            rule = self._fitting(slot)
            counted = None if rule is None else self._counted[slot.cap_id].get(slot.of)
            if rule is None or counted is None or not (pays := counted[rows]).any():
                continue
            recent = slot.recent(situation.ledger.ages_seconds(rule, slot.of))
            looked[place, recent] = None
            prices[pays] += slot.price_minor(recent, float(gains[pays].max() - gains[~pays].max()))
        return prices

    def _fitting(self, slot: SlotPrices) -> CapRule | None:
        """The cap of a table; None where it is gone or another one by now."""
        rule = self._caps.get(slot.cap_id)
        if rule is None or (rule.cap.limit, rule.cap.window_seconds) != (slot.limit, slot.window_seconds):
            return None
        return rule


def slots_as_looked_at(foresight: Foresight, looked: Looked) -> tuple[SlotPrices, ...]:
    """Tables with nothing but what was looked up, which decide alike."""
    places = dict.fromkeys(place for place, _ in looked)
    slots = (_part(foresight.slots[place], [recent for at, recent in looked if at == place]) for place in places)
    return tuple(slot for slot in slots if slot.prices_minor)


def _part(slot: SlotPrices, patterns: list[int]) -> SlotPrices:
    known = {recent: slot.prices_minor[recent] for recent in patterns if recent in slot.prices_minor}
    return replace(slot, prices_minor=known)


def _counted(rule: CapRule, catalogue: Catalogue, lineup: Lineup) -> Mapping[str, BoolArray]:
    """Rows of marketing that a cap counts, by value of its side: each of shape (k + 1,), silence first."""
    cap, value_of, found = rule.cap, TOUCH_SIDES[rule.side], dict[str, BoolArray]()
    for row, one in enumerate(lineup.candidates, start=1):
        classes = catalogue.classes.get(one.message_class)
        counts = one.is_marketing and (classes is None or cap.scope in classes.counts_towards)
        value = value_of(one.touch)
        if counts and cap.of in {None, value}:
            found.setdefault(value, np.zeros(len(lineup.candidates) + 1, dtype=np.bool_))[row] = True
    return found
