"""Sets of messages, and messages in groups that a gate cannot tell apart.

A set of messages is one integer: bit i stands for candidate i of the touchpoint. Uniting sets, taking one from another
and asking whether anything is left cost next to nothing, however many messages there are.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from decisioning.arrays import IndexArray
from decisioning.gates.candidate import Candidate

type MessageSet = int


class MessageGroup(NamedTuple):
    """Messages that are alike in everything that is looked at.

    Attributes:
        example: Any one of them.
        messages: All of them.
    """

    example: Candidate
    messages: MessageSet


def places_of(messages: MessageSet) -> IndexArray:
    """Indexes of the candidates in a set, ascending.

    Example:
        >>> places_of(0b1101).tolist()
        [0, 2, 3]
    """
    packed = np.frombuffer(messages.to_bytes((messages.bit_length() + 7) // 8, "little"), dtype=np.uint8)
    return np.unpackbits(packed, bitorder="little").nonzero()[0]


def members_of(messages: MessageSet) -> list[int]:
    """As `places_of`, as a list."""
    return places_of(messages).tolist()


def set_of(places: Iterable[int]) -> MessageSet:
    """The set of the candidates at some indexes.

    Example:
        >>> bin(set_of([0, 2, 3]))
        '0b1101'
    """
    messages = 0
    for place in places:
        messages |= 1 << place
    return messages


def union(sets: Iterable[MessageSet]) -> MessageSet:
    """Everything that is in any of the sets."""
    messages = 0
    for one in sets:
        messages |= one
    return messages


class MessageGrouping:
    """Candidates grouped by what is looked at.

    Attributes:
        groups: In the order of their first candidates.
        everything: All that are in a group.
    """

    __slots__ = ("_group_of", "everything", "groups")

    def __init__(self, candidates: Sequence[Candidate], looks_at: Callable[[Candidate], Hashable | None]) -> None:
        """MessageGroup the candidates; those of which nothing is looked at (None) are in no group."""
        seen: dict[Hashable, list[int]] = {}
        for place, candidate in enumerate(candidates):
            side = looks_at(candidate)
            if side is not None:
                seen.setdefault(side, []).append(place)
        self.groups = tuple(MessageGroup(candidates[members[0]], set_of(members)) for members in seen.values())
        self._group_of = {
            place: group for group, members in zip(self.groups, seen.values(), strict=True) for place in members
        }
        self.everything = set_of(self._group_of)

    def meeting(self, messages: MessageSet) -> Iterator[MessageGroup]:
        """The groups of which some candidate is in a set, whole; it takes as long as they are many."""
        left = messages & self.everything
        while left:
            group = self._group_of[(left & -left).bit_length() - 1]
            yield group
            left &= ~group.messages


def sets_by[K](candidates: Sequence[Candidate], sides_of: Callable[[Candidate], Iterable[K]]) -> Mapping[K, MessageSet]:
    """The candidates that have something, by what they have."""
    found: dict[K, list[int]] = {}
    for place, candidate in enumerate(candidates):
        for side in sides_of(candidate):
            found.setdefault(side, []).append(place)
    return {side: set_of(members) for side, members in found.items()}
