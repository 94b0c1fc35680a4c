"""What customers said by events and outcomes: consents, protections and unsubscriptions, which outlive profile rows.

A row of `customers` comes from another system, which may not have heard yet of what was said to us. So a profile is
made from the row and from everything said, each by its time, and rebuilding one never forgets a withdrawal:

- the latest dated answer per channel and purpose stands; an undated yes is older than any dated answer, an undated no
  is as old as its row;
- no clock of a sender makes a refusal ineffective: `reported.counts_at` says when each word counts. Of an answer in a
  row, whose time another system gives, none is later than the row;
- leaving a channel (outcome `unsubscribed`) is a no to every purpose on it;
- an attribute that the customer told us stands until a row that knows it is newer;
- a protection holds where the row or an event puts it on; a row that lists none lifts nothing that an event put on,
  only the event `unprotected` does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import orjson
import polars as pl

from decisioning.consent import latest_answers
from decisioning.customer import PROFILING, PROTECTIONS, Consent, ToldAnswer
from decisioning.errors import InvalidInputError
from decisioning.rules.predicate import FactValue
from features.log.contracts import DECISIONS, EVENTS, OUTCOMES
from features.log.customer_rows import dated
from features.log.declared_events import may_mean_profiling
from features.log.event_log import EventLog
from features.log.event_types import StateEventType
from features.log.identities import identities
from features.log.outcome_types import OutcomeType
from features.log.reported import arrived_at, counts_at, counts_in_row

EVERY = ""
"""Channel or purpose of a refusal that is for all of them."""

LONG_AGO, ANY_TIME = datetime(1, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

_ANSWERS: Mapping[str, bool] = {
    StateEventType.CONSENT_GIVEN: True,
    StateEventType.CONSENT_WITHDRAWN: False,
    StateEventType.PROFILING_OPTED_IN: True,
    StateEventType.PROFILING_OPTED_OUT: False,
}
_PROTECTIONS: Mapping[str, bool] = {StateEventType.PROTECTED: True, StateEventType.UNPROTECTED: False}
_TIMES = ("occurred_at", "recorded_at")
_SOURCE = "event"
TOLD_SOURCE = "customer"
"""Where an attribute was told whose event names no source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one customer said.

    Attributes:
        answers: In no order; a refusal may be for `EVERY` channel or purpose.
        protections: The latest word about each: as of when, and whether it holds.
        told: The latest word about each attribute: when and where it was told, and the value.
    """

    answers: tuple[Consent, ...] = ()
    protections: Mapping[str, tuple[datetime, bool]] = field(default_factory=dict[str, tuple[datetime, bool]])
    told: Mapping[str, tuple[ToldAnswer, FactValue]] = field(default_factory=dict[str, tuple[ToldAnswer, FactValue]])


NOTHING = Said()


def said_in_log(log: EventLog) -> dict[str, Said]:
    """What the log's customers said, by customer.

    Raises:
        LogUnavailableError: A table could not be read.
    """
    events = log.scan(EVENTS).filter(pl.col("type").is_in([*_kinds(), StateEventType.IDENTIFIED.value])).collect()
    left = log.scan(OUTCOMES).filter(pl.col("type") == OutcomeType.UNSUBSCRIBED.value).collect()
    decisions = pl.DataFrame(schema={"decision_id": pl.String, "channel": pl.String})
    if not left.is_empty():
        wanted = log.scan(DECISIONS).select("decision_id", "channel")
        decisions = wanted.join(left.lazy().select("decision_id"), on="decision_id", how="semi").collect()
    return _with_visitors(said_by(events, left, decisions), identities(events))


def _with_visitors(said: dict[str, Said], known: pl.DataFrame) -> dict[str, Said]:
    """What a visitor refused, the customer whom the visitor turned out to be refused too, as of when we heard of it."""
    joint = dict(said)
    for visitor, customer, since in known.select("visitor", "customer_id", "since").iter_rows():
        theirs, own = said.get(visitor, NOTHING), joint.get(customer, NOTHING)
        refusals = [
            replace(one, recorded_at=max(one.recorded_at or since, since))
            for one in latest_answers(theirs.answers, ANY_TIME).values()
            if not one.is_granted
        ]
        holding = {name: (max(at, since), True) for name, (at, holds) in theirs.protections.items() if holds}
        joint[customer] = replace(own, answers=(*own.answers, *refusals), protections={**own.protections, **holding})
    return joint


def said_by(
    events: pl.DataFrame, outcomes: pl.DataFrame | None = None, decisions: pl.DataFrame | None = None
) -> dict[str, Said]:
    """What customers said in canonical frames, by customer.

    Args:
        events: Canonical events; other types than those of live state are passed over.
        outcomes: Canonical outcomes; None to leave departures out.
        decisions: `decision_id` and `channel` of the decisions that the outcomes answer.
    """
    answers: dict[str, list[Consent]] = {}
    protections: dict[str, dict[str, tuple[datetime, bool]]] = {}
    told: dict[str, dict[str, tuple[ToldAnswer, FactValue]]] = {}
    words = events.filter(pl.col("type").is_in(_kinds())).select("customer_id", "type", *_TIMES, "properties")
    for customer_id, kind, occurred_at, recorded_at, text in words.iter_rows():
        properties: Mapping[str, Any] = orjson.loads(text) if text else {}
        dated = counts_at(kind, occurred_at, recorded_at or occurred_at)
        at = dated or LONG_AGO
        if kind in _ANSWERS:
            answers.setdefault(customer_id, []).extend(_answers(kind, dated, properties))
        elif kind == StateEventType.ATTRIBUTE_TOLD:
            _keep_latest(told.setdefault(customer_id, {}), properties, at)
        elif (name := properties.get("protection")) in PROTECTIONS:
            known = protections.setdefault(customer_id, {})
            known[name] = max(known.get(name, (LONG_AGO, False)), (at, _PROTECTIONS[kind]))
    if outcomes is not None and decisions is not None:
        for customer_id, consent in _departures(outcomes, decisions):
            answers.setdefault(customer_id, []).append(consent)
    return {
        customer_id: Said(
            answers=tuple(answers.get(customer_id, ())),
            protections=protections.get(customer_id, {}),
            told=told.get(customer_id, {}),
        )
        for customer_id in answers.keys() | protections.keys() | told.keys()
    }


def told_by(properties: Mapping[str, Any], at: datetime) -> tuple[str, ToldAnswer, FactValue] | None:
    """The attribute that an event `attribute_told` names, when and where it was told, and the value; None for none."""
    name, value, source = properties.get("name"), properties.get("value"), properties.get("source")
    if not isinstance(name, str) or not isinstance(value, str | int | float | bool):
        return None
    return name, ToldAnswer(at=at, source=source if isinstance(source, str) and source else TOLD_SOURCE), value


def told_since(
    attributes: Mapping[str, FactValue], known_at: datetime | None, told: Mapping[str, tuple[ToldAnswer, FactValue]]
) -> dict[str, tuple[ToldAnswer, FactValue]]:
    """What was told and stands: of attributes that are not known, or that were known before.

    Where nobody noted since when something is known, what was told stands.
    """
    return {
        name: word
        for name, word in told.items()
        if attributes.get(name) is None or known_at is None or word[0].at >= known_at
    }


def with_answers(given: Iterable[Consent], said: Said, row_at: datetime) -> tuple[Consent, ...]:
    """A row's answers and what was said besides, all of them: the latest per channel and purpose is still to be found.

    An undated refusal is taken to be of the row's time.
    """
    dated = [
        replace(
            one,
            recorded_at=counts_in_row(is_granted=one.is_granted, recorded_at=one.recorded_at, row_at=row_at),
        )
        for one in given
    ]
    pairs = {(one.channel_id, one.purpose) for one in (*dated, *said.answers)}
    return (*dated, *(each for one in said.answers for each in _spread(one, pairs)))


def protections_of(listed: Iterable[str], said: Said, row_at: datetime) -> dict[str, datetime]:
    """Protections in force, and as of when: those of the newest row that has a word about them, and those of events."""
    words = said.protections
    found = {name: at for name, (at, holds) in words.items() if holds}
    for name in listed:
        if name not in words or words[name][1] or words[name][0] <= row_at:
            found[name] = max(row_at, found.get(name, LONG_AGO))
    return found


def opted_out_of_profiling(customers: pl.DataFrame, said: Mapping[str, Said]) -> dict[str, datetime]:
    """Customers whose latest answer for the purpose `profiling`, whatever its channel, is a no; and as of when.

    Of each customer's rows the newest that answers speaks for the rows.

    Raises:
        InvalidInputError: Consents that are not what their contract says.
    """
    strongest: dict[str, tuple[datetime, bool]] = {}
    for customer_id, at, text in _rows_about_profiling(customers).iter_rows():
        strongest[customer_id] = max(_row_strengths(text, at), default=(LONG_AGO, False))
    for customer_id, one in said.items():
        answers = (answer for answer in one.answers if answer.purpose == PROFILING)
        dated = [(answer.recorded_at or LONG_AGO, not answer.is_granted) for answer in answers]
        strongest[customer_id] = max([*dated, strongest.get(customer_id, (LONG_AGO, False))])
    return {customer_id: at for customer_id, (at, is_refusal) in strongest.items() if is_refusal}


def _rows_about_profiling(customers: pl.DataFrame) -> pl.DataFrame:
    """`customer_id`, `updated_at` and `consents` of the newest row of each customer that has an answer of this kind."""
    about = customers.filter(pl.col("consents").str.contains(f'"{PROFILING}"', literal=True))
    newest = about.sort("customer_id", "updated_at").unique("customer_id", keep="last", maintain_order=True)
    return newest.select("customer_id", "updated_at", "consents")


def _row_strengths(text: str, row_at: datetime) -> list[tuple[datetime, bool]]:
    """Time of each answer about profiling, and whether it is a refusal; an undated refusal is of the row's time."""
    try:
        answers = [one for one in orjson.loads(text) if one["purpose"] == PROFILING]
        return [_row_strength(one["granted"] is not True, one.get("recorded_at"), row_at) for one in answers]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInputError(
            "consents must be a list of objects with channel, purpose and granted, got something else:"
            " import the customers again"
        ) from error


def _row_strength(is_refusal: bool, text: str | None, row_at: datetime) -> tuple[datetime, bool]:  # noqa: FBT001
    return counts_in_row(is_granted=not is_refusal, recorded_at=dated(text), row_at=row_at) or LONG_AGO, is_refusal


def _keep_latest(known: dict[str, tuple[ToldAnswer, FactValue]], properties: Mapping[str, Any], at: datetime) -> None:
    """Of two words of the same moment the greater text stands, as in live state."""
    found = told_by(properties, at)
    if found is not None:
        name, told, value = found
        former = known.get(name)
        if former is None or (former[0].at, orjson.dumps(former[1])) <= (at, orjson.dumps(value)):
            known[name] = (told, value)


def _answers(kind: str, at: datetime | None, properties: Mapping[str, Any]) -> list[Consent]:
    is_profiling = kind in {StateEventType.PROFILING_OPTED_IN, StateEventType.PROFILING_OPTED_OUT}
    answer = Consent(
        channel_id=str(properties.get("channel") or EVERY),
        purpose=PROFILING if is_profiling else str(properties.get("purpose") or EVERY),
        is_granted=_ANSWERS[kind],
        recorded_at=at,
        source=_SOURCE,
    )
    return [answer, replace(answer, purpose=PROFILING)] if may_mean_profiling(properties) else [answer]


def _departures(outcomes: pl.DataFrame, decisions: pl.DataFrame) -> Iterable[tuple[str, Consent]]:
    """Refusals by customer; where nobody knows which channel it was about, it was about every one."""
    left = outcomes.filter(pl.col("type") == OutcomeType.UNSUBSCRIBED.value)
    rows = left.join(decisions.select("decision_id", "channel"), on="decision_id", how="left")
    for customer_id, channel, at in rows.select("customer_id", "channel", arrived_at()).iter_rows():
        refusal = Consent(channel_id=channel or EVERY, purpose=EVERY, is_granted=False, recorded_at=at, source=_SOURCE)
        yield customer_id, refusal


def _spread(answer: Consent, pairs: Iterable[tuple[str, str]]) -> list[Consent]:
    """An answer for every pair it is about; a yes must say for which one it is."""
    if EVERY not in (answer.channel_id, answer.purpose) or answer.purpose == PROFILING:
        return [answer]
    if answer.is_granted:
        return []
    return [
        replace(answer, channel_id=channel, purpose=purpose)
        for channel, purpose in pairs
        if EVERY not in (channel, purpose)
        and purpose != PROFILING
        and answer.channel_id in (EVERY, channel)
        and answer.purpose in (EVERY, purpose)
    ]


def _kinds() -> list[str]:
    return [*map(str, _ANSWERS), *map(str, _PROTECTIONS), StateEventType.ATTRIBUTE_TOLD.value]
