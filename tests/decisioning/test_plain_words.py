"""Sentences for marketers: one for every way a decision can come out."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from decisioning.catalogue import Catalogue
from decisioning.decision import Exclusion, Inputs
from decisioning.experiment import ArmPolicy, Experiment, Holdout
from decisioning.exploration import Exploration
from decisioning.plain_words import exclusion_words, plain_reason
from decisioning.policy import Policy, decide

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
        "Sent opening-hours/push/plain: no model was there, and its declared value is the highest.",
    ),
    (
        {"expected_values": None, "degraded": ("model_unavailable",)},
        (
            "Sent opening-hours/push/plain: no model was there, and its declared value is the highest "
            "(degraded: model_unavailable)."
        ),
    ),
    (
        {"expected_values": np.zeros(9)},
        ("Held: silence is worth most; the best message, double-stamps/push/plain, would bring -0.01 after its cost."),
    ),
    ({"customer": None}, "Held: nothing is known of this customer, so nothing may be sent."),
    (
        {"customer": None, "degraded": ("features_unavailable",)},
        (
            "Held: something behind the decision was away, and nothing could be sent safely without it "
            "(degraded: features_unavailable)."
        ),
    ),
    (
        {"reachable_channels": frozenset()},
        "Held: no message is permitted; for 8 of 8, no working address is known.",
    ),
]


@pytest.mark.parametrize(("fields", "sentence"), TOLD)
def test_a_decision_is_told_in_one_sentence(
    plain_policy: Policy, inputs_of: MakeInputs, fields: dict[str, Any], sentence: str
) -> None:
    assert say(plain_policy, inputs_of(plain_policy, **fields)) == sentence


def test_amounts_name_their_currency(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    free = {name: replace(channel, cost_minor=0.0) for name, channel in plain_catalogue.channels.items()}
    policy = Policy(replace(plain_catalogue, channels=free))
    assert say(policy, inputs_of(policy), "EUR") == (
        "Sent ten-percent/push/plain: expected to bring 4.00 EUR more than silence, the most of 8 permitted."
    )


def test_declared_values_that_prefer_silence_are_told(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    worthless = replace(plain_catalogue.offers["opening-hours"], value_minor=0.0)
    policy = Policy(replace(plain_catalogue, offers={**plain_catalogue.offers, "opening-hours": worthless}))
    assert say(policy, inputs_of(policy, expected_values=None)) == (
        "Held: no model was there, and no permitted message has a declared value above its cost."
    )


def test_a_touchpoint_without_messages_says_so(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = Policy(replace(plain_catalogue, creatives=()))
    assert say(policy, inputs_of(policy)) == "Held: this touchpoint has no messages."


def test_exploration_names_its_chance(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = Policy(replace(plain_catalogue, exploration=Exploration(epsilon=0.9)))
    assert say(policy, inputs_of(policy, uniform=0.05)) == "Held: exploration drew silence, with a chance of 10.0%."
    assert say(policy, inputs_of(policy, uniform=0.15)) == (
        "Sent double-stamps/email/plain: exploration drew it, with a chance of 10.0%, "
        "though another choice looked better."
    )


def test_an_experiment_says_what_it_did(
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


def test_the_holdout_is_told(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = Policy(replace(plain_catalogue, holdout=Holdout(share=1.0, salt="h")))
    assert say(policy, inputs_of(policy, excluded_offers=NO_SERVICE)) == (
        "Held: the customer is in the universal holdout, which gets no marketing."
    )


def test_a_sentence_holds_nothing_personal(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    inputs = inputs_of(plain_policy, "C-secret", attributes={"age": 44, "first_name": "Ada"})
    assert not {"C-secret", "Ada", "44"} & set(say(plain_policy, inputs).replace(":", " ").split())
