"""Permits: whatever may have changed since the decision is checked again, and nothing that the choice settled."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.care import DEFAULT_CARE, Case
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import (
    Cap,
    CapUnit,
    Contact,
    ContactPolicy,
    PressureBudget,
    Response,
    Suppression,
    SuppressionScope,
)
from decisioning.catalogue.experiment import ArmPolicy, Experiment, Holdout
from decisioning.catalogue.exploration import Exploration
from decisioning.catalogue.limits import Limit, LimitScope, Period, Supply
from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.message_classes import CapScope
from decisioning.catalogue.quiet_hours import QuietHours, QuietRule
from decisioning.customer import Consent
from decisioning.decision import Decision, Exclusion, Inputs, Placement
from decisioning.errors import InvalidInputError
from decisioning.gates.reservation import reservation_of
from decisioning.live import StageMove
from decisioning.permit import PermitVerdict, decided_of, permit
from decisioning.policy import Policy, decide
from decisioning.rules.predicate import Compare, Comparison

type MakeInputs = Callable[..., Inputs]

DAY = 86_400.0
LATER = timedelta(hours=2)
OFFER = "ten-percent"
KEY = f"{OFFER}/email/plain"
CAPS = ContactPolicy(
    caps=(
        Cap(cap_id="day", scope=CapScope.EVERYTHING, limit=1, window_seconds=DAY),
        Cap(cap_id="home", scope=CapScope.EVERYTHING, limit=1, window_seconds=DAY, unit=CapUnit.HOUSEHOLD),
    ),
    pressure=PressureBudget(limit=1.0, window_seconds=DAY),
    suppressions=(Suppression(after="complained", scope=SuppressionScope.EVERYTHING, cooldown_seconds=None),),
)


@pytest.fixture(scope="module")
def tight(plain_catalogue: Catalogue) -> Policy:
    """One message a day for a household, one mail a day for everybody."""
    return tight_policy(plain_catalogue)


def tight_policy(catalogue: Catalogue, **change: Any) -> Policy:
    offer = replace(catalogue.offers[OFFER], **change)
    return Policy(
        replace(
            catalogue,
            offers={**catalogue.offers, OFFER: offer},
            creatives=tuple(one for one in catalogue.creatives if one.offer_id != "opening-hours"),
            contact_policy=CAPS,
            care=DEFAULT_CARE,
            quiet_hours=QuietHours(rules=(QuietRule(from_minute=20 * 60, until_minute=8 * 60),)),
            limits=(Limit(limit_id="mails", scope=LimitScope.CHANNEL, of="email", amount=1, period=Period.DAY),),
        )
    )


def decided(policy: Policy, inputs_of: MakeInputs, **fields: Any) -> Decision:
    """A decision for the offer by e-mail."""
    keys = [message.key for message in policy.candidates("weekly-mail")]
    inputs = inputs_of(policy, household_id="H-1", **fields)
    values = inputs.expected_values
    assert values is not None
    values = values * 0
    values[keys.index(KEY) + 1] = 1e6
    decision = decide(policy, replace(inputs, expected_values=values), "D-1")
    assert decision.message_key == KEY
    return decision


def since(policy: Policy, decision: Decision, **change: Any) -> Inputs:
    """Inputs two hours later: the decision's own contact is in both books, its own use no longer in the counters."""
    taken = reservation_of(policy.catalogue, decision)
    live = replace(decision.inputs.live, contacts=taken.contacts, household_contacts=taken.contacts)
    now = replace(
        decision.inputs,
        now=decision.decided_at + LATER,
        live=live,
        supply=Supply(),
        features=decision.inputs.features,
        expected_values=None,
    )
    return replace(now, **change)


def with_live(inputs: Inputs, **change: Any) -> Inputs:
    return replace(inputs, live=replace(inputs.live, **change))


def with_profile(inputs: Inputs, **change: Any) -> Inputs:
    assert inputs.customer is not None
    return replace(inputs, customer=replace(inputs.customer, **change))


def another(decision: Decision, policy: Policy, at: datetime) -> Contact:
    (own,) = reservation_of(policy.catalogue, decision).contacts
    return replace(own, contact_id="D-2", at=at)


def test_a_message_is_not_refused_because_of_its_own_contact(tight: Policy, inputs_of: MakeInputs) -> None:
    decision = decided(tight, inputs_of)
    inputs = since(tight, decision)
    assert inputs.live.contacts, "its own contact is in the book"
    assert permit(tight, decided_of(decision), inputs) == PermitVerdict(is_allowed=True)


def denied(answer: PermitVerdict) -> tuple[Exclusion, ...]:
    assert answer.is_allowed is (not answer.reasons)
    assert len(answer.details) == len(answer.reasons)
    return answer.reasons


def withdrawal(at: datetime) -> Consent:
    return Consent(channel_id="email", purpose="marketing", is_granted=False, recorded_at=at, source="call")


type Change = Callable[[Inputs, Decision, Policy], Inputs]
CHANGES: Mapping[str, tuple[Change, Exclusion]] = {
    "consent withdrawn": (
        lambda inputs, decision, policy: with_live(inputs, consents=(withdrawal(inputs.now),)),
        Exclusion.NO_CONSENT,
    ),
    "channel left": (
        lambda inputs, decision, policy: with_profile(inputs, unsubscribed_channels=frozenset({"email"})),
        Exclusion.UNSUBSCRIBED,
    ),
    "address gone": (
        lambda inputs, decision, policy: with_profile(inputs, reachable_channels=frozenset({"push"})),
        Exclusion.NOT_REACHABLE,
    ),
    "protected": (
        lambda inputs, decision, policy: with_live(inputs, protections={"deceased": True}),
        Exclusion.PROTECTED,
    ),
    "case opened": (
        lambda inputs, decision, policy: with_live(
            inputs, cases=(Case(case_id="c", kind="complaint", severity="normal", opened_at=inputs.now),)
        ),
        Exclusion.CASE_OPEN,
    ),
    "complained": (
        lambda inputs, decision, policy: with_live(
            inputs,
            responses=(Response(outcome="complained", touch=inputs.live.contacts[0].touch, at=inputs.now),),
        ),
        Exclusion.SUPPRESSED,
    ),
    "another message reached the household": (
        lambda inputs, decision, policy: with_live(
            inputs, household_contacts=(*inputs.live.household_contacts, another(decision, policy, inputs.now))
        ),
        Exclusion.CAP_REACHED,
    ),
    "slots used by others": (
        lambda inputs, decision, policy: replace(inputs, supply=Supply(used={"limit:mails:2026-11-01": 1.0})),
        Exclusion.CAPACITY_FULL,
    ),
    "content no longer fits": (
        lambda inputs, decision, policy: replace(inputs, unfit={KEY: "headline has 99 characters, at most 80 fit"}),
        Exclusion.CREATIVE_UNFIT,
    ),
    "no longer eligible": (
        lambda inputs, decision, policy: with_profile(inputs, attributes={"age": 17}),
        Exclusion.NOT_ELIGIBLE,
    ),
    "night has fallen": (
        lambda inputs, decision, policy: replace(inputs, now=datetime(2026, 11, 1, 19, tzinfo=UTC)),
        Exclusion.QUIET_HOURS,
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_since_the_decision_denies_the_permit(tight: Policy, inputs_of: MakeInputs, change: str) -> None:
    spoil, reason = CHANGES[change]
    decision = decided(tight, inputs_of)
    answer = permit(tight, decided_of(decision), spoil(since(tight, decision), decision, tight))
    assert denied(answer) == (reason,)
    assert permit(tight, decided_of(decision), since(tight, decision)).is_allowed


def test_a_cap_counts_what_was_sent_meanwhile_and_says_when_to_ask_again(tight: Policy, inputs_of: MakeInputs) -> None:
    decision = decided(tight, inputs_of)
    inputs = since(tight, decision)
    contacts = (*inputs.live.contacts, another(decision, tight, inputs.now - timedelta(hours=1)))
    answer = permit(tight, decided_of(decision), with_live(inputs, contacts=contacts))
    assert set(denied(answer)) == {Exclusion.CAP_REACHED}
    assert answer.details[0] in {"cap day: 1 of 1 in 1 day", "cap home: 1 of 1 in 1 day per household"}
    assert answer.retry_at == inputs.now + timedelta(hours=23)


def test_a_permit_denied_in_quiet_hours_says_when_they_end(tight: Policy, inputs_of: MakeInputs) -> None:
    decision = decided(tight, inputs_of)
    answer = permit(tight, decided_of(decision), since(tight, decision, now=datetime(2026, 11, 1, 23, tzinfo=UTC)))
    assert denied(answer) == (Exclusion.QUIET_HOURS,)
    assert answer.retry_at == datetime(2026, 11, 2, 7, tzinfo=UTC)


def test_a_permanent_refusal_has_no_retry_moment(tight: Policy, inputs_of: MakeInputs) -> None:
    decision = decided(tight, inputs_of)
    inputs = with_live(since(tight, decision), consents=(withdrawal(decision.decided_at),))
    answer = permit(tight, decided_of(decision), replace(inputs, now=datetime(2026, 11, 1, 23, tzinfo=UTC)))
    assert denied(answer) == (Exclusion.NO_CONSENT, Exclusion.QUIET_HOURS)
    assert answer.details[0] == "marketing on email: refused on 2026-11-01, source call"
    assert answer.retry_at is None


def test_an_offer_that_ended_meanwhile_is_not_sent(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = tight_policy(plain_catalogue, valid_until=datetime(2026, 11, 1, 14, tzinfo=UTC))
    decision = decided(policy, inputs_of)
    assert denied(permit(policy, decided_of(decision), since(policy, decision))) == (Exclusion.EXPIRED,)
    early = since(policy, decision, now=datetime(2026, 11, 1, 13, 59, tzinfo=UTC))
    assert permit(policy, decided_of(decision), early).is_allowed


def test_offers_that_exclude_each_other_are_checked_again(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = tight_policy(plain_catalogue, never_with=frozenset({"free-coffee"}), message_class=MessageClass.MARKETING)
    policy = Policy(replace(policy.catalogue, contact_policy=ContactPolicy()))
    decision = decided(policy, inputs_of)
    inputs = since(policy, decision)
    (own,) = inputs.live.contacts
    coffee = replace(own, contact_id="D-2", touch=replace(own.touch, offer_id="free-coffee"))
    answer = permit(policy, decided_of(decision), with_live(inputs, contacts=(own, coffee)))
    assert denied(answer) == (Exclusion.INCOMPATIBLE,)


def test_suitability_is_checked_again_and_applicability_is_not(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, features_of: Callable[..., Any]
) -> None:
    recent = Compare(fact="purchase_recency_days", comparison=Comparison.AT_MOST, value=10)
    for layer, expected in (("suitability", (Exclusion.NOT_SUITABLE,)), ("applicability", ())):
        policy = tight_policy(plain_catalogue, **{layer: recent})
        decision = decided(policy, inputs_of)
        inputs = since(policy, decision, features=features_of(purchase_recency_days=11.0))
        assert denied(permit(policy, decided_of(decision), inputs)) == expected


def test_without_features_a_rule_over_them_cannot_be_checked(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    recent = Compare(fact="purchase_recency_days", comparison=Comparison.AT_MOST, value=10)
    policy = tight_policy(plain_catalogue, eligibility=recent)
    decision = decided(policy, inputs_of)
    inputs = since(policy, decision)
    for blind in (replace(inputs, features=None), with_live(inputs, has_opted_out_of_profiling=True)):
        assert denied(permit(policy, decided_of(decision), blind)) == (Exclusion.NOT_ELIGIBLE,)


def test_what_the_choice_settled_is_not_checked_again(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, experiment_of: Callable[..., Experiment]
) -> None:
    policy = tight_policy(plain_catalogue, stages=frozenset({"active"}))
    decision = decided(policy, inputs_of)
    inputs = with_live(since(policy, decision), stage=StageMove(stage_id="lapsed", at=decision.decided_at))
    assert permit(policy, decided_of(decision), inputs).is_allowed
    tested = replace(
        policy.catalogue,
        holdout=Holdout(share=1.0, salt="h"),
        experiments=(experiment_of(ArmPolicy.SILENCE),),
        exploration=Exploration(epsilon=1.0),
    )
    assert permit(Policy(tested), decided_of(decision), inputs).is_allowed
    asked = replace(inputs.request, channels=frozenset({"push"}), excluded_offers=frozenset({OFFER}))
    assert permit(policy, decided_of(decision), replace(inputs, request=asked)).is_allowed


def test_the_context_of_the_ask_still_counts(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    german = Compare(fact="context.language", comparison=Comparison.EQUALS, value="de")
    policy = tight_policy(plain_catalogue, eligibility=german)
    decision = decided(policy, inputs_of, context={"language": "de"})
    inputs = since(policy, decision)
    assert permit(policy, decided_of(decision), replace(inputs, request=replace(inputs.request, context={}))).is_allowed


def test_a_message_that_left_the_catalogue_is_stopped_at_once(tight: Policy, inputs_of: MakeInputs) -> None:
    decision = decided(tight, inputs_of)
    inputs = since(tight, decision)
    creatives = tuple(one for one in tight.catalogue.creatives if one.offer_id != OFFER)
    touchpoints = {"app-home": tight.catalogue.touchpoints["app-home"]}
    for gone in (replace(tight.catalogue, creatives=creatives), replace(tight.catalogue, touchpoints=touchpoints)):
        answer = permit(Policy(gone), decided_of(decision), inputs)
        assert denied(answer) == (Exclusion.EXPIRED,)
        assert answer.details == ("no longer in the catalogue",)


def test_a_stage_that_left_the_catalogue_denies_nothing(tight: Policy, inputs_of: MakeInputs) -> None:
    decision = decided(tight, inputs_of, stage_id="new")
    stages = tuple(stage for stage in tight.catalogue.stages if stage.stage_id != "new")
    assert permit(
        Policy(replace(tight.catalogue, stages=stages)), decided_of(decision), since(tight, decision)
    ).is_allowed


def test_a_slot_of_the_next_day_is_not_the_reserved_one(tight: Policy, inputs_of: MakeInputs) -> None:
    decision = decided(tight, inputs_of)
    tomorrow = datetime(2026, 11, 2, 12, tzinfo=UTC)
    used = {"limit:mails:2026-11-01": 1.0, "limit:mails:2026-11-02": 1.0}
    inputs = since(tight, decision, now=tomorrow, supply=Supply(used=used))
    answer = permit(tight, decided_of(decision), inputs)
    assert denied(answer) == (Exclusion.CAPACITY_FULL,)
    assert answer.retry_at == datetime(
        2026, 11, 3, 7, tzinfo=UTC
    )  # slots start at midnight, quiet hours end at 08:00 in Berlin
    assert permit(tight, decided_of(decision), replace(inputs, supply=Supply())).is_allowed


@pytest.mark.parametrize("message_class", [MessageClass.MANDATORY, MessageClass.TRANSACTIONAL])
def test_a_class_bypasses_the_same_layers_at_the_permit(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, message_class: MessageClass
) -> None:
    policy = tight_policy(plain_catalogue, message_class=message_class)
    decision = decided(policy, inputs_of)
    inputs = since(policy, decision, now=datetime(2026, 11, 1, 23, tzinfo=UTC))
    contacts = (*inputs.live.contacts, another(decision, policy, inputs.now))
    inputs = with_live(inputs, contacts=contacts, consents=(withdrawal(inputs.now),))
    assert permit(policy, decided_of(decision), inputs).is_allowed
    assert denied(permit(policy, decided_of(decision), with_profile(inputs, reachable_channels=frozenset()))) == (
        Exclusion.NOT_REACHABLE,
    )


def test_an_unknown_customer_gets_no_permit(tight: Policy, inputs_of: MakeInputs) -> None:
    decision = decided(tight, inputs_of)
    answer = permit(tight, decided_of(decision), since(tight, decision, customer=None, features=None))
    assert {Exclusion.NO_CONSENT, Exclusion.NOT_REACHABLE} <= set(denied(answer))


def test_silence_needs_no_permit_and_a_position_must_have_been_decided(tight: Policy, inputs_of: MakeInputs) -> None:
    silent = decide(tight, inputs_of(tight, consents=()), "D-1")
    with pytest.raises(InvalidInputError, match="decision must have a message to permit, got silence"):
        permit(tight, decided_of(silent), silent.inputs)
    decision = decided(tight, inputs_of)
    for position in (0, 2):
        with pytest.raises(InvalidInputError, match=rf"position must be in \[1, 1\], got {position}"):
            permit(tight, decided_of(decision, position), since(tight, decision))


def test_every_position_of_a_slate_has_a_permit_of_its_own(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    caps = (Cap(cap_id="two", scope=CapScope.EVERYTHING, limit=2, window_seconds=DAY),)
    offer = replace(plain_catalogue.offers["opening-hours"], not_after={"ten-percent": DAY})
    catalogue = replace(
        plain_catalogue,
        contact_policy=ContactPolicy(caps=caps),
        offers={**plain_catalogue.offers, "opening-hours": offer},
    )
    policy = Policy(catalogue)
    places = tuple(Placement(placement_id=name) for name in ("top", "middle", "bottom"))
    decision = decide(policy, inputs_of(policy, placements=places), "D-1")
    keys = [decision.message_key, *(one.message_key for one in decision.further)]
    assert keys[2] == "silence"
    inputs = since(policy, decision)
    for position in (1, 2):
        assert permit(policy, decided_of(decision, position), inputs).is_allowed
    one_left = tuple(one for one in inputs.live.contacts if one.contact_id != "D-1")
    more = (*one_left, replace(one_left[0], contact_id="D-2"))
    inputs = with_live(inputs, contacts=more)
    assert denied(permit(policy, decided_of(decision, 2), inputs)) == ()
    assert denied(permit(policy, decided_of(decision, 1), inputs)) == (Exclusion.CAP_REACHED,)


@settings(max_examples=100, deadline=None)
@given(
    uniform=st.floats(0, 1, exclude_max=True),
    epsilon=st.sampled_from([0.0, 1.0]),
    positions=st.integers(1, 3),
    limit=st.integers(0, 3),
    amount=st.integers(0, 3),
)
def test_what_was_just_decided_may_be_sent_at_once(
    plain_catalogue: Catalogue,
    inputs_of: MakeInputs,
    uniform: float,
    epsilon: float,
    positions: int,
    limit: int,
    amount: int,
) -> None:
    policy = Policy(
        replace(
            plain_catalogue,
            exploration=Exploration(epsilon=epsilon),
            contact_policy=ContactPolicy(
                caps=(Cap(cap_id="day", scope=CapScope.EVERYTHING, limit=limit, window_seconds=DAY),)
            ),
            limits=(Limit(limit_id="all", scope=LimitScope.EVERYTHING, amount=amount, period=Period.DAY),),
        )
    )
    places = tuple(Placement(placement_id=str(place)) for place in range(positions))
    decision = decide(policy, inputs_of(policy, placements=places, uniform=uniform), "D-1")
    inputs = since(policy, decision, now=decision.decided_at)
    for position, key in enumerate((decision.message_key, *(one.message_key for one in decision.further)), start=1):
        if key != "silence":
            assert permit(policy, decided_of(decision, position), inputs) == PermitVerdict(is_allowed=True)
