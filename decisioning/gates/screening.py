"""Which messages of a touchpoint may be sent: every gate answers for all of them on every path.

So a record always holds all the reasons, and no arm, outage or missing data opens a gate. Only a message class passes
gates unasked, and only the layers that the matrix of classes gives it. What cannot be checked does not pass: without a
profile nothing counts as reachable or agreed to, and without features no rule over features holds, whichever way it
points.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from datetime import datetime

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message_classes import Layer
from decisioning.catalogue.quiet_hours import NEVER
from decisioning.gates.candidate import Candidate
from decisioning.gates.contact_ledger import BookRefusal
from decisioning.gates.gate import GATES, Gate
from decisioning.gates.message_sets.exclusions import Exclusions, GateRefusal
from decisioning.gates.message_sets.grouping import MessageGrouping, MessageSet
from decisioning.gates.message_sets.lineup import Lineup
from decisioning.gates.situation import Situation
from decisioning.value_class import value_class

ALL_LAYERS = frozenset(Layer)

type LayerRefusal = tuple[Layer, BookRefusal]
"""What a gate of a layer said."""

type _Said = dict[BookRefusal, MessageSet]


@value_class
class Screening:
    """What the gates left.

    Attributes:
        permitted: The candidates that may be sent.
        excluded: The rest with every reason.
    """

    permitted: MessageSet
    excluded: Exclusions


class Board:
    """All gates, laid out over the candidates of a touchpoint.

    Attributes:
        lineup: The candidates.
    """

    __slots__ = ("_arrivals", "_asked", "_said_of_stage", "lineup")

    def __init__(self, catalogue: Catalogue, candidates: Sequence[Candidate]) -> None:
        """Lay the gates out; a gate is not asked about messages whose class bypasses its layer."""
        self.lineup = Lineup(candidates)
        self._arrivals = MessageGrouping(candidates, _arrival)
        groupings = [(gate, MessageGrouping(candidates, _asked_by(gate, catalogue))) for gate in GATES]
        self._asked = [(gate, grouping) for gate, grouping in groupings if grouping.groups]
        # What gates said that look at the stage alone, by layer and stage: few, since stages are declared.
        self._said_of_stage: dict[tuple[Layer, str | None], _Said] = {}

    def screen(self, situation: Situation) -> Screening:
        """Which candidates may be sent in a situation, and every reason against each of the others."""
        return self._screening(self._refused(situation, ALL_LAYERS), situation)

    def screen_again(self, former: Screening, situation: Situation, layers: frozenset[Layer]) -> Screening:
        """Ask only some layers again, in a situation that differs from that of `former` in nothing else.

        Args:
            former: What a screening of all layers found.
            situation: From `situation.in_slate` with `SLATE_LAYERS`, or `situation.freed` with `FREED_LAYERS`.
            layers: Layers whose answers may be others now.
        """
        kept = [one for one in former.excluded.refused if one.layer not in layers]
        asked = self._refused(situation, layers)
        return self._screening(tuple(sorted((*kept, *asked), key=_place)), situation)

    def _refused(self, situation: Situation, layers: frozenset[Layer]) -> tuple[GateRefusal, ...]:
        found: list[GateRefusal] = []
        for gate, grouping in self._asked:
            if gate.layer in layers and gate.can_refuse(situation):
                say = self._said_in_stage if gate.is_of_stage else _said
                said = say(gate, grouping, self.lineup, situation)
                if said:
                    found += [GateRefusal(messages, gate.layer, *one) for one, messages in said.items() if messages]
        return tuple(found)

    def _said_in_stage(self, gate: Gate, grouping: MessageGrouping, lineup: Lineup, situation: Situation) -> _Said:
        """As `_said`, asked once per stage."""
        key = (gate.layer, situation.stage_id)
        if key not in self._said_of_stage:
            self._said_of_stage[key] = _said(gate, grouping, lineup, situation)
        return self._said_of_stage[key]

    def _screening(self, refused: tuple[GateRefusal, ...], situation: Situation) -> Screening:
        waits = tuple(self._waits(refused, situation)) if refused else ()
        excluded = Exclusions(self.lineup.keys, refused, waits)
        return Screening(permitted=self.lineup.everything & ~excluded.messages, excluded=excluded)

    def _waits(self, refused: Sequence[GateRefusal], situation: Situation) -> Iterator[tuple[MessageSet, datetime]]:
        """Messages for which only time stands in the way, by the moment at which they would pass."""
        hopeless, timed = 0, list[tuple[datetime, MessageSet]]()
        for one in refused:
            if one.until is None or one.until >= NEVER:
                hopeless |= one.messages
            else:
                timed.append((one.until, one.messages))
        timed.sort(reverse=True)
        settled = hopeless
        for latest, messages in timed:
            waiting = messages & ~settled
            settled |= waiting
            for group in self._arrivals.meeting(waiting):
                moment = _passes_at(group.example, latest, situation)
                if moment is not None:
                    yield group.messages & waiting, moment


def refusals(candidate: Candidate, situation: Situation, layers: frozenset[Layer]) -> tuple[LayerRefusal, ...]:
    """What the gates of some layers say against one message; those that its class bypasses are not asked."""
    found: list[LayerRefusal] = []
    for gate in GATES:
        if gate.layer in layers and gate.layer not in candidate.bypasses and gate.can_refuse(situation):
            refusal = gate.ask(candidate, situation)
            if refusal is not None:
                found.append((gate.layer, refusal))
    return tuple(found)


def allowed_at(candidate: Candidate, refused: Sequence[LayerRefusal], situation: Situation) -> datetime | None:
    """The first moment at which the gates would let a message pass, where nothing but time stands in its way.

    It is the latest of the refusals' own moments, moved on where the channel rests just then; None where one of them
    has no such moment, or where the offer would arrive too late.
    """
    moments = [NEVER if moment is None else moment for _, (_, _, moment) in refused]
    latest = max(moments, default=NEVER)
    return None if latest >= NEVER else _passes_at(candidate, latest, situation)


def _passes_at(candidate: Candidate, latest: datetime, situation: Situation) -> datetime | None:
    """When a message passes that waits for a moment: then, or when its channel is awake again, if that is in time."""
    if Layer.QUIET_HOURS not in candidate.bypasses:
        latest = situation.times.quiet_until(candidate.channel_id, latest) or latest
    until = candidate.valid_until
    is_late = latest >= NEVER or (
        until is not None and situation.times.arrival(candidate.message.channel, latest) >= until
    )
    return None if is_late else latest


def _arrival(candidate: Candidate) -> tuple[str, datetime | None, bool]:
    """All of a message that `_passes_at` looks at."""
    return candidate.channel_id, candidate.valid_until, Layer.QUIET_HOURS in candidate.bypasses


def _asked_by(gate: Gate, catalogue: Catalogue) -> Callable[[Candidate], Hashable | None]:
    """What a gate looks at, of the candidates that it is asked about at all."""
    return lambda one: None if gate.layer in one.bypasses else gate.looks_at(one, catalogue)


def _said(gate: Gate, grouping: MessageGrouping, lineup: Lineup, situation: Situation) -> _Said:
    """What a gate says, and against which messages; equal answers together."""
    said: _Said = {}
    if gate.sweep is not None:
        for messages, refusal in gate.sweep(lineup, situation):
            said[refusal] = said.get(refusal, 0) | messages & grouping.everything
        return said
    groups = grouping.groups if gate.among is None else grouping.meeting(gate.among(lineup, situation))
    for example, messages in groups:
        refusal = gate.ask(example, situation)
        if refusal is not None:
            said[refusal] = said.get(refusal, 0) | messages
    return said


_PLACES = {layer: place for place, layer in enumerate(Layer)}


def _place(refused: GateRefusal) -> int:
    return _PLACES[refused.layer]
