"""A record brings its decision back bit for bit, through JSON."""

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

from decisioning.catalogue import Catalogue
from decisioning.customer import Consent
from decisioning.decision import Inputs
from decisioning.errors import InvalidInputError
from decisioning.policy import Policy, decide
from decisioning.record import (
    decision_from_record,
    decision_to_record,
    inputs_from_record,
    inputs_to_record,
    replay,
)
from decisioning.scoring import FeatureVector

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


def test_everything_that_was_asked_comes_back(plain_policy: Policy, inputs_of: MakeInputs) -> None:
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


def test_missing_and_infinite_features_come_back_as_what_they_were(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    values = [float("nan"), float("inf"), -float("inf"), -0.0, 5e-324]
    features = FeatureVector(names=tuple("abcde"), values=np.array(values), ages_seconds={}, schema="s")
    plain = inputs_to_record(inputs_of(plain_policy, features=features))
    assert plain["features"]["values"]["a"] is None
    back = inputs_from_record(json.loads(as_text(plain))).features
    assert back is not None
    assert np.array_equal(back.values, features.values, equal_nan=True)
    assert np.signbit(back.values[3])


def test_numbers_that_json_writers_refuse_come_back_as_what_they_were(
    plain_policy: Policy, inputs_of: MakeInputs
) -> None:
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


def test_a_decision_comes_back_with_its_types(shop_policy: Policy, inputs_of: MakeInputs) -> None:
    decision = decide(shop_policy, inputs_of(shop_policy, reachable_channels=frozenset({"push"})), "D-1")
    back = decision_from_record(json.loads(as_text(decision_to_record(decision))))
    for name in ("action", "reason", "arms", "evaluated", "excluded", "decided_at", "degraded", "action_probability"):
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


@pytest.mark.parametrize("version", [None, 2, "1"])
def test_a_record_of_another_version_is_refused(plain_policy: Policy, inputs_of: MakeInputs, version: Any) -> None:
    record = decision_to_record(decide(plain_policy, inputs_of(plain_policy), "D-1"))
    with pytest.raises(InvalidInputError, match="record_version must be 1"):
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
