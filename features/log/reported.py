"""When a report counts: by the sender's clock (`occurred_at`) or by ours (`recorded_at`).

A sender's clock may be wrong by any amount, so it never decides against the customer:

- nothing happens after we hear of it: a moment in the future of its arrival counts as its arrival;
- a refusal (a withdrawn consent, an opt-out, a protection, a channel that was left) counts as of its arrival, however
  old it says it is;
- a yes counts as of its own moment, so it lifts the refusals that had arrived before that moment and no other; one
  dated more than `YES_LEAD` ahead of its arrival comes from a wrong clock and lifts none;
- an outcome follows its decision: one dated before it counts as at the decision.

Each word then has one moment, and the latest stands; at the same moment the refusal. So whatever order words come in,
live state, profiles and features end alike.
"""

from datetime import datetime, timedelta

import polars as pl

from features.log.event_types import StateEventType
from features.log.outcome_types import OutcomeType

YES_LEAD = timedelta(seconds=60)
"""How far ahead of ours the clock of a yes may run."""

REFUSALS = frozenset(
    {
        StateEventType.CONSENT_WITHDRAWN.value,
        StateEventType.PROFILING_OPTED_OUT.value,
        StateEventType.PROTECTED.value,
        OutcomeType.UNSUBSCRIBED.value,
    }
)
"""Types of events and outcomes that protect the customer until a later yes."""

GRANTS = frozenset(
    {
        StateEventType.CONSENT_GIVEN.value,
        StateEventType.PROFILING_OPTED_IN.value,
        StateEventType.UNPROTECTED.value,
    }
)
"""Types of events that lift a refusal."""

CARING = REFUSALS | {
    StateEventType.CASE_OPENED.value,
    OutcomeType.COMPLAINED.value,
    OutcomeType.DECLINED.value,
    OutcomeType.BOUNCED.value,
}
"""Types that are accepted whatever their time: rejecting one could let a message through."""


def counts_at(kind: str, occurred_at: datetime, arrived_at: datetime) -> datetime | None:
    """The moment as of which an event or outcome of a kind counts, told by the sender's clock and by ours (both aware).

    Returns:
        None for a yes from a clock that is wrong: it is older than any refusal.

    Example:
        >>> from datetime import UTC
        >>> noon = datetime(2026, 11, 1, 12, tzinfo=UTC)
        >>> counts_at("consent_withdrawn", noon - timedelta(days=9), noon) == noon
        True
        >>> counts_at("consent_given", noon + timedelta(days=9), noon) is None
        True
    """
    if kind in REFUSALS:
        return arrived_at
    if is_ahead(kind, occurred_at, arrived_at):
        return None
    return min(occurred_at, arrived_at)


def counts_in_row(*, is_granted: bool, recorded_at: datetime | None, row_at: datetime) -> datetime | None:
    """The moment as of which an answer in a customer's row counts, which another system kept.

    Args:
        is_granted: The answer.
        recorded_at: When that system noted it (aware); None where it does not say.
        row_at: When the row became known (aware).

    Returns:
        None for a yes that is undated or comes from a wrong clock: it is older than any refusal.
    """
    if recorded_at is None:
        return None if is_granted else row_at
    if is_granted and recorded_at - row_at > YES_LEAD:
        return None
    return min(recorded_at, row_at)


def is_ahead(kind: str, occurred_at: datetime, arrived_at: datetime) -> bool:
    """Whether this is a yes from a clock that runs too far ahead for it to lift anything."""
    return kind in GRANTS and occurred_at - arrived_at > YES_LEAD


def arrived_at() -> pl.Expr:
    """When a row of events or outcomes became known: `recorded_at`, else when it happened."""
    return pl.coalesce("recorded_at", "occurred_at")


def settled_events(events: pl.DataFrame) -> pl.DataFrame:
    """Canonical events of which none happened after it became known; frames without `recorded_at` stay as they are.

    The moment of a yes stays as it was told: whether it lifts anything depends on it (`counts_at`).
    """
    if "recorded_at" not in events.columns:
        return events
    heard = pl.min_horizontal("occurred_at", "recorded_at")
    return events.with_columns(
        occurred_at=pl.when(pl.col("type").is_in(sorted(GRANTS))).then("occurred_at").otherwise(heard)
    )


def settled_outcomes(outcomes: pl.DataFrame, decisions: pl.DataFrame) -> pl.DataFrame:
    """Canonical outcomes of which none happened after it became known, or before its decision.

    The rows and their order stay, and outcomes of other decisions keep their time.
    """
    decided = decisions.select("decision_id", decided_at=pl.col("decided_at")).unique("decision_id")
    joined = settled_events(outcomes).join(decided, on="decision_id", how="left", maintain_order="left")
    timed = joined.with_columns(occurred_at=pl.max_horizontal("occurred_at", "decided_at")).drop("decided_at")
    if "recorded_at" not in outcomes.columns:
        return timed
    known = pl.max_horizontal("occurred_at", "recorded_at")
    return timed.with_columns(recorded_at=pl.when(pl.col("recorded_at").is_not_null()).then(known))
