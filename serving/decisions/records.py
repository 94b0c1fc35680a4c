"""Decisions read back: from the stream until they are drained, from the log afterwards; a slate's positions share one.

Neither file access nor a catalogue that has to be read blocks the event loop.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from decisioning.decision import Decision
from decisioning.errors import InvalidInputError, UnavailableError
from features.log.contracts import DECISIONS
from features.log.rows import fields_in
from features.models.logged_decisions import LoggedDecisions, StoredDecision
from serving.errors import NoRecordError, UnknownDecisionError
from serving.live.store import LiveStore
from serving.log.archive import find_decisions
from serving.log.log_rows import decision_of_position


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecords:
    """Reads decisions by id.

    Attributes:
        redis_s: How long Redis may take, in seconds.
    """

    state: LiveStore
    log_path: Path
    logged: LoggedDecisions
    redis_s: float

    async def decision(self, decision_id: str) -> Decision:
        """A decision; for a position of a slate, the decision that it belongs to.

        Raises:
            UnavailableError: Redis is away, and without it nobody can tell whether the decision exists.
            UnknownDecisionError: Nobody knows it.
            NoRecordError: It was imported, or its record cannot be read.
        """
        row = await self._row(decision_id)
        if row.get("record") is None:
            raise NoRecordError
        decision = await asyncio.to_thread(self._read, self.logged.decision, row)
        _check_position(decision_id, len(decision.further))
        return decision

    async def document(self, decision_id: str) -> bytes:
        """The same as people read it, as JSON; for a decision that the engine did not make, its row in the log.

        Raises:
            UnavailableError: As `decision`.
            UnknownDecisionError: As `decision`.
            NoRecordError: Its record cannot be read.
        """
        row = await self._row(decision_id)
        if row.get("record") is None:
            return orjson.dumps(row)
        document = await asyncio.to_thread(self._read, self.logged.document, row)
        _check_position(decision_id, len(document.get("further", ())))
        return orjson.dumps(document)

    def _read[T](self, read: Callable[[StoredDecision], T], row: StoredDecision) -> T:
        try:
            return read(row)
        except InvalidInputError as error:
            self.logged.archive.look_again()
            raise NoRecordError(str(error)) from error

    async def _row(self, decision_id: str) -> StoredDecision:
        """The row of a decision, or of the one that a position belongs to."""
        decision_id, _ = decision_of_position(decision_id)
        is_certain = True
        try:
            async with asyncio.timeout(self.redis_s):
                row = await self.state.row(decision_id)
        except (TimeoutError, UnavailableError):
            row, is_certain = None, False
        if row is not None:
            return fields_in(DECISIONS, row)
        found = (await asyncio.to_thread(find_decisions, self.log_path, [decision_id])).get(decision_id)
        if found is not None:
            return found
        if not is_certain:
            raise UnavailableError("Redis must answer before this decision can be found; retry")
        raise UnknownDecisionError


def _check_position(decision_id: str, further: int) -> None:
    """Refuse a position that the slate does not have."""
    if decision_of_position(decision_id)[1] > further:
        raise UnknownDecisionError
