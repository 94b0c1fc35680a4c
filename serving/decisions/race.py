"""Commits drafts to the log while other processes decide about the same customers.

A commit writes nothing where a book of contacts moved on since it was read, or where what all share has run out: it
gives back the state as it is, and the draft is decided again with that. An ask that keeps losing gets silence, which
takes up no capacity and so cannot lose. If one draft of the same batch makes another lose, as two members of a
household can, that does not count as a loss. A customer who was erased meanwhile is answered as unknown, and nothing is
logged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from decisioning.decision import Action
from serving.decisions.draft import Draft, draft_contended, draft_unknown, entry_of, redraft
from serving.in_force.policy_in_force import InForce
from serving.live.reader import Conflict
from serving.live.store import Gone, LiveStore
from serving.live.writer import LogEntry

MAX_ATTEMPTS = 4
"""Commits of one ask that may be lost to others before it gets silence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of a draft.

    Attributes:
        result: None where the draft is logged as it is, the answer that a concurrent copy of its ask got first, or what
            was wrong with this draft alone.
    """

    draft: Draft
    result: bytes | Exception | None


class Race:
    """The commit of some drafts.

    Attributes:
        unsettled: Drafts by their place that no log has confirmed so far; whoever no longer waits may be taken out.
        conflicts: Commits that were lost, by place.
    """

    def __init__(self, state: LiveStore, in_force: InForce, drafts: Sequence[Draft]) -> None:
        """Prepare the race.

        Args:
            state: Where to commit.
            in_force: What the drafts were made with.
            drafts: n drafts, at most one per customer.
        """
        self._state = state
        self._in_force = in_force
        self._defeats = dict.fromkeys(range(len(drafts)), 0)
        self.unsettled = dict(enumerate(drafts))
        self._lost: dict[int, Conflict] = {}
        self._has_sent = False
        self.conflicts = dict.fromkeys(range(len(drafts)), 0)

    async def run(self) -> list[Settled]:
        """Commit until everything is settled, n in order.

        Raises:
            UnavailableError: Redis went away; `unsettled` says how far it came.
        """
        settled: dict[int, Settled] = {}
        while self.unsettled:
            settled |= await self.lap()
            settled |= self.decide_again()
        return [settled[place] for place in sorted(settled)]

    async def lap(self) -> dict[int, Settled]:
        """Commit what is unsettled, once; what this settles, by place. The others lost: see `decide_again`.

        Raises:
            UnavailableError: Redis went away.
        """
        settled: dict[int, Settled] = {}
        entries = {place: entry for place in list(self.unsettled) if (entry := self._entry(place, settled)) is not None}
        self._lost, self._has_sent = {}, False
        for place, reply in zip(entries, await self._state.commit(list(entries.values())), strict=True):
            if isinstance(reply, Conflict):
                self._lost[place] = reply
                self.conflicts[place] += 1
                continue
            draft = self.unsettled.pop(place)
            if isinstance(reply, Gone):
                settled[place] = Settled(draft=draft_unknown(self._in_force, draft), result=None)
                continue
            settled[place] = Settled(draft=draft, result=reply)
            self._has_sent |= reply is None and draft.decision.action is Action.SEND
        return settled

    def decide_again(self) -> dict[int, Settled]:
        """Decide again what lost the last lap and still runs; those for which that failed, by place."""
        settled: dict[int, Settled] = {}
        for place, conflict in self._lost.items():
            draft = self.unsettled.get(place)
            if draft is None:
                continue
            self._defeats[place] += not self._has_sent
            try:
                if self._defeats[place] >= MAX_ATTEMPTS:
                    self.unsettled[place] = draft_contended(self._in_force, draft)
                else:
                    self.unsettled[place] = redraft(self._in_force, draft, conflict)
            except Exception as error:  # noqa: BLE001 - it is raised where the ask is waited for
                settled[place] = Settled(draft=self.unsettled.pop(place), result=error)
        return settled

    def _entry(self, place: int, settled: dict[int, Settled]) -> LogEntry | None:
        try:
            return entry_of(self._in_force, self.unsettled[place])
        except Exception as error:  # noqa: BLE001 - as above
            settled[place] = Settled(draft=self.unsettled.pop(place), result=error)
            return None
