"""What is answered while Redis is away: silence, decided with nothing known, and logged through the spool on disk.

Where the spool fails too, no decision is made: one that cannot be logged is none, so the caller is told to hold,
without an id.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from decisioning.decision import Decision
from decisioning.errors import LogUnavailableError
from serving.decisions.answer import Answer, unlogged, unnamed
from serving.decisions.ask import Ask
from serving.decisions.draft import Draft, draft_blind, explained
from serving.decisions.known import LOG_UNAVAILABLE
from serving.in_force.policy_in_force import InForce
from serving.live.store import LiveStore
from serving.log.fallback import FallbackLog
from serving.log.log_rows import StreamRow, decision_rows, not_sent_row, sent_positions

_LOG = structlog.get_logger("nextbest.serving")


class SilentAnswers:
    """Silence for everybody, in the log before it is answered."""

    def __init__(self, *, state: LiveStore, fallback: FallbackLog, decided: Callable[[Decision], None]) -> None:
        """Prepare it.

        Args:
            state: Knows who was erased; nothing is asked of Redis.
            fallback: Takes decisions while Redis does not.
            decided: Told of every decision that was logged.
        """
        self._state = state
        self._fallback = fallback
        self._decided = decided

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
            ("decisions", row)
            for one in to_log
            for row in decision_rows(one.decision, one.record_json, in_force.catalogue)
        ]
        rows += [
            ("outcomes", not_sent_row(position, one.decision.customer_id, now=now, cause=LOG_UNAVAILABLE))
            for one in withdrawn
            for position in sent_positions(one.decision)
        ]
        left_s = max(0.0, ends_at - asyncio.get_running_loop().time())
        try:
            if rows:
                await self._fallback.append(rows, within_s=left_s)
        except LogUnavailableError as error:
            _LOG.error("decisions_not_logged", count=len(to_log), problem=str(error))
            return [unlogged(draft.answer, [cause, LOG_UNAVAILABLE]) for draft in drafts]
        for draft in to_log:
            self._decided(draft.decision)
        return [
            explained(in_force, draft, draft.answer if self._is_for_log(draft) else _unnamed(draft)) for draft in drafts
        ]

    def _is_for_log(self, draft: Draft) -> bool:
        """Neither a dry run nor about somebody who was erased."""
        return not draft.ask.is_dry_run and not self._state.has_erased(draft.ask.request.customer_id)


def _unnamed(draft: Draft) -> Answer:
    """The answer of a draft that is for no log: a dry run's, or an erased customer's."""
    return {**unnamed(draft.answer), "dry_run": draft.ask.is_dry_run}
