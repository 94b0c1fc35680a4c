"""Cases according to the log: customer, owner, deadline, and when they were answered.

The same events open and resolve a case here and in live state (`decisioning.catalogue.care`): the types that a kind of
trouble declares, `case_opened` and `case_resolved`, the outcome `complained`, and what a text was heard to say
(`features.listening`). One row is one time that a case was open: a case that was opened again has a row more.

A case that a text opened has no number that anybody could quote, so it goes with the customer's others of its kind:
whatever resolves or answers one of them resolves or answers it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message import MessageClass
from features.log.contracts import UTC_TIME
from features.log.event_types import StateEventType
from features.log.heard import CASE_ID, HEARD_PREFIX, OPENS, TEXT_TYPES, heard_field
from features.log.outcome_types import OutcomeType
from features.log.reported import settled_events, settled_outcomes

CASES_SCHEMA: Mapping[str, pl.DataType] = {
    "customer_id": pl.String(),
    "case_id": pl.String(),
    "kind": pl.String(),
    "severity": pl.String(),
    "channel": pl.String(),
    "owner": pl.String(),
    "opened_at": UTC_TIME,
    "answer_due_at": UTC_TIME,
    "answered_at": UTC_TIME,
    "resolved_at": UTC_TIME,
    "is_open": pl.Boolean(),
    "is_overdue": pl.Boolean(),
}
COMPLAINT = "complaint"
"""Kind of case that the outcome `complained` opens."""

_KEY = ["customer_id", "kind", "case_id"]
_PART = [*_KEY, "opened_at"]
_OPENING = pl.Schema(
    {**dict.fromkeys(_KEY, pl.String()), "at": UTC_TIME, "severity": pl.String(), "channel": pl.String()}
)
_CALLED = pl.Schema({**dict.fromkeys(_KEY, pl.String()), "at": UTC_TIME, "owner": pl.String()})


def cases_of(
    events: pl.DataFrame, outcomes: pl.DataFrame, decisions: pl.DataFrame, catalogue: Catalogue, *, as_of: datetime
) -> pl.DataFrame:
    """Every case that was known at a moment.

    Args:
        events: Canonical events; `case_events` says which are looked at.
        outcomes: Canonical outcomes: complaints open cases, deliveries answer them.
        decisions: Canonical decisions; `decision_id`, `decided_at`, `offer_id` and `channel` are read.
        catalogue: Kinds of trouble with their owners and times, and the class of each offer.
        as_of: The moment (aware); what became known after it is not looked at.

    Returns:
        `CASES_SCHEMA`, a row per time a case was open, in order of opening. `severity` is the latest that was named
        and declared, else the kind's default. `owner` is the one assigned last, else the declared one.
        `answered_at` is the first of: `case_answered`; the delivery of a recovery message that was decided and
        arrived while the case was open; the resolution. `answer_due_at` is null where no time is promised.
        `is_open`: nobody resolved it, and it has not run out. `is_overdue`: open, without an answer, and late.
    """
    known_events = _known(settled_events(events), as_of)
    known_outcomes = _known(settled_outcomes(outcomes, decisions), as_of)
    properties = _with_properties(case_events(known_events, catalogue))
    openings = pl.concat([_openings(properties, catalogue), _complaints(known_outcomes, decisions, catalogue)])
    if openings.is_empty():
        return pl.DataFrame(schema=CASES_SCHEMA)
    resolutions = _of_cases(_resolutions(properties, catalogue), openings)
    parts = _parts(openings, resolutions, catalogue)
    answers = pl.concat(
        [
            _case_answers(properties, openings, parts),
            _recovery_answers(known_outcomes, decisions, catalogue, parts),
        ]
    )
    return _finished(parts, answers, _owners(properties, openings, parts), catalogue, as_of)


def case_events(events: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """The events that may say something about a case, of any moment."""
    return events.filter(pl.col("type").is_in(case_event_types(catalogue)))


def case_event_types(catalogue: Catalogue) -> list[str]:
    """Types of the events that `cases_of` looks at."""
    kinds = catalogue.care.kinds.values()
    declared = {one for kind in kinds for one in kind.opened_by | kind.resolved_by}
    return sorted(declared | set(TEXT_TYPES) | {str(one) for one in StateEventType if one.startswith("case_")})


def _known(rows: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    return rows.filter(pl.max_horizontal("occurred_at", "recorded_at") <= pl.lit(as_of).cast(UTC_TIME))


def _with_properties(events: pl.DataFrame) -> pl.DataFrame:
    """Events with what their properties say about cases."""
    text = pl.col("properties")
    said = {f"said_{name}": text.str.json_path_match(f"$.{name}") for name in ("case_id", "kind", "severity", "owner")}
    is_text = pl.col("type").is_in(list(TEXT_TYPES))
    heard = {
        "heard_kind": pl.when(is_text).then(heard_field(OPENS)),
        "heard_case_id": pl.when(is_text).then(heard_field(CASE_ID)),
    }
    return events.select("customer_id", "type", "channel", pl.col("occurred_at").alias("at"), **said, **heard)


def _openings(events: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """Each opening: by a declared type, by `case_opened`, by what a text was heard to say."""
    found = [
        _opening(events.filter(pl.col("type").is_in(_plain(kind.opened_by))), pl.lit(kind.kind), "said_case_id")
        for kind in catalogue.care.kinds.values()
    ]
    opened = events.filter(
        (pl.col("type") == StateEventType.CASE_OPENED.value) & pl.col("said_kind").is_in(list(catalogue.care.kinds))
    )
    heard = events.filter(pl.col("heard_kind").is_in(list(catalogue.care.kinds)))
    found += [
        _opening(opened, pl.col("said_kind"), "said_case_id"),
        _opening(heard, pl.col("heard_kind"), "heard_case_id"),
    ]
    return pl.concat(found)


def _opening(events: pl.DataFrame, kind: pl.Expr, case_id: str) -> pl.DataFrame:
    """Where nobody names the case there is one of each kind."""
    return events.select(
        "customer_id",
        kind.alias("kind"),
        pl.coalesce(case_id, kind).alias("case_id"),
        "at",
        pl.col("said_severity").alias("severity"),
        "channel",
    ).cast(_OPENING)


def _complaints(outcomes: pl.DataFrame, decisions: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """Openings by the outcome `complained`."""
    if COMPLAINT not in catalogue.care.kinds:
        return pl.DataFrame(schema=_OPENING)
    complained = outcomes.filter(pl.col("type") == OutcomeType.COMPLAINED.value)
    channels = decisions.select("decision_id", "channel").unique("decision_id")
    said = {f"said_{name}": pl.col("properties").str.json_path_match(f"$.{name}") for name in ("case_id", "severity")}
    told = complained.join(channels, on="decision_id", how="left").with_columns(at="occurred_at", **said)
    return _opening(told, pl.lit(COMPLAINT), "said_case_id")


def _resolutions(events: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """Each resolution; `kind` is null where only the case is named."""
    found = [
        _call(events.filter(pl.col("type").is_in(_plain(kind.resolved_by))), pl.lit(kind.kind))
        for kind in catalogue.care.kinds.values()
    ]
    resolved = events.filter(pl.col("type") == StateEventType.CASE_RESOLVED.value)
    return pl.concat([*found, _call(resolved, pl.col("said_kind"))])


def _call(events: pl.DataFrame, kind: pl.Expr) -> pl.DataFrame:
    """Events that name a case, or a kind of which there is one."""
    case_id = pl.coalesce(pl.col("said_case_id"), kind).alias("case_id")
    owner = pl.col("said_owner").alias("owner")
    return events.select("customer_id", kind.alias("kind"), case_id, "at", owner).cast(_CALLED)


def _of_cases(calls: pl.DataFrame, openings: pl.DataFrame) -> pl.DataFrame:
    """Calls by the case that they are about; what is about a case is about those heard of the same kind, too."""
    keys = openings.select(_KEY).unique()
    unnamed = calls.filter(pl.col("kind").is_null()).drop("kind").join(keys, on=["customer_id", "case_id"])
    named = pl.concat([calls.filter(pl.col("kind").is_not_null()), unnamed.select(calls.columns)])
    direct = named.join(keys, on=_KEY, how="semi")
    heard = keys.filter(pl.col("case_id").str.starts_with(HEARD_PREFIX))
    shared = named.drop("case_id").join(heard, on=["customer_id", "kind"])
    return pl.concat([direct, shared.select(direct.columns)]).unique()


def _parts(openings: pl.DataFrame, resolutions: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """One row per time that a case was open: `opened_at`, `resolved_at` and `ends_at`, with severity and channel."""
    kinds = catalogue.care.kinds.values()
    both = pl.concat(
        [
            openings.with_columns(is_opening=pl.lit(value=True)),
            resolutions.select(*_KEY, "at", is_opening=pl.lit(value=False)),
        ],
        how="diagonal",
    ).sort(*_KEY, "at", pl.col("is_opening").not_())
    lasts = _by_kind({one.kind: _span(one.max_open_seconds) for one in kinds}, pl.Duration("us"))
    ran_out = (pl.col("at") >= pl.col("at").shift(1).over(_KEY) + lasts).fill_null(value=False)
    begins = pl.col("is_opening") & (~pl.col("is_opening").shift(1).over(_KEY).fill_null(value=False) | ran_out)
    opening = pl.col("at").filter("is_opening")
    return (
        both.with_columns(lasts=lasts, part=begins.cum_sum().over(_KEY))
        .filter(pl.col("part") > 0)
        .group_by(*_KEY, "part", maintain_order=True)
        .agg(
            opened_at=opening.min(),
            resolved_at=pl.col("at").filter(~pl.col("is_opening")).min(),
            ends_at=opening.max() + pl.col("lasts").first(),
            severity=_declared_severity(catalogue).filter("is_opening").drop_nulls().last(),
            channel=pl.col("channel").filter("is_opening").drop_nulls().first(),
        )
    )


_FAR = pl.lit(datetime(9999, 1, 1, tzinfo=UTC)).cast(UTC_TIME)


def _declared_severity(catalogue: Catalogue) -> pl.Expr:
    known = [f"{kind.kind}\0{one}" for kind in catalogue.care.kinds.values() for one in kind.cooldown_seconds]
    is_known = pl.concat_str("kind", pl.lit("\0"), "severity").is_in(known)
    return pl.when(is_known).then("severity")


def _case_answers(events: pl.DataFrame, openings: pl.DataFrame, parts: pl.DataFrame) -> pl.DataFrame:
    """First `case_answered` of each part."""
    answered = _of_cases(_call(events.filter(pl.col("type") == StateEventType.CASE_ANSWERED.value), _NO_KIND), openings)
    found = parts.select(*_PART, "resolved_at", "ends_at").join(answered.drop("owner"), on=_KEY)
    return found.filter(_while_open("at")).select(*_PART, "at")


def _recovery_answers(
    outcomes: pl.DataFrame, decisions: pl.DataFrame, catalogue: Catalogue, parts: pl.DataFrame
) -> pl.DataFrame:
    """Deliveries of recovery messages that were decided while a case was open."""
    offers = [one.offer_id for one in catalogue.offers.values() if one.message_class is MessageClass.RECOVERY]
    sent = decisions.filter(pl.col("offer_id").is_in(offers)).select("decision_id", "decided_at")
    delivered = outcomes.filter(pl.col("type") == OutcomeType.DELIVERED.value)
    arrived = delivered.join(sent, on="decision_id").select(
        "customer_id", "decided_at", pl.col("occurred_at").alias("at")
    )
    found = parts.select(*_PART, "resolved_at", "ends_at").join(arrived, on="customer_id")
    return found.filter(_while_open("at") & _while_open("decided_at")).select(*_PART, "at")


_NO_KIND = pl.lit(None, dtype=pl.String)


def _while_open(column: str) -> pl.Expr:
    """True where a moment lies between opening and end of a part."""
    ends = pl.min_horizontal("resolved_at", "ends_at").fill_null(_FAR)
    return pl.col(column).is_between(pl.col("opened_at"), ends)


def _owners(events: pl.DataFrame, openings: pl.DataFrame, parts: pl.DataFrame) -> pl.DataFrame:
    """Who each part was assigned to last."""
    assigned = _call(events.filter(pl.col("type") == StateEventType.CASE_ASSIGNED.value), _NO_KIND)
    named = _of_cases(assigned.filter(pl.col("owner").is_not_null()), openings)
    found = parts.select(*_PART, "resolved_at", "ends_at").join(named, on=_KEY).filter(_while_open("at"))
    return found.sort("at").group_by(_PART).agg(pl.col("owner").last())


def _finished(
    parts: pl.DataFrame, answers: pl.DataFrame, owners: pl.DataFrame, catalogue: Catalogue, as_of: datetime
) -> pl.DataFrame:
    kinds, now = catalogue.care.kinds.values(), pl.lit(as_of).cast(UTC_TIME)
    within = _by_kind({one.kind: _span(one.answer_within_seconds) for one in kinds}, pl.Duration("us"))
    default_owner = _by_kind({one.kind: one.owner for one in kinds}, pl.String())
    default_severity = _by_kind({one.kind: one.default_severity for one in kinds}, pl.String())
    is_open = pl.col("resolved_at").is_null() & (now < pl.col("ends_at").fill_null(_FAR))
    return (
        parts.join(answers.group_by(_PART).agg(pl.col("at").min().alias("first_answer")), on=_PART, how="left")
        .join(owners, on=_PART, how="left")
        .with_columns(
            owner=pl.coalesce("owner", default_owner),
            severity=pl.coalesce("severity", default_severity),
            answer_due_at=pl.col("opened_at") + within,
            answered_at=pl.min_horizontal("first_answer", "resolved_at"),
            is_open=is_open,
        )
        .with_columns(
            is_overdue=(
                pl.col("is_open") & pl.col("answered_at").is_null() & (pl.col("answer_due_at") < now)
            ).fill_null(value=False)
        )
        .select(pl.col(name).cast(dtype) for name, dtype in CASES_SCHEMA.items())
        .sort("opened_at", *_KEY)
    )


def _by_kind(values: Mapping[str, Any], dtype: pl.DataType) -> pl.Expr:
    return pl.col("kind").replace_strict(values, return_dtype=dtype)


def _plain(types: frozenset[str]) -> list[str]:
    """Types that speak for themselves: `case_opened` and `case_resolved` are about the case that they name."""
    return sorted(types - {StateEventType.CASE_OPENED.value, StateEventType.CASE_RESOLVED.value})


def _span(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
