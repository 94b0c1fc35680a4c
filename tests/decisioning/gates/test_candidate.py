"""What a touchpoint can send, and which catalogues no policy can be built from."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.channel import Channel
from decisioning.catalogue.contact_policy import Touch
from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.message_classes import DEFAULT_CLASSES, ClassRules
from decisioning.errors import InvalidPolicyError, UnknownNameError
from decisioning.gates.arrival import run_at
from decisioning.gates.candidate import Candidate, compile_candidates
from decisioning.policy import Policy
from decisioning.rules.predicate import Compare, Comparison


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


def test_the_order_of_declarations_changes_nothing(plain_catalogue: Catalogue) -> None:
    turned = replace(plain_catalogue, creatives=plain_catalogue.creatives[::-1])
    assert Policy(turned).candidates("weekly-mail") == Policy(plain_catalogue).candidates("weekly-mail")


def test_an_unknown_touchpoint_is_named_with_the_nearest_names(plain_policy: Policy) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'weekly-mail'"):
        plain_policy.candidates("weakly-mail")


def _candidate(catalogue: Catalogue, offer_id: str = "ten-percent") -> Candidate:
    found = compile_candidates(catalogue, catalogue.touchpoints["app-home"])
    return next(one for one in found if one.offer_id == offer_id)


def test_a_candidate_carries_what_the_contact_policy_needs(plain_catalogue: Catalogue) -> None:
    candidate = _candidate(plain_catalogue)
    assert candidate.touch == Touch(
        message_class=MessageClass.MARKETING,
        department="marketing",
        goal_id="loyalty",
        channel_id="push",
        offer_id="ten-percent",
        creative_id="plain",
    )
    assert (candidate.goal_id, candidate.department) == ("loyalty", "marketing")
    assert candidate.touch == plain_catalogue.touch(candidate.message.parts)


def test_classes_with_precedence_have_a_rank_and_others_have_none(plain_catalogue: Catalogue) -> None:
    declared = replace(plain_catalogue, classes=DEFAULT_CLASSES)
    places = {
        name: _candidate(_with_offer(declared, message_class=name, urgency=2.0)).precedence for name in MessageClass
    }
    assert places == {"mandatory": 0, "transactional": 1, "recovery": 2, "service": 3, "marketing": None}
    assert _candidate(_with_offer(plain_catalogue, urgency=2.0)).urgency == 2.0
    competing = replace(plain_catalogue, classes={**DEFAULT_CLASSES, MessageClass.SERVICE: ClassRules()})
    assert _candidate(_with_offer(competing, message_class=MessageClass.SERVICE)).precedence is None


def test_a_candidate_carries_the_layers_its_class_bypasses(plain_catalogue: Catalogue) -> None:
    for name, rules in plain_catalogue.classes.items():
        candidate = _candidate(_with_offer(plain_catalogue, message_class=name))
        assert candidate.bypasses == rules.bypasses
        assert candidate.is_marketing is (name is MessageClass.MARKETING)


def test_never_with_applies_both_ways(plain_catalogue: Catalogue) -> None:
    catalogue = _with_offer(plain_catalogue, never_with=frozenset({"free-coffee"}))
    assert _candidate(catalogue).never_with == {"free-coffee"}
    assert _candidate(catalogue, "free-coffee").never_with == {"ten-percent"}
    assert _candidate(catalogue, "opening-hours").never_with == frozenset()


def test_a_not_after_of_0_seconds_has_no_effect(plain_catalogue: Catalogue) -> None:
    catalogue = _with_offer(plain_catalogue, not_after={"free-coffee": 60.0, "double-stamps": 0.0})
    assert _candidate(catalogue).not_after == {"free-coffee": timedelta(minutes=1)}


def test_a_purpose_may_be_missing_only_where_the_class_bypasses_consent(plain_catalogue: Catalogue) -> None:
    change = {"purpose": None, "message_class": MessageClass.TRANSACTIONAL}
    assert _candidate(_with_offer(plain_catalogue, **change)).consent is None
    classes = {**plain_catalogue.classes, MessageClass.TRANSACTIONAL: ClassRules()}
    with pytest.raises(InvalidPolicyError, match="purpose of transactional offer ten-percent must be named"):
        Policy(_with_offer(replace(plain_catalogue, classes=classes), **change))


def test_a_rule_that_always_holds_is_dropped(plain_catalogue: Catalogue) -> None:
    candidate = _candidate(plain_catalogue)
    assert [rule.owner for rule in candidate.eligibility] == ["offer"]
    assert candidate.applicability == candidate.suitability == ()


def test_the_facts_a_rule_needs_are_known_in_advance(plain_catalogue: Catalogue) -> None:
    facts = {
        "customer.age": (False, False, False),
        "purchase_count_90d": (True, False, False),
        "live.browse_count_1h": (False, True, False),
        "live.care": (False, False, False),
        "stage": (False, False, True),
        "context.language": (False, False, False),
    }
    for fact, needs in facts.items():
        rule = Compare(fact=fact, comparison=Comparison.IS_MISSING, value=False)
        (compiled,) = _candidate(_with_offer(plain_catalogue, suitability=rule)).suitability
        assert (bool(compiled.features), compiled.needs_behaviour, compiled.needs_stage) == needs


@pytest.mark.parametrize("message_class", [MessageClass.MARKETING, MessageClass.RECOVERY, MessageClass.SERVICE])
def test_no_offer_that_needs_consent_can_be_declared_without_a_purpose(
    plain_catalogue: Catalogue, message_class: MessageClass
) -> None:
    with pytest.raises(InvalidPolicyError, match=r"purpose of .* offer ten-percent must be named"):
        Policy(_with_offer(plain_catalogue, purpose=None, message_class=message_class))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"urgency": float("inf")}, "urgency of offer ten-percent must be a finite number, got inf"),
        ({"not_after": {"free-coffee": -1.0}}, "rest of offer ten-percent after free-coffee must be in"),
        ({"not_after": {"free-cofee": 1.0}}, "offer must be a known name, got 'free-cofee'"),
        ({"never_with": frozenset({"free-cofee"})}, "offer must be a known name, got 'free-cofee'"),
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
def test_an_offer_with_invalid_fields_is_refused(plain_catalogue: Catalogue, change: dict[str, Any], rule: str) -> None:
    with pytest.raises(InvalidPolicyError if "known name" not in rule else UnknownNameError, match=rule):
        Policy(_with_offer(plain_catalogue, **change))


def test_a_creative_of_an_unknown_offer_or_channel_is_refused(plain_catalogue: Catalogue) -> None:
    first = plain_catalogue.creatives[0]
    with pytest.raises(UnknownNameError, match="offer must be a known name"):
        Policy(replace(plain_catalogue, creatives=(replace(first, offer_id="gone"),)))
    with pytest.raises(UnknownNameError, match="channel must be a known name"):
        Policy(replace(plain_catalogue, channels={"push": plain_catalogue.channels["push"]}))


def test_two_messages_with_the_same_key_are_refused(plain_catalogue: Catalogue) -> None:
    doubled = (*plain_catalogue.creatives, plain_catalogue.creatives[0])
    with pytest.raises(InvalidPolicyError, match="must have a key of its own"):
        Policy(replace(plain_catalogue, creatives=doubled))


def test_a_negative_contact_cost_is_refused(plain_catalogue: Catalogue) -> None:
    channels = {**plain_catalogue.channels, "email": replace(plain_catalogue.channels["email"], cost_minor=-1)}
    with pytest.raises(InvalidPolicyError, match="cost of channel email must be in"):
        Policy(replace(plain_catalogue, channels=channels))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"lead_time_seconds": -1.0}, "lead time of channel email must be in"),
        ({"lead_time_seconds": float("inf")}, "lead time of channel email must be in"),
        ({"cut_off_minute": 1440}, "cut-off of channel email must be a minute of the day, got 1440"),
        ({"cut_off_minute": -1}, "cut-off of channel email must be a minute of the day, got -1"),
        ({"zone": "Europe/Bonn"}, "zone of channel email must be an IANA name, got 'Europe/Bonn'"),
    ],
)
def test_a_channel_with_invalid_times_is_refused(plain_catalogue: Catalogue, change: dict[str, Any], rule: str) -> None:
    channels = {**plain_catalogue.channels, "email": replace(plain_catalogue.channels["email"], **change)}
    with pytest.raises(InvalidPolicyError, match=rule):
        Policy(replace(plain_catalogue, channels=channels))


@pytest.mark.parametrize(
    ("handed_over_at", "run"),
    [
        ("2026-07-01T11:59+02:00", "2026-07-01T11:59+02:00"),
        ("2026-07-01T12:00+02:00", "2026-07-01T12:00+02:00"),
        ("2026-07-01T12:00:01+02:00", "2026-07-02T12:00+02:00"),
        ("2026-07-01T22:30+00:00", "2026-07-02T00:30+02:00"),
        ("2026-03-28T13:00+01:00", "2026-03-29T12:00+02:00"),  # clocks jump forward in between
        ("2026-10-24T13:00+02:00", "2026-10-25T12:00+01:00"),  # clocks go back in between
    ],
)
def test_a_cut_off_follows_its_own_zone_at_both_clock_changes(handed_over_at: str, run: str) -> None:
    letter = Channel(channel_id="letter", cut_off_minute=12 * 60, zone="Europe/Berlin")
    assert run_at(letter, datetime.fromisoformat(handed_over_at)) == datetime.fromisoformat(run)


def test_a_policy_checks_exploration_and_experiments(
    plain_catalogue: Catalogue, experiment_of: Callable[..., Any]
) -> None:
    with pytest.raises(InvalidPolicyError, match="epsilon"):
        Policy(replace(plain_catalogue, exploration=replace(plain_catalogue.exploration, epsilon=2.0)))
    broken = replace(experiment_of("engine"), control_arm_id="nobody")
    with pytest.raises(InvalidPolicyError, match="control"):
        Policy(replace(plain_catalogue, experiments=(broken,)))
