"""Feedback that arrives twice, late or in another order gives the same live state, on a real Redis."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.care import CarePolicy, CaseKind
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import Contact, Suppression, SuppressionScope
from decisioning.customer import PROTECTIONS
from decisioning.decision import Request
from decisioning.gates.reservation import Reservation
from features.log.event_types import StateEventType
from features.log.outcome_types import OutcomeType
from features.online.redis_keys import shard_of
from serving.in_force.policy_in_force import put_in_force
from serving.live.changes import touch_in_catalogue
from serving.live.decision_hash import ask_fields
from serving.live.reader import Known, Lookup, SupplyQuery
from serving.live.store import LiveStore
from serving.live.writer import LogEntry
from serving.reports.intake import Intake, Report

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
SEATS = "limit:seats:total"
CARE = CarePolicy(
    kinds={
        "complaint": CaseKind(
            kind="complaint",
            opened_by=frozenset({"case_opened", "complaint", "service_ticket"}),
            resolved_by=frozenset({"case_resolved"}),
            cooldown_seconds={"normal": 604_800.0, "high": 1_814_400.0},
            default_severity="normal",
        ),
        "lost_item": CaseKind(
            kind="lost_item",
            opened_by=frozenset({"return"}),
            resolved_by=frozenset({"delivery"}),
            cooldown_seconds={"normal": 86_400.0},
            default_severity="normal",
        ),
    }
)
TOLD = SupplyQuery(now=NOW, counters=(SEATS,))


@dataclass
class Feedback:
    """Customers with the same history, and their reports."""

    state: LiveStore
    intake: Intake
    in_force: Any
    runner: asyncio.Runner
    names: Iterator[int]

    def customer(self) -> tuple[str, dict[str, str]]:
        """A new customer who was sent three messages; decision ids by a name that is the same for every customer."""
        customer = f"C-{next(self.names)}"
        decisions: dict[str, str] = {}
        for name, offer, until in (("a", "free-coffee", None), ("b", "ten-percent", 1), ("c", "double-stamps", 90)):
            decision_id = f"dec_{shard_of(customer):02x}{next(self.names):032x}"
            touch = touch_in_catalogue(self.in_force.catalogue, offer, "email", "plain")
            assert touch is not None
            at = NOW - timedelta(hours=1)
            contact = Contact(
                contact_id=decision_id,
                touch=touch,
                at=at,
                reserved_until=None if until is None else at + timedelta(minutes=until),
            )
            known = self.run(self.state.read(Lookup(customer_id=customer, touchpoint_id="t")))
            entry = LogEntry(
                decision_id=decision_id,
                customer_id=customer,
                channel_id="email",
                row=b"{}",
                ask=ask_fields(Request(customer_id=customer, touchpoint_id="t", request_key=""), touch.message_key),
                reservation=Reservation(contacts=(contact,), uses={SEATS: 1.0}, version=known.live.version),
                supply=replace(TOLD, now=at),
            )
            assert self.run(self.state.commit([entry])) == [None]
            decisions[name] = decision_id
        return customer, decisions

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def report(self, customer: str, decisions: dict[str, str], items: Sequence[tuple[str, dict[str, Any]]]) -> None:
        for kind, told in items:
            item = {**told, "message_id": f"{customer}-{told['message_id']}"}
            if kind == "events":
                taken = self.run(self.intake.events([{**item, "customer_id": customer}], self.in_force))
            else:
                item["decision_id"] = decisions[item["decision_id"]]
                taken = self.run(self.intake.outcomes([item], self.in_force))
            assert not taken.rejected, taken.document()

    def tell(self, customer: str, decisions: dict[str, str]) -> tuple[Any, float, Any]:
        """The decoded live state without anything that differs between customers, and the counters."""
        known: Known = self.run(self.state.read(Lookup(customer_id=customer, touchpoint_id="t", supply=TOLD)))
        names = {decision_id: name for name, decision_id in decisions.items()}
        contacts = tuple(replace(one, contact_id=names[one.contact_id]) for one in known.live.contacts)
        live = replace(known.live, version=0, contacts=contacts)
        return repr(live), known.supply.used[SEATS], sorted(known.unsubscribed_at.items())


@pytest.fixture(autouse=True)
def _nobody_reported_yet(redis_url: str) -> None:
    """Every test starts with an empty Redis; only the connection is shared."""


@pytest.fixture(scope="module")
def feedback(
    redis_server: str, shop_catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Feedback]:
    policy = replace(
        shop_catalogue.contact_policy,
        suppressions=(Suppression(after="accepted", scope=SuppressionScope.OFFER, cooldown_seconds=None),),
    )
    catalogue = replace(shop_catalogue, care=CARE, contact_policy=policy)
    with asyncio.Runner() as runner:
        state = LiveStore(redis_server, decision_ttl=timedelta(days=7))
        runner.run(state.start())
        intake = Intake(state=state, log_path=Path(tmp_path_factory.mktemp("log")), now=lambda: NOW)
        in_force = put_in_force(catalogue, seed="feedback")
        yield Feedback(state=state, intake=intake, in_force=in_force, runner=runner, names=count(1))
        runner.run(state.stop())


moments = st.integers(0, 6).map(lambda n: (NOW - timedelta(minutes=20 * n)).isoformat())
PURPOSES = ("marketing", "service")


def state_event(named: StateEventType, **properties: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just(named.value), "properties": st.fixed_dictionaries(properties)})


events = st.one_of(
    st.sampled_from(("browse", "purchase", "complaint", "return", "delivery")).map(
        lambda kind: {"type": kind, "properties": {}}
    ),
    state_event(
        StateEventType.CASE_OPENED,
        kind=st.just("complaint"),
        severity=st.sampled_from(("normal", "high")),
        case_id=st.sampled_from(("1", "2")),
    ),
    state_event(StateEventType.CASE_RESOLVED, case_id=st.sampled_from(("1", "2", "lost_item"))),
    *(
        state_event(kind, channel=st.sampled_from(("email", "push")), purpose=st.sampled_from((*PURPOSES, "profiling")))
        for kind in (StateEventType.CONSENT_GIVEN, StateEventType.CONSENT_WITHDRAWN)
    ),
    state_event(StateEventType.CONSENT_WITHDRAWN, channel=st.just("email")),
    state_event(StateEventType.PROFILING_OPTED_OUT),
    state_event(StateEventType.PROFILING_OPTED_IN),
    *(
        state_event(kind, protection=st.sampled_from(sorted(PROTECTIONS)))
        for kind in (StateEventType.PROTECTED, StateEventType.UNPROTECTED)
    ),
    state_event(StateEventType.STAGE_ENTERED, stage=st.sampled_from(("new", "active", "lapsed"))),
    state_event(
        StateEventType.MESSAGE_DUE,
        due_id=st.sampled_from(("x", "y")),
        offer_id=st.sampled_from(("free-coffee", "opening-hours")),
        channel=st.just("email"),
        due_at=moments,
    ),
    state_event(StateEventType.MESSAGE_DUE_CANCELLED, due_id=st.sampled_from(("x", "y"))),
)
outcomes = st.fixed_dictionaries(
    {"type": st.sampled_from([one.value for one in OutcomeType]), "decision_id": st.sampled_from(("a", "b", "c"))}
)
reports = st.lists(
    st.tuples(
        st.one_of(st.tuples(st.just("events"), events), st.tuples(st.just("outcomes"), outcomes)),
        moments,
    ),
    min_size=1,
    max_size=14,
).map(
    lambda found: [
        (kind, {**item, "occurred_at": at, "message_id": f"m-{place}"})
        for place, ((kind, item), at) in enumerate(found)
    ]
)


@settings(max_examples=60, deadline=None)
@given(reports=reports, data=st.data())
def test_feedback_that_arrives_twice_or_in_another_order_gives_the_same_state(
    feedback: Feedback, reports: list[tuple[str, dict[str, Any]]], data: st.DataObject
) -> None:
    told = []
    for order in (reports, data.draw(st.permutations([*reports, *reports[: len(reports) // 2]]))):
        redis.Redis.from_url(feedback.state._url).flushall()  # the counters must start equal
        customer, decisions = feedback.customer()
        feedback.report(customer, decisions, order)
        told.append(feedback.tell(customer, decisions))
    assert told[0] == told[1]


def numbered(items: Sequence[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    return [(kind, {"message_id": str(place), **item}) for place, (kind, item) in enumerate(items)]


def told_after(feedback: Feedback, *items: tuple[str, dict[str, Any]]) -> Known:
    customer, decisions = feedback.customer()
    feedback.report(
        customer, decisions, [(kind, {"message_id": str(n), **item}) for n, (kind, item) in enumerate(items)]
    )
    return feedback.run(feedback.state.read(Lookup(customer_id=customer, touchpoint_id="t", supply=TOLD)))


def happened(named: str, at: datetime = NOW, **properties: Any) -> tuple[str, dict[str, Any]]:
    return "events", {"type": named, "occurred_at": at.isoformat(), "properties": properties}


def became(kind: str, decision: str = "a", at: datetime = NOW) -> tuple[str, dict[str, Any]]:
    return "outcomes", {"type": kind, "occurred_at": at.isoformat(), "decision_id": decision}


def test_a_case_is_opened_by_its_events_with_the_highest_severity_and_resolved_by_id(feedback: Feedback) -> None:
    later = NOW - timedelta(minutes=1)
    cases = told_after(
        feedback,
        happened("case_opened", NOW - timedelta(hours=1), kind="complaint", case_id="7"),
        happened("case_opened", later, kind="complaint", case_id="7", severity="high"),
        happened("case_opened", later, kind="complaint", case_id="7", severity="normal"),
        happened("case_resolved", case_id="7"),
        happened("return", later),
        happened("delivery", NOW - timedelta(hours=2)),
    ).live.cases
    complaint, lost = cases
    assert (complaint.case_id, complaint.severity, complaint.opened_at, complaint.resolved_at) == (
        "7", "high", later, NOW,
    )  # fmt: skip
    assert (lost.case_id, lost.kind, lost.opened_at, lost.resolved_at) == (
        "lost_item", "lost_item", later, NOW - timedelta(hours=2),
    )  # fmt: skip


def test_a_resolution_alone_opens_no_case(feedback: Feedback) -> None:
    assert told_after(feedback, happened("delivery"), happened("case_resolved", case_id="9")).live.cases == ()


def test_a_complaint_about_a_message_opens_a_case(feedback: Feedback) -> None:
    known = told_after(feedback, became("complained"))
    [case] = known.live.cases
    assert (case.kind, case.case_id, case.channel_id, case.opened_at) == ("complaint", "complaint", "email", NOW)
    assert [one.is_confirmed for one in known.live.contacts if one.touch.offer_id == "free-coffee"] == [True]


def test_of_two_answers_at_one_moment_the_refusal_wins(feedback: Feedback) -> None:
    live = told_after(
        feedback,
        happened("consent_withdrawn", channel="email", purpose="marketing"),
        happened("consent_given", channel="email", purpose="marketing"),
        happened("profiling_opted_out"),
        happened("profiling_opted_in"),
        happened("protected", protection="minor"),
        happened("unprotected", protection="minor"),
        happened("message_due", due_id="x", offer_id="opening-hours", channel="email", due_at=NOW.isoformat()),
        happened("message_due_cancelled", due_id="x"),
    ).live
    assert [(one.channel_id, one.purpose, one.is_granted) for one in live.consents] == [("email", "marketing", False)]
    assert live.has_opted_out_of_profiling is True
    assert live.protections == {"minor": True}
    assert [one.due_id for one in live.due] == ["x"]


def test_a_refusal_without_channel_and_purpose_applies_to_all(feedback: Feedback) -> None:
    consents = told_after(feedback, happened("consent_withdrawn")).live.consents
    assert {(one.channel_id, one.purpose) for one in consents} == {
        (channel, purpose) for channel in ("email", "push") for purpose in PURPOSES
    }
    assert not any(one.is_granted for one in consents)


def test_outcomes_that_suppress_are_stored_by_message_and_time(feedback: Feedback) -> None:
    earlier = NOW - timedelta(hours=1)
    known = told_after(
        feedback,
        became("declined", at=earlier),
        became("declined", at=NOW),
        became("declined", at=earlier - timedelta(hours=1)),
        became("accepted", "b"),
        became("viewed", "c"),
        became("bounced", "c"),
        became("unsubscribed", "c"),
    )
    assert {(one.outcome, one.touch.offer_id, one.at) for one in known.live.responses} == {
        ("declined", "free-coffee", NOW),
        ("accepted", "ten-percent", NOW),
        ("bounced", "double-stamps", NOW),
        ("unsubscribed", "double-stamps", NOW),
    }
    assert known.unsubscribed_at == {"email": NOW}


def test_a_profiling_opt_out_deletes_the_features_even_if_it_arrives_late(feedback: Feedback) -> None:
    from features.online.redis_keys import feature_key

    client = redis.Redis.from_url(feedback.state._url)
    late = happened("profiling_opted_out", NOW - timedelta(hours=1))
    for words, is_kept in (
        ([happened("profiling_opted_out")], False),
        ([happened("profiling_opted_in"), late], False),
        ([happened("profiling_opted_in")], True),
    ):
        customer, decisions = feedback.customer()
        client.set(feature_key(customer), b"record")
        feedback.report(customer, decisions, numbered(words))
        assert bool(client.exists(feature_key(customer))) is is_kept


def test_the_newest_cases_and_responses_and_all_consents_are_kept(feedback: Feedback) -> None:
    customer, decisions = feedback.customer()
    items = [happened("consent_withdrawn", NOW - timedelta(days=900), channel="email", purpose="marketing")]
    items += [
        happened("case_opened", NOW - timedelta(minutes=n), kind="complaint", case_id=f"case-{n}") for n in range(560)
    ]
    values = [{**item, "message_id": f"{customer}-{n}", "customer_id": customer} for n, (_, item) in enumerate(items)]
    for some in (values[:300], values[300:]):
        taken: Report = feedback.run(feedback.intake.events(some, feedback.in_force))
        assert not taken.rejected
    live = feedback.run(feedback.state.read(Lookup(customer_id=customer, touchpoint_id="t"))).live
    assert len(live.consents) == 1
    assert 500 <= len(live.cases) <= 512
    assert min(one.opened_at for one in live.cases) > NOW - timedelta(minutes=513)
    assert decisions


@pytest.mark.parametrize(
    ("kind", "properties", "pointer", "words"),
    [
        ("case_opened", {}, "kind", "a kind of case"),
        ("case_opened", {"kind": "complain"}, "kind", "did you mean 'complaint'"),
        ("case_opened", {"kind": "complaint", "severity": "hihg"}, "severity", "did you mean 'high'"),
        ("case_opened", {"kind": "complaint", "case_id": 7}, "case_id", "text"),
        ("case_resolved", {}, "case_id", "must name the case"),
        ("case_resolved", {"kind": "nonsense"}, "kind", "a kind of case"),
        ("consent_given", {"channel": "email"}, "purpose", "a purpose"),
        ("consent_given", {"channel": "emial", "purpose": "marketing"}, "channel", "did you mean 'email'"),
        ("protected", {"protection": "famous"}, "protection", "deceased, legal_hold, minor, vulnerable"),
        ("unprotected", {}, "protection", "one of"),
        ("stage_entered", {"stage": "lapesd"}, "stage", "did you mean 'lapsed'"),
        ("message_due", {"offer_id": "free-coffee"}, "due_id", "text"),
        ("message_due", {"due_id": "x", "offer_id": "fre-coffee"}, "offer_id", "did you mean 'free-coffee'"),
        ("message_due", {"due_id": "x", "offer_id": "free-coffee", "channel": "fax"}, "channel", "a channel"),
        (
            "message_due",
            {"due_id": "x", "offer_id": "free-coffee", "channel": "email", "creative": "fancy"},
            "creative",
            "known are plain",
        ),
        (
            "message_due",
            {"due_id": "x", "offer_id": "free-coffee", "channel": "email", "due_at": "2026-11-22T09:03:11"},
            "due_at",
            "with an offset",
        ),
        ("message_due_cancelled", {"due_id": ""}, "due_id", "text"),
    ],
)
def test_an_invalid_state_event_is_refused_alone(
    feedback: Feedback, kind: str, properties: dict[str, Any], pointer: str, words: str
) -> None:
    customer, _ = feedback.customer()
    value = {"message_id": customer, "customer_id": customer, **happened(kind, **properties)[1]}
    good = {**value, "message_id": f"{customer}-2", "type": "browse", "properties": {}}

    taken: Report = feedback.run(feedback.intake.events([value, good], feedback.in_force))

    [rejected] = taken.rejected
    assert taken.accepted == (1,)
    assert (rejected.index, rejected.faults[0].pointer) == (0, f"/properties/{pointer}")
    assert words in rejected.detail
    assert orjson.dumps(taken.document())
