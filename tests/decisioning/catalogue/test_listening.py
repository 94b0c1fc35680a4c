"""Listening: invalid thresholds are refused, and an offer that asks for known facts is not sent."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.listening import Listening, check_listening
from decisioning.decision import Exclusion, Inputs
from decisioning.errors import InvalidPolicyError
from decisioning.policy import Policy, decide


@pytest.mark.parametrize(
    "listening",
    [
        Listening(negative_below=0.4, positive_above=0.3),
        Listening(negative_below=-1.1),
        Listening(positive_above=1.1),
        Listening(low_scores={"mood": 1.0}),
        Listening(low_scores={"nps": 11.0}),
        Listening(low_scores={"csat": 0.0}),
    ],
)
def test_the_core_refuses_invalid_listening_settings(listening: Listening) -> None:
    with pytest.raises(InvalidPolicyError):
        check_listening(listening)


def test_a_policy_refuses_a_catalogue_with_invalid_listening_settings(plain_catalogue: Catalogue) -> None:
    with pytest.raises(InvalidPolicyError, match="negative_below"):
        Policy(replace(plain_catalogue, listening=Listening(negative_below=1.0, positive_above=0.0)))
    check_listening(Listening(low_scores={"nps": 0.0, "csat": 5.0, "effort": 7.0}))


@pytest.mark.parametrize(
    ("attributes", "asks", "is_refused"),
    [
        ({"region": "north"}, {"region"}, True),
        ({"region": "north"}, {"region", "age"}, False),
        ({"region": "north", "age": 0}, {"region", "age"}, True),
        ({"region": None}, {"region"}, False),
        ({}, {"region"}, False),
        ({"region": "north"}, set[str](), False),
    ],
)
def test_an_offer_is_refused_if_all_it_asks_for_is_known(
    plain_catalogue: Catalogue,
    inputs_of: Callable[..., Inputs],
    attributes: dict[str, object],
    asks: set[str],
    *,
    is_refused: bool,
) -> None:
    offer = replace(plain_catalogue.offers["free-coffee"], asks=frozenset(asks))
    catalogue = replace(plain_catalogue, offers={**plain_catalogue.offers, "free-coffee": offer})
    inputs = inputs_of(Policy(catalogue))
    assert inputs.customer is not None
    known = replace(inputs, customer=replace(inputs.customer, attributes=attributes))
    decision = decide(Policy(catalogue), known, "D-1")
    refused = {one.message_key: one.reasons for one in decision.excluded}
    found = [
        Exclusion.ALREADY_KNOWN in refused.get(f"free-coffee/{channel}/plain", ()) for channel in ("email", "push")
    ]
    assert found == [is_refused, is_refused]
    details = [one.details for one in decision.excluded if Exclusion.ALREADY_KNOWN in one.reasons]
    assert all(", ".join(sorted(asks)) in one for one in details)


def test_an_unknown_customer_is_not_refused_for_known_answers(
    plain_catalogue: Catalogue, inputs_of: Callable[..., Inputs]
) -> None:
    offer = replace(plain_catalogue.offers["free-coffee"], asks=frozenset({"region"}))
    catalogue = replace(plain_catalogue, offers={**plain_catalogue.offers, "free-coffee": offer})
    policy = Policy(catalogue)
    decision = decide(policy, replace(inputs_of(policy), customer=None), "D-1")
    assert all(Exclusion.ALREADY_KNOWN not in one.reasons for one in decision.excluded)
