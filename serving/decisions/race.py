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
from serving.decisions.draft import Draft, draft_contended, draft_unknown, entry_of, redraft_many
from serving.in_force.policy_in_force import InForce
from serving.live.reader import Conflict
from serving.live.store import Gone, LiveStore

MAX_ATTEMPTS = 4
"""Commits of one ask that may be lost to others before it gets silence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The result for a draft: logged as it is, or the answer that a concurrent copy of its ask got first."""

    draft: Draft
    twin: bytes | None


class Race:
    """The commit of some drafts.

    Attributes:
        unsettled: Drafts by their place that no log has confirmed so far.
        settled: The results for the others.
        conflicts: Commits that were lost, by place.
    """

    def __init__(
        self, state: LiveStore, in_force: InForce, drafts: Sequence[Draft], *, keeps_record: bool = True
    ) -> None:
        """Prepare the race.

        Args:
            state: Where to commit.
            in_force: What the drafts were made with.
            drafts: n drafts, at most one per customer.
            keeps_record: Whether Redis keeps the records for reading back.
        """
        self._state = state
        self._in_force = in_force
        self._keeps_record = keeps_record
        self._defeats = dict.fromkeys(range(len(drafts)), 0)
        self.unsettled = dict(enumerate(drafts))
        self.settled: dict[int, Settled] = {}
        self.conflicts = dict.fromkeys(range(len(drafts)), 0)

    async def run(self) -> list[Settled]:
        """Commit until everything is settled, n in order.

        Raises:
            UnavailableError: Redis went away; `unsettled` and `settled` say how far it came.
        """
        while self.unsettled:
            await self._lap()
        return [self.settled[place] for place in sorted(self.settled)]

    async def _lap(self) -> None:
        places = list(self.unsettled)
        entries = [entry_of(self._in_force, self.unsettled[place], keeps_record=self._keeps_record) for place in places]
        lost: dict[int, Conflict] = {}
        has_sent = False
        for place, reply in zip(places, await self._state.commit(entries), strict=True):
            if isinstance(reply, Conflict):
                lost[place] = reply
                continue
            draft = self.unsettled.pop(place)
            if isinstance(reply, Gone):
                self.settled[place] = Settled(draft=draft_unknown(self._in_force, draft), twin=None)
                continue
            self.settled[place] = Settled(draft=draft, twin=reply)
            has_sent |= reply is None and draft.decision.action is Action.SEND
        self._decide_again(lost, is_defeat=not has_sent)

    def _decide_again(self, lost: dict[int, Conflict], *, is_defeat: bool) -> None:
        for place in lost:
            self.conflicts[place] += 1
            self._defeats[place] += is_defeat
        beaten = [place for place in lost if self._defeats[place] >= MAX_ATTEMPTS]
        for place in beaten:
            self.unsettled[place] = draft_contended(self._in_force, self.unsettled[place])
        again = [place for place in lost if place not in beaten]
        drafts = [self.unsettled[place] for place in again]
        self.unsettled.update(
            zip(again, redraft_many(self._in_force, drafts, [lost[place] for place in again]), strict=True)
        )
