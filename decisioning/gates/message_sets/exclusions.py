"""What the gates refused: stored for sets of messages, expanded to single messages on first access."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, override

from decisioning.catalogue.message_classes import Layer
from decisioning.decision import Excluded, Exclusion
from decisioning.gates.message_sets.expanding import Expanding
from decisioning.gates.message_sets.grouping import MessageSet, members_of, union

type Saying = tuple[MessageSet, Exclusion, str]
"""What a gate said against a set of messages, and what that means here."""


class GateRefusal(NamedTuple):
    """What one gate says against a set of messages.

    Attributes:
        layer: The layer of the gate.
        detail: What the code means here; empty where it says it all.
        until: First moment at which the gate would let them pass, if nothing else happens; None where there is none.
    """

    messages: MessageSet
    layer: Layer
    exclusion: Exclusion
    detail: str
    until: datetime | None


class Exclusions(Expanding[Excluded]):
    """Every excluded message with all reasons, in the order of the candidates; built on first access.

    Attributes:
        keys: Message keys of all k candidates.
        refused: What the gates said, in their order.
        waits: Messages that only time prevents, with the first moment at which they would pass.
        messages: All that are excluded.
    """

    __slots__ = ("_by_reason", "keys", "messages", "refused", "waits")

    def __init__(
        self,
        keys: Sequence[str],
        refused: tuple[GateRefusal, ...],
        waits: tuple[tuple[MessageSet, datetime], ...],
    ) -> None:
        """Take what was found."""
        super().__init__()
        self.keys, self.refused, self.waits = keys, refused, waits
        self.messages: MessageSet = 0
        for one in refused:
            self.messages |= one.messages
        self._by_reason: dict[Exclusion, MessageSet] | None = None

    def saying(self, exclusions: Iterable[Exclusion]) -> MessageSet:
        """Those that are excluded for one of some reasons, and maybe for others too."""
        found = self._messages_by_reason()
        return union(found.get(one, 0) for one in exclusions)

    def only_saying(self, exclusions: Iterable[Exclusion]) -> MessageSet:
        """Those that are excluded for no other reasons."""
        named = frozenset(exclusions)
        others = [messages for one, messages in self._messages_by_reason().items() if one not in named]
        return self.messages & ~union(others)

    def _messages_by_reason(self) -> Mapping[Exclusion, MessageSet]:
        if self._by_reason is None:
            found: dict[Exclusion, MessageSet] = {}
            for one in self.refused:
                found[one.exclusion] = found.get(one.exclusion, 0) | one.messages
            self._by_reason = found
        return self._by_reason

    def waiting(self) -> MessageSet:
        """Those for which only time stands in the way."""
        return union(messages for messages, _ in self.waits)

    @override
    def expand(self) -> Iterator[Excluded]:
        said = [(one.messages, one.exclusion, one.detail) for one in self.refused]
        return excluded_messages(self.keys, said, self.waits)

    @override
    def __len__(self) -> int:
        return self.messages.bit_count()


def excluded_messages(
    keys: Sequence[str], said: Iterable[Saying], waits: Iterable[tuple[MessageSet, datetime]]
) -> Iterator[Excluded]:
    """Every excluded message with all that was said against it, in the order of the candidates.

    Args:
        keys: Message keys of all k candidates.
        said: What gates said, in their order.
        waits: As in `Exclusions`.
    """
    against: dict[int, list[Saying]] = {}
    for one in said:
        for place in members_of(one[0]):
            against.setdefault(place, []).append(one)
    moments = {place: at for messages, at in waits for place in members_of(messages)}
    for place in sorted(against):
        found = against[place]
        yield Excluded(
            message_key=keys[place],
            reasons=tuple([exclusion for _, exclusion, _ in found]),
            details=tuple([detail for _, _, detail in found]),
            allowed_at=moments.get(place),
        )
