"""What a touchpoint can send, and what a policy refuses to be built from."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from decisioning.candidate import compile_candidates
from decisioning.catalogue import Catalogue
from decisioning.errors import InvalidPolicyError, UnknownNameError
from decisioning.message import MessageClass
from decisioning.policy import Policy
from decisioning.predicate import Compare, Comparison


def _with_offer(catalogue: Catalogue, **change: Any) -> Catalogue:
    offer = replace(catalogue.offers["ten-percent"], **change)
    return replace(catalogue, offers={**catalogue.offers, "ten-percent": offer})


def test_candidates_are_the_messages_of_the_touchpoints_channels_in_the_order_of_their_keys(
    plain_policy: Policy,
) -> None:
    keys = [message.key for message in plain_policy.candidates("weekly-mail")]
    assert keys == sorted(keys)
    assert len(keys) == 8
    assert [message.channel.channel_id for message in plain_policy.candidates("app-home")] == ["push"] * 4


def test_the_order_of_lines_in_a_file_changes_nothing(plain_catalogue: Catalogue) -> None:
    turned = replace(plain_catalogue, creatives=plain_catalogue.creatives[::-1])
    assert Policy(turned).candidates("weekly-mail") == Policy(plain_catalogue).candidates("weekly-mail")


def test_an_unknown_touchpoint_is_named_with_its_nearest(plain_policy: Policy) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'weekly-mail'"):
        plain_policy.candidates("weakly-mail")


def test_weights_of_offer_and_goal_multiply(plain_catalogue: Catalogue) -> None:
    goals = {**plain_catalogue.goals, "loyalty": replace(plain_catalogue.goals["loyalty"], weight=3.0)}
    catalogue = replace(_with_offer(plain_catalogue, weight=2.0), goals=goals)
    weights = {one.offer_id: one.weight for one in compile_candidates(catalogue, catalogue.touchpoints["app-home"])}
    assert weights == {"double-stamps": 3.0, "free-coffee": 3.0, "opening-hours": 1.0, "ten-percent": 6.0}


@pytest.mark.parametrize("message_class", [MessageClass.MARKETING, MessageClass.RECOVERY, MessageClass.SERVICE])
def test_no_offer_that_needs_consent_can_be_declared_without_a_purpose(
    plain_catalogue: Catalogue, message_class: MessageClass
) -> None:
    with pytest.raises(InvalidPolicyError, match=r"purpose of .* offer ten-percent must be named"):
        Policy(_with_offer(plain_catalogue, purpose=None, message_class=message_class))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"weight": -1.0}, "weight of offer ten-percent must be in \\[0, 1e\\+06\\], got -1.0"),
        ({"weight": float("inf")}, "weight of offer ten-percent must be in"),
        ({"value_minor": float("nan")}, "value of offer ten-percent must be in"),
        (
            {"valid_from": datetime.fromisoformat("2026-01-01")},
            "validity of offer ten-percent must be a time with an offset",
        ),
        (
            {"valid_until": datetime.fromisoformat("2026-01-01")},
            "validity of offer ten-percent must be a time with an offset",
        ),
        ({"eligibility": Compare(fact="x", comparison=Comparison.EQUALS, value=None)}, "equals of x must be"),
        ({"goal_id": "loyal"}, "goal must be a known name, got 'loyal'; did you mean 'loyalty'"),
    ],
)
def test_an_offer_that_could_not_be_judged_is_refused(
    plain_catalogue: Catalogue, change: dict[str, Any], rule: str
) -> None:
    with pytest.raises(InvalidPolicyError if "known name" not in rule else UnknownNameError, match=rule):
        Policy(_with_offer(plain_catalogue, **change))


def test_a_creative_of_an_unknown_offer_or_channel_is_refused(plain_catalogue: Catalogue) -> None:
    first = plain_catalogue.creatives[0]
    with pytest.raises(UnknownNameError, match="offer must be a known name"):
        Policy(replace(plain_catalogue, creatives=(replace(first, offer_id="gone"),)))
    with pytest.raises(UnknownNameError, match="channel must be a known name"):
        Policy(replace(plain_catalogue, channels={"push": plain_catalogue.channels["push"]}))


def test_two_messages_with_one_key_are_refused(plain_catalogue: Catalogue) -> None:
    doubled = (*plain_catalogue.creatives, plain_catalogue.creatives[0])
    with pytest.raises(InvalidPolicyError, match="must have a key of its own"):
        Policy(replace(plain_catalogue, creatives=doubled))


def test_a_contact_that_costs_less_than_nothing_is_refused(plain_catalogue: Catalogue) -> None:
    channels = {**plain_catalogue.channels, "email": replace(plain_catalogue.channels["email"], cost_minor=-1)}
    with pytest.raises(InvalidPolicyError, match="cost of channel email must be in"):
        Policy(replace(plain_catalogue, channels=channels))


def test_a_policy_checks_exploration_and_experiments(
    plain_catalogue: Catalogue, experiment_of: Callable[..., Any]
) -> None:
    with pytest.raises(InvalidPolicyError, match="epsilon"):
        Policy(replace(plain_catalogue, exploration=replace(plain_catalogue.exploration, epsilon=2.0)))
    broken = replace(experiment_of("engine"), control_arm_id="nobody")
    with pytest.raises(InvalidPolicyError, match="control"):
        Policy(replace(plain_catalogue, experiments=(broken,)))
