"""No gate is skipped on any path: whatever chooses, a message that a gate refuses is never chosen.

The rules are written down a second time here, as plainly as can be, and compared with every decision.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue import Catalogue
from decisioning.customer import Consent
from decisioning.decision import Decision, Inputs
from decisioning.experiment import ArmPolicy, Experiment, Holdout
from decisioning.exploration import Exploration
from decisioning.message import Message, MessageClass
from decisioning.policy import Policy, decide
from decisioning.predicate import Compare, Comparison

type MakeInputs = Callable[..., Inputs]
type MakeExperiment = Callable[..., Experiment]

UNIFORMS = tuple(step / 40 for step in range(40))
PATHS: dict[str, dict[str, Any]] = {
    "scored": {},
    "unscored": {"expected_values": None, "model_version": None},
    "degraded": {"features": None, "expected_values": None, "degraded": ("features_unavailable",)},
    "scored without features": {"features": None, "degraded": ("features_unavailable",)},
    "unknown customer": {"customer": None, "features": None, "expected_values": None},
    "unknown customer, scored": {"customer": None, "features": None},
}
ARMS = [None, *ArmPolicy]
BREACHES: dict[str, dict[str, Any]] = {
    "channel not asked": {"request": {"channels": frozenset({"push"})}},
    "excluded by caller": {"request": {"excluded_offers": frozenset({"target"})}},
    "not reachable": {"profile": {"reachable_channels": frozenset({"push"})}},
    "no consent": {"profile": {"consents": ()}},
    "consent withdrawn": {
        "profile": {
            "consents": tuple(
                Consent(channel_id="email", purpose=purpose, is_granted=is_granted)
                for purpose in ("marketing", "service")
                for is_granted in (True, False)
            )
        }
    },
    "unsubscribed": {"profile": {"unsubscribed_channels": frozenset({"email"})}},
    "not yet valid": {"offer": {"valid_from": timedelta(seconds=1)}},
    "expired": {"offer": {"valid_until": timedelta(0)}},
    "wrong stage": {"offer": {"stages": frozenset({"new"})}},
    "offer not eligible": {
        "offer": {"eligibility": Compare(fact="customer.age", comparison=Comparison.LESS_THAN, value=18)}
    },
    "creative not eligible": {
        "creative": {"eligibility": Compare(fact="purchase_count_90d", comparison=Comparison.MORE_THAN, value=99)}
    },
}


def world(
    catalogue: Catalogue,
    message_class: MessageClass,
    now: datetime,
    offer: dict[str, Any] | None = None,
    creative: dict[str, Any] | None = None,
    **change: Any,
) -> Policy:
    """The shop with one tempting offer, `target`, by e-mail, worth more than everything else."""
    timed = {name: now + value if isinstance(value, timedelta) else value for name, value in (offer or {}).items()}
    purpose = "marketing" if message_class is MessageClass.MARKETING else "service"
    target = replace(
        catalogue.offers["ten-percent"],
        **(
            {
                "offer_id": "target",
                "message_class": message_class,
                "purpose": purpose,
                "value_minor": 9e6,
                "weight": 9.0,
            }
            | timed
        ),
    )
    wording = replace(catalogue.creatives[0], **({"offer_id": "target", "channel_id": "email"} | (creative or {})))
    return Policy(
        replace(
            catalogue,
            offers={**catalogue.offers, "target": target},
            creatives=(*catalogue.creatives, wording),
            **change,
        )
    )


def tempted(policy: Policy) -> Any:
    """Scores by which the target is worth most."""
    return np.array(
        [0.0, *(1e6 if one.offer.offer_id == "target" else 10.0 for one in policy.candidates("weekly-mail"))]
    )


def decisions_over_all_draws(policy: Policy, inputs: Inputs) -> list[Decision]:
    return [decide(policy, replace(inputs, uniform=uniform), "D-1") for uniform in UNIFORMS]


@pytest.mark.parametrize("message_class", [MessageClass.MARKETING, MessageClass.SERVICE])
@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("breach", BREACHES)
def test_a_forbidden_message_is_never_chosen(
    plain_catalogue: Catalogue,
    inputs_of: MakeInputs,
    experiment_of: MakeExperiment,
    now: datetime,
    breach: str,
    path: str,
    arm: ArmPolicy | None,
    message_class: MessageClass,
) -> None:
    spoilt = BREACHES[breach]
    policy = world(
        plain_catalogue,
        message_class,
        now,
        spoilt.get("offer"),
        spoilt.get("creative"),
        experiments=(experiment_of(arm),) if arm else (),
        exploration=Exploration(epsilon=1.0),
    )
    fields = {
        "expected_values": tempted(policy),
        **spoilt.get("request", {}),
        **spoilt.get("profile", {}),
        **PATHS[path],
    }
    for decision in decisions_over_all_draws(policy, inputs_of(policy, **fields)):
        assert decision.offer_id != "target"
        assert "target/email/plain" in {one.message_key for one in decision.excluded}
        assert "target/email/plain" not in {one.message_key for one in decision.evaluated}


@pytest.mark.parametrize("path", PATHS)
def test_a_held_out_customer_gets_no_marketing_on_any_path(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime, path: str
) -> None:
    policy = world(
        plain_catalogue,
        MessageClass.MARKETING,
        now,
        holdout=Holdout(share=1.0, salt="h"),
        exploration=Exploration(epsilon=1.0),
    )
    inputs = inputs_of(policy, **{"expected_values": tempted(policy), **PATHS[path]})
    for decision in decisions_over_all_draws(policy, inputs):
        assert decision.offer_id in {None, "opening-hours"}


def test_the_tempting_message_is_chosen_where_nothing_forbids_it(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    policy = world(plain_catalogue, MessageClass.MARKETING, now)
    decision = decide(policy, inputs_of(policy, expected_values=tempted(policy)), "D-1")
    assert decision.offer_id == "target"


def may_be_sent(message: Message, inputs: Inputs, policy: ArmPolicy, *, is_held_out: bool) -> bool:
    """The rules once more: the first offer of the shop that is refused by nobody."""
    customer, features, request = inputs.customer, inputs.features, inputs.request
    if customer is None:
        return False
    channel, offer = message.channel.channel_id, message.offer
    answers = [one for one in customer.consents if (one.channel_id, one.purpose) == (channel, offer.purpose)]
    is_marketing = offer.message_class is MessageClass.MARKETING
    facts = dict(zip(features.names, features.values, strict=True)) if features else {}
    age = customer.attributes.get("age")
    if features is None:
        stage = None
    elif facts["customer_tenure_days"] < 30:
        stage = "new"
    else:
        stage = "active" if facts["purchase_count_90d"] >= 1 else "lapsed"
    return (
        channel in customer.reachable_channels
        and channel not in customer.unsubscribed_channels
        and bool(answers)
        and all(one.is_granted for one in answers)
        and (request.channels is None or channel in request.channels)
        and offer.offer_id not in request.excluded_offers
        and (offer.offer_id != "free-coffee" or stage in {"new", "active"})
        and (offer.offer_id != "ten-percent" or (isinstance(age, int) and age >= 18))
        and not (is_marketing and (is_held_out or policy is ArmPolicy.SILENCE))
        and not (is_marketing and inputs.expected_values is None and policy is not ArmPolicy.RANDOM)
    )


CHANNELS = st.frozensets(st.sampled_from(["email", "push"]))
PAIRS = st.tuples(st.sampled_from(["email", "push"]), st.sampled_from(["marketing", "service"]), st.booleans())


@settings(max_examples=250, deadline=None)
@given(data=st.data(), arm=st.sampled_from(ArmPolicy), is_held_out=st.booleans())
def test_exactly_what_the_rules_permit_is_permitted(
    plain_catalogue: Catalogue,
    inputs_of: MakeInputs,
    features_of: Callable[..., Any],
    experiment_of: MakeExperiment,
    data: st.DataObject,
    arm: ArmPolicy,
    is_held_out: bool,
) -> None:
    holdout = Holdout(share=1.0 if is_held_out else 0.0, salt="h")
    policy = Policy(
        replace(
            plain_catalogue,
            holdout=holdout,
            experiments=(experiment_of(arm),),
            exploration=Exploration(epsilon=0.5),
        )
    )
    pairs = data.draw(st.lists(PAIRS, max_size=6))
    features = features_of(
        customer_tenure_days=data.draw(st.sampled_from([5.0, 300.0])),
        purchase_count_90d=data.draw(st.sampled_from([0.0, 2.0])),
    )
    inputs = inputs_of(
        policy,
        channels=data.draw(st.none() | CHANNELS),
        excluded_offers=data.draw(st.frozensets(st.sampled_from(sorted(plain_catalogue.offers)))),
        reachable_channels=data.draw(CHANNELS),
        unsubscribed_channels=data.draw(CHANNELS),
        consents=tuple(Consent(channel_id=a, purpose=b, is_granted=c) for a, b, c in pairs),
        attributes=data.draw(st.sampled_from([{}, {"age": 17}, {"age": 18}, {"age": "18"}, {"age": None}])),
        features=data.draw(st.sampled_from([features, None])),
        uniform=data.draw(st.floats(0, 1, exclude_max=True)),
        expected_values=data.draw(st.sampled_from([None, np.linspace(0, 80, 9)])),
    )
    if data.draw(st.booleans()) and data.draw(st.booleans()):
        inputs = replace(inputs, customer=None)
    effective = ArmPolicy.ENGINE if is_held_out else arm
    decision = decide(policy, inputs, "D-1")
    permitted = {
        message.key
        for message in policy.candidates("weekly-mail")
        if may_be_sent(message, inputs, effective, is_held_out=is_held_out)
    }
    assert {one.message_key for one in decision.evaluated} == permitted | {"silence"}
    assert decision.message_key in permitted | {"silence"}
