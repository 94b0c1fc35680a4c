"""Arbitration in money: uplift over silence minus costs, with weights on gains only; and precedence of classes."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.care import Case
from decisioning.catalogue.catalogue import Catalogue, Learning
from decisioning.catalogue.contact_policy import Contact, ContactPolicy, Fatigue, PressureBudget, Touch
from decisioning.catalogue.exploration import Exploration
from decisioning.catalogue.levers import ArbitrationSwitches, Lever, LeverScope
from decisioning.catalogue.limits import DepartmentShare, Limit, LimitScope, Supply
from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.message_classes import ClassRules
from decisioning.choice.arbitration import best_of
from decisioning.decision import Decision, Inputs, Reason
from decisioning.errors import ModelUnavailableError
from decisioning.live import LiveState
from decisioning.policy import Policy, decide

type MakeInputs = Callable[..., Inputs]
AMOUNTS = st.floats(-1e15, 1e15)
KEY = "ten-percent/push/plain"
OTHER = "free-coffee/push/plain"
SERVICE = "opening-hours/push/plain"


def valued(
    policy: Policy, inputs_of: MakeInputs, values: Mapping[str, float], silence: float = 1000.0, **fields: Any
) -> Decision:
    """Decide with a loss of 500 for every message not named, and without service offers."""
    keys = [message.key for message in policy.candidates("app-home")]
    scores = np.array([silence, *(values.get(key, silence - 500) for key in keys)])
    rest = {"touchpoint_id": "app-home", "expected_values": scores, "excluded_offers": frozenset({"opening-hours"})}
    return decide(policy, inputs_of(policy, **rest | fields), "D-1")


def lever(scope: LeverScope, of: str, factor: float, expires_at: datetime) -> Lever:
    return Lever(
        lever_id=f"{scope}-{of}",
        scope=scope,
        of=of,
        factor=factor,
        owner="loyalty team",
        reason="x",
        expires_at=expires_at,
    )


def weighted(catalogue: Catalogue, now: datetime, offer_weight: float = 1.0, goal_weight: float = 1.0) -> Policy:
    ends = now + timedelta(days=1)
    levers = (
        lever(LeverScope.OFFER, "ten-percent", offer_weight, ends),
        lever(LeverScope.GOAL, "loyalty", goal_weight, ends),
    )
    return Policy(replace(catalogue, levers=levers))


def entry(decision: Decision, key: str = KEY) -> Any:
    return next(one for one in decision.evaluated if one.message_key == key)


def test_priority_is_uplift_minus_cost_times_weights(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    found = entry(valued(weighted(plain_catalogue, now, 2.0, 3.0), inputs_of, {KEY: 1100.0}))
    assert (found.expected_value_minor, found.uplift_minor, found.cost_minor) == (1100.0, 100.0, 0.5)
    assert (found.context_weight, found.business_weight) == (1.0, 6.0)
    assert found.priority_minor == (100.0 - 0.5) * 6


def test_silence_has_its_own_value_and_priority_0(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    silence = valued(plain_policy, inputs_of, {KEY: 1100.0}).evaluated[0]
    assert silence.message_key == "silence"
    assert (silence.expected_value_minor, silence.uplift_minor, silence.cost_minor) == (1000.0, 0.0, 0.0)
    assert silence.priority_minor == 0.0


def test_a_weight_changes_the_order_of_messages_that_pay(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    values = {KEY: 1060.0, OTHER: 1100.0}
    assert valued(weighted(plain_catalogue, now), inputs_of, values).message_key == OTHER
    assert valued(weighted(plain_catalogue, now, 2.0), inputs_of, values).message_key == KEY


@pytest.mark.parametrize("weight", [0.0, 0.01, 1.0, 50.0])
def test_no_weight_makes_a_loss_smaller_or_larger(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime, weight: float
) -> None:
    decision = valued(weighted(plain_catalogue, now, weight), inputs_of, {KEY: 900.0})
    assert entry(decision).priority_minor == -100.5
    assert decision.message_key == "silence"


def test_a_weight_of_zero_switches_a_message_off(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    decision = valued(weighted(plain_catalogue, now, 0.0), inputs_of, {KEY: 5000.0})
    assert decision.message_key == "silence"
    assert entry(decision).priority_minor == 0.0


def test_a_gain_below_the_contact_cost_is_not_worth_sending(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    assert valued(plain_policy, inputs_of, {KEY: 1000.4}).message_key == "silence"
    assert valued(plain_policy, inputs_of, {KEY: 1000.5}).message_key == "silence"  # a tie: silence wins
    assert valued(plain_policy, inputs_of, {KEY: 1000.6}).message_key == KEY


def test_between_equal_messages_the_lower_key_wins(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    decision = valued(plain_policy, inputs_of, {KEY: 1100.0, OTHER: 1100.0})
    assert decision.message_key == OTHER
    assert [one.message_key for one in decision.evaluated[:3]] == ["silence", OTHER, KEY]


def test_the_best_is_the_first_of_those_with_the_highest_priority() -> None:
    assert best_of(np.array([0.0, 2.0, 2.0])) == 1
    assert best_of(np.array([0.0, 0.0, -1.0])) == 0


def test_a_learned_rate_is_priced_with_the_declared_value_of_the_offer(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    policy = Policy(replace(plain_catalogue, learning=Learning(measure_id="clicked")))
    decision = valued(policy, inputs_of, {KEY: 0.30, OTHER: 0.35}, silence=0.10)
    found = entry(decision)
    assert found.uplift_minor == pytest.approx(0.20)
    assert found.priority_minor == pytest.approx(0.20 * 200 - 0.5)
    assert entry(decision, OTHER).priority_minor == pytest.approx(0.25 * 150 - 0.5)
    assert decision.message_key == KEY


@settings(max_examples=60, deadline=None)
@given(values=st.lists(AMOUNTS, min_size=5, max_size=5), weight=st.floats(0, 1e6))
def test_the_record_lists_priorities_in_descending_order_and_the_best_beats_silence(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime, values: list[float], weight: float
) -> None:
    policy = weighted(plain_catalogue, now, weight)
    inputs = inputs_of(policy, touchpoint_id="app-home", expected_values=np.array(values))
    decision = decide(policy, inputs, "D-1")
    priorities = [one.priority_minor for one in decision.evaluated[1:]]
    assert priorities == sorted(priorities, reverse=True)
    assert np.isfinite(priorities).all()
    assert decision.message_key == decision.best.message_key
    assert decision.best.priority_minor == max(0.0, *priorities)
    assert (decision.message_key == "silence") is (max(priorities) <= 0)


def test_without_a_model_declared_values_are_used(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    inputs = inputs_of(plain_policy, touchpoint_id="app-home", expected_values=None)
    found = entry(decide(plain_policy, inputs, "D-1"), "opening-hours/push/plain")
    assert (found.expected_value_minor, found.uplift_minor, found.priority_minor) == (None, None, 9.5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 2e15])
@pytest.mark.parametrize("row", [0, 4])
def test_scores_that_are_not_finite_or_too_large_are_refused(
    plain_policy: Policy, inputs_of: MakeInputs, value: float, row: int
) -> None:
    scores = np.zeros(5)
    scores[row] = value
    inputs = inputs_of(plain_policy, touchpoint_id="app-home", expected_values=scores)
    with pytest.raises(ModelUnavailableError, match=f"in row {row}"):
        decide(plain_policy, inputs, "D-1")


@pytest.mark.parametrize("shape", [(4,), (6,), (0,), (5, 1), ()])
def test_a_wrong_number_of_scores_is_refused(
    plain_policy: Policy, inputs_of: MakeInputs, shape: tuple[int, ...]
) -> None:
    inputs = inputs_of(plain_policy, touchpoint_id="app-home", expected_values=np.zeros(shape))
    with pytest.raises(ModelUnavailableError, match=r"must have shape \(5,\)"):
        decide(plain_policy, inputs, "D-1")


def touch(catalogue: Catalogue, offer_id: str, channel_id: str = "push") -> Touch:
    offer = catalogue.offers[offer_id]
    return Touch(
        message_class=offer.message_class,
        department=catalogue.goals[offer.goal_id].department,
        goal_id=offer.goal_id,
        channel_id=channel_id,
        offer_id=offer_id,
        creative_id="plain",
    )


@pytest.fixture(scope="module")
def busy_catalogue(plain_catalogue: Catalogue, now: datetime) -> Catalogue:
    """A catalogue in which every factor of arbitration affects marketing by push."""
    return replace(
        plain_catalogue,
        contact_policy=ContactPolicy(
            fatigue=Fatigue(cost_minor=4.0, half_life_seconds=86_400.0),
            pressure=PressureBudget(limit=1000, window_seconds=86_400.0, channel_weights={"push": 2.0}),
        ),
        limits=(Limit(limit_id="pushes", scope=LimitScope.CHANNEL, of="push", amount=1000),),
        shares=(DepartmentShare(share_id="care-share", department="service", min_share=0.2),),
        levers=(lever(LeverScope.DEPARTMENT, "marketing", 3.0, now + timedelta(days=1)),),
    )


def busy_fields(catalogue: Catalogue, now: datetime) -> dict[str, Any]:
    sent = Contact(
        contact_id="d0", touch=touch(catalogue, "double-stamps"), at=now - timedelta(days=1), is_confirmed=True
    )
    prices = {"pushes": 7.0, "care-share": -30.0}
    return {"live": LiveState(contacts=(sent,)), "supply": Supply(prices_minor=prices)}


def test_every_factor_is_applied_and_shown(busy_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime) -> None:
    fields = busy_fields(busy_catalogue, now)
    found = entry(valued(Policy(busy_catalogue), inputs_of, {KEY: 1100.0}, **fields))
    fatigue = 4.0 * 2.0 * (2.0 * 0.5)  # a contact of weight 2, one half-life ago, then one of weight 2 now
    assert (found.cost_minor, found.fatigue_minor, found.shadow_minor) == (0.5, fatigue, 7.0)
    assert found.priority_minor == (100.0 - 0.5 - fatigue - 7.0) * 3


@pytest.mark.parametrize(
    ("switch", "expected"),
    [
        ("contact_cost", (0.0, 8.0, 7.0, 3.0, (100.0 - 8.0 - 7.0) * 3)),
        ("fatigue", (0.5, 0.0, 7.0, 3.0, (100.0 - 0.5 - 7.0) * 3)),
        ("shadow_prices", (0.5, 8.0, 0.0, 3.0, (100.0 - 0.5 - 8.0) * 3)),
        ("levers", (0.5, 8.0, 7.0, 1.0, 100.0 - 0.5 - 8.0 - 7.0)),
    ],
)
def test_every_factor_can_be_switched_off(
    busy_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime, switch: str, expected: tuple[float, ...]
) -> None:
    switches = ArbitrationSwitches(**{switch: False})
    policy = Policy(replace(busy_catalogue, switches=switches))
    found = entry(valued(policy, inputs_of, {KEY: 1100.0}, **busy_fields(busy_catalogue, now)))
    shown = (found.cost_minor, found.fatigue_minor, found.shadow_minor, found.business_weight, found.priority_minor)
    assert shown == expected


def test_a_department_below_its_minimum_share_is_raised(
    busy_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    fields: dict[str, Any] = busy_fields(busy_catalogue, now) | {"excluded_offers": frozenset[str]()}
    found = entry(valued(Policy(busy_catalogue), inputs_of, {}, **fields), SERVICE)
    assert found.shadow_minor == 7.0 - 30.0
    assert found.fatigue_minor == 0.0  # only marketing costs goodwill
    assert found.priority_minor == 10.0 - 0.5 + 23.0


def test_the_shadow_price_of_an_offers_own_capacity_is_charged_to_that_offer_only(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    seats = Limit(limit_id="seats", scope=LimitScope.OFFER, of="ten-percent", amount=50)
    policy = Policy(replace(plain_catalogue, limits=(seats,)))
    decision = valued(policy, inputs_of, {KEY: 1100.0}, supply=Supply(prices_minor={"seats": 12.0}))
    assert (entry(decision).shadow_minor, entry(decision, OTHER).shadow_minor) == (12.0, 0.0)


@settings(max_examples=30, deadline=None)
@given(value=st.floats(-1e14, 1e14), silence=st.floats(-1e14, 1e14))
def test_a_service_message_without_precedence_has_the_same_priority_for_every_customer(
    plain_policy: Policy, inputs_of: MakeInputs, value: float, silence: float
) -> None:
    decision = valued(plain_policy, inputs_of, {SERVICE: value}, silence, excluded_offers=frozenset[str]())
    found = entry(decision, SERVICE)
    assert (found.expected_value_minor, found.uplift_minor, found.priority_minor) == (None, None, 9.5)


def preceding(catalogue: Catalogue, urgencies: Mapping[str, float], **classes: MessageClass) -> Catalogue:
    """The shop with offers of other classes, all of which take precedence over marketing, and some exploration."""
    offers = dict(catalogue.offers)
    for name, message_class in classes.items():
        offer_id = name.replace("_", "-")
        urgency = urgencies.get(offer_id, 0.0)
        offers[offer_id] = replace(offers[offer_id], message_class=message_class, urgency=urgency)
    first = {
        one: replace(rules, has_precedence=one is not MessageClass.MARKETING)
        for one, rules in catalogue.classes.items()
    }
    return replace(catalogue, offers=offers, classes=first, exploration=Exploration(epsilon=0.5, min_probability=0.05))


WORTHLESS = {SERVICE: -1e6, "double-stamps/push/plain": 5000.0}


@pytest.mark.parametrize(
    ("classes", "urgencies", "winner"),
    [
        ({"opening_hours": "service"}, {}, "opening-hours"),
        ({"opening_hours": "service", "free_coffee": "recovery"}, {"opening-hours": 9.0}, "free-coffee"),
        ({"opening_hours": "mandatory", "free_coffee": "recovery"}, {}, "opening-hours"),
        ({"opening_hours": "service", "free_coffee": "service"}, {}, "free-coffee"),
        ({"opening_hours": "service", "free_coffee": "service"}, {"opening-hours": 1.0}, "opening-hours"),
    ],
)
@pytest.mark.parametrize("uniform", [0.0, 0.999])
def test_precedence_picks_the_highest_class_then_the_most_urgent_offer_whatever_its_value(
    plain_catalogue: Catalogue,
    inputs_of: MakeInputs,
    classes: dict[str, str],
    urgencies: dict[str, float],
    winner: str,
    uniform: float,
) -> None:
    named = {offer: MessageClass(message_class) for offer, message_class in classes.items()}
    policy = Policy(preceding(plain_catalogue, urgencies, **named))
    fields: dict[str, Any] = {"excluded_offers": frozenset[str](), "uniform": uniform}
    decision = valued(policy, inputs_of, WORTHLESS, **fields)
    assert (decision.offer_id, decision.action_probability, decision.reason) == (winner, 1.0, Reason.PRECEDENCE)
    assert decision.best.message_key == decision.message_key
    assert sorted(one.probability for one in decision.evaluated) == [*[0.0] * (len(decision.evaluated) - 1), 1.0]


@pytest.mark.parametrize(("places", "channel"), [((0, 1), "email"), ((1, 0), "push"), ((0, 0), "email")])
def test_precedence_sends_the_first_declared_message_of_an_offer_whatever_the_customers_value(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, places: tuple[int, int], channel: str
) -> None:
    catalogue = preceding(plain_catalogue, {}, opening_hours=MessageClass.SERVICE)
    order: dict[str, int] = dict(zip(("email", "push"), places, strict=True))
    written = tuple(
        replace(one, place=order[one.channel_id]) if one.offer_id == "opening-hours" else one
        for one in catalogue.creatives
    )
    policy = Policy(replace(catalogue, creatives=written))
    keys = [message.key for message in policy.candidates("weekly-mail")]
    for email, push in ((-50.0, -40.0), (9_000.0, -9_000.0), (-9_000.0, 9_000.0)):
        worth = {"opening-hours/email/plain": email, SERVICE: push}
        scores = np.array([0.0, *(worth.get(key, 900.0) for key in keys)])
        decision = decide(policy, inputs_of(policy, expected_values=scores), "D-1")
        assert (decision.offer_id, decision.channel_id) == ("opening-hours", channel)
        assert all(one.uplift_minor is None for one in decision.evaluated if one.message_key.startswith("opening"))


@pytest.mark.parametrize(
    ("answers_in_kind", "told_on", "channel"), [(True, "push", "push"), (True, None, "email"), (False, "push", "email")]
)
def test_an_offer_that_answers_in_kind_uses_the_channel_on_which_the_customer_reported_the_case(
    plain_catalogue: Catalogue,
    inputs_of: MakeInputs,
    now: datetime,
    answers_in_kind: bool,
    told_on: str | None,
    channel: str,
) -> None:
    catalogue = preceding(plain_catalogue, {}, opening_hours=MessageClass.SERVICE)
    offer = replace(catalogue.offers["opening-hours"], answers_in_kind=answers_in_kind)
    policy = Policy(replace(catalogue, offers={**catalogue.offers, "opening-hours": offer}))
    keys = [message.key for message in policy.candidates("weekly-mail")]
    scores = np.array([0.0, *(50.0 if key.startswith("opening-hours/email") else 0.0 for key in keys)])
    case = Case(case_id="c1", kind="lost_item", severity="normal", opened_at=now, channel_id=told_on)
    decision = decide(policy, inputs_of(policy, expected_values=scores, live=LiveState(cases=(case,))), "D-1")
    assert (decision.offer_id, decision.channel_id) == ("opening-hours", channel)


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4))
def test_the_order_of_precedence_never_depends_on_the_customers_value(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, values: list[float]
) -> None:
    classes = {"opening_hours": MessageClass.SERVICE, "free_coffee": MessageClass.SERVICE}
    policy = Policy(preceding(plain_catalogue, {}, **classes))
    keys = [message.key for message in policy.candidates("app-home")]
    decision = valued(policy, inputs_of, dict(zip(keys, values, strict=True)), excluded_offers=frozenset[str]())
    assert decision.offer_id == "free-coffee"  # equally urgent: the lower id, for everybody


def test_a_class_without_precedence_competes_on_value(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    assert plain_catalogue.classes[MessageClass.SERVICE] != ClassRules(has_precedence=True)
    decision = valued(Policy(plain_catalogue), inputs_of, {KEY: 1100.0}, excluded_offers=frozenset[str]())
    assert (decision.message_key, decision.reason) == (KEY, Reason.MODEL)
