"""A decision is restored from its record bit for bit, through JSON."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import (
    ContactPolicy,
    Fatigue,
)
from decisioning.catalogue.experiment import Holdout
from decisioning.catalogue.limits import Supply
from decisioning.customer import Consent
from decisioning.decision import Evaluated, Excluded, Exclusion, Inputs, Placement
from decisioning.errors import InvalidInputError
from decisioning.live import LiveState
from decisioning.policy import Policy, decide
from decisioning.record.document import (
    RECORD_VERSION,
    decision_from_record,
    decision_to_record,
    inputs_from_record,
    inputs_to_record,
    replay,
)
from decisioning.scoring import FeatureVector
from tests.decisioning.record.everything import FULL_LIVE, WEEK, full_inputs

type MakeInputs = Callable[..., Inputs]

FACTS = st.dictionaries(
    st.sampled_from(["age", "region", "x"]),
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
)
TIMES = st.datetimes(
    min_value=datetime.fromisoformat("2000-01-01"),
    max_value=datetime.fromisoformat("2100-01-01"),
    timezones=st.just(UTC),
)


def as_text(record: dict[str, Any]) -> str:
    return json.dumps(record, allow_nan=False)


@settings(max_examples=100, deadline=None)
@given(
    attributes=FACTS,
    context=FACTS,
    features=st.none() | st.lists(st.floats(), min_size=3, max_size=3),
    scores=st.none() | st.lists(st.floats(-1e12, 1e12), min_size=9, max_size=9),
    uniform=st.floats(0, 1, exclude_max=True),
    recorded_at=st.none() | TIMES,
    when=TIMES,
    customer_id=st.text(max_size=5),
    is_known=st.booleans(),
)
def test_a_record_replays_bit_for_bit_after_a_round_trip_through_json(
    shop_policy: Policy, inputs_of: MakeInputs, **drawn: Any
) -> None:
    names = ("customer_tenure_days", "purchase_count_90d", "x")
    values = drawn["features"]
    vector = values and FeatureVector(names=names, values=np.array(values), ages_seconds={"g": None}, schema="s")
    inputs = inputs_of(
        shop_policy,
        drawn["customer_id"],
        attributes=drawn["attributes"],
        context=drawn["context"],
        features=vector,
        expected_values=None if drawn["scores"] is None else np.array(drawn["scores"]),
        uniform=drawn["uniform"],
        now=drawn["when"],
        consents=(
            Consent(
                channel_id="email", purpose="marketing", is_granted=True, recorded_at=drawn["recorded_at"], source="web"
            ),
        ),
    )
    decision = decide(shop_policy, inputs if drawn["is_known"] else replace(inputs, customer=None), "D-1")
    record = decision_to_record(decision)
    for stored in (json.loads(as_text(record)), orjson.loads(orjson.dumps(record))):
        assert as_text(decision_to_record(decision_from_record(stored))) == as_text(record)
        assert as_text(decision_to_record(replay(shop_policy, stored))) == as_text(record)


def test_the_whole_request_is_restored(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    inputs = inputs_of(
        plain_policy,
        channels=frozenset({"push", "email"}),
        excluded_offers=frozenset({"b", "a"}),
        stage_id="new",
        context={"basket_value": 3.5},
        unsubscribed_channels=frozenset({"push"}),
        degraded=("features_stale",),
    )
    back = inputs_from_record(json.loads(as_text(inputs_to_record(inputs))))
    assert back.request == inputs.request
    assert back.customer == inputs.customer
    assert (back.now, back.uniform, back.model_version, back.degraded) == (
        inputs.now,
        inputs.uniform,
        inputs.model_version,
        inputs.degraded,
    )
    assert inputs.expected_values is not None
    assert back.expected_values is not None
    assert back.expected_values.dtype == np.float64
    assert back.expected_values.tobytes() == inputs.expected_values.tobytes()
    assert back.features is not None
    assert inputs.features is not None
    assert back.features.names == inputs.features.names
    assert back.features.values.tobytes() == inputs.features.values.tobytes()
    assert (back.features.ages_seconds, back.features.schema) == ({"purchase": 60.0}, "s1")


def test_missing_and_infinite_features_are_restored(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    values = [float("nan"), float("inf"), -float("inf"), -0.0, 5e-324]
    features = FeatureVector(names=tuple("abcde"), values=np.array(values), ages_seconds={}, schema="s")
    plain = inputs_to_record(inputs_of(plain_policy, features=features))
    assert plain["features"]["values"]["a"] is None
    back = inputs_from_record(json.loads(as_text(plain))).features
    assert back is not None
    assert np.array_equal(back.values, features.values, equal_nan=True)
    assert np.signbit(back.values[3])


def test_numbers_that_json_writers_refuse_are_restored(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    context = {"huge": 10**30, "edge": 2**63, "fits": -(2**63), "endless": float("inf"), "whole": 3, "real": 3.0}
    stored = orjson.loads(orjson.dumps(inputs_to_record(inputs_of(plain_policy, context=context))))
    back = inputs_from_record(stored).request.context
    assert back == context
    assert [type(value) for value in back.values()] == [type(value) for value in context.values()]


def test_a_moment_keeps_its_offset(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    moment = datetime(2026, 11, 1, 12, 30, tzinfo=timezone(timedelta(hours=2)))
    record = decision_to_record(decide(plain_policy, inputs_of(plain_policy, now=moment), "D-1"))
    assert record["decided_at"] == "2026-11-01T12:30:00+02:00"
    assert as_text(decision_to_record(replay(plain_policy, record))) == as_text(record)


def test_a_decision_is_restored_with_its_types(shop_policy: Policy, inputs_of: MakeInputs) -> None:
    decision = decide(shop_policy, inputs_of(shop_policy, reachable_channels=frozenset({"push"})), "D-1")
    back = decision_from_record(json.loads(as_text(decision_to_record(decision))))
    assert back.evaluated == decision.evaluated
    assert back.excluded == decision.excluded
    for name in ("action", "reason", "arms", "decided_at", "degraded", "action_probability"):
        assert getattr(back, name) == getattr(decision, name)
        assert type(getattr(back, name)) is type(getattr(decision, name))


def test_replay_with_another_policy_is_refused(
    plain_policy: Policy, plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    record = decision_to_record(decide(plain_policy, inputs_of(plain_policy), "D-1"))
    with pytest.raises(InvalidInputError, match="policy_version must be"):
        replay(Policy(plain_catalogue, seed="another"), record)


def test_replay_shows_that_a_record_was_changed(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    record = decision_to_record(decide(plain_policy, inputs_of(plain_policy), "D-1"))
    forged = {**record, "message_key": "double-stamps/email/plain", "action_probability": 1.0}
    assert decision_to_record(replay(plain_policy, forged)) == record != forged


def test_explaining_and_replaying_change_nothing(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    record = decision_to_record(decide(plain_policy, inputs_of(plain_policy), "D-1"))
    before = as_text(record)
    replay(plain_policy, record)
    decision_from_record(record)
    assert as_text(record) == before


@pytest.mark.parametrize("version", [None, 3, "1", True])
def test_a_record_of_another_version_is_refused(plain_policy: Policy, inputs_of: MakeInputs, version: Any) -> None:
    record = decision_to_record(decide(plain_policy, inputs_of(plain_policy), "D-1"))
    with pytest.raises(InvalidInputError, match="record_version must be 1 or 2"):
        decision_from_record({**record, "record_version": version})


@pytest.mark.parametrize(
    "damage",
    [
        {"inputs": None},
        {"inputs": {}},
        {"action": "shout"},
        {"decided_at": "yesterday"},
        {"decided_at": 3},
        {"evaluated": [{"message_key": "silence"}]},
        {"excluded": 3},
        {"arms": "x"},
    ],
)
def test_a_damaged_record_is_refused(plain_policy: Policy, inputs_of: MakeInputs, damage: dict[str, Any]) -> None:
    record = decision_to_record(decide(plain_policy, inputs_of(plain_policy), "D-1"))
    with pytest.raises(InvalidInputError, match="it is damaged or cut short"):
        decision_from_record({**record, **damage})
    with pytest.raises(InvalidInputError, match="it is damaged or cut short"):
        inputs_from_record({**record["inputs"], "features": {"values": {"a": {"number": "huge"}}}})


def test_everything_a_decision_uses_is_restored(full_policy: Policy, inputs_of: MakeInputs) -> None:
    inputs = full_inputs(full_policy, inputs_of, protections=frozenset({"legal_hold"}), has_opted_out_of_profiling=True)
    back = inputs_from_record(json.loads(as_text(inputs_to_record(inputs))))
    for name in ("request", "customer", "live", "supply", "unfit", "allocated"):
        assert getattr(back, name) == getattr(inputs, name)


@settings(max_examples=60, deadline=None)
@given(
    uniform=st.floats(0, 1, exclude_max=True),
    scores=st.none() | st.lists(st.floats(-1e4, 1e4), min_size=9, max_size=9),
    held_out=st.booleans(),
    opted_out=st.sampled_from([None, True, False]),
    is_lost=st.booleans(),
)
def test_a_decision_with_every_field_filled_replays_bit_for_bit(
    full_policy: Policy, inputs_of: MakeInputs, **drawn: Any
) -> None:
    holdout = Holdout(share=1.0, salt="h") if drawn["held_out"] else None
    policy = Policy(replace(full_policy.catalogue, holdout=holdout))
    live = replace(FULL_LIVE, has_opted_out_of_profiling=drawn["opted_out"], is_lost=drawn["is_lost"])
    scores = drawn["scores"] and np.array(drawn["scores"])
    decision = decide(
        policy, full_inputs(policy, inputs_of, uniform=drawn["uniform"], expected_values=scores, live=live), "D-1"
    )
    record = decision_to_record(decision)
    stored = orjson.loads(orjson.dumps(record))
    assert as_text(decision_to_record(decision_from_record(stored))) == as_text(record)
    assert as_text(decision_to_record(replay(policy, stored))) == as_text(record)


def test_the_results_of_a_decision_are_restored_with_their_types(full_policy: Policy, inputs_of: MakeInputs) -> None:
    policy = Policy(replace(full_policy.catalogue, holdout=Holdout(share=1.0, salt="h")))
    decision = decide(policy, full_inputs(policy, inputs_of), "D-1")
    assert decision.ghost is not None
    assert decision.further
    assert decision.programme_holdouts
    assert decision.care is not None
    back = decision_from_record(json.loads(as_text(decision_to_record(decision))))
    for name in ("further", "ghost", "programme_holdouts", "care", "retry_at", "best_key", "evaluated", "excluded"):
        assert getattr(back, name) == getattr(decision, name)
    by_mail = full_inputs(
        full_policy, inputs_of, placements=(Placement(placement_id="a", channels=frozenset({"email"})),)
    )
    waiting = decide(full_policy, by_mail, "D-2")
    assert decision_from_record(decision_to_record(waiting)).retry_at == waiting.retry_at is not None


def test_the_cost_of_one_more_contact_is_restored(full_policy: Policy, inputs_of: MakeInputs) -> None:
    live = LiveState(contacts=FULL_LIVE.contacts[:1])
    policy = Policy(
        replace(
            full_policy.catalogue, contact_policy=ContactPolicy(fatigue=Fatigue(cost_minor=3.0, half_life_seconds=WEEK))
        )
    )
    decision = decide(policy, full_inputs(policy, inputs_of, live=live), "D-1")
    assert any(entry.fatigue_minor > 0 for entry in decision.evaluated)
    assert decision_from_record(json.loads(as_text(decision_to_record(decision)))).evaluated == decision.evaluated


def test_the_greedy_choice_beside_an_allocation_is_restored(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    decision = decide(plain_policy, inputs_of(plain_policy, allocated="double-stamps/email/plain"), "D-1")
    back = decision_from_record(json.loads(as_text(decision_to_record(decision))))
    assert back.best == decision.best
    assert back.best.message_key == "double-stamps/email/plain"


def test_empty_fields_are_not_written(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    record = decision_to_record(decide(plain_policy, inputs_of(plain_policy), "D-1"))
    assert record["record_version"] == RECORD_VERSION == 2
    new = {"further", "ghost", "programme_holdouts", "retry_at", "care", "best_key"}
    assert not new & record.keys()
    assert not {"live", "supply", "unfit", "allocated"} & record["inputs"].keys()
    assert not {"household_id", "country", "protections"} & record["inputs"]["customer"].keys()
    assert "placements" not in record["inputs"]["request"]
    assert set(record["evaluated"][0]) == set(Evaluated._fields[:6])


OLD_RECORD = {
    "record_version": 1, "decision_id": "D-1", "customer_id": "C-1", "touchpoint_id": "app-home",
    "decided_at": "2026-11-01T12:00:00+00:00", "action": "send", "reason": "MODEL",
    "message_key": "ten-percent/push/plain", "offer_id": "ten-percent", "channel_id": "push", "creative_id": "plain",
    "action_probability": 0.92, "stage_id": "active", "arms": {"test": "all"}, "is_held_out": False,
    "policy_version": "d068766a89f64f73", "model_version": "7", "degraded": [],
    "evaluated": [
        {"message_key": "silence", "expected_value_minor": 1000.0, "uplift_minor": 0.0, "cost_minor": 0.0,
         "priority_minor": 0.0, "probability": 0.08},
        {"message_key": "ten-percent/push/plain", "expected_value_minor": 1400.0, "uplift_minor": 400.0,
         "cost_minor": 0.5, "priority_minor": 399.5, "probability": 0.92},
    ],
    "excluded": [{"message_key": "free-coffee/push/plain", "reasons": ["NO_CONSENT", "NOT_ELIGIBLE"]}],
    "inputs": {
        "request": {"customer_id": "C-1", "touchpoint_id": "app-home", "request_key": "k", "context": {},
                    "channels": None, "excluded_offers": [], "stage_id": None},
        "customer": {"customer_id": "C-1", "attributes": {"age": 30}, "time_zone": "Europe/Berlin", "locale": None,
                     "reachable_channels": ["push"], "consents": [], "unsubscribed_channels": []},
        "features": None, "expected_values": [1000.0, 1400.0], "model_version": "7",
        "now": "2026-11-01T12:00:00+00:00", "uniform": 0.5, "degraded": [],
    },
}  # fmt: skip


def test_a_record_of_the_first_version_is_still_read() -> None:
    decision = decision_from_record(OLD_RECORD)
    assert (decision.best.message_key, decision.best.business_weight) == ("ten-percent/push/plain", 1.0)
    assert decision.excluded == (
        Excluded(
            message_key="free-coffee/push/plain",
            reasons=(Exclusion.NO_CONSENT, Exclusion.NOT_ELIGIBLE),
            details=("", ""),
        ),
    )
    assert (decision.further, decision.ghost, decision.care, decision.retry_at) == ((), None, None, None)
    assert (decision.inputs.live, decision.inputs.supply) == (LiveState(), Supply())
    assert decision.inputs.customer is not None
    assert decision.inputs.customer.household_id is None
    again = decision_to_record(decision)
    assert {**again, "record_version": 1} == OLD_RECORD


@pytest.mark.parametrize(
    "damage", [{"live": {"contacts": [{}]}}, {"live": {"events": ["x"]}}, {"supply": 3}, {"live": {"cases": 1}}]
)
def test_damaged_live_state_is_refused(plain_policy: Policy, inputs_of: MakeInputs, damage: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="it is damaged or cut short"):
        inputs_from_record(inputs_to_record(inputs_of(plain_policy)) | damage)
