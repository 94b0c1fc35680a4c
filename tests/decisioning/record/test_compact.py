"""The whole document is restored from the compact form of a record, bit for bit.

A hundred generated catalogues with four customers each; set `NEXTBEST_TEST_CASES=5000` for more.
"""

import os
from dataclasses import asdict, replace
from datetime import UTC, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.experiment import Holdout
from decisioning.decision import Decision
from decisioning.errors import InvalidInputError
from decisioning.policy import Policy, decide
from decisioning.record.compact import COMPACT_VERSION, compact_record, decision_from_compact, features_from_compact
from decisioning.record.document import Record, decision_from_record, decision_to_record
from decisioning.record.vocabulary import FeatureNames, Vocabulary
from tests.decisioning.exploring import MakeInputs
from tests.decisioning.generated import made_catalogue, made_inputs
from tests.decisioning.record.everything import FULL_LIVE, full_inputs

CASES = int(os.environ.get("NEXTBEST_TEST_CASES", "100"))
STORED = Path(__file__).parent / "compact_record.json"
ID = "dec_07" + "0a" * 16


def row_of(decision: Decision) -> dict[str, Any]:
    """The columns of the log that a compact record does not repeat."""
    return {
        "decision_id": decision.decision_id,
        "customer_id": decision.customer_id,
        "decided_at": decision.decided_at,
        "touchpoint": decision.touchpoint_id,
        "offer_id": decision.offer_id,
        "channel": decision.channel_id,
        "creative_id": decision.creative_id,
        "action_probability": decision.action_probability,
        "stage": decision.stage_id,
        "arms": decision.arms,
        "policy_version": decision.policy_version,
        "model_version": decision.model_version,
        "is_held_out": decision.is_held_out,
        "ghost": None if decision.ghost is None else asdict(decision.ghost),
    }


def vocabulary_of(policy: Policy, decision: Decision, *, knows_features: bool = True) -> Vocabulary:
    features = decision.inputs.features
    known = {} if features is None else {features.schema: FeatureNames(features.names, tuple(features.ages_seconds))}
    return Vocabulary(policy.catalogue, decision.touchpoint_id, known if knows_features else {})


def stored(decision: Decision, vocabulary: Vocabulary) -> Record:
    record = orjson.loads(orjson.dumps(compact_record(decision, vocabulary)))
    assert record["record_version"] == COMPACT_VERSION
    return record


def check_comes_back(decision: Decision, vocabulary: Vocabulary) -> None:
    record, row = stored(decision, vocabulary), row_of(decision)
    back = decision_from_compact(row, record, vocabulary)
    assert orjson.dumps(decision_to_record(back)) == orjson.dumps(decision_to_record(decision))
    alone, features = features_from_compact(row, record, vocabulary), decision.inputs.features
    assert (alone is None) == (features is None)
    if alone is not None and features is not None:
        assert (alone.names, alone.schema, alone.ages_seconds) == (
            features.names,
            features.schema,
            features.ages_seconds,
        )
        assert alone.values.tobytes() == features.values.tobytes()


@settings(max_examples=CASES, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_document_is_restored_from_the_compact_form(seed: int) -> None:
    policy = Policy(made_catalogue(seed))
    for customer in range(4):
        decision = decide(policy, made_inputs(policy, seed + customer), f"D-{customer}")
        vocabulary = vocabulary_of(policy, decision, knows_features=customer > 0)
        assert vocabulary.keys.all == policy.board(decision.touchpoint_id).lineup.keys
        check_comes_back(decision, vocabulary)


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(
        st.floats(allow_nan=False) | st.sampled_from([np.nan, 0.0, -0.0, 1.0, 255.0, 256.0, 2.0**40, -3.0]), max_size=40
    ),
    scores=st.lists(st.floats(-1e9, 1e9), min_size=9, max_size=9),
    uniform=st.floats(0, 1, exclude_max=True),
)
def test_numbers_are_restored_bit_for_bit(
    plain_policy: Policy, inputs_of: MakeInputs, values: list[float], scores: list[float], uniform: float
) -> None:
    inputs = inputs_of(plain_policy, expected_values=np.array(scores), uniform=uniform)
    assert inputs.features is not None
    names = tuple(f"f{place}" for place in range(len(values)))
    inputs = replace(inputs, features=replace(inputs.features, names=names, values=np.array(values, dtype=np.float64)))
    decision = decide(plain_policy, inputs, ID)
    check_comes_back(decision, vocabulary_of(plain_policy, decision))


def test_a_missing_feature_is_missing_whatever_the_sign_of_its_nan(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    inputs = inputs_of(plain_policy)
    assert inputs.features is not None
    values = np.array([-np.nan, np.nan, 7.5])  # processors differ in the sign of 0 / 0
    inputs = replace(inputs, features=replace(inputs.features, names=("a", "b", "c"), values=values))
    decision = decide(plain_policy, inputs, ID)
    vocabulary = vocabulary_of(plain_policy, decision)
    features = features_from_compact(row_of(decision), stored(decision, vocabulary), vocabulary)
    assert features is not None
    assert features.values.tobytes() == np.array([np.nan, np.nan, 7.5]).tobytes()


def test_a_decision_without_a_compact_form_is_stored_whole(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    inputs = inputs_of(plain_policy)
    elsewhere = replace(inputs, now=inputs.now.astimezone(timezone(timedelta(hours=2))))
    whole_numbers = replace(inputs, supply=replace(inputs.supply, used={"limit:x:2026": 3}))  # pyright: ignore[reportArgumentType]
    for one in (elsewhere, whole_numbers):
        decision = decide(plain_policy, one, ID)
        assert compact_record(decision, vocabulary_of(plain_policy, decision)) == decision_to_record(decision)
    made = decide(plain_policy, inputs, ID)
    read = decision_from_record(decision_to_record(made))
    assert compact_record(read, vocabulary_of(plain_policy, made))["record_version"] == 2


def test_another_catalogue_and_damaged_bytes_are_detected(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    decision = decide(plain_policy, inputs_of(plain_policy), ID)
    vocabulary = vocabulary_of(plain_policy, decision)
    record, row = stored(decision, vocabulary), row_of(decision)
    other = Vocabulary(without_an_offer(plain_policy.catalogue), decision.touchpoint_id, vocabulary.features)
    cut = {**record, "packed": record["packed"][:-40]}
    for damaged, read_with in (
        (record, other),
        (record, vocabulary_of(plain_policy, decision, knows_features=False)),
        (cut, vocabulary),
        ({**record, "packed": '"'}, vocabulary),
        ({**record, "words": []}, vocabulary),
        ({**record, "facts": None}, vocabulary),
    ):
        with pytest.raises(InvalidInputError, match="or the feature schema is another one"):
            decision_from_compact(row, damaged, read_with)
        if damaged is not cut:  # what is cut off stands behind the features
            with pytest.raises(InvalidInputError, match="or the feature schema is another one"):
                features_from_compact(row, damaged, read_with)


def without_an_offer(catalogue: Catalogue) -> Catalogue:
    gone = min(catalogue.offers)
    offers = {name: offer for name, offer in catalogue.offers.items() if name != gone}
    left = tuple(one for one in catalogue.creatives if one.offer_id != gone)
    return replace(catalogue, offers=offers, creatives=left)


def test_names_missing_from_the_catalogue_are_written_out(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    inputs = inputs_of(plain_policy)
    assert inputs.customer is not None
    assert inputs.features is not None
    customer = replace(inputs.customer, reachable_channels=frozenset({"push", "carrier-pigeon"}))
    ages = {"one": None, "other": 12.5}
    for known in (
        replace(inputs, customer=customer),
        replace(inputs, features=replace(inputs.features, ages_seconds=ages)),
        replace(inputs, request=replace(inputs.request, excluded_offers=frozenset({"long-gone"}))),
    ):
        decision = decide(plain_policy, known, ID)
        check_comes_back(decision, vocabulary_of(plain_policy, decision))


def test_times_of_the_row_may_be_texts(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    decision = decide(plain_policy, inputs_of(plain_policy), ID)
    vocabulary = vocabulary_of(plain_policy, decision)
    row = row_of(decision) | {"decided_at": decision.decided_at.isoformat()}
    back = decision_from_compact(row, stored(decision, vocabulary), vocabulary)
    assert decision_to_record(back) == decision_to_record(decision)
    assert back.decided_at.tzinfo is UTC


def test_the_compact_form_takes_a_third_of_the_document_of_a_few_messages(
    full_policy: Policy, inputs_of: MakeInputs
) -> None:
    decision = decide(full_policy, full_inputs(full_policy, inputs_of), ID)
    compact = orjson.dumps(stored(decision, vocabulary_of(full_policy, decision)))
    assert len(compact) < len(orjson.dumps(decision_to_record(decision))) / 3


def test_inputs_with_every_field_filled_are_restored(full_policy: Policy, inputs_of: MakeInputs) -> None:
    policy = Policy(replace(full_policy.catalogue, holdout=Holdout(share=1.0, salt="h")))
    known = full_inputs(policy, inputs_of, protections=frozenset({"legal_hold"}), has_opted_out_of_profiling=True)
    contacts = tuple(
        replace(contact, contact_id=name)
        for contact, name in zip(FULL_LIVE.contacts * 2, (f"{ID}-2", f"{ID}-ghost", ID, "D-1"), strict=False)
    )
    for one in (known, replace(known, live=replace(known.live, contacts=contacts)), replace(known, customer=None)):
        for decided_with in (policy, full_policy):
            decision = decide(decided_with, one, ID)
            check_comes_back(decision, vocabulary_of(decided_with, decision))


def test_a_compact_record_of_an_earlier_release_is_still_read(full_policy: Policy) -> None:
    kept = orjson.loads(STORED.read_bytes())
    features = {name: FeatureNames(*map(tuple, names)) for name, names in kept["features"].items()}
    vocabulary = Vocabulary(full_policy.catalogue, kept["row"]["touchpoint"], features)
    decision = decision_from_compact(kept["row"], kept["record"], vocabulary)
    assert orjson.loads(orjson.dumps(decision_to_record(decision))) == kept["document"]
