"""Consent, profiling and protection at the gates: the latest answer counts, and in doubt the answer is no."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message import MessageClass
from decisioning.consent import is_profiled
from decisioning.customer import Consent
from decisioning.decision import Exclusion
from decisioning.errors import InvalidInputError
from decisioning.live import LiveState, RecentEvent
from decisioning.policy import Policy
from decisioning.rules.predicate import Compare, Comparison, Not
from tests.decisioning.gates.judging import MakeInputs, excluded, judge, reasons, with_offer


def answer(is_granted: bool, recorded_at: datetime | None = None, **fields: str) -> Consent:
    pair = {"channel_id": "email", "purpose": "marketing"} | fields
    return Consent(**pair, is_granted=is_granted, recorded_at=recorded_at)


@pytest.mark.parametrize(
    ("consents", "is_permitted"),
    [
        ((answer(True),), True),
        ((answer(False),), False),
        ((answer(True, channel_id="push"),), False),
        ((answer(True, purpose="service"),), False),
        ((answer(True), answer(False)), False),
        ((answer(False), answer(True)), False),
        ((answer(True, datetime(2026, 1, 1, tzinfo=UTC)), answer(False, datetime(2026, 2, 1, tzinfo=UTC))), False),
        ((answer(False, datetime(2026, 2, 1, tzinfo=UTC)), answer(True, datetime(2026, 1, 1, tzinfo=UTC))), False),
        ((answer(False, datetime(2026, 1, 1, tzinfo=UTC)), answer(True, datetime(2026, 2, 1, tzinfo=UTC))), True),
        ((answer(True, datetime(2026, 1, 1, tzinfo=UTC)), answer(False, datetime(2026, 1, 1, tzinfo=UTC))), False),
        ((answer(True, datetime(2026, 1, 1, tzinfo=UTC)), answer(False)), True),
        ((answer(False), answer(True, datetime(2026, 1, 1, tzinfo=UTC))), True),
        ((answer(True), answer(False, datetime(2026, 1, 1, tzinfo=UTC))), False),
        ((answer(True, datetime(2027, 1, 1, tzinfo=UTC)),), False),
        ((answer(True), answer(True, datetime(2027, 1, 1, tzinfo=UTC))), True),
        ((answer(True), answer(False, datetime(2027, 1, 1, tzinfo=UTC))), False),
    ],
)
def test_the_latest_consent_wins_and_in_doubt_it_is_no(
    plain_policy: Policy, inputs_of: MakeInputs, consents: tuple[Consent, ...], is_permitted: bool
) -> None:
    found = reasons(judge(plain_policy, inputs_of, consents=consents))
    assert found == (() if is_permitted else (Exclusion.NO_CONSENT,))


def test_an_answer_dated_without_an_offset_is_refused(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    with pytest.raises(InvalidInputError, match="recorded_at of a consent must be a time with an offset"):
        judge(plain_policy, inputs_of, consents=(answer(True, datetime.fromisoformat("2026-01-01")),))


@pytest.mark.parametrize("message_class", [MessageClass.MANDATORY, MessageClass.TRANSACTIONAL])
def test_a_message_without_purpose_needs_an_address_but_no_consent(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, message_class: MessageClass
) -> None:
    policy = with_offer(plain_catalogue, purpose=None, message_class=message_class)
    silent = {"consents": (), "unsubscribed_channels": frozenset({"email", "push"})}
    assert reasons(judge(policy, inputs_of, **silent)) == ()
    assert reasons(judge(policy, inputs_of, **silent, reachable_channels=frozenset())) == (Exclusion.NOT_REACHABLE,)


@pytest.mark.parametrize("protection", ["deceased", "minor", "vulnerable", "legal_hold", "something new"])
def test_only_mandatory_messages_reach_protected_people(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, protection: str
) -> None:
    for message_class in MessageClass:
        policy = with_offer(plain_catalogue, message_class=message_class)
        screening = judge(policy, inputs_of, protections=frozenset({protection}))
        is_mandatory = message_class is MessageClass.MANDATORY
        assert reasons(screening) == (() if is_mandatory else (Exclusion.PROTECTED,))


def test_a_protection_that_was_withdrawn_no_longer_applies(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    since = LiveState(protections={"vulnerable": False})
    two = frozenset({"vulnerable", "minor"})
    assert reasons(judge(plain_policy, inputs_of, protections=frozenset({"vulnerable"}), live=since)) == ()
    assert reasons(judge(plain_policy, inputs_of, protections=two, live=since)) == (Exclusion.PROTECTED,)
    on = LiveState(protections={"vulnerable": True})
    assert reasons(judge(plain_policy, inputs_of, live=on)) == (Exclusion.PROTECTED,)
    assert reasons(judge(plain_policy, inputs_of, customer=None, live=on))[0] == Exclusion.PROTECTED


def test_live_consents_and_profile_consents_are_ordered_by_time(
    plain_policy: Policy, inputs_of: MakeInputs, now: datetime
) -> None:
    yesterday, last_week = now - timedelta(days=1), now - timedelta(days=7)
    took_back = LiveState(consents=(answer(False, yesterday),))
    late_news = LiveState(consents=(answer(False, last_week),))
    gave = LiveState(consents=(answer(True, yesterday),))
    assert reasons(judge(plain_policy, inputs_of, live=took_back)) == (Exclusion.NO_CONSENT,)
    known = (answer(True, yesterday),)
    assert reasons(judge(plain_policy, inputs_of, consents=known, live=late_news)) == ()
    assert reasons(judge(plain_policy, inputs_of, consents=(), live=gave)) == ()


def test_a_missing_consent_is_reported_with_its_source_and_time(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    no = replace(answer(False, datetime(2026, 3, 1, tzinfo=UTC)), source="call")
    told = excluded(judge(plain_policy, inputs_of, consents=(no,)))
    assert told.details == ("marketing on email: refused on 2026-03-01, source call",)
    assert excluded(judge(plain_policy, inputs_of, consents=())).details == ("marketing on email: no answer",)


@pytest.mark.parametrize(
    ("profile", "live", "expected"),
    [
        ({}, {}, True),
        ({"has_opted_out_of_profiling": True}, {}, False),
        ({"has_opted_out_of_profiling": True}, {"has_opted_out_of_profiling": False}, True),
        ({}, {"has_opted_out_of_profiling": True}, False),
        ({"consents": (answer(False, purpose="profiling"),)}, {}, False),
        ({"consents": (answer(True, purpose="profiling"),)}, {}, True),
        ({"consents": (answer(False, purpose="profiling"),)}, {"has_opted_out_of_profiling": False}, True),
        ({}, {"consents": (answer(False, purpose="profiling", channel_id="push"),)}, False),
        ({"has_opted_out_of_profiling": True}, {"consents": (answer(True, purpose="profiling"),)}, True),
        (
            {
                "consents": (
                    answer(True, datetime(2026, 1, 1, tzinfo=UTC), purpose="profiling"),
                    answer(False, datetime(2026, 2, 1, tzinfo=UTC), purpose="profiling", channel_id="push"),
                )
            },
            {},
            False,
        ),
        (
            {
                "consents": (
                    answer(True, datetime(2026, 3, 1, tzinfo=UTC), purpose="profiling"),
                    answer(False, datetime(2026, 2, 1, tzinfo=UTC), purpose="profiling", channel_id="push"),
                )
            },
            {},
            True,
        ),
        ({"customer": None}, {}, True),
        ({"customer": None}, {"has_opted_out_of_profiling": True}, False),
        (
            {},
            {"has_opted_out_of_profiling": False, "consents": (answer(False, purpose="profiling"),)},
            False,
        ),
    ],
)
def test_the_latest_answer_on_profiling_wins_and_in_doubt_it_is_no(
    plain_policy: Policy, inputs_of: MakeInputs, profile: dict[str, Any], live: dict[str, Any], expected: bool
) -> None:
    assert is_profiled(inputs_of(plain_policy, **profile, live=LiveState(**live))) is expected


def test_without_profiling_no_score_is_needed_and_no_rule_uses_features(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    frequent = Compare(fact="purchase_count_90d", comparison=Comparison.AT_LEAST, value=1)
    often = Not(part=Compare(fact="purchase_count_90d", comparison=Comparison.AT_LEAST, value=100))
    browsed = Not(part=Compare(fact="live.browse_count_1h", comparison=Comparison.AT_LEAST, value=1))
    served = Compare(fact="live.care", comparison=Comparison.IS_MISSING, value=True)
    out = {"has_opted_out_of_profiling": True}
    live = LiveState(events=(RecentEvent(event_type="purchase", at=now),))
    unmet = (Exclusion.NOT_ELIGIBLE,)
    for rule, expected in ((frequent, unmet), (often, unmet), (browsed, unmet), (served, ())):
        policy = with_offer(plain_catalogue, eligibility=rule)
        assert reasons(judge(policy, inputs_of, live=live)) == ()
        assert reasons(judge(policy, inputs_of, live=live, **out)) == expected
        assert reasons(judge(policy, inputs_of, live=live, expected_values=None, **out)) == expected
