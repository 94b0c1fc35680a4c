"""The state of the moment at logged decisions, as their records hold it: contacts so far, and outcomes so far.

A price of room depends on when the customer was contacted, a residual on what had come of other decisions by then. No
table of the log says either as serving saw it, but the records of the engine's own decisions do.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from decisioning.decision import Decision
from decisioning.errors import InvalidInputError
from decisioning.live import LiveState
from decisioning.policy import Policy
from decisioning.residuals import NO_RESIDUALS, ResidualsByStage
from features.models.logged_decisions import READ_COLUMNS, LoggedDecisions


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedMoment:
    """What a record says of a moment.

    Attributes:
        live: What was live about the customer, contacts first of all.
        residuals: On top of the model that is judged; empty where another model decided, or other messages stood.
    """

    live: LiveState
    residuals: ResidualsByStage = NO_RESIDUALS


NO_MOMENTS: Mapping[str, LoggedMoment] = {}


def logged_moments(
    recorded: pl.DataFrame, logged: LoggedDecisions, policy: Policy, model_version: str
) -> dict[str, LoggedMoment]:
    """Moments by decision; a decision whose record cannot be read here is not among them.

    Args:
        recorded: Canonical rows of decisions with their `record`.
        logged: Reads them.
        policy: What is judged.
        model_version: The model that is judged.
    """
    return dict(_Reader(logged=logged, policy=policy, model_version=model_version).read(recorded))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    logged: LoggedDecisions
    policy: Policy
    model_version: str
    _alike: dict[tuple[str, str], bool] = field(default_factory=dict[tuple[str, str], bool])

    def read(self, recorded: pl.DataFrame) -> Iterator[tuple[str, LoggedMoment]]:
        for row in recorded.select(READ_COLUMNS).iter_rows(named=True):
            decision = self._decision(row)
            if decision is not None:
                residuals = decision.inputs.residuals if self._has_own_residuals(decision) else NO_RESIDUALS
                yield decision.decision_id, LoggedMoment(live=decision.inputs.live, residuals=residuals)

    def _decision(self, row: Mapping[str, Any]) -> Decision | None:
        try:
            return self.logged.decision(row)
        except (InvalidInputError, KeyError):  # damaged, or its catalogue is not archived here: replay says so
            return None

    def _has_own_residuals(self, decision: Decision) -> bool:
        learning, is_own = self.policy.catalogue.learning, decision.model_version == self.model_version
        return learning is not None and learning.in_minutes and is_own and self._has_same_messages(decision)

    def _has_same_messages(self, decision: Decision) -> bool:
        """Whether a residual's places name the same messages in the policy that is judged."""
        key = decision.policy_version, decision.touchpoint_id
        if key not in self._alike:
            then = self.logged.archive.catalogue(decision.policy_version)
            self._alike[key] = then is not None and self._keys(Policy(then), key[1]) == self._keys(self.policy, key[1])
        return self._alike[key]

    @staticmethod
    def _keys(policy: Policy, touchpoint_id: str) -> list[str] | None:
        is_known = touchpoint_id in policy.catalogue.touchpoints
        return [message.key for message in policy.candidates(touchpoint_id)] if is_known else None
