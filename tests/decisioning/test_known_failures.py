"""Failures that users or documentation of other systems report, each tested here.

Issue and pull-request numbers refer to the systems' public trackers.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.care import DEFAULT_CARE, Case
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import Cap, Contact, ContactPolicy
from decisioning.catalogue.experiment import ArmPolicy, Experiment, Holdout
from decisioning.catalogue.exploration import Exploration, ExplorationKind, Ramp
from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.message_classes import DEFAULT_CLASSES, CapScope
from decisioning.catalogue.quiet_hours import QuietHours, QuietRule
from decisioning.customer import Consent
from decisioning.decision import Decision, Exclusion, Inputs, Placement, Reason
from decisioning.errors import ModelUnavailableError
from decisioning.live import LiveState
from decisioning.permit import decided_of, permit
from decisioning.policy import Policy, decide
from decisioning.rules.predicate import Compare, Comparison, Not

type MakeInputs = Callable[..., Inputs]

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WEEK = 7 * DAY
KEY = "ten-percent/email/plain"
COMPETING = {
    **DEFAULT_CLASSES,
    MessageClass.SERVICE: replace(DEFAULT_CLASSES[MessageClass.SERVICE], has_precedence=False),
}
NIGHT = QuietHours(rules=(QuietRule(from_minute=21 * 60, until_minute=8 * 60),))


def cap(limit: int, window: timedelta, scope: CapScope = CapScope.EVERYTHING, of: str | None = None) -> Cap:
    return Cap(cap_id="cap", scope=scope, of=of, limit=limit, window_seconds=window.total_seconds())


def shop(catalogue: Catalogue, *caps: Cap, offer: dict[str, Any] | None = None, **change: Any) -> Policy:
    """The shop with these caps; `offer` changes `ten-percent`."""
    changed = replace(catalogue.offers["ten-percent"], **(offer or {}))
    fields = {"contact_policy": ContactPolicy(caps=caps), "classes": COMPETING} | change
    return Policy(replace(catalogue, offers={**catalogue.offers, "ten-percent": changed}, **fields))


def book(policy: Policy, *times: datetime, key: str = KEY) -> LiveState:
    touch = next(one.touch for one in policy.compiled_candidates("weekly-mail") if one.key == key)
    contacts = tuple(
        Contact(contact_id=f"before-{number}", touch=touch, at=at, is_confirmed=True) for number, at in enumerate(times)
    )
    return LiveState(contacts=contacts)


def ask(policy: Policy, inputs_of: MakeInputs, **fields: Any) -> Decision:
    return decide(policy, inputs_of(policy, **fields), "D-1")


def may(decision: Decision, key: str = KEY) -> bool:
    return key in {one.message_key for one in decision.evaluated}


def refusal(decision: Decision, key: str = KEY) -> Sequence[Exclusion]:
    return next((one.reasons for one in decision.excluded if one.message_key == key), ())


@pytest.mark.parametrize(("limit", "sent", "expected"), [(0, 0, False), (1, 0, True), (1, 1, False), (2, 1, True)])
def test_a_cap_of_zero_allows_nothing_and_a_cap_of_one_allows_one(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime, limit: int, sent: int, expected: bool
) -> None:
    """Mautic #10416 and #10753: a limit of 0 meant one message ever."""
    policy = shop(plain_catalogue, cap(limit, WEEK))
    assert may(ask(policy, inputs_of, live=book(policy, *([now - HOUR] * sent)))) is expected


def test_a_blank_cap_is_no_cap(plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime) -> None:
    """Mautic #10753: a limit left blank counted as 0 or as 1, depending on where it was read."""
    policy = shop(plain_catalogue)
    often = tuple(now - number * HOUR for number in range(1, 200))
    assert may(ask(policy, inputs_of, live=book(policy, *often)))


def test_with_three_a_week_the_fourth_waits_until_the_first_is_a_week_old(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    """Mautic pull request #4761: with "3 per week" the fourth message was scheduled three weeks later."""
    policy = shop(plain_catalogue, cap(3, WEEK))
    live = book(policy, now - 6 * DAY, now - 2 * DAY, now - DAY)
    decision = ask(policy, inputs_of, live=live)
    assert refusal(decision) == (Exclusion.CAP_REACHED,)
    assert decision.retry_at == now + DAY
    assert not may(ask(policy, inputs_of, live=live, now=now + DAY - timedelta(microseconds=1)))
    assert may(ask(policy, inputs_of, live=live, now=now + DAY))


def test_a_cap_on_one_channel_ignores_other_channels(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    """Mautic pull request #4761: text messages counted against the limits of e-mail."""
    policy = shop(plain_catalogue, cap(2, WEEK, CapScope.CHANNEL, "email"))
    decision = ask(policy, inputs_of, live=book(policy, now - DAY, now - HOUR))
    assert refusal(decision) == (Exclusion.CAP_REACHED,)
    assert may(decision, "ten-percent/push/plain")


def test_an_offer_that_ended_is_not_sent(plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime) -> None:
    """Mautic pull request #4761: unpublished items were still sent.

    AWS documents up to two hours, and KaireonAI five minutes, until an end takes effect; here it takes effect at once.
    """
    policy = shop(plain_catalogue, offer={"valid_until": now})
    assert refusal(ask(policy, inputs_of)) == (Exclusion.EXPIRED,)
    assert may(ask(policy, inputs_of, now=now - timedelta(microseconds=1)))
    running = shop(plain_catalogue)
    decision = sent(running, inputs_of)
    creatives = tuple(one for one in plain_catalogue.creatives if one.offer_id != "ten-percent")
    stopped = Policy(replace(running.catalogue, creatives=creatives))
    assert permit(stopped, decided_of(decision), decision.inputs).reasons == (Exclusion.EXPIRED,)


def sent(policy: Policy, inputs_of: MakeInputs, **fields: Any) -> Decision:
    """A decision for `ten-percent` by e-mail."""
    keys = ["silence", *(message.key for message in policy.candidates("weekly-mail"))]
    values = np.array([1000.0 if key == KEY else 0.0 for key in keys])
    decision = ask(policy, inputs_of, expected_values=values, **fields)
    assert decision.message_key == KEY
    return decision


def test_caps_apply_whoever_asks(plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime) -> None:
    """Mautic #6729: limits were ignored by campaigns."""
    policy = shop(plain_catalogue, cap(1, WEEK))
    live = book(policy, now - HOUR)
    for touchpoint in ("weekly-mail", "app-home"):
        decision = ask(policy, inputs_of, touchpoint_id=touchpoint, live=live)
        assert decision.message_key == "silence"
        assert {one.reasons for one in decision.excluded} == {(Exclusion.CAP_REACHED,)}


@pytest.mark.parametrize("message_class", [MessageClass.MANDATORY, MessageClass.TRANSACTIONAL])
def test_transactional_mail_is_neither_capped_nor_counted(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime, message_class: MessageClass
) -> None:
    """Mautic #6760 and #6896: once limits applied to campaigns, they held back transactional mail too.

    KaireonAI documents that mandatory messages are still capped.
    """
    receipt = shop(plain_catalogue, cap(1, WEEK), offer={"message_class": message_class})
    marketing = shop(plain_catalogue, cap(1, WEEK))
    full = book(marketing, now - HOUR, key="free-coffee/email/plain")
    assert may(ask(receipt, inputs_of, live=full))
    assert not may(ask(marketing, inputs_of, live=full))
    receipts = book(receipt, *(now - number * HOUR for number in range(1, 10)))
    assert may(ask(receipt, inputs_of, live=receipts), "free-coffee/email/plain")


def test_a_held_message_is_checked_again_when_it_is_released(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    """Mautic #1784 and Braze's community: nobody answered what happens to a held message.

    Here it is not queued: the answer names the next allowed moment, and everything is checked again then.
    """
    policy = shop(plain_catalogue, quiet_hours=NIGHT)
    late = datetime(2026, 11, 1, 22, tzinfo=UTC)
    held = ask(policy, inputs_of, now=late)
    assert held.message_key == "silence"
    assert held.retry_at == datetime(2026, 11, 2, 7, tzinfo=UTC)
    assert may(ask(policy, inputs_of, now=held.retry_at))
    no = Consent(channel_id="email", purpose="marketing", is_granted=False, recorded_at=late + HOUR)
    assert refusal(ask(policy, inputs_of, now=held.retry_at, live=LiveState(consents=(no,)))) == (Exclusion.NO_CONSENT,)


def test_consent_withdrawn_between_decision_and_sending_stops_the_message(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    """Adobe Journey Optimizer: consent is not enforced in decisioning calls, and nothing asks again before sending."""
    policy = shop(plain_catalogue)
    decision = sent(policy, inputs_of)
    no = Consent(channel_id="email", purpose="marketing", is_granted=False, recorded_at=now + HOUR)
    later = replace(decision.inputs, now=now + 2 * HOUR, live=LiveState(consents=(no,)))
    assert permit(policy, decided_of(decision), later).reasons == (Exclusion.NO_CONSENT,)


def test_no_answer_is_no_consent(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    """Adobe Journey Optimizer: an empty consent counts as consent."""
    decision = ask(shop(plain_catalogue), inputs_of, consents=())
    assert decision.reason is Reason.NOTHING_PERMITTED
    assert {one.reasons for one in decision.excluded} == {(Exclusion.NO_CONSENT,)}


def test_a_profiling_opt_out_holds_whatever_the_caller_passes(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, features_of: Callable[..., Any]
) -> None:
    """Adobe Journey Optimizer: a profiling opt-out has to be enforced by hand in API calls."""
    policy = shop(plain_catalogue)
    count = len(policy.candidates("weekly-mail")) + 1
    chosen = {
        (decision.message_key, decision.stage_id, tuple(one.priority_minor for one in decision.evaluated))
        for features in (None, features_of(), features_of(purchase_count_90d=0.0, customer_tenure_days=1.0))
        for values in (None, np.linspace(0, 1e6, count), np.linspace(1e6, 0, count))
        for decision in [
            ask(policy, inputs_of, features=features, expected_values=values, has_opted_out_of_profiling=True)
        ]
    }
    assert len(chosen) == 1


def test_without_a_zone_every_zone_the_customer_may_live_in_counts(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    """Braze and Hightouch: for a customer without a time zone the company's clock decides."""
    policy = shop(
        plain_catalogue,
        quiet_hours=replace(NIGHT, unknown_zones=("America/Los_Angeles", "Europe/Berlin")),
    )
    awake_in_berlin = datetime(2026, 11, 3, 9, tzinfo=UTC)  # 10:00 there, 01:00 in Los Angeles
    decision = ask(policy, inputs_of, now=awake_in_berlin, time_zone=None)
    assert refusal(decision) == (Exclusion.QUIET_HOURS,)
    assert decision.retry_at == datetime(2026, 11, 3, 16, tzinfo=UTC)
    assert may(ask(policy, inputs_of, now=awake_in_berlin, time_zone="Europe/Berlin"))


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Los_Angeles"])
def test_a_cap_per_day_covers_the_last_24_hours_and_not_a_calendar_day(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, zone: str
) -> None:
    """Braze counts calendar days and KaireonAI resets counters at midnight UTC, so two can go within an hour."""
    policy = shop(plain_catalogue, cap(1, DAY))
    live = book(policy, datetime(2026, 11, 1, 23, 59, tzinfo=UTC))
    after_midnight = datetime(2026, 11, 2, 0, 1, tzinfo=UTC)
    assert refusal(ask(policy, inputs_of, now=after_midnight, live=live, time_zone=zone)) == (Exclusion.CAP_REACHED,)
    assert may(ask(policy, inputs_of, now=datetime(2026, 11, 2, 23, 59, tzinfo=UTC), live=live, time_zone=zone))


def test_a_message_counts_once_and_an_unsent_one_does_not_count(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    """Braze (braze-docs #4892): planned sends were counted twice, or although they were never sent."""
    policy = shop(plain_catalogue, cap(2, WEEK))
    (contact,) = book(policy, now - HOUR).contacts
    told_twice = LiveState(contacts=(contact, replace(contact, is_confirmed=True), contact))
    assert may(ask(policy, inputs_of, live=told_twice))
    planned = replace(contact, contact_id="planned", is_confirmed=False)
    released = replace(planned, is_released=True)
    assert may(ask(policy, inputs_of, live=LiveState(contacts=(contact, released))))
    assert not may(ask(policy, inputs_of, live=LiveState(contacts=(contact, planned))))


def test_of_five_messages_under_a_cap_of_three_the_most_valuable_go(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    """Customer.io's community: "5 campaigns, cap 3: can I choose, or is it random?" got no answer.

    Adobe: priority scores do not settle two competing e-mails.
    """
    policy = shop(plain_catalogue, cap(2, WEEK))
    worth = {"ten-percent": 900.0, "free-coffee": 700.0, "double-stamps": 500.0, "opening-hours": 0.0}
    values = [0.0, *(worth[message.offer.offer_id] for message in policy.candidates("weekly-mail"))]
    places = tuple(Placement(placement_id=name) for name in ("a", "b", "c", "d"))
    for uniform in (0.0, 0.4, 0.9):
        fields = {"expected_values": np.array(values), "placements": places, "uniform": uniform}
        decision = ask(policy, inputs_of, **fields)
        keys = [decision.message_key, *(one.message_key for one in decision.further)]
        assert [key.split("/")[0] for key in keys] == ["ten-percent", "free-coffee", "silence", "silence"]


def test_an_open_complaint_pauses_marketing_until_it_is_resolved_and_the_cooldown_is_over(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    """Agencies' complaint: customers with an open complaint still get the weekly promotion."""
    policy = shop(plain_catalogue, care=DEFAULT_CARE)
    complaint = Case(case_id="c", kind="complaint", severity="high", opened_at=now - DAY)
    settled = replace(complaint, resolved_at=now - HOUR)
    for case, at, reason in (
        (complaint, now, Exclusion.CASE_OPEN),
        (settled, now, Exclusion.CASE_COOLING_DOWN),
        (settled, now + 20 * DAY, Exclusion.CASE_COOLING_DOWN),
    ):
        decision = ask(policy, inputs_of, now=at, live=LiveState(cases=(case,)))
        assert {one.reasons for one in decision.excluded} == {(reason,)}
        assert {one.message_key.split("/")[0] for one in decision.evaluated} == {"silence", "opening-hours"}
    assert ask(policy, inputs_of, now=now + 21 * DAY, live=LiveState(cases=(settled,))).excluded == ()


def test_a_held_out_customer_gets_nothing_but_service(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    """KaireonAI: customers of a holdout still receive offers, ranked by priority."""
    policy = shop(plain_catalogue, holdout=Holdout(share=1.0, salt="h"), exploration=Exploration(epsilon=1.0))
    for step in range(20):
        decision = ask(policy, inputs_of, uniform=step / 20)
        assert decision.offer_id in {None, "opening-hours"}


def test_silence_is_a_valid_answer(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    """Azure Personalizer must return an action, and Adobe always shows a fallback offer."""
    policy = shop(plain_catalogue)
    worthless = np.array([100.0, *([0.0] * 8)])
    decision = ask(policy, inputs_of, expected_values=worthless, excluded_offers=frozenset({"opening-hours"}))
    assert (decision.message_key, decision.reason) == ("silence", Reason.SILENCE_BEST)
    assert ask(policy, inputs_of, channels=frozenset()).reason is Reason.NOTHING_PERMITTED


def test_an_outage_bypasses_no_gate(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    """Pega: default actions take over where a strategy fails, with no stated check of contact policies.

    Feast users: stale or missing features fall back silently, and a rule over them holds by accident.
    """
    never_bought = Not(part=Compare(fact="purchase_count_90d", comparison=Comparison.AT_LEAST, value=1))
    hours = replace(plain_catalogue.offers["opening-hours"], eligibility=never_bought)
    policy = shop(
        replace(plain_catalogue, offers={**plain_catalogue.offers, "opening-hours": hours}), quiet_hours=NIGHT
    )
    away = {"features": None, "expected_values": None, "degraded": ("features_unavailable",)}
    for at in (datetime(2026, 11, 1, 12, tzinfo=UTC), datetime(2026, 11, 1, 23, tzinfo=UTC)):
        decision = ask(policy, inputs_of, now=at, **away)
        assert (decision.message_key, decision.reason, decision.retry_at) == ("silence", Reason.DEGRADED, None)
        assert len(decision.excluded) == 8


EXPLORATIONS = st.builds(
    Exploration,
    kind=st.sampled_from(ExplorationKind),
    epsilon=st.floats(0, 1),
    min_probability=st.floats(0, 0.5),
    gap_scale_minor=st.floats(1e-3, 1e6),
    prior_deviation_minor=st.floats(1e-3, 1e6),
    ramp=st.builds(Ramp, needed=st.integers(0, 100)),
)
WORTHS = st.lists(st.floats(-1e9, 1e9), min_size=9, max_size=9)


@settings(max_examples=150, deadline=None)
@given(
    values=WORTHS,
    exploration=EXPLORATIONS,
    arm=st.sampled_from([None, ArmPolicy.RANDOM, ArmPolicy.RULES, ArmPolicy.NO_LEVERS]),
    channels=st.none() | st.frozensets(st.sampled_from(["email", "push"])),
)
def test_action_probabilities_are_always_a_distribution(
    plain_catalogue: Catalogue,
    inputs_of: MakeInputs,
    experiment_of: Callable[..., Experiment],
    values: list[float],
    exploration: Exploration,
    arm: ArmPolicy | None,
    channels: frozenset[str] | None,
) -> None:
    """Vowpal Wabbit #3680: SquareCB gave negative probabilities; #2653: a vector over k + 1 actions for k."""
    experiments = (experiment_of(arm),) if arm else ()
    policy = shop(plain_catalogue, exploration=exploration, experiments=experiments)
    decision = ask(policy, inputs_of, expected_values=np.array(values), channels=channels)
    probabilities = [one.probability for one in decision.evaluated]
    assert all(probability >= 0 for probability in probabilities)
    assert sum(probabilities) == pytest.approx(1.0, abs=1e-9)
    assert len(decision.evaluated) + len(decision.excluded) == len(policy.candidates("weekly-mail")) + 1
    assert decision.action_probability > 0


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), 1e300])
def test_an_invalid_score_is_refused_and_not_ranked(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, broken: float
) -> None:
    """Vowpal Wabbit #2191, #2199 and #4536: crashes and NaN on plausible input."""
    values = np.zeros(9)
    values[3] = broken
    with pytest.raises(ModelUnavailableError):
        ask(shop(plain_catalogue), inputs_of, expected_values=values)
