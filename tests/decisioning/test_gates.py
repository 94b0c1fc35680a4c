"""Each gate alone: what it refuses, at which boundary, and that all reasons are told."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from decisioning.catalogue import Catalogue
from decisioning.customer import Consent
from decisioning.decision import Decision, Exclusion, Inputs
from decisioning.errors import InvalidInputError
from decisioning.experiment import ArmPolicy, Experiment, Holdout
from decisioning.gates import GATES
from decisioning.message import MessageClass
from decisioning.policy import Policy, decide
from decisioning.predicate import Compare, Comparison, Not

type MakeInputs = Callable[..., Inputs]
KEY = "ten-percent/email/plain"


def reasons(decision: Decision, key: str = KEY) -> tuple[Exclusion, ...]:
    return next((one.reasons for one in decision.excluded if one.message_key == key), ())


def judge(policy: Policy, inputs_of: MakeInputs, **fields: Any) -> Decision:
    return decide(policy, inputs_of(policy, **fields), "D-1")


def with_offer(catalogue: Catalogue, **change: Any) -> Policy:
    offer = replace(catalogue.offers["ten-percent"], **change)
    return Policy(replace(catalogue, offers={**catalogue.offers, "ten-percent": offer}))


def answer(is_granted: bool, recorded_at: datetime | None = None, **fields: str) -> Consent:
    pair = {"channel_id": "email", "purpose": "marketing"} | fields
    return Consent(**pair, is_granted=is_granted, recorded_at=recorded_at)


def test_who_is_right_in_every_respect_passes_every_gate(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    decision = judge(plain_policy, inputs_of)
    assert {one.message_key.split("/")[0] for one in decision.evaluated} == {
        "silence",
        "double-stamps",
        "free-coffee",
        "opening-hours",
        "ten-percent",
    }
    assert decision.excluded == ()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"channels": frozenset({"push"})}, Exclusion.CHANNEL_NOT_ASKED),
        ({"channels": frozenset()}, Exclusion.CHANNEL_NOT_ASKED),
        ({"excluded_offers": frozenset({"ten-percent"})}, Exclusion.EXCLUDED_BY_CALLER),
        ({"reachable_channels": frozenset({"push"})}, Exclusion.NOT_REACHABLE),
        ({"consents": ()}, Exclusion.NO_CONSENT),
        ({"unsubscribed_channels": frozenset({"email"})}, Exclusion.UNSUBSCRIBED),
        ({"attributes": {"age": 17}}, Exclusion.NOT_ELIGIBLE),
        ({"attributes": {"age": "30"}}, Exclusion.NOT_ELIGIBLE),
        ({"attributes": {}}, Exclusion.NOT_ELIGIBLE),
        ({"expected_values": None}, Exclusion.NOT_SCORED),
    ],
)
def test_each_gate_gives_its_own_reason(
    plain_policy: Policy, inputs_of: MakeInputs, fields: dict[str, Any], reason: Exclusion
) -> None:
    assert reasons(judge(plain_policy, inputs_of, **fields)) == (reason,)


def test_every_reason_is_told_in_the_order_of_the_gates(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    until = datetime(2026, 1, 1, tzinfo=UTC)
    catalogue = replace(plain_catalogue, holdout=Holdout(share=1.0, salt="h"))
    policy = with_offer(catalogue, valid_until=until, stages=frozenset({"new"}))
    decision = judge(
        policy,
        inputs_of,
        channels=frozenset({"push"}),
        excluded_offers=frozenset({"ten-percent"}),
        reachable_channels=frozenset(),
        consents=(),
        unsubscribed_channels=frozenset({"email"}),
        attributes={},
        expected_values=None,
    )
    assert reasons(decision) == (
        Exclusion.CHANNEL_NOT_ASKED,
        Exclusion.EXCLUDED_BY_CALLER,
        Exclusion.NOT_REACHABLE,
        Exclusion.NO_CONSENT,
        Exclusion.UNSUBSCRIBED,
        Exclusion.EXPIRED,
        Exclusion.WRONG_STAGE,
        Exclusion.NOT_ELIGIBLE,
        Exclusion.HOLDOUT,
        Exclusion.NOT_SCORED,
    )
    assert len(GATES) == 11


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
def test_the_latest_answer_wins_and_in_doubt_it_is_no(
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


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"valid_from": timedelta(0)}, ()),
        ({"valid_from": timedelta(microseconds=1)}, (Exclusion.NOT_YET_VALID,)),
        ({"valid_until": timedelta(0)}, (Exclusion.EXPIRED,)),
        ({"valid_until": timedelta(microseconds=1)}, ()),
        ({"valid_from": timedelta(-1), "valid_until": timedelta(1)}, ()),
    ],
)
def test_validity_includes_its_start_and_excludes_its_end(
    plain_catalogue: Catalogue,
    inputs_of: MakeInputs,
    now: datetime,
    bounds: dict[str, timedelta],
    expected: tuple[Exclusion, ...],
) -> None:
    policy = with_offer(plain_catalogue, **{name: now + offset for name, offset in bounds.items()})
    assert reasons(judge(policy, inputs_of)) == expected


def test_an_offer_for_other_stages_is_refused(
    plain_policy: Policy, inputs_of: MakeInputs, features_of: Callable[..., Any]
) -> None:
    lapsed = judge(plain_policy, inputs_of, features=features_of(purchase_count_90d=0.0))
    assert lapsed.stage_id == "lapsed"
    assert reasons(lapsed, "free-coffee/email/plain") == (Exclusion.WRONG_STAGE,)
    named = judge(plain_policy, inputs_of, stage_id="new")
    assert named.stage_id == "new"
    assert reasons(named, "free-coffee/email/plain") == ()


def test_the_creative_has_a_rule_of_its_own(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    german = Compare(fact="context.language", comparison=Comparison.EQUALS, value="de")
    creatives = tuple(
        replace(one, eligibility=german) if one.offer_id == "ten-percent" and one.channel_id == "email" else one
        for one in plain_catalogue.creatives
    )
    policy = Policy(replace(plain_catalogue, creatives=creatives))
    assert reasons(judge(policy, inputs_of)) == (Exclusion.NOT_ELIGIBLE,)
    assert reasons(judge(policy, inputs_of, context={"language": "de"})) == ()
    assert reasons(judge(policy, inputs_of), "ten-percent/push/plain") == ()


@pytest.mark.parametrize(
    "rule",
    [
        Compare(fact="complaint_count_90d", comparison=Comparison.AT_LEAST, value=1),
        Not(part=Compare(fact="complaint_count_90d", comparison=Comparison.AT_LEAST, value=1)),
        Compare(fact="complaint_count_90d", comparison=Comparison.IS_MISSING, value=True),
        Compare(fact="stage", comparison=Comparison.IS_MISSING, value=True),
        Not(part=Compare(fact="stage", comparison=Comparison.EQUALS, value="new")),
    ],
)
def test_a_rule_that_cannot_be_checked_without_features_is_not_met(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, rule: Any
) -> None:
    decision = judge(with_offer(plain_catalogue, eligibility=rule), inputs_of, features=None)
    assert decision.stage_id is None
    assert reasons(decision) == (Exclusion.NOT_ELIGIBLE,)
    assert reasons(decision, "free-coffee/email/plain") == (Exclusion.WRONG_STAGE,)
    assert reasons(decision, "double-stamps/email/plain") == ()


def test_a_rule_over_the_stage_can_be_checked_where_the_caller_names_it(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    rule = Not(part=Compare(fact="stage", comparison=Comparison.EQUALS, value="new"))
    policy = with_offer(plain_catalogue, eligibility=rule)
    assert reasons(judge(policy, inputs_of, features=None, stage_id="active")) == ()
    assert reasons(judge(policy, inputs_of, features=None, stage_id="new")) == (Exclusion.NOT_ELIGIBLE,)


def test_holdout_and_silent_arm_stop_marketing_and_nothing_else(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, experiment_of: Callable[..., Experiment]
) -> None:
    held_out = Policy(replace(plain_catalogue, holdout=Holdout(share=1.0, salt="h")))
    silent = Policy(replace(plain_catalogue, experiments=(experiment_of(ArmPolicy.SILENCE),)))
    for policy, reason in ((held_out, Exclusion.HOLDOUT), (silent, Exclusion.EXPERIMENT_ARM)):
        decision = judge(policy, inputs_of)
        assert {one.message_key for one in decision.evaluated} == {
            "silence",
            "opening-hours/email/plain",
            "opening-hours/push/plain",
        }
        assert {one.reasons for one in decision.excluded} == {(reason,)}


def test_without_a_score_only_marketing_is_refused(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    decision = judge(plain_policy, inputs_of, expected_values=None)
    assert {one.message_key.split("/")[0] for one in decision.evaluated} == {"silence", "opening-hours"}
    assert {one.reasons for one in decision.excluded} == {(Exclusion.NOT_SCORED,)}


def test_an_unknown_customer_passes_nothing(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = with_offer(plain_catalogue, purpose=None, message_class=MessageClass.MANDATORY)
    decision = judge(policy, inputs_of, customer=None, features=None, expected_values=None)
    assert len(decision.evaluated) == 1
    assert all(Exclusion.NOT_REACHABLE in one.reasons for one in decision.excluded)
    assert reasons(decision, "opening-hours/email/plain")[:2] == (Exclusion.NOT_REACHABLE, Exclusion.NO_CONSENT)
