"""Residuals in a decision: what they add to a price, what they may not do, and what the record keeps of them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.experiment import ArmPolicy
from decisioning.catalogue.exploration import Exploration, ExplorationKind
from decisioning.catalogue.levers import Lever, LeverScope
from decisioning.choice.thompson import best_probabilities
from decisioning.decision import Decision, Inputs
from decisioning.explanation.auditor_sentences import tell_auditor
from decisioning.explanation.plain_words import plain_reason
from decisioning.policy import Policy, decide
from decisioning.record.document import decision_from_record, decision_to_record, replay
from decisioning.record.packed_residuals import pack_residuals, read_residuals
from decisioning.record.packing import Packer, Unpacker
from decisioning.residuals import FEWEST_CUSTOMERS, MOST_DEVIATIONS, Residuals, rounded
from tests.decisioning.exploring import MakeExperiment

type MakeInputs = Callable[..., Inputs]
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
STAGE = "active"
TOUCHPOINT = "app-home"
KEY = "ten-percent/push/plain"
OTHER = "free-coffee/push/plain"
SERVICE = "opening-hours/push/plain"


def residuals(policy: Policy, told: Mapping[str, float], *, error: float = 0.001, customers: int = 50) -> Residuals:
    """A prior deviation of 100 for every message, and evidence about some."""
    keys = [message.key for message in policy.candidates(TOUCHPOINT)]
    rows = {key: place for place, key in enumerate(keys, start=1)}
    estimate, errors, counts = np.zeros(len(keys) + 1), np.full(len(keys) + 1, np.inf), np.zeros(len(keys) + 1)
    for key, value in told.items():
        estimate[rows[key]], errors[rows[key]], counts[rows[key]] = value, error, customers
    return Residuals(np.array([0.0] + [100.0] * len(keys)), estimate, errors, counts)


def decided(
    policy: Policy, inputs_of: MakeInputs, known: Residuals | None, stage: str = STAGE, **more: object
) -> Decision:
    """Everything is worth 40 less than silence, but for two offers that are worth as much as each other."""
    keys = [message.key for message in policy.candidates(TOUCHPOINT)]
    values = np.array([1000.0, *(1100.0 if key in {KEY, OTHER} else 960.0 for key in keys)])
    about = {} if known is None else {stage: known}
    return decide(
        policy, inputs_of(policy, touchpoint_id=TOUCHPOINT, expected_values=values, residuals=about, **more), "D"
    )


def worth(decision: Decision, key: str) -> float | None:
    return next(one.uplift_minor for one in decision.evaluated if one.message_key == key)


def test_a_residual_is_added_to_the_effect_that_the_model_predicts(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    decision = decided(plain_policy, inputs_of, residuals(plain_policy, {OTHER: 30.0}))
    assert decision.stage_id == STAGE
    assert worth(decision, OTHER) == pytest.approx(130.0)
    assert worth(decision, KEY) == pytest.approx(100.0)
    assert decision.best.message_key == OTHER
    assert next(one.residual_minor for one in decision.evaluated if one.message_key == OTHER) == pytest.approx(30.0)


def test_as_much_is_believed_as_the_evidence_weighs_against_the_prior() -> None:
    found = Residuals(
        np.array([0.0, 100.0, 100.0]),
        np.array([0.0, 40.0, 0.0]),
        np.array([np.inf, 100.0, np.inf]),
        np.array([0, 50, 0]),
    )
    assert found.contribution.tolist() == [0.0, pytest.approx(20.0), 0.0]
    assert found.deviation.tolist() == [0.0, pytest.approx(100.0 * np.sqrt(0.5)), 100.0]


def test_few_customers_move_no_price() -> None:
    for customers, expected in ((FEWEST_CUSTOMERS - 1, 0.0), (FEWEST_CUSTOMERS, 20.0)):
        found = Residuals(
            np.array([0.0, 100.0]), np.array([0.0, 40.0]), np.array([np.inf, 100.0]), np.array([0, customers])
        )
        assert found.contribution[1] == pytest.approx(expected)


@settings(max_examples=200, deadline=None)
@given(
    prior=st.floats(0, 1e9),
    estimate=st.floats(-1e15, 1e15),
    error=st.floats(1e-9, 1e12) | st.just(np.inf),
    customers=st.integers(0, 1000),
)
def test_no_evidence_moves_a_price_beyond_its_bound(
    prior: float, estimate: float, error: float, customers: int
) -> None:
    found = Residuals(np.array([prior]), np.array([estimate]), np.array([error]), np.array([float(customers)]))
    assert abs(found.contribution[0]) <= MOST_DEVIATIONS * prior
    assert 0.0 <= found.deviation[0] <= prior


def test_what_is_known_of_another_stage_changes_nothing(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    known = residuals(plain_policy, {OTHER: 30.0})
    without = decision_to_record(decided(plain_policy, inputs_of, None))
    assert decision_to_record(decided(plain_policy, inputs_of, known, stage="elsewhere")) == without


def test_without_evidence_a_decision_is_what_it_was_but_for_what_it_keeps_of_the_prior(
    plain_policy: Policy, inputs_of: MakeInputs
) -> None:
    with_prior = decision_to_record(decided(plain_policy, inputs_of, residuals(plain_policy, {})))
    without = decision_to_record(decided(plain_policy, inputs_of, None))
    assert with_prior["inputs"].pop("residuals").keys() == {STAGE}
    assert with_prior == without


def test_residuals_bring_no_refused_message_back(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    known = residuals(plain_policy, {OTHER: 300.0})
    decision = decided(plain_policy, inputs_of, known, excluded_offers=frozenset({"free-coffee"}))
    assert OTHER not in {one.message_key for one in decision.evaluated}
    assert decision.message_key != OTHER


def test_what_has_a_declared_value_has_no_residual(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    decision = decided(plain_policy, inputs_of, residuals(plain_policy, {SERVICE: 300.0}))
    assert next(one for one in decision.evaluated if one.message_key == SERVICE).residual_minor == 0.0


def test_an_arm_without_a_model_has_no_residuals_either(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, experiment_of: MakeExperiment
) -> None:
    policy = Policy(replace(plain_catalogue, experiments=(experiment_of(ArmPolicy.RULES),)))
    decision = decided(policy, inputs_of, residuals(policy, {OTHER: 30.0}))
    assert not decision.inputs.residuals
    assert all(one.residual_minor == 0.0 for one in decision.evaluated)


def test_the_record_keeps_prior_evidence_and_contribution_and_is_replayed(
    plain_policy: Policy, inputs_of: MakeInputs
) -> None:
    known = residuals(plain_policy, {OTHER: 30.0})
    inputs = {"elsewhere": residuals(plain_policy, {KEY: 1.0})}
    decision = decided(plain_policy, inputs_of, known)
    both = replace(decision.inputs, residuals={STAGE: known, **inputs})
    assert decision_to_record(decide(plain_policy, both, "D")) == decision_to_record(decision)
    record = orjson.loads(orjson.dumps(decision_to_record(decision)))
    kept = record["inputs"]["residuals"][STAGE]
    place = 1 + [message.key for message in plain_policy.candidates(TOUCHPOINT)].index(OTHER)
    assert {name: column[place] for name, column in kept.items()} == {
        "prior_deviation": 100.0,
        "estimate": 30.0,
        "standard_error": 0.001,
        "customers": 50,
        "contribution": pytest.approx(30.0),
    }
    assert decision_to_record(replay(plain_policy, record)) == record
    assert decision_to_record(decision_from_record(record)) == record


def thompson(catalogue: Catalogue, **fields: object) -> Policy:
    exploration = Exploration(kind=ExplorationKind.THOMPSON, prior_deviation_minor=7.0)
    return Policy(replace(catalogue, exploration=exploration, **fields))  # pyright: ignore[reportArgumentType]


def probabilities(decision: Decision) -> dict[str, float]:
    return {one.message_key: one.probability for one in decision.evaluated}


def test_thompson_sampling_draws_with_the_deviation_that_the_evidence_left(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    policy = thompson(plain_catalogue)
    known = residuals(policy, {OTHER: 30.0}, error=100.0)
    decision = decided(policy, inputs_of, known, excluded_offers=frozenset({"opening-hours"}))
    rows = sorted(decision.evaluated, key=lambda one: (one.message_key != "silence", one.message_key))
    left = {"silence": 0.0, OTHER: 100.0 * np.sqrt(0.5)}
    expected = best_probabilities(
        [one.priority_minor for one in rows], [left.get(one.message_key, 100.0) for one in rows]
    )
    assert [one.probability for one in rows] == pytest.approx(list(expected), abs=1e-12)
    assert probabilities(decision) != probabilities(decided(policy, inputs_of, None))


def test_a_declared_value_is_as_uncertain_to_thompson_sampling_as_ever(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    policy = thompson(plain_catalogue)
    decision = decided(policy, inputs_of, residuals(policy, {}))
    rows = sorted(decision.evaluated, key=lambda one: (one.message_key != "silence", one.message_key))
    usual = {"silence": 0.0, SERVICE: 7.0}
    expected = best_probabilities(
        [one.priority_minor for one in rows], [usual.get(one.message_key, 100.0) for one in rows]
    )
    assert [one.probability for one in rows] == pytest.approx(list(expected), abs=1e-12)


def test_a_lever_of_nothing_switches_an_uncertain_message_off(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    lever = Lever(
        lever_id="off",
        scope=LeverScope.OFFER,
        of="free-coffee",
        factor=0.0,
        owner="loyalty team",
        reason="x",
        expires_at=inputs_of(Policy(plain_catalogue)).now + timedelta(days=1),
    )
    policy = thompson(plain_catalogue, levers=(lever,))
    assert probabilities(decided(policy, inputs_of, residuals(policy, {})))[OTHER] == 0.0


def test_explanations_say_what_outcomes_since_training_changed(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    decision = decided(plain_policy, inputs_of, residuals(plain_policy, {OTHER: 30.0, KEY: -20.0}))
    auditor = " ".join(tell_auditor(decision))
    assert "from outcomes since training)" in auditor
    assert "0.30 more than the model says, by outcomes since training" in plain_reason(decision)
    lower = decided(plain_policy, inputs_of, residuals(plain_policy, {OTHER: -30.0, KEY: -20.0}))
    assert "0.20 less than the model says, by outcomes since training" in plain_reason(lower)


@settings(max_examples=100, deadline=None)
@given(values=st.lists(st.floats(-1e12, 1e12), max_size=20), counts=st.lists(st.integers(0, 200_000), max_size=20))
def test_evidence_comes_back_from_a_compact_record_bit_for_bit(values: list[float], counts: list[int]) -> None:
    size = min(len(values), len(counts))
    estimate, customers = np.array(values[:size]), np.array(counts[:size], dtype=np.float64)
    for column in (estimate, rounded(estimate)):
        packer = Packer(NOW, {}, {})
        told = Residuals(np.full(size, 50.0), column, np.abs(column) + 1.0, customers)
        pack_residuals(packer, {STAGE: told})
        [(stage, back)] = read_residuals(Unpacker(NOW, packer.packed(), packer.words)).items()
        assert stage == STAGE
        for name in ("prior_deviation", "estimate", "standard_error", "customers", "contribution", "deviation"):
            assert getattr(back, name).tobytes() == getattr(told, name).tobytes()


@settings(max_examples=200, deadline=None)
@given(value=st.floats(-1e15, 1e15))
def test_rounding_moves_evidence_by_less_than_half_a_percent(value: float) -> None:
    assert abs(rounded(np.array([value]))[0] - value) <= max(abs(value) / 250, 1e-37)
    assert rounded(np.array([np.inf])).tolist() == [np.inf]
