"""Senders' clocks may be wrong by any amount: a refusal stays a refusal wherever it is read."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import polars as pl
import pytest
import redis
from hypothesis import example, given, settings
from hypothesis import strategies as st

from decisioning.catalogue.catalogue import Catalogue
from decisioning.consent import latest_answers
from decisioning.customer import Consent, Customer
from decisioning.gates.situation import protections_in_force
from features.computing.sources import customer_rows
from features.computing.told_sources import told_rows
from features.log.contracts import CUSTOMERS, EVENTS, OUTCOMES
from features.log.reported import YES_LEAD
from features.log.rows import frame_of, parse_row
from features.log.said import said_by
from features.online.profiles import customers_from_frame, decode_profile, encode_profile
from features.online.redis_keys import shard_of, stream_key
from serving.decisions.known import is_not_profiled, live_after, with_told, with_unsubscriptions
from serving.in_force.policy_in_force import put_in_force
from serving.live.reader import Known, Lookup
from serving.live.store import LiveStore
from serving.live.writer import LogEntry
from serving.reports.intake import Intake, Report

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
ROW_AT = START - timedelta(days=30)
EMAIL = {"channel": "email", "purpose": "marketing"}
ROW = {
    "customer_id": "?",
    "updated_at": ROW_AT,
    "channels": '["email"]',
    "consents": orjson.dumps([{**EMAIL, "granted": True, "recorded_at": ROW_AT.isoformat()}]).decode(),
    "attributes": '{"age": 40}',
}

REFUSALS: Mapping[str, tuple[str, dict[str, str]]] = {
    "email": ("consent_withdrawn", EMAIL),
    "profiling": ("profiling_opted_out", {}),
    "minor": ("protected", {"protection": "minor"}),
}
GRANTS: Mapping[str, tuple[str, dict[str, str]]] = {
    "email": ("consent_given", EMAIL),
    "profiling": ("profiling_opted_in", {}),
    "minor": ("unprotected", {"protection": "minor"}),
}


@dataclass(frozen=True)
class Word:
    """One answer: its topic, whether it refuses, its delay, and the error of the sender's clock."""

    topic: str
    is_refusal: bool
    delay: timedelta = timedelta(0)
    skew: timedelta = timedelta(0)

    def item(self, arrived_at: datetime) -> dict[str, Any]:
        kind, properties = (REFUSALS if self.is_refusal else GRANTS)[self.topic]
        told_at = arrived_at - self.delay + self.skew
        return {"type": kind, "occurred_at": told_at.isoformat(), "properties": properties}


@dataclass
class Reporter:
    """Sends reports about new customers at chosen moments."""

    state: LiveStore
    in_force: Any
    runner: asyncio.Runner
    log: Path
    now: datetime = START
    names: Iterator[int] = field(default_factory=lambda: count(1))

    def customer(self) -> str:
        return f"K-{next(self.names)}"

    def events(self, customer: str, *items: Mapping[str, Any]) -> Report:
        named = [{"message_id": f"{customer}-{next(self.names)}", "customer_id": customer, **one} for one in items]
        return self.runner.run(self._intake().events(named, self.in_force))

    def outcome(self, decision_id: str, kind: str, at: datetime) -> Report:
        item = {"message_id": f"o-{next(self.names)}", "decision_id": decision_id, "type": kind}
        return self.runner.run(self._intake().outcomes([{**item, "occurred_at": at.isoformat()}], self.in_force))

    def decision(self, customer: str) -> str:
        decision_id = f"dec_{shard_of(customer):02x}{next(self.names):032x}"
        entry = LogEntry(decision_id=decision_id, customer_id=customer, channel_id="email", row=b"{}")
        assert self.runner.run(self.state.commit([entry])) == [None]
        return decision_id

    def live(self, customer: str) -> Known:
        return self.runner.run(self.state.read(Lookup(customer_id=customer, touchpoint_id="t")))

    def logged(self, customer: str, table: str) -> list[dict[str, Any]]:
        """Rows of a customer waiting for the drain."""
        stream: Any = redis.Redis.from_url(self.state._url).xrange(stream_key(shard_of(customer)))
        fields = [entry for _, entry in stream if entry[b"table"] == table.encode()]
        rows = [parse_row(table, entry[b"row"])[1] for entry in fields]
        return [row for row in rows if row["customer_id"] == customer]

    def _intake(self) -> Intake:
        return Intake(state=self.state, log_path=self.log, now=lambda: self.now)


@pytest.fixture(autouse=True)
def _nobody_reported_yet(redis_url: str) -> None:
    """Every test starts with an empty Redis; only the connection is shared."""


@pytest.fixture(scope="module")
def reporter(
    redis_server: str, shop_catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Reporter]:
    with asyncio.Runner() as runner:
        state = LiveStore(redis_server, decision_ttl=timedelta(days=7))
        runner.run(state.start())
        in_force = put_in_force(shop_catalogue, seed="clocks")
        yield Reporter(state=state, in_force=in_force, runner=runner, log=tmp_path_factory.mktemp("log"))
        runner.run(state.stop())


def standing(customer: Customer, known: Known, now: datetime) -> dict[str, bool]:
    """The refusals that a decision sees."""
    customer = decode_profile(encode_profile(customer))
    settled = with_unsubscriptions(customer, known.unsubscribed_at, known.live.consents)
    live = live_after(settled, known)
    answers = latest_answers((*settled.consents, *live.consents), now)
    answer = answers.get(("email", "marketing"))
    inputs: Any = SimpleNamespace(customer=settled, live=live)
    return {
        "email": answer is None or not answer.is_granted or "email" in settled.unsubscribed_channels,
        "profiling": is_not_profiled(settled, known),
        "minor": "minor" in protections_in_force(inputs),
    }


def profile(
    reporter: Reporter, customer: str, events: Sequence[Mapping[str, Any]], outcomes: Sequence[Mapping[str, Any]] = ()
) -> Customer:
    """The profile that a materialisation would write from a log with these rows."""
    left = frame_of(OUTCOMES, [dict(one) for one in outcomes])
    decisions = left.select("decision_id", channel=pl.lit("email"))
    said = said_by(frame_of(EVENTS, [dict(one) for one in events]), left, decisions)
    [found] = customers_from_frame(frame_of(CUSTOMERS, [{**ROW, "customer_id": customer}]), said)
    return found


spans = st.one_of(
    st.just(timedelta(0)),
    st.integers(-120, 120).map(lambda seconds: timedelta(seconds=seconds)),
    st.integers(-4_000, 4_000).map(lambda hours: timedelta(hours=hours)),
)
words = st.lists(
    st.builds(
        Word,
        topic=st.sampled_from(sorted(REFUSALS)),
        is_refusal=st.booleans(),
        delay=spans.map(abs),
        skew=spans,
    ),
    min_size=1,
    max_size=9,
)


@settings(max_examples=150, deadline=None)
@given(words=words, gaps=st.lists(st.sampled_from((0, 1, 45, 5_000)), min_size=9, max_size=9), data=st.data())
@example(  # the reported bug: a consent from a fast clock, then a refusal with the right time
    words=[Word("email", is_refusal=False, skew=timedelta(minutes=4)), Word("email", is_refusal=True)],
    gaps=[1] * 9,
    data=None,
).via("an issue")
def test_no_clock_error_makes_a_refusal_ineffective_in_any_order(
    reporter: Reporter, words: list[Word], gaps: list[int], data: st.DataObject | None
) -> None:
    customer, taken = reporter.customer(), list[tuple[Word, datetime]]()
    reporter.now = START
    for word, gap in zip(words, gaps, strict=False):
        reporter.now += timedelta(seconds=gap)
        report = reporter.events(customer, word.item(reporter.now))
        assert not (report.rejected and word.is_refusal), "a refusal is never rejected"
        if not report.rejected:
            taken.append((word, reporter.now))

    rows = reporter.logged(customer, "events")
    assert len(rows) == len(taken)
    order = rows if data is None else data.draw(st.permutations(rows))
    known, now = reporter.live(customer), reporter.now
    row_alone = profile(reporter, customer, [])
    since_the_row = standing(row_alone, known, now)
    materialised = standing(profile(reporter, customer, order), known, now)
    from_the_log_alone = standing(profile(reporter, customer, order), Known(), now)

    assert since_the_row == materialised == from_the_log_alone
    for topic in REFUSALS:
        about = [(word, at) for word, at in taken if word.topic == topic]
        refused_at = max((at for word, at in about if word.is_refusal), default=None)
        later_yes = [
            word for word, at in about
            if not word.is_refusal and refused_at is not None
            and at > refused_at and at - word.delay + word.skew > refused_at
        ]  # fmt: skip
        is_refused = refused_at is not None and not later_yes
        assert since_the_row[topic] is is_refused, topic


@pytest.mark.parametrize("topic", sorted(REFUSALS))
@pytest.mark.parametrize("days", [-40_000, -3_000, -1, 1, 3_000, 25_000])
def test_a_refusal_with_any_date_counts_from_its_arrival_until_a_later_consent(
    reporter: Reporter, topic: str, days: int
) -> None:
    reporter.now, customer = START, reporter.customer()
    wrong = Word(topic, is_refusal=True, skew=timedelta(days=days))
    assert reporter.events(customer, wrong.item(START)).accepted == (0,)
    assert standing(profile(reporter, customer, []), reporter.live(customer), START)[topic]

    reporter.now += timedelta(minutes=1)
    assert reporter.events(customer, Word(topic, is_refusal=False).item(reporter.now)).accepted == (0,)
    assert not standing(profile(reporter, customer, []), reporter.live(customer), reporter.now)[topic]


def test_a_consent_from_a_fast_clock_is_refused_with_a_reason_and_a_nearly_right_one_counts(
    reporter: Reporter,
) -> None:
    reporter.now, customer = START, reporter.customer()
    ahead = Word("email", is_refusal=False, skew=YES_LEAD + timedelta(seconds=1))
    [refused] = reporter.events(customer, ahead.item(START)).rejected
    assert "at most 60 seconds ahead of our clock" in refused.detail

    nearly = Word("email", is_refusal=False, skew=YES_LEAD)
    assert reporter.events(customer, nearly.item(START)).accepted == (0,)
    [answer] = reporter.live(customer).live.consents
    assert (answer.is_granted, answer.recorded_at) == (True, START)


@pytest.mark.parametrize("skew", [timedelta(days=-9), timedelta(0), timedelta(days=900)])
def test_an_unsubscription_counts_with_any_clock_until_a_later_consent(reporter: Reporter, skew: timedelta) -> None:
    reporter.now, customer = START, reporter.customer()
    decision_id = reporter.decision(customer)
    reporter.events(customer, Word("email", is_refusal=False).item(START))
    reporter.now += timedelta(seconds=30)
    assert reporter.outcome(decision_id, "unsubscribed", reporter.now + skew).accepted == (0,)

    def is_refused() -> set[bool]:
        known, rows = reporter.live(customer), reporter.logged(customer, "events")
        materialised = profile(reporter, customer, rows, reporter.logged(customer, "outcomes"))
        return {
            standing(profile(reporter, customer, []), known, reporter.now)["email"],
            standing(materialised, known, reporter.now)["email"],
            standing(materialised, Known(), reporter.now)["email"],
        }

    assert is_refused() == {True}
    reporter.now += timedelta(minutes=1)
    reporter.events(customer, Word("email", is_refusal=False).item(reporter.now))
    assert is_refused() == {False}


@pytest.mark.parametrize("topic", ["profiling", "minor"])
def test_an_imported_refusal_overrides_an_older_live_consent(reporter: Reporter, topic: str) -> None:
    """Imports do not reach Redis, so the profile must carry the time of its refusal."""
    reporter.now, customer = START, reporter.customer()
    reporter.events(customer, Word(topic, is_refusal=False).item(START))
    kind, properties = REFUSALS[topic]

    def imported(at: datetime) -> dict[str, Any]:
        row = dict.fromkeys(EVENTS.schema)
        told = orjson.dumps(properties).decode()
        return {**row, "event_id": "i", "customer_id": customer, "type": kind, "occurred_at": at, "properties": told}

    known, rows = reporter.live(customer), reporter.logged(customer, "events")
    older, newer = imported(START - timedelta(hours=1)), imported(START + timedelta(hours=1))
    assert not standing(profile(reporter, customer, [older]), known, START)[topic]
    assert standing(profile(reporter, customer, [*rows, newer]), known, START + timedelta(days=1))[topic]


told_words = st.lists(
    st.tuples(st.integers(18, 24), spans.map(abs), st.integers(-70, 4).map(lambda n: timedelta(minutes=n))),
    min_size=1,
    max_size=6,
)


@settings(max_examples=80, deadline=None)
@given(told=told_words, data=st.data())
def test_told_attributes_are_the_same_in_live_state_profiles_and_features(
    reporter: Reporter, told: list[tuple[int, timedelta, timedelta]], data: st.DataObject
) -> None:
    customer = reporter.customer()
    reporter.now = START
    for age, delay, skew in told:
        reporter.now += timedelta(minutes=1)
        at = min(reporter.now - delay + skew, reporter.now + timedelta(minutes=4))
        item = {"type": "attribute_told", "occurred_at": at.isoformat(), "properties": {"name": "age", "value": age}}
        assert not reporter.events(customer, item).rejected

    rows = data.draw(st.permutations(reporter.logged(customer, "events")))
    live = with_told(profile(reporter, customer, []), reporter.live(customer).told).attributes["age"]
    materialised = profile(reporter, customer, rows).attributes["age"]
    assert live == materialised == feature_age(reporter, customer, rows)


def feature_age(reporter: Reporter, customer: str, rows: Sequence[Mapping[str, Any]]) -> float:
    """The attribute in the newest customer row that features are computed from."""
    known = customer_rows(frame_of(CUSTOMERS, [{**ROW, "customer_id": customer}]), reporter.in_force.catalogue)
    both = told_rows(known, frame_of(EVENTS, [dict(one) for one in rows]), reporter.in_force.catalogue)
    return both.sort("known_us")["attribute_age"][-1]


def test_a_consent_in_a_customer_row_is_never_newer_than_the_row(reporter: Reporter) -> None:
    """A consent that another system dates years ahead must not take effect after a withdrawal."""
    ahead = orjson.dumps([{**EMAIL, "granted": True, "recorded_at": "2031-01-01T00:00:00Z"}]).decode()
    row = frame_of(CUSTOMERS, [{**ROW, "customer_id": "C", "consents": ahead}])
    withdrawn = {**dict.fromkeys(EVENTS.schema), "event_id": "w", "customer_id": "C", "type": "consent_withdrawn"}
    events = frame_of(EVENTS, [{**withdrawn, "occurred_at": START, "properties": orjson.dumps(EMAIL).decode()}])
    [customer] = customers_from_frame(row, said_by(events))
    assert [one.is_granted for one in customer.consents] == [False]
    assert latest_answers(customer.consents, START + timedelta(days=3_000))["email", "marketing"] == replace(
        Consent(channel_id="email", purpose="marketing", is_granted=False, source="event"), recorded_at=START
    )
