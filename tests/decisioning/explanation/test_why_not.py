"""Why an offer lost and what would change that: from the record, verified by deciding again."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.care import Case
from decisioning.catalogue.catalogue import Catalogue, Learning
from decisioning.catalogue.contact_policy import (
    Cap,
    Contact,
    ContactPolicy,
    Due,
    PressureBudget,
    Response,
    Suppression,
    SuppressionScope,
)
from decisioning.catalogue.conversation import Conversation
from decisioning.catalogue.experiment import ArmPolicy, Experiment, Holdout, ProgrammeHoldout
from decisioning.catalogue.exploration import Exploration
from decisioning.catalogue.levers import Lever, LeverScope
from decisioning.catalogue.limits import DepartmentShare, Limit, LimitMeasure, LimitScope, Supply, counter_name
from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.message_classes import DEFAULT_CLASSES, CapScope
from decisioning.catalogue.quiet_hours import QuietHours, QuietRule
from decisioning.decision import Decision, Exclusion, Inputs, Placement, Reason
from decisioning.explanation.counterfactual import Counterfactual, lifted
from decisioning.explanation.nearest_change import StepKind, nearest_change
from decisioning.explanation.why_not import OfferStanding, why_not_then
from decisioning.policy import Policy, decide
from decisioning.record.document import decision_from_record, decision_to_record
from decisioning.rules.predicate import Compare, Comparison
from tests.touches import make_touch

type MakeInputs = Callable[..., Inputs]

COFFEE = make_touch()
SERVICE = replace(COFFEE, message_class=MessageClass.SERVICE, offer_id="opening-hours")


def decided(policy: Policy, inputs: Inputs) -> Decision:
    return decision_from_record(decision_to_record(decide(policy, inputs, "D-1")))


def with_offer(catalogue: Catalogue, offer_id: str, **fields: Any) -> Catalogue:
    offer = replace(catalogue.offers[offer_id], **fields)
    return replace(catalogue, offers={**catalogue.offers, offer_id: offer})


def contact(inputs: Inputs, **fields: Any) -> Contact:
    return replace(
        Contact(contact_id="D-0", touch=COFFEE, at=inputs.now - timedelta(days=1), is_confirmed=True), **fields
    )


def test_the_chosen_message_is_reported_as_chosen(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    decision = decided(plain_policy, inputs_of(plain_policy))
    found = why_not_then(decision, "ten-percent")
    assert (found.standing, found.sentence) == (OfferStanding.CHOSEN, "ten-percent/push/plain was chosen.")
    assert why_not_then(decision, "ten-percent", "email").standing is OfferStanding.VALUED_LESS
    change = nearest_change(plain_policy, decision, "ten-percent")
    assert (change.is_verified, change.steps) == (True, ())


def test_a_message_worth_less_is_reported_with_the_gap_and_its_causes(
    plain_policy: Policy, inputs_of: MakeInputs
) -> None:
    found = why_not_then(decided(plain_policy, inputs_of(plain_policy)), "free-coffee")
    assert found.standing is OfferStanding.VALUED_LESS
    assert [one.message_key for one in found.messages] == ["free-coffee/push/plain", "free-coffee/email/plain"]
    nearest, other = found.messages
    assert nearest.gap_minor == pytest.approx(200.0)
    assert dict(nearest.factors) == {"uplift_minor": pytest.approx(200.0)}
    assert list(other.factors) == ["uplift_minor", "cost_minor"]
    assert found.sentence == (
        "free-coffee/push/plain was permitted; it was worth 200.00 minor units less than ten-percent/push/plain; "
        "what counted most is uplift."
    )


def test_a_refused_message_is_reported_with_every_gate(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    inputs = inputs_of(plain_policy, attributes={"age": 17}, unsubscribed_channels=frozenset({"email", "push"}))
    found = why_not_then(decided(plain_policy, inputs), "ten-percent")
    assert found.standing is OfferStanding.EXCLUDED
    assert [code for code, _, _ in found.messages[0].obstacles] == ["UNSUBSCRIBED", "NOT_ELIGIBLE"]
    assert "the customer has left the channel; a rule of the offer is not met" in found.sentence


def test_a_message_that_lost_the_draw_would_win_another_draw(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = Policy(replace(plain_catalogue, exploration=Exploration(epsilon=0.5)))
    decision = decided(policy, inputs_of(policy, uniform=0.01))
    assert decision.reason is Reason.EXPLORED
    found = why_not_then(decision, "ten-percent", "push")
    assert found.standing is OfferStanding.LOST_DRAW
    assert found.sentence == "ten-percent/push/plain was the best, with a probability of 55.6%; the draw chose silence."
    change = nearest_change(policy, decision, "ten-percent", "push")
    assert (change.is_verified, [step.kind for step in change.steps]) == (True, [StepKind.DRAW])
    assert "which has a chance of 55.6%" in change.sentence


def test_an_offer_that_is_not_a_candidate_cannot_win(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    decision = decided(plain_policy, inputs_of(plain_policy))
    assert why_not_then(decision, "no-such-offer").standing is OfferStanding.NOT_A_CANDIDATE
    change = nearest_change(plain_policy, decision, "ten-percent", "call")
    assert (change.message_key, change.is_verified) == (None, False)
    assert change.sentence.startswith("No answer: ten-percent has no message at touchpoint weekly-mail")


def test_only_the_policy_of_the_decision_can_answer(
    plain_policy: Policy, plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    decision = decided(plain_policy, inputs_of(plain_policy))
    change = nearest_change(Policy(plain_catalogue, "other seed"), decision, "free-coffee")
    assert not change.is_verified
    assert "only" in change.sentence


def test_the_ghost_of_a_held_out_customer_is_reported(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = Policy(replace(plain_catalogue, holdout=Holdout(share=1.0, salt="h")))
    decision = decided(policy, inputs_of(policy))
    assert decision.ghost is not None
    assert why_not_then(decision, "ten-percent").is_ghost
    assert not why_not_then(decision, "free-coffee").is_ghost


def test_losing_to_a_class_with_precedence_is_reported_as_such(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    first = replace(plain_catalogue, classes=DEFAULT_CLASSES)
    policy = Policy(first)
    decision = decided(policy, inputs_of(policy))
    assert decision.reason is Reason.PRECEDENCE
    assert (
        "belongs to a class that takes precedence, whatever the values"
        in why_not_then(decision, "ten-percent").sentence
    )
    change = nearest_change(policy, decision, "ten-percent")
    assert [step.kind for step in change.steps] == [StepKind.YIELD]
    assert change.is_verified


def test_losing_to_the_allocation_is_reported_as_such(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    decision = decided(plain_policy, inputs_of(plain_policy, allocated="free-coffee/email/plain"))
    assert "the plan over all customers chose free-coffee/email/plain" in why_not_then(decision, "ten-percent").sentence
    change = nearest_change(plain_policy, decision, "ten-percent")
    assert [step.kind for step in change.steps] == [StepKind.YIELD]


def test_the_reported_gap_in_value_is_the_smallest_that_suffices(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    inputs = inputs_of(plain_policy)
    change = nearest_change(plain_policy, decided(plain_policy, inputs), "free-coffee", "email")
    (step,) = change.steps
    assert (step.kind, step.amount) == (StepKind.VALUE, pytest.approx(250.51))
    assert change.sentence == (
        "free-coffee/email/plain would be first if its expected value were higher, or its costs lower, by 250.51 minor "
        "units."
    )


def test_without_a_model_the_change_raises_the_declared_value(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    inputs = inputs_of(plain_policy, expected_values=None, attributes={"age": 30}, has_opted_out_of_profiling=True)
    decision = decided(plain_policy, inputs)
    assert decision.reason is Reason.NOT_PROFILED
    change = nearest_change(plain_policy, decision, "double-stamps")
    assert change.is_verified
    assert "its declared value were higher by" in change.sentence


def test_a_change_of_a_learned_rate_is_given_in_percentage_points(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    policy = Policy(replace(plain_catalogue, learning=Learning(measure_id="clicked")))
    decision = decided(policy, inputs_of(policy, expected_values=np.linspace(0.0, 0.4, 9)))
    change = nearest_change(policy, decision, "free-coffee")
    assert change.is_verified
    assert "its expected rate were higher by" in change.sentence


def test_with_weight_0_no_value_is_high_enough(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    inputs = inputs_of(Policy(plain_catalogue))
    lever = Lever(
        lever_id="off", scope=LeverScope.OFFER, of="free-coffee", factor=0.0, owner="team", reason="recalled",
        expires_at=inputs.now + timedelta(days=9),
    )  # fmt: skip
    policy = Policy(replace(plain_catalogue, levers=(lever,)))
    change = nearest_change(policy, decided(policy, inputs), "free-coffee", "push")
    assert not change.is_verified
    assert change.sentence == "No answer: no value would put free-coffee/push/plain before ten-percent/push/plain."


def _gated(catalogue: Catalogue, inputs: Inputs) -> dict[Exclusion, tuple[Catalogue, Inputs]]:
    """For every gate, a situation in which only that gate refuses free-coffee."""
    live, request, customer = inputs.live, inputs.request, inputs.customer
    assert customer is not None

    def known(**fields: Any) -> Inputs:
        return replace(inputs, customer=replace(customer, **fields))

    def lived(**fields: Any) -> Inputs:
        return replace(inputs, live=replace(live, **fields))

    def asked(**fields: Any) -> Inputs:
        return replace(inputs, request=replace(request, **fields))

    def contact_policy(**fields: Any) -> Catalogue:
        return replace(catalogue, contact_policy=ContactPolicy(**fields))

    day = 86_400.0
    refused = tuple(replace(one, is_granted=False) for one in customer.consents)
    no = Compare(fact="customer.age", comparison=Comparison.AT_LEAST, value=99)
    touched = lived(contacts=(contact(inputs),))
    case = Case(case_id="K", kind="complaint", severity="normal", opened_at=inputs.now - timedelta(days=1))
    seats = Limit(limit_id="seats", scope=LimitScope.OFFER, of="free-coffee", amount=0)
    money = Limit(limit_id="m", scope=LimitScope.EVERYTHING, amount=0.1, measure=LimitMeasure.COST)
    share = DepartmentShare(share_id="s", department="marketing", max_share=0.0, slack=0)
    heavy = PressureBudget(limit=2.0, window_seconds=day, class_weights={MessageClass.SERVICE: 2.0})
    cap = Cap(cap_id="week", scope=CapScope.EVERYTHING, limit=1, window_seconds=7 * day)
    other = contact(inputs, touch=replace(COFFEE, offer_id="double-stamps"))
    viewed = Response(outcome="viewed", touch=COFFEE, at=inputs.now - timedelta(days=1))
    quiet = QuietHours(rules=(QuietRule(weekdays=frozenset(range(7))),))
    return {
        Exclusion.CHANNEL_NOT_ASKED: (catalogue, asked(channels=frozenset({"call"}))),
        Exclusion.EXCLUDED_BY_CALLER: (catalogue, asked(excluded_offers=frozenset({"free-coffee"}))),
        Exclusion.PROTECTED: (catalogue, known(protections=frozenset({"vulnerable"}))),
        Exclusion.NO_CONSENT: (catalogue, known(consents=refused)),
        Exclusion.UNSUBSCRIBED: (catalogue, known(unsubscribed_channels=frozenset({"email", "push"}))),
        Exclusion.NOT_REACHABLE: (catalogue, known(reachable_channels=frozenset())),
        Exclusion.EXPIRED: (with_offer(catalogue, "free-coffee", valid_until=inputs.now), inputs),
        Exclusion.WRONG_STAGE: (catalogue, asked(stage_id="lapsed")),
        Exclusion.NOT_ELIGIBLE: (with_offer(catalogue, "free-coffee", eligibility=no), inputs),
        Exclusion.NOT_APPLICABLE: (with_offer(catalogue, "free-coffee", applicability=no), inputs),
        Exclusion.NOT_SUITABLE: (with_offer(catalogue, "free-coffee", suitability=no), inputs),
        Exclusion.INCOMPATIBLE: (
            with_offer(catalogue, "double-stamps", never_with=frozenset({"free-coffee"})), lived(contacts=(other,)),
        ),
        Exclusion.CASE_OPEN: (catalogue, lived(cases=(case,))),
        Exclusion.STATE_LOST: (catalogue, lived(is_lost=True)),
        Exclusion.CAP_REACHED: (contact_policy(caps=(replace(cap, limit=0),)), inputs),
        Exclusion.CASE_COOLING_DOWN: (
            catalogue, lived(cases=(replace(case, resolved_at=inputs.now - timedelta(hours=1)),)),
        ),
        Exclusion.ROOM_KEPT: (
            contact_policy(pressure=heavy, look_ahead_seconds=2 * day),
            lived(due=(Due(due_id="B", due_at=inputs.now + timedelta(hours=2), touch=SERVICE),)),
        ),
        Exclusion.PRESSURE_REACHED: (
            contact_policy(pressure=PressureBudget(limit=0.5, window_seconds=7 * day)), touched,
        ),
        Exclusion.SUPPRESSED: (
            contact_policy(
                suppressions=(Suppression(after="declined", scope=SuppressionScope.OFFER, cooldown_seconds=None),)
            ),
            lived(responses=(Response(outcome="declined", touch=COFFEE, at=inputs.now - timedelta(days=1)),)),
        ),
        Exclusion.OTHER_PURPOSE: (replace(catalogue, channels={
            name: replace(one, purposes={"active": frozenset({"care"})}) for name, one in catalogue.channels.items()
        }), inputs),
        Exclusion.ALREADY_SEEN: (
            replace(catalogue, conversation=Conversation(seen_seconds=7 * day)), lived(responses=(viewed,)),
        ),
        Exclusion.ALREADY_KNOWN: (with_offer(catalogue, "free-coffee", asks=frozenset({"region"})), inputs),
        Exclusion.NOTHING_TO_FOLLOW: (replace(catalogue, conversation=Conversation(
            seen_seconds=day, follow_ups=frozenset({"free-coffee/email/plain", "free-coffee/push/plain"})
        )), inputs),
        Exclusion.QUIET_HOURS: (replace(catalogue, quiet_hours=quiet), inputs),
        Exclusion.CAPACITY_FULL: (replace(catalogue, limits=(seats,)), inputs),
        Exclusion.BUDGET_SPENT: (replace(catalogue, limits=(money,)), inputs),
        Exclusion.SHARE_REACHED: (
            replace(catalogue, shares=(share,)), replace(inputs, supply=_used(share, inputs)),
        ),
        Exclusion.CREATIVE_UNFIT: (
            catalogue, replace(inputs, unfit={f"free-coffee/{one}/plain": "too long" for one in ("email", "push")}),
        ),
        Exclusion.HOLDOUT: (replace(catalogue, holdout=Holdout(share=1.0, salt="h")), inputs),
        Exclusion.PROGRAMME_HOLDOUT: (
            replace(catalogue, programme_holdouts=(
                ProgrammeHoldout(programme_id="p", share=1.0, salt="p", goals=frozenset({"loyalty"})),
            )), inputs,
        ),
    }  # fmt: skip


def _used(share: DepartmentShare, inputs: Inputs) -> Supply:
    name = counter_name(share, inputs.now)
    return Supply(used={name: 100.0})


GATED = sorted(set(Exclusion) - {
    Exclusion.NOT_SCORED, Exclusion.ALREADY_IN_SLATE, Exclusion.NOT_YET_VALID, Exclusion.EXPERIMENT_ARM,
})  # fmt: skip


@pytest.mark.parametrize("code", GATED)
def test_the_change_can_lift_every_gate_and_is_verified(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, code: Exclusion
) -> None:
    catalogue, inputs = _gated(plain_catalogue, inputs_of(Policy(plain_catalogue)))[code]
    policy = Policy(catalogue)
    decision = decided(policy, inputs)
    found = why_not_then(decision, "free-coffee")
    assert code in [one for one, _, _ in found.messages[0].obstacles], found.sentence
    change = nearest_change(policy, decision, "free-coffee")
    assert change.is_verified, change.sentence
    assert {step.exclusion for step in change.steps if step.kind is StepKind.LIFT} <= {code}
    assert {step.kind for step in change.steps} & {StepKind.LIFT, StepKind.LATER}


def test_the_change_can_lift_a_silent_arm(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, experiment_of: Callable[..., Experiment]
) -> None:
    policy = Policy(replace(plain_catalogue, experiments=(experiment_of(ArmPolicy.SILENCE),)))
    change = nearest_change(policy, decided(policy, inputs_of(policy)), "ten-percent")
    assert (change.is_verified, [step.exclusion for step in change.steps]) == (True, [Exclusion.EXPERIMENT_ARM])
    assert change.sentence == "ten-percent/push/plain would be first if no experiment kept this customer silent."


def test_if_only_time_is_in_the_way_the_change_says_when(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    inputs = inputs_of(Policy(plain_catalogue))
    starts_at = inputs.now + timedelta(days=2)
    policy = Policy(with_offer(plain_catalogue, "ten-percent", valid_from=starts_at))
    change = nearest_change(policy, decided(policy, inputs), "ten-percent")
    (step,) = change.steps
    assert (step.kind, step.at, change.is_verified) == (StepKind.LATER, starts_at, True)


def test_a_rule_that_waiting_does_not_fix_is_lifted(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    """Waiting helps only if time alone is in the way; a rule that fails as well has to be lifted."""
    inputs = inputs_of(Policy(plain_catalogue), attributes={"age": 17})
    policy = Policy(with_offer(plain_catalogue, "ten-percent", valid_from=inputs.now + timedelta(days=2)))
    change = nearest_change(policy, decided(policy, inputs), "ten-percent")
    assert [step.exclusion for step in change.steps] == [Exclusion.NOT_YET_VALID, Exclusion.NOT_ELIGIBLE]
    assert "customer.age must be at least 18, is 17" in change.sentence
    assert change.is_verified


def test_a_change_may_lift_a_gate_and_raise_the_value(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    inputs = inputs_of(plain_policy, excluded_offers=frozenset({"free-coffee"}))
    change = nearest_change(plain_policy, decided(plain_policy, inputs), "free-coffee")
    assert [step.kind for step in change.steps] == [StepKind.LIFT, StepKind.VALUE]
    assert change.sentence.startswith(
        "free-coffee/push/plain would be first if the caller had not ruled free-coffee out; and its expected value"
    )


def test_a_refusal_hidden_behind_another_is_lifted_too(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    """The contact gate reports the longest refusal only: here the cap, which hides contact pressure."""
    no_cap = Cap(cap_id="never", scope=CapScope.EVERYTHING, limit=0, window_seconds=86_400.0)
    no_pressure = PressureBudget(limit=0.0, window_seconds=86_400.0)
    policy = Policy(replace(plain_catalogue, contact_policy=ContactPolicy(caps=(no_cap,), pressure=no_pressure)))
    change = nearest_change(policy, decided(policy, inputs_of(policy)), "ten-percent")
    assert {step.exclusion for step in change.steps} == {Exclusion.CAP_REACHED, Exclusion.PRESSURE_REACHED}
    assert change.is_verified


def test_a_step_that_lifts_two_refusals_is_listed_once(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    """`never_with` and `not_after` the same offer."""
    catalogue = with_offer(
        plain_catalogue, "ten-percent", never_with=frozenset({"free-coffee"}), not_after={"free-coffee": 9e5}
    )
    policy = Policy(catalogue)
    inputs = inputs_of(policy)
    inputs = replace(inputs, live=replace(inputs.live, contacts=(contact(inputs),)))
    decision = decided(policy, inputs)
    assert [one for one, _, _ in why_not_then(decision, "ten-percent").messages[0].obstacles] == ["INCOMPATIBLE"] * 2
    change = nearest_change(policy, decision, "ten-percent")
    assert ([step.exclusion for step in change.steps], change.is_verified) == ([Exclusion.INCOMPATIBLE], True)


def test_an_open_case_is_lifted_if_waiting_alone_is_not_enough(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    inputs = inputs_of(plain_policy, excluded_offers=frozenset({"ten-percent"}))
    case = Case(case_id="K", kind="complaint", severity="normal", opened_at=inputs.now - timedelta(days=1))
    inputs = replace(inputs, live=replace(inputs.live, cases=(case,)))
    change = nearest_change(plain_policy, decided(plain_policy, inputs), "ten-percent")
    assert {step.exclusion for step in change.steps} == {Exclusion.EXCLUDED_BY_CALLER, Exclusion.CASE_OPEN}
    assert change.is_verified


@pytest.mark.parametrize("offer_id", ["free-coffee", "opening-hours"])
def test_no_change_asks_for_a_value_out_of_range(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, offer_id: str
) -> None:
    inputs = inputs_of(Policy(plain_catalogue))
    lever = Lever(
        lever_id="low", scope=LeverScope.OFFER, of=offer_id, factor=0.1, owner="team", reason="test",
        expires_at=inputs.now + timedelta(days=9),
    )  # fmt: skip
    policy = Policy(replace(plain_catalogue, levers=(lever,)))
    values = np.array([0.0, *[1.0] * 6, 9e14, 9e14])
    change = nearest_change(policy, decided(policy, replace(inputs, expected_values=values)), offer_id)
    assert not change.is_verified
    assert "no value would put" in change.sentence


def test_without_a_score_there_is_no_nearest_change(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    decision = decided(plain_policy, inputs_of(plain_policy, expected_values=None))
    change = nearest_change(plain_policy, decision, "ten-percent")
    assert not change.is_verified
    assert change.sentence == ("No answer: it is not known what ten-percent/email/plain would be without NOT_SCORED.")


def test_for_an_unknown_customer_there_is_no_nearest_change(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    decision = decided(plain_policy, inputs_of(plain_policy, customer=None))
    assert not nearest_change(plain_policy, decision, "ten-percent").is_verified


def test_the_change_is_given_for_the_message_that_needs_fewer_steps(
    plain_policy: Policy, inputs_of: MakeInputs
) -> None:
    inputs = inputs_of(plain_policy, unsubscribed_channels=frozenset({"push"}), attributes={"age": 17})
    change = nearest_change(plain_policy, decided(plain_policy, inputs), "ten-percent")
    assert change.message_key == "ten-percent/email/plain"
    assert [step.exclusion for step in change.steps] == [Exclusion.NOT_ELIGIBLE]


def test_the_change_can_add_a_channel_to_a_placement(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    inputs = inputs_of(plain_policy)
    mail_only = Placement(placement_id="mail", channels=frozenset({"email"}))
    inputs = replace(inputs, request=replace(inputs.request, placements=(mail_only,)))
    change = nearest_change(plain_policy, decided(plain_policy, inputs), "ten-percent", "push")
    assert [step.exclusion for step in change.steps] == [Exclusion.CHANNEL_NOT_ASKED]


@given(
    values=st.lists(st.floats(-2_000, 2_000), min_size=9, max_size=9),
    age=st.integers(10, 60),
    left=st.sampled_from([frozenset[str](), frozenset({"push"}), frozenset({"email", "push"})]),
    offer_id=st.sampled_from(["free-coffee", "ten-percent", "double-stamps", "opening-hours"]),
)
@settings(max_examples=60, deadline=None)
def test_every_change_is_verified_and_has_no_superfluous_step(
    plain_policy: Policy,
    inputs_of: MakeInputs,
    values: list[float],
    age: int,
    left: frozenset[str],
    offer_id: str,
) -> None:
    inputs = inputs_of(
        plain_policy, expected_values=np.array(values), attributes={"age": age}, unsubscribed_channels=left
    )
    decision = decide(plain_policy, inputs, "D-1")
    before = decision_to_record(decision)
    change = nearest_change(plain_policy, decision, offer_id)
    assert change.is_verified, change.sentence
    assert decision_to_record(decision) == before  # explaining does not change the decision
    assert decision_to_record(decide(plain_policy, inputs, "D-1")) == before
    lifts = [step.exclusion for step in change.steps if step.kind is StepKind.LIFT]
    assert len(lifts) == len(set(lifts))
    if lifts:
        assert set(lifts) <= {Exclusion.UNSUBSCRIBED, Exclusion.NOT_ELIGIBLE}


def test_some_refusals_cannot_be_lifted(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    world = Counterfactual(catalogue=plain_policy.catalogue, inputs=inputs_of(plain_policy))
    candidate = plain_policy.compiled_candidates("weekly-mail")[0]
    assert lifted(world, candidate, Exclusion.NOT_SCORED) is None
    assert lifted(replace(world, inputs=replace(world.inputs, customer=None)), candidate, Exclusion.HOLDOUT) is None
