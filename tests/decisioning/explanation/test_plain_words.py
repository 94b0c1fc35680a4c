"""Sentences for marketers: one for every outcome of a decision."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from decisioning.catalogue.catalogue import Catalogue, Learning
from decisioning.catalogue.experiment import ArmPolicy, Experiment, Holdout
from decisioning.catalogue.exploration import Exploration
from decisioning.decision import Decision, Exclusion, Inputs
from decisioning.explanation.plain_words import exclusion_words, plain_reason, rule_words
from decisioning.policy import Policy, decide
from decisioning.record.document import decision_from_record, decision_to_record
from decisioning.rules.predicate import Compare, Comparison

type MakeInputs = Callable[..., Inputs]
NO_SERVICE = frozenset({"opening-hours"})


def say(policy: Policy, inputs: Inputs, currency: str | None = None) -> str:
    return plain_reason(decide(policy, inputs, "D-1"), currency)


@pytest.mark.parametrize("exclusion", Exclusion)
def test_every_reason_code_has_words(exclusion: Exclusion) -> None:
    assert len(exclusion_words(exclusion).split()) > 2


TOLD: list[tuple[dict[str, Any], str]] = [
    (
        {},
        (
            "Sent ten-percent/push/plain: expected to bring 4.00 more than silence before a contact cost of 0.01, "
            "the most of 8 permitted."
        ),
    ),
    (
        {"expected_values": None},
        "Sent opening-hours/push/plain: no model was available, and its declared value is the highest.",
    ),
    (
        {"expected_values": None, "degraded": ("model_unavailable",)},
        (
            "Sent opening-hours/push/plain: no model was available, and its declared value is the highest "
            "(degraded: model_unavailable)."
        ),
    ),
    (
        {"expected_values": np.zeros(9), "excluded_offers": NO_SERVICE},
        ("Held: silence is worth most; the best message, double-stamps/push/plain, would bring -0.01 after its cost."),
    ),
    (
        {"expected_values": np.zeros(9)},
        "Sent opening-hours/push/plain: its declared value is the most of 8 permitted.",
    ),
    ({"customer": None}, "Held: nothing is known of this customer, so nothing may be sent."),
    (
        {"customer": None, "degraded": ("features_unavailable",)},
        (
            "Held: a service the decision needs was unavailable, and nothing could be sent safely without it "
            "(degraded: features_unavailable)."
        ),
    ),
    (
        {"reachable_channels": frozenset()},
        "Held: no message is permitted; for 8 of 8, no valid address is known.",
    ),
]


@pytest.mark.parametrize(("fields", "sentence"), TOLD)
def test_a_decision_is_explained_in_one_sentence(
    plain_policy: Policy, inputs_of: MakeInputs, fields: dict[str, Any], sentence: str
) -> None:
    assert say(plain_policy, inputs_of(plain_policy, **fields)) == sentence


def test_amounts_name_their_currency(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    free = {name: replace(channel, cost_minor=0.0) for name, channel in plain_catalogue.channels.items()}
    policy = Policy(replace(plain_catalogue, channels=free))
    assert say(policy, inputs_of(policy), "EUR") == (
        "Sent ten-percent/push/plain: expected to bring 4.00 EUR more than silence, the most of 8 permitted."
    )


def test_declared_values_that_prefer_silence_are_reported(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    worthless = replace(plain_catalogue.offers["opening-hours"], value_minor=0.0)
    policy = Policy(replace(plain_catalogue, offers={**plain_catalogue.offers, "opening-hours": worthless}))
    assert say(policy, inputs_of(policy, expected_values=None)) == (
        "Held: no model was available, and no permitted message has a declared value above its cost."
    )


def test_a_touchpoint_without_messages_says_so(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = Policy(replace(plain_catalogue, creatives=()))
    assert say(policy, inputs_of(policy)) == "Held: this touchpoint has no messages."


def test_exploration_states_its_probability(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = Policy(replace(plain_catalogue, exploration=Exploration(epsilon=0.9)))
    assert say(policy, inputs_of(policy, uniform=0.05)) == "Held: exploration drew silence, with a chance of 10.0%."
    assert say(policy, inputs_of(policy, uniform=0.15)) == (
        "Sent double-stamps/email/plain: exploration drew it, with a chance of 10.0%, "
        "although another choice had a higher estimate."
    )


def test_the_sentence_says_what_an_experiment_did(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, experiment_of: Callable[..., Experiment]
) -> None:
    random, silent = (
        Policy(replace(plain_catalogue, experiments=(experiment_of(arm),)))
        for arm in (ArmPolicy.RANDOM, ArmPolicy.SILENCE)
    )
    assert say(random, inputs_of(random, uniform=0.0)) == (
        "Held: an experiment drew silence at random, with a chance of 11.1%."
    )
    assert say(random, inputs_of(random, uniform=0.12)) == (
        "Sent double-stamps/email/plain: an experiment drew it at random, with a chance of 11.1%."
    )
    assert say(silent, inputs_of(silent, excluded_offers=NO_SERVICE)) == (
        "Held: an experiment keeps this customer silent."
    )


def test_the_sentence_names_the_holdout(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = Policy(replace(plain_catalogue, holdout=Holdout(share=1.0, salt="h")))
    assert say(policy, inputs_of(policy, excluded_offers=NO_SERVICE)) == (
        "Held: the customer is in the universal holdout, which gets no marketing."
    )


def test_a_sentence_holds_no_personal_data(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    inputs = inputs_of(plain_policy, "C-secret", attributes={"age": 44, "first_name": "Ada"})
    assert not {"C-secret", "Ada", "44"} & set(say(plain_policy, inputs).replace(":", " ").split())


def test_a_currency_without_cents_shows_none(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    decision = decide(plain_policy, inputs_of(plain_policy), "D-1")
    assert "bring 400 JPY more" in plain_reason(decision, "JPY", per_major=1)
    assert "bring 0.400 KWD more" in plain_reason(decision, "KWD", per_major=1000)


def test_a_learned_rate_is_given_in_percentage_points(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = Policy(replace(plain_catalogue, learning=Learning(measure_id="clicked")))
    decision = decide(policy, inputs_of(policy, expected_values=np.linspace(0.0, 0.4, 9)), "D-1")
    assert plain_reason(decision, "EUR", is_rate=True).startswith(
        "Sent ten-percent/push/plain: expected to bring 40.00 percentage points more than silence"
    )


def told(policy: Policy, decision: Decision) -> list[str]:
    """The words for each reason against `ten-percent`."""
    key = "ten-percent/email/plain"
    (reasons,) = (one.reasons for one in decision.excluded if one.message_key == key)
    return [
        rule_words(policy, decision, key, reason) if reason is Exclusion.NOT_ELIGIBLE else exclusion_words(reason)
        for reason in reasons
    ]


def test_a_reason_states_the_rule_and_the_facts_it_checked(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    inputs = inputs_of(plain_policy, attributes={"age": 17}, consents=())
    decision = decide(plain_policy, inputs, "D-1")
    assert told(plain_policy, decision) == ["there is no consent", "customer.age must be at least 18, is 17"]
    back = decision_from_record(decision_to_record(decision))
    assert told(plain_policy, back)[1] == "customer.age must be at least 18, is 17"


@pytest.mark.parametrize("fact", ["complaint_count_90d", "stage"])
def test_a_reason_says_that_a_rule_could_not_be_checked(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, fact: str
) -> None:
    rule = Compare(fact=fact, comparison=Comparison.IS_MISSING, value=True)
    offer = replace(plain_catalogue.offers["ten-percent"], eligibility=rule)
    policy = Policy(replace(plain_catalogue, offers={**plain_catalogue.offers, "ten-percent": offer}))
    decision = decide(policy, inputs_of(policy, features=None), "D-1")
    assert told(policy, decision) == ["a rule of the offer refers to data that could not be read"]


def test_a_reason_names_the_stage(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    rule = Compare(fact="stage", comparison=Comparison.EQUALS, value="new")
    offer = replace(plain_catalogue.offers["ten-percent"], eligibility=rule)
    policy = Policy(replace(plain_catalogue, offers={**plain_catalogue.offers, "ten-percent": offer}))
    decision = decide(policy, inputs_of(policy), "D-1")
    assert told(policy, decision) == ["stage must be new, is active"]
