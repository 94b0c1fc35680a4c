"""What is answered while Redis is down: silence, decided without any data, and logged through the spool on disk.

If the spool fails too, no decision is made, since every decision must be logged: the caller is told to hold and gets no
id.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from decisioning.decision import Decision
from decisioning.errors import LogUnavailableError
from serving.decisions.answer import Answer, unlogged
from serving.decisions.ask import Ask
from serving.decisions.draft import Draft, draft_blind, explained, unlogged_answer
from serving.decisions.known import LOG_UNAVAILABLE
from serving.in_force.policy_in_force import InForce
from serving.live.store import LiveStore
from serving.log.log_rows import StreamRow, decision_rows, not_sent_row, sent_positions
from serving.log.spool import Spool

_LOG = structlog.get_logger("nextbest.serving")


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentAnswers:
    """Silence for everybody, in the log before it is answered.

    Attributes:
        state: Knows who was erased; nothing is asked of Redis.
        spool: Takes decisions while Redis does not.
        decided: Told of every decision that was logged.
    """

    state: LiveStore
    spool: Spool
    decided: Callable[[Decision], None]

    async def answers(
        self,
        in_force: InForce,
        asks: Sequence[Ask],
        now: datetime,
        ends_at: float,
        *,
        cause: str,
        withdrawn: Sequence[Draft] = (),
    ) -> list[Answer]:
        """Silence for n asks, in order, before `ends_at` by the clock of the event loop.

        Drafts that are `withdrawn` may be in the log although their callers are told something else now.
        """
        drafts = [draft_blind(in_force, ask, now, cause) for ask in asks]
        to_log = [draft for draft in drafts if self._is_for_log(draft)]
        rows: list[tuple[str, StreamRow]] = [
            ("decisions", row) for one in to_log for row in decision_rows(one.decision, one.record, in_force.catalogue)
        ]
        rows += [
            ("outcomes", not_sent_row(position, one.decision.customer_id, now=now, cause=LOG_UNAVAILABLE))
            for one in withdrawn
            for position in sent_positions(one.decision)
        ]
        left_s = max(0.0, ends_at - asyncio.get_running_loop().time())
        try:
            if rows:
                await self.spool.keep(rows, within_s=left_s)
        except LogUnavailableError as error:
            _LOG.error("decisions_not_logged", count=len(to_log), problem=str(error))
            return [unlogged(draft.answer, [cause, LOG_UNAVAILABLE]) for draft in drafts]
        for draft in to_log:
            self.decided(draft.decision)
        return [
            explained(in_force, draft, draft.answer if self._is_for_log(draft) else unlogged_answer(draft))
            for draft in drafts
        ]

    def _is_for_log(self, draft: Draft) -> bool:
        """Neither a dry run nor about somebody who was erased."""
        return not draft.ask.is_dry_run and not self.state.has_erased(draft.ask.request.customer_id)
