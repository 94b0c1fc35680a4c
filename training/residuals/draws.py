"""Decisions since training, each as a draw: what was chosen, how probable everything was, what the model expects.

Read from the log and never from live traffic, so that what was reported twice counts once, in any order, and what Redis
lost is read again. Records are read once each; what they say is kept in memory while their window is open.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from decisioning.catalogue.message import SILENCE
from decisioning.decision import Decision
from decisioning.errors import InvalidInputError
from decisioning.policy import Policy
from decisioning.residuals import NO_STAGE
from decisioning.scoring import FeatureVector
from features.log.contracts import DECISIONS, UTC_TIME
from features.log.event_log import LogSnapshot
from features.models.fit import ModelFit
from features.models.logged_decisions import READ_COLUMNS, LoggedDecisions

MOST_DRAWS = 500_000
"""Decisions that are looked at, the newest ones."""

MOST_READ = 10_000
"""Records that are read at a time, the newest first: some five seconds. The others are read at the next times."""

_BATCH = 2_000
_MOST_SAME = 50_000


@dataclass(frozen=True, slots=True)
class LoggedDraw:
    """One decision that chance had a part in.

    Attributes:
        action: Key of what was chosen.
        keys: Keys of what was permitted, silence first.
        chances: Their action probabilities.
        expected: What the model expects of what was chosen within a whole window, and not beyond it.
    """

    decision_id: str
    stage: str
    action: str
    keys: tuple[str, ...]
    chances: tuple[float, ...]
    expected: float


@dataclass(slots=True, kw_only=True)
class DrawBook:
    """Draws of one model version, kept current.

    Attributes:
        logged: Reads records.
        fit: The model on the catalogue's messages.
        policy: Names the messages of each touchpoint, in order.
        is_behind: There are decisions whose records were not read yet.
    """

    logged: LoggedDecisions
    fit: ModelFit
    policy: Policy
    is_behind: bool = False
    _slates: set[str] = field(default_factory=set[str], init=False)
    _draws: dict[str, LoggedDraw | None] = field(default_factory=dict[str, LoggedDraw | None], init=False)
    """By decision; None for one that says nothing."""
    _same: dict[tuple[Any, ...], tuple[Any, ...]] = field(
        default_factory=dict[tuple[Any, ...], tuple[Any, ...]], init=False
    )
    """What many decisions have in common, each once."""
    _places: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]], init=False)

    def renew(self, log: LogSnapshot, since: datetime, until: datetime) -> list[tuple[LoggedDraw, datetime, str]]:
        """Read what is new, forget what is gone from the log, and give all that is left with its moment and customer.

        Args:
            log: As of one moment.
            since: Only decisions after it.
            until: And not after it.

        Raises:
            LogUnavailableError: The log could not be read.
        """
        at = pl.col("decided_at")
        bounds = (at > pl.lit(since).cast(UTC_TIME), at <= pl.lit(until).cast(UTC_TIME))
        rows = log.log.collect(
            DECISIONS,
            log.scan(DECISIONS)
            .filter(*bounds, pl.col("record").is_not_null())
            .select("decision_id", "customer_id", "decided_at"),
        )
        rows = rows.sort("decided_at", "decision_id").tail(MOST_DRAWS)
        fresh = rows.filter(~pl.col("decision_id").is_in(list(self._draws)))
        self.is_behind = fresh.height > MOST_READ
        if fresh.height:
            self._read(log, fresh.tail(MOST_READ))
        ids = set(rows["decision_id"])
        self._draws = {one: draw for one, draw in self._draws.items() if one in ids}
        self._slates &= ids
        return [
            (draw, moment, who)
            for decision_id, who, moment in rows.iter_rows()
            if (draw := self._draws.get(decision_id)) is not None
        ]

    @property
    def slates(self) -> int:
        """How many of the decisions are slates, of which nothing is learned."""
        return len(self._slates)

    def _read(self, log: LogSnapshot, fresh: pl.DataFrame) -> None:
        at = pl.col("decided_at").is_between(fresh["decided_at"].min(), fresh["decided_at"].max())
        ids = fresh.select("decision_id").lazy()
        asked = log.scan(DECISIONS).filter(at).join(ids, on="decision_id", how="semi").select(READ_COLUMNS)
        for part in log.log.batches(DECISIONS, asked, size=_BATCH):
            read = [(row, self._decision(row)) for row in part.iter_rows(named=True)]
            self._draws |= {row["decision_id"]: None for row, _ in read}
            self._draws |= self._scored([one for _, one in read if one is not None])

    def _decision(self, row: Mapping[str, Any]) -> Decision | None:
        """A decision on one message that chance had a part in, about somebody whom a model may look at.

        What comes of a slate cannot be told apart by position: a purchase follows all of it, a message that the first
        position does not take may stand in the second, and nobody knows how much less a later position is seen.
        """
        try:
            decision = self.logged.decision(row)
        except InvalidInputError:
            return None
        inputs = decision.inputs
        if len(inputs.request.placements) > 1:
            self._slates.add(decision.decision_id)
            return None
        was_scored = inputs.expected_values is not None or (inputs.is_cold_start and inputs.features is not None)
        chances = [one.probability for one in decision.evaluated if one.probability > 0]
        return decision if was_scored and len(chances) > 1 else None

    def _scored(self, decisions: Sequence[Decision]) -> dict[str, LoggedDraw]:
        """Draws of some decisions, with what the model expects of each now, whatever version decided."""
        by_touchpoint: dict[str, list[Decision]] = {}
        for one in decisions:
            if one.message_key in self._rows_of(one.touchpoint_id):
                by_touchpoint.setdefault(one.touchpoint_id, []).append(one)
        found: dict[str, LoggedDraw] = {}
        for touchpoint_id, some in by_touchpoint.items():
            vectors = [one.inputs.features or _nothing(one) for one in some]
            moments, days = [_in_utc(one.decided_at) for one in some], [self.fit.model.window_days] * len(some)
            values = self.fit.on_touchpoint[touchpoint_id].of(vectors, moments, days)
            rows = self._rows_of(touchpoint_id)
            for one, row in zip(some, values, strict=True):
                found[one.decision_id] = self._draw(one, float(row[rows[one.message_key]]), rows)
        return found

    def _draw(self, decision: Decision, expected: float, rows: Mapping[str, int]) -> LoggedDraw:
        kept = [(one.message_key, one.probability) for one in decision.evaluated if one.message_key in rows]
        keys, chances = tuple(key for key, _ in kept), tuple(chance for _, chance in kept)
        if len(self._same) > _MOST_SAME:
            self._same.clear()
        return LoggedDraw(
            decision_id=decision.decision_id,
            stage=decision.stage_id or NO_STAGE,
            action=decision.message_key,
            keys=self._same.setdefault(keys, keys),
            chances=self._same.setdefault(chances, chances),
            expected=expected,
        )

    def _rows_of(self, touchpoint_id: str) -> dict[str, int]:
        """Row of silence and of each message that the touchpoint has now; none for one that is gone."""
        if touchpoint_id not in self._places:
            known = self.policy.catalogue.touchpoints
            keys = [one.key for one in self.policy.candidates(touchpoint_id)] if touchpoint_id in known else None
            self._places[touchpoint_id] = {} if keys is None else _numbered([SILENCE, *keys])
        return self._places[touchpoint_id]


def _numbered(keys: Iterable[str]) -> dict[str, int]:
    return {key: place for place, key in enumerate(keys)}


def _nothing(decision: Decision) -> FeatureVector:
    """Nothing known, for a customer whose features could not be read."""
    return FeatureVector(names=(), values=np.zeros(0), ages_seconds={}, schema=decision.policy_version)


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
