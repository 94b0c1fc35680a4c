"""Each gate alone: what it refuses, at which boundary, and that all reasons are told."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from decisioning.catalogue.care import DEFAULT_CARE, Case
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import (
    Cap,
    Contact,
    ContactPolicy,
    Response,
    Suppression,
    SuppressionScope,
)
from decisioning.catalogue.conversation import Conversation
from decisioning.catalogue.experiment import ArmPolicy, Experiment, Holdout, ProgrammeHoldout
from decisioning.catalogue.limits import Limit, LimitMeasure, LimitScope, Period, Supply
from decisioning.catalogue.message import Channel, MessageClass
from decisioning.catalogue.message_classes import BYPASSABLE, DEFAULT_CLASSES, CapScope, ClassRules, Layer
from decisioning.catalogue.quiet_hours import QuietHours, QuietRule
from decisioning.consent import is_profiled
from decisioning.customer import Consent
from decisioning.decision import Excluded, Exclusion, Inputs, Placement
from decisioning.errors import InvalidInputError
from decisioning.gates.facts import gather_facts
from decisioning.gates.screening import GATES, Screening, screen, screen_again
from decisioning.gates.situation import FREED_LAYERS, SLATE_LAYERS, Situation, freed, in_slate, situation_of
from decisioning.live import LiveState, RecentEvent
from decisioning.policy import Policy
from decisioning.rules.fact_names import STAGE_FACT
from decisioning.rules.predicate import Compare, Comparison, Not

type MakeInputs = Callable[..., Inputs]
KEY = "ten-percent/email/plain"
DAY = 86_400.0
NIGHT = QuietHours(rules=(QuietRule(channels=frozenset({"email"}), from_minute=12 * 60, until_minute=15 * 60),))
FOR_CARE = {name: Channel(channel_id=name, purposes={"active": frozenset({"care"})}) for name in ("email", "push")}
TEENAGER = Compare(fact="customer.age", comparison=Comparison.LESS_THAN, value=18)


def situation(policy: Policy, inputs: Inputs) -> Situation:
    catalogue = policy.catalogue
    facts = gather_facts(inputs, care=catalogue.care, event_types=catalogue.event_types)
    place = policy.standing(inputs, facts)
    facts[STAGE_FACT] = place.stage_id
    assignment = policy.assignment(inputs.request, inputs.customer, inputs.now)
    return situation_of(catalogue, inputs, assignment=assignment, place=place, facts=facts)


def judge(policy: Policy, inputs_of: MakeInputs, **fields: Any) -> Screening:
    inputs = inputs_of(policy, **fields)
    return screen(policy.compiled_candidates(inputs.request.touchpoint_id), situation(policy, inputs))


def excluded(screening: Screening, key: str = KEY) -> Excluded:
    nothing = Excluded(message_key=key, reasons=())
    return next((one for one in screening.excluded if one.message_key == key), nothing)


def reasons(screening: Screening, key: str = KEY) -> tuple[Exclusion, ...]:
    return excluded(screening, key).reasons


def permitted(policy: Policy, screening: Screening) -> set[str]:
    candidates = policy.compiled_candidates("weekly-mail")
    return {candidates[index].key for index in screening.permitted}


def with_offer(catalogue: Catalogue, **change: Any) -> Policy:
    offer = replace(catalogue.offers["ten-percent"], **change)
    return Policy(replace(catalogue, offers={**catalogue.offers, "ten-percent": offer}))


def contact(policy: Policy, key: str, at: datetime) -> Contact:
    touch = next(one.touch for one in policy.compiled_candidates("weekly-mail") if one.key == key)
    return Contact(contact_id=f"before-{key}-{at:%j%H%M}", touch=touch, at=at, is_confirmed=True)


def answer(is_granted: bool, recorded_at: datetime | None = None, **fields: str) -> Consent:
    pair = {"channel_id": "email", "purpose": "marketing"} | fields
    return Consent(**pair, is_granted=is_granted, recorded_at=recorded_at)


def test_who_is_right_in_every_respect_passes_every_gate(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    screening = judge(plain_policy, inputs_of)
    assert len(screening.permitted) == 8
    assert screening.excluded == ()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"channels": frozenset({"push"})}, Exclusion.CHANNEL_NOT_ASKED),
        ({"channels": frozenset()}, Exclusion.CHANNEL_NOT_ASKED),
        ({"excluded_offers": frozenset({"ten-percent"})}, Exclusion.EXCLUDED_BY_CALLER),
        ({"reachable_channels": frozenset({"push"})}, Exclusion.NOT_REACHABLE),
        ({"consents": ()}, Exclusion.NO_CONSENT),
        ({"unsubscribed_channels": frozenset({"email"})}, Exclusion.UNSUBSCRIBED),
        ({"attributes": {"age": 17}}, Exclusion.NOT_ELIGIBLE),
        ({"attributes": {"age": "30"}}, Exclusion.NOT_ELIGIBLE),
        ({"attributes": {}}, Exclusion.NOT_ELIGIBLE),
        ({"expected_values": None}, Exclusion.NOT_SCORED),
    ],
)
def test_each_gate_gives_its_own_reason(
    plain_policy: Policy, inputs_of: MakeInputs, fields: dict[str, Any], reason: Exclusion
) -> None:
    assert reasons(judge(plain_policy, inputs_of, **fields)) == (reason,)


def test_gates_are_asked_in_the_order_of_their_layers_and_every_layer_has_one() -> None:
    layers = list(Layer)
    places = [layers.index(gate.layer) for gate in GATES]
    assert places == sorted(places)
    assert {gate.layer for gate in GATES} == set(Layer)


def test_every_reason_is_told_in_the_order_of_the_gates(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    catalogue = replace(
        plain_catalogue,
        holdout=Holdout(share=1.0, salt="h"),
        programme_holdouts=(ProgrammeHoldout(programme_id="loyal", share=1.0, salt="p", goals=frozenset({"loyalty"})),),
        contact_policy=ContactPolicy(
            caps=(Cap(cap_id="none", scope=CapScope.EVERYTHING, limit=0, window_seconds=DAY),),
            suppressions=(Suppression(after="declined", scope=SuppressionScope.OFFER, cooldown_seconds=None),),
        ),
        quiet_hours=NIGHT,
        care=DEFAULT_CARE,
        limits=(Limit(limit_id="closed", scope=LimitScope.EVERYTHING, amount=0),),
        channels=FOR_CARE,
        conversation=Conversation(seen_seconds=DAY),
    )
    never = Compare(fact="customer.age", comparison=Comparison.AT_LEAST, value=200)
    policy = with_offer(
        catalogue,
        valid_until=datetime(2026, 1, 1, tzinfo=UTC),
        stages=frozenset({"new"}),
        eligibility=never,
        applicability=never,
        suitability=never,
        never_with=frozenset({"free-coffee"}),
        not_after={"free-coffee": DAY},
    )
    coffee = contact(policy, "free-coffee/email/plain", datetime(2026, 11, 1, 11, tzinfo=UTC))
    own = contact(policy, KEY, coffee.at).touch
    screening = judge(
        policy,
        inputs_of,
        channels=frozenset({"push"}),
        excluded_offers=frozenset({"ten-percent"}),
        protections=frozenset({"minor"}),
        reachable_channels=frozenset(),
        consents=(),
        unsubscribed_channels=frozenset({"email"}),
        expected_values=None,
        live=LiveState(
            contacts=(coffee,),
            responses=tuple(Response(outcome=one, touch=own, at=coffee.at) for one in ("declined", "viewed")),
            cases=(Case(case_id="c", kind="outage", severity="high", opened_at=coffee.at),),
        ),
        unfit={KEY: "headline is missing"},
    )
    assert reasons(screening) == (
        Exclusion.CHANNEL_NOT_ASKED,
        Exclusion.EXCLUDED_BY_CALLER,
        Exclusion.PROTECTED,
        Exclusion.NO_CONSENT,
        Exclusion.UNSUBSCRIBED,
        Exclusion.NOT_REACHABLE,
        Exclusion.EXPIRED,
        Exclusion.WRONG_STAGE,
        Exclusion.OTHER_PURPOSE,
        Exclusion.NOT_ELIGIBLE,
        Exclusion.NOT_APPLICABLE,
        Exclusion.NOT_SUITABLE,
        Exclusion.INCOMPATIBLE,
        Exclusion.INCOMPATIBLE,
        Exclusion.CASE_OPEN,
        Exclusion.CAP_REACHED,
        Exclusion.SUPPRESSED,
        Exclusion.ALREADY_SEEN,
        Exclusion.QUIET_HOURS,
        Exclusion.CAPACITY_FULL,
        Exclusion.CREATIVE_UNFIT,
        Exclusion.HOLDOUT,
        Exclusion.PROGRAMME_HOLDOUT,
        Exclusion.NOT_SCORED,
    )
    assert len(excluded(screening).details) == len(reasons(screening))
    assert excluded(screening).allowed_at is None


@pytest.mark.parametrize(
    ("consents", "is_permitted"),
    [
        ((answer(True),), True),
        ((answer(False),), False),
        ((answer(True, channel_id="push"),), False),
        ((answer(True, purpose="service"),), False),
        ((answer(True), answer(False)), False),
        ((answer(False), answer(True)), False),
        ((answer(True, datetime(2026, 1, 1, tzinfo=UTC)), answer(False, datetime(2026, 2, 1, tzinfo=UTC))), False),
        ((answer(False, datetime(2026, 2, 1, tzinfo=UTC)), answer(True, datetime(2026, 1, 1, tzinfo=UTC))), False),
        ((answer(False, datetime(2026, 1, 1, tzinfo=UTC)), answer(True, datetime(2026, 2, 1, tzinfo=UTC))), True),
        ((answer(True, datetime(2026, 1, 1, tzinfo=UTC)), answer(False, datetime(2026, 1, 1, tzinfo=UTC))), False),
        ((answer(True, datetime(2026, 1, 1, tzinfo=UTC)), answer(False)), True),
        ((answer(False), answer(True, datetime(2026, 1, 1, tzinfo=UTC))), True),
        ((answer(True), answer(False, datetime(2026, 1, 1, tzinfo=UTC))), False),
        ((answer(True, datetime(2027, 1, 1, tzinfo=UTC)),), False),
        ((answer(True), answer(True, datetime(2027, 1, 1, tzinfo=UTC))), True),
        ((answer(True), answer(False, datetime(2027, 1, 1, tzinfo=UTC))), False),
    ],
)
def test_the_latest_answer_wins_and_in_doubt_it_is_no(
    plain_policy: Policy, inputs_of: MakeInputs, consents: tuple[Consent, ...], is_permitted: bool
) -> None:
    found = reasons(judge(plain_policy, inputs_of, consents=consents))
    assert found == (() if is_permitted else (Exclusion.NO_CONSENT,))


def test_an_answer_dated_without_an_offset_is_refused(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    with pytest.raises(InvalidInputError, match="recorded_at of a consent must be a time with an offset"):
        judge(plain_policy, inputs_of, consents=(answer(True, datetime.fromisoformat("2026-01-01")),))


@pytest.mark.parametrize("message_class", [MessageClass.MANDATORY, MessageClass.TRANSACTIONAL])
def test_a_message_without_purpose_needs_an_address_but_no_consent(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, message_class: MessageClass
) -> None:
    policy = with_offer(plain_catalogue, purpose=None, message_class=message_class)
    silent = {"consents": (), "unsubscribed_channels": frozenset({"email", "push"})}
    assert reasons(judge(policy, inputs_of, **silent)) == ()
    assert reasons(judge(policy, inputs_of, **silent, reachable_channels=frozenset())) == (Exclusion.NOT_REACHABLE,)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"valid_from": timedelta(0)}, ()),
        ({"valid_from": timedelta(microseconds=1)}, (Exclusion.NOT_YET_VALID,)),
        ({"valid_until": timedelta(0)}, (Exclusion.EXPIRED,)),
        ({"valid_until": timedelta(microseconds=1)}, ()),
        ({"valid_from": timedelta(-1), "valid_until": timedelta(1)}, ()),
    ],
)
def test_validity_includes_its_start_and_excludes_its_end(
    plain_catalogue: Catalogue,
    inputs_of: MakeInputs,
    now: datetime,
    bounds: dict[str, timedelta],
    expected: tuple[Exclusion, ...],
) -> None:
    policy = with_offer(plain_catalogue, **{name: now + offset for name, offset in bounds.items()})
    assert reasons(judge(policy, inputs_of)) == expected


def test_an_offer_for_other_stages_is_refused(
    plain_policy: Policy, inputs_of: MakeInputs, features_of: Callable[..., Any]
) -> None:
    features = features_of(purchase_count_90d=0.0)
    lapsed = judge(plain_policy, inputs_of, features=features)
    assert reasons(lapsed, "free-coffee/email/plain") == (Exclusion.WRONG_STAGE,)
    named = judge(plain_policy, inputs_of, features=features, stage_id="new")
    assert reasons(named, "free-coffee/email/plain") == ()


def test_the_creative_has_a_rule_of_its_own(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    german = Compare(fact="context.language", comparison=Comparison.EQUALS, value="de")
    creatives = tuple(
        replace(one, eligibility=german) if one.offer_id == "ten-percent" and one.channel_id == "email" else one
        for one in plain_catalogue.creatives
    )
    policy = Policy(replace(plain_catalogue, creatives=creatives))
    assert reasons(judge(policy, inputs_of)) == (Exclusion.NOT_ELIGIBLE,)
    assert reasons(judge(policy, inputs_of, context={"language": "de"})) == ()
    assert reasons(judge(policy, inputs_of), "ten-percent/push/plain") == ()


@pytest.mark.parametrize(
    "rule",
    [
        Compare(fact="complaint_count_90d", comparison=Comparison.AT_LEAST, value=1),
        Not(part=Compare(fact="complaint_count_90d", comparison=Comparison.AT_LEAST, value=1)),
        Compare(fact="complaint_count_90d", comparison=Comparison.IS_MISSING, value=True),
        Compare(fact="stage", comparison=Comparison.IS_MISSING, value=True),
        Not(part=Compare(fact="stage", comparison=Comparison.EQUALS, value="new")),
    ],
)
def test_a_rule_that_cannot_be_checked_without_features_is_not_met(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, rule: Any
) -> None:
    screening = judge(with_offer(plain_catalogue, eligibility=rule), inputs_of, features=None)
    assert reasons(screening) == (Exclusion.NOT_ELIGIBLE,)
    assert excluded(screening).details == ("the offer's rule cannot be checked",)
    assert reasons(screening, "free-coffee/email/plain") == (Exclusion.WRONG_STAGE,)
    assert reasons(screening, "double-stamps/email/plain") == ()


def test_a_rule_over_the_stage_can_be_checked_where_the_caller_names_it(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    rule = Not(part=Compare(fact="stage", comparison=Comparison.EQUALS, value="new"))
    policy = with_offer(plain_catalogue, eligibility=rule)
    assert reasons(judge(policy, inputs_of, features=None, stage_id="active")) == ()
    assert reasons(judge(policy, inputs_of, features=None, stage_id="new")) == (Exclusion.NOT_ELIGIBLE,)


def test_holdout_and_silent_arm_stop_marketing_and_nothing_else(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, experiment_of: Callable[..., Experiment]
) -> None:
    held_out = Policy(replace(plain_catalogue, holdout=Holdout(share=1.0, salt="h")))
    silent = Policy(replace(plain_catalogue, experiments=(experiment_of(ArmPolicy.SILENCE),)))
    for policy, reason in ((held_out, Exclusion.HOLDOUT), (silent, Exclusion.EXPERIMENT_ARM)):
        screening = judge(policy, inputs_of)
        assert permitted(policy, screening) == {"opening-hours/email/plain", "opening-hours/push/plain"}
        assert {one.reasons for one in screening.excluded} == {(reason,)}


def test_while_live_state_is_lost_marketing_rests_and_service_that_no_cap_counts_goes(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    cap = Cap(cap_id="week", scope=CapScope.EVERYTHING, limit=9, window_seconds=7 * DAY)
    capped = replace(plain_catalogue, contact_policy=ContactPolicy(caps=(cap,)))
    lost = {"live": LiveState(is_lost=True)}

    policy, strict = Policy(plain_catalogue), Policy(capped)
    assert permitted(policy, judge(policy, inputs_of, **lost)) == {
        "opening-hours/email/plain", "opening-hours/push/plain"
    }  # fmt: skip
    assert not permitted(strict, judge(strict, inputs_of, **lost))
    assert reasons(judge(policy, inputs_of, **lost)) == (Exclusion.STATE_LOST,)


def test_without_a_score_only_marketing_is_refused(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    screening = judge(plain_policy, inputs_of, expected_values=None)
    assert permitted(plain_policy, screening) == {"opening-hours/email/plain", "opening-hours/push/plain"}
    assert {one.reasons for one in screening.excluded} == {(Exclusion.NOT_SCORED,)}


def test_an_unknown_customer_passes_nothing(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = with_offer(plain_catalogue, purpose=None, message_class=MessageClass.MANDATORY)
    screening = judge(policy, inputs_of, customer=None, features=None, expected_values=None)
    assert screening.permitted == ()
    assert all(Exclusion.NOT_REACHABLE in one.reasons for one in screening.excluded)
    assert reasons(screening, "opening-hours/email/plain") == (Exclusion.NO_CONSENT, Exclusion.NOT_REACHABLE)
    assert reasons(screening) == (Exclusion.NOT_REACHABLE, Exclusion.NOT_ELIGIBLE)


def test_programme_holdouts_keep_back_only_what_belongs_to_the_programme(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    named = {"offers": {"ten-percent"}, "goals": {"loyalty"}, "departments": {"marketing"}}
    kept = {}
    for field, names in named.items():
        programme = ProgrammeHoldout(programme_id="p", share=1.0, salt="s", **{field: frozenset(names)})
        screening = judge(Policy(replace(plain_catalogue, programme_holdouts=(programme,))), inputs_of)
        assert {one.reasons for one in screening.excluded} == {(Exclusion.PROGRAMME_HOLDOUT,)}
        assert {one.details for one in screening.excluded} == {("p",)}
        kept[field] = {one.message_key.split("/")[0] for one in screening.excluded}
    assert kept["offers"] == {"ten-percent"}
    assert kept["goals"] == kept["departments"] == {"ten-percent", "double-stamps", "free-coffee"}


@pytest.mark.parametrize("protection", ["deceased", "minor", "vulnerable", "legal_hold", "something new"])
def test_only_mandatory_messages_reach_protected_people(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, protection: str
) -> None:
    for message_class in MessageClass:
        policy = with_offer(plain_catalogue, message_class=message_class)
        screening = judge(policy, inputs_of, protections=frozenset({protection}))
        is_mandatory = message_class is MessageClass.MANDATORY
        assert reasons(screening) == (() if is_mandatory else (Exclusion.PROTECTED,))


def test_a_protection_that_was_taken_back_since_protects_no_longer(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    since = LiveState(protections={"vulnerable": False})
    two = frozenset({"vulnerable", "minor"})
    assert reasons(judge(plain_policy, inputs_of, protections=frozenset({"vulnerable"}), live=since)) == ()
    assert reasons(judge(plain_policy, inputs_of, protections=two, live=since)) == (Exclusion.PROTECTED,)
    on = LiveState(protections={"vulnerable": True})
    assert reasons(judge(plain_policy, inputs_of, live=on)) == (Exclusion.PROTECTED,)
    assert reasons(judge(plain_policy, inputs_of, customer=None, live=on))[0] == Exclusion.PROTECTED


def test_answers_given_since_count_by_their_time(plain_policy: Policy, inputs_of: MakeInputs, now: datetime) -> None:
    yesterday, last_week = now - timedelta(days=1), now - timedelta(days=7)
    took_back = LiveState(consents=(answer(False, yesterday),))
    late_news = LiveState(consents=(answer(False, last_week),))
    gave = LiveState(consents=(answer(True, yesterday),))
    assert reasons(judge(plain_policy, inputs_of, live=took_back)) == (Exclusion.NO_CONSENT,)
    known = (answer(True, yesterday),)
    assert reasons(judge(plain_policy, inputs_of, consents=known, live=late_news)) == ()
    assert reasons(judge(plain_policy, inputs_of, consents=(), live=gave)) == ()


def test_a_missing_yes_is_told_with_its_source_and_time(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    no = replace(answer(False, datetime(2026, 3, 1, tzinfo=UTC)), source="call")
    told = excluded(judge(plain_policy, inputs_of, consents=(no,)))
    assert told.details == ("marketing on email: refused on 2026-03-01, source call",)
    assert excluded(judge(plain_policy, inputs_of, consents=())).details == ("marketing on email: no answer",)


@pytest.mark.parametrize(
    ("profile", "live", "expected"),
    [
        ({}, {}, True),
        ({"has_opted_out_of_profiling": True}, {}, False),
        ({"has_opted_out_of_profiling": True}, {"has_opted_out_of_profiling": False}, True),
        ({}, {"has_opted_out_of_profiling": True}, False),
        ({"consents": (answer(False, purpose="profiling"),)}, {}, False),
        ({"consents": (answer(True, purpose="profiling"),)}, {}, True),
        ({"consents": (answer(False, purpose="profiling"),)}, {"has_opted_out_of_profiling": False}, True),
        ({}, {"consents": (answer(False, purpose="profiling", channel_id="push"),)}, False),
        ({"has_opted_out_of_profiling": True}, {"consents": (answer(True, purpose="profiling"),)}, True),
        (
            {
                "consents": (
                    answer(True, datetime(2026, 1, 1, tzinfo=UTC), purpose="profiling"),
                    answer(False, datetime(2026, 2, 1, tzinfo=UTC), purpose="profiling", channel_id="push"),
                )
            },
            {},
            False,
        ),
        (
            {
                "consents": (
                    answer(True, datetime(2026, 3, 1, tzinfo=UTC), purpose="profiling"),
                    answer(False, datetime(2026, 2, 1, tzinfo=UTC), purpose="profiling", channel_id="push"),
                )
            },
            {},
            True,
        ),
        ({"customer": None}, {}, True),
        ({"customer": None}, {"has_opted_out_of_profiling": True}, False),
        (
            {},
            {"has_opted_out_of_profiling": False, "consents": (answer(False, purpose="profiling"),)},
            False,
        ),
    ],
)
def test_the_latest_word_on_profiling_counts_and_in_doubt_it_is_no(
    plain_policy: Policy, inputs_of: MakeInputs, profile: dict[str, Any], live: dict[str, Any], expected: bool
) -> None:
    assert is_profiled(inputs_of(plain_policy, **profile, live=LiveState(**live))) is expected


def test_who_is_not_profiled_needs_no_score_and_no_rule_looks_at_their_features(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    frequent = Compare(fact="purchase_count_90d", comparison=Comparison.AT_LEAST, value=1)
    often = Not(part=Compare(fact="purchase_count_90d", comparison=Comparison.AT_LEAST, value=100))
    browsed = Not(part=Compare(fact="live.browse_count_1h", comparison=Comparison.AT_LEAST, value=1))
    served = Compare(fact="live.care", comparison=Comparison.IS_MISSING, value=True)
    out = {"has_opted_out_of_profiling": True}
    live = LiveState(events=(RecentEvent(event_type="purchase", at=now),))
    unmet = (Exclusion.NOT_ELIGIBLE,)
    for rule, expected in ((frequent, unmet), (often, unmet), (browsed, unmet), (served, ())):
        policy = with_offer(plain_catalogue, eligibility=rule)
        assert reasons(judge(policy, inputs_of, live=live)) == ()
        assert reasons(judge(policy, inputs_of, live=live, **out)) == expected
        assert reasons(judge(policy, inputs_of, live=live, expected_values=None, **out)) == expected


def test_an_offer_must_still_be_valid_when_it_arrives(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    slow = replace(plain_catalogue.channels["email"], lead_time_seconds=3 * DAY)
    catalogue = replace(plain_catalogue, channels={**plain_catalogue.channels, "email": slow})
    for left, expected in ((timedelta(days=3), (Exclusion.EXPIRED,)), (timedelta(days=3, seconds=1), ())):
        screening = judge(with_offer(catalogue, valid_until=now + left), inputs_of)
        assert reasons(screening) == expected
        assert reasons(screening, "ten-percent/push/plain") == ()
    told = excluded(judge(with_offer(catalogue, valid_until=now + timedelta(days=3)), inputs_of))
    assert told.details == ("it would arrive too late",)


def test_after_the_cut_off_a_letter_goes_with_the_next_days_run(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    for minute, expected in ((13 * 60, ()), (13 * 60 - 1, (Exclusion.EXPIRED,))):  # it is 13:00 in Berlin
        printer = replace(
            plain_catalogue.channels["email"], lead_time_seconds=DAY, cut_off_minute=minute, zone="Europe/Berlin"
        )
        catalogue = replace(plain_catalogue, channels={**plain_catalogue.channels, "email": printer})
        policy = with_offer(catalogue, valid_until=now + timedelta(days=1, hours=20))
        assert reasons(judge(policy, inputs_of)) == expected


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        ("eligibility", Exclusion.NOT_ELIGIBLE),
        ("applicability", Exclusion.NOT_APPLICABLE),
        ("suitability", Exclusion.NOT_SUITABLE),
    ],
)
def test_offers_and_creatives_have_rules_in_three_layers(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, layer: str, reason: Exclusion
) -> None:
    adult = Not(part=TEENAGER)
    offer = with_offer(plain_catalogue, **{layer: TEENAGER})
    assert reasons(judge(offer, inputs_of)) == (reason,)
    assert excluded(judge(offer, inputs_of)).details == ("the offer's rule",)
    creatives = tuple(
        replace(one, **{layer: TEENAGER}) if f"{one.offer_id}/{one.channel_id}" == "ten-percent/email" else one
        for one in plain_catalogue.creatives
    )
    creative = with_offer(replace(plain_catalogue, creatives=creatives), **{layer: adult})
    assert reasons(judge(creative, inputs_of)) == (reason,)
    assert excluded(judge(creative, inputs_of)).details == ("the creative's rule",)
    assert reasons(judge(creative, inputs_of), "ten-percent/push/plain") == ()
    assert reasons(judge(with_offer(plain_catalogue, **{layer: adult}), inputs_of)) == ()


@pytest.mark.parametrize("names_other", ["ten-percent", "free-coffee"])
def test_offers_that_must_never_meet_exclude_each_other_whichever_names_the_other(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime, names_other: str
) -> None:
    pair = {"ten-percent", "free-coffee"}
    naming = replace(plain_catalogue.offers[names_other], never_with=frozenset(pair - {names_other}))
    policy = Policy(replace(plain_catalogue, offers={**plain_catalogue.offers, names_other: naming}))
    for sent, other in (("ten-percent", "free-coffee"), ("free-coffee", "ten-percent")):
        book = LiveState(contacts=(contact(policy, f"{sent}/push/plain", now - timedelta(days=300)),))
        screening = judge(policy, inputs_of, live=book)
        told = excluded(screening, f"{other}/email/plain")
        assert (told.reasons, told.details) == ((Exclusion.INCOMPATIBLE,), (f"never with {sent}",))
        assert told.allowed_at is None
        assert reasons(screening, f"{sent}/email/plain") == ()
    assert judge(policy, inputs_of).excluded == ()


def test_an_offer_rests_after_another_for_exactly_as_long_as_declared(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    policy = with_offer(plain_catalogue, not_after={"free-coffee": 7 * DAY, "double-stamps": DAY, "opening-hours": 0.0})
    ages = {"opening-hours": timedelta(0), "double-stamps": timedelta(hours=23), "free-coffee": timedelta(days=6)}
    book = LiveState(contacts=tuple(contact(policy, f"{one}/push/plain", now - age) for one, age in ages.items()))
    told = excluded(judge(policy, inputs_of, live=book))
    assert (told.reasons, told.details) == ((Exclusion.INCOMPATIBLE,), ("not within 7 days after free-coffee",))
    assert told.allowed_at == now + timedelta(days=1)
    assert reasons(judge(policy, inputs_of, live=book, now=now + timedelta(days=1))) == ()
    before = LiveState(contacts=(contact(policy, "ten-percent/push/plain", now),))
    assert judge(policy, inputs_of, live=before).excluded == ()


def test_an_open_case_pauses_marketing_and_then_lets_it_rest(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    policy = Policy(replace(plain_catalogue, care=DEFAULT_CARE))
    case = Case(case_id="c", kind="lost_item", severity="normal", opened_at=now - timedelta(days=1))
    paused = judge(policy, inputs_of, live=LiveState(cases=(case,)))
    assert permitted(policy, paused) == {"opening-hours/email/plain", "opening-hours/push/plain"}
    told = excluded(paused)
    assert (told.reasons, told.details) == ((Exclusion.CASE_OPEN,), ("lost_item",))
    assert told.allowed_at == now + timedelta(days=59)
    solved = replace(case, resolved_at=now - timedelta(hours=1))
    told = excluded(judge(policy, inputs_of, live=LiveState(cases=(solved,))))
    assert told.reasons == (Exclusion.CASE_COOLING_DOWN,)
    assert told.allowed_at == now + timedelta(days=7, hours=-1)
    later = judge(policy, inputs_of, live=LiveState(cases=(solved,)), now=now + timedelta(days=7))
    assert later.excluded == ()


def test_caps_and_suppressions_say_when_there_is_room_again(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    rules = ContactPolicy(
        caps=(Cap(cap_id="week", scope=CapScope.EVERYTHING, limit=1, window_seconds=7 * DAY),),
        suppressions=(
            Suppression(after="declined", scope=SuppressionScope.OFFER, cooldown_seconds=30 * DAY),
            Suppression(after="complained", scope=SuppressionScope.CHANNEL, cooldown_seconds=None),
        ),
    )
    policy = Policy(replace(plain_catalogue, contact_policy=rules))
    sent = contact(policy, KEY, now - timedelta(days=2))
    told = excluded(judge(policy, inputs_of, live=LiveState(contacts=(sent,))))
    assert (told.reasons, told.details) == ((Exclusion.CAP_REACHED,), ("cap week: 1 of 1 in 7 days",))
    assert told.allowed_at == now + timedelta(days=5)
    declined = Response(outcome="declined", touch=sent.touch, at=now - timedelta(days=2))
    told = excluded(judge(policy, inputs_of, live=LiveState(contacts=(sent,), responses=(declined,))))
    assert told.reasons == (Exclusion.CAP_REACHED, Exclusion.SUPPRESSED)
    assert told.allowed_at == now + timedelta(days=28)
    complained = replace(declined, outcome="complained")
    told = excluded(judge(policy, inputs_of, live=LiveState(contacts=(sent,), responses=(complained,))))
    assert told.allowed_at is None


def test_quiet_hours_defer_to_the_first_waking_moment(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    policy = Policy(replace(plain_catalogue, quiet_hours=NIGHT))
    screening = judge(policy, inputs_of)
    assert {one.message_key.split("/")[1] for one in screening.excluded} == {"email"}
    assert excluded(screening) == Excluded(
        message_key=KEY,
        reasons=(Exclusion.QUIET_HOURS,),
        details=("",),
        allowed_at=datetime(2026, 11, 1, 14, tzinfo=UTC),
    )
    assert reasons(judge(policy, inputs_of, now=datetime(2026, 11, 1, 14, tzinfo=UTC))) == ()
    unknown = {"time_zone": None, "plausible_zones": ("Europe/Berlin", "Europe/London")}
    assert excluded(judge(policy, inputs_of, **unknown)).allowed_at == datetime(2026, 11, 1, 15, tzinfo=UTC)


def test_the_allowed_moment_is_neither_in_quiet_hours_nor_after_the_offers_end(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    rules = ContactPolicy(caps=(Cap(cap_id="day", scope=CapScope.EVERYTHING, limit=1, window_seconds=DAY),))
    catalogue = replace(plain_catalogue, contact_policy=rules, quiet_hours=NIGHT)
    before = datetime(2026, 11, 1, 10, tzinfo=UTC)  # 11:00 in Berlin, an hour before rest begins
    awake_again = datetime(2026, 11, 1, 14, tzinfo=UTC)
    for end, expected in ((awake_again + timedelta(seconds=1), awake_again), (awake_again, None)):
        policy = with_offer(catalogue, valid_until=end)
        book = LiveState(contacts=(contact(policy, KEY, before - timedelta(hours=21, minutes=30)),))
        told = excluded(judge(policy, inputs_of, live=book, now=before))
        assert told.reasons == (Exclusion.CAP_REACHED,)
        assert told.allowed_at == expected
    always = QuietHours(rules=(QuietRule(channels=frozenset({"email"})),))
    asleep = judge(Policy(replace(plain_catalogue, quiet_hours=always)), inputs_of)
    assert (excluded(asleep).reasons, excluded(asleep).allowed_at) == ((Exclusion.QUIET_HOURS,), None)
    capped = judge(
        Policy(replace(plain_catalogue, contact_policy=rules, quiet_hours=always)),
        inputs_of,
        live=LiveState(contacts=(contact(policy, KEY, now - timedelta(hours=1)),)),
    )
    assert excluded(capped).allowed_at is None
    assert excluded(capped, "ten-percent/push/plain").allowed_at == now + timedelta(hours=23)


def test_a_moment_after_which_the_channel_rests_for_weeks_is_none(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    caps = ContactPolicy(caps=(Cap(cap_id="day", scope=CapScope.EVERYTHING, limit=1, window_seconds=DAY),))
    days = frozenset(now.date() + timedelta(days=number) for number in range(1, 30))
    holidays = QuietHours(rules=(QuietRule(only_holidays=True),), holidays={"DE": days})
    policy = Policy(replace(plain_catalogue, contact_policy=caps, quiet_hours=holidays))
    told = excluded(judge(policy, inputs_of, live=LiveState(contacts=(contact(policy, KEY, now),))))
    assert (told.reasons, told.allowed_at) == ((Exclusion.CAP_REACHED,), None)


def test_an_offer_that_is_not_yet_valid_says_when_it_will_be(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    start = now + timedelta(days=2)
    policy = with_offer(plain_catalogue, valid_from=start)
    told = excluded(judge(policy, inputs_of))
    assert (told.reasons, told.allowed_at) == ((Exclusion.NOT_YET_VALID,), start)
    both = excluded(judge(policy, inputs_of, reachable_channels=frozenset()))
    assert both.allowed_at is None


def test_what_all_share_runs_out_for_those_who_would_use_it(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    slots = Limit(limit_id="slots", scope=LimitScope.CHANNEL, of="email", amount=10, period=Period.DAY)
    budget = Limit(limit_id="budget", scope=LimitScope.DEPARTMENT, of="marketing", measure=LimitMeasure.COST, amount=5)
    policy = Policy(replace(plain_catalogue, limits=(slots, budget)))
    used = {"limit:slots:2026-11-01": 10.0, "limit:budget:total": 4.5}
    screening = judge(policy, inputs_of, supply=Supply(used=used))
    told = excluded(screening)
    assert told.reasons in {(Exclusion.CAPACITY_FULL,), (Exclusion.BUDGET_SPENT,)}
    assert reasons(screening, "opening-hours/email/plain") == (Exclusion.CAPACITY_FULL,)
    assert excluded(screening, "opening-hours/email/plain").allowed_at == datetime(2026, 11, 2, tzinfo=UTC)
    assert reasons(screening, "ten-percent/push/plain") == ()  # half a cent is left
    assert judge(policy, inputs_of).excluded == ()


def test_a_limit_on_one_offer_leaves_the_others_alone(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    seats = Limit(limit_id="seats", scope=LimitScope.OFFER, of="ten-percent", amount=2)
    policy = Policy(replace(plain_catalogue, limits=(seats,)))
    screening = judge(policy, inputs_of, supply=Supply(used={"limit:seats:total": 2.0}))
    assert {one.message_key.split("/")[0] for one in screening.excluded} == {"ten-percent"}
    assert excluded(screening).details == ("limit seats: 2 of 2 messages",)


def test_content_that_breaks_its_channel_stops_that_message_alone(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    screening = judge(plain_policy, inputs_of, unfit={KEY: "headline has 90 characters, at most 80 fit"})
    assert [one.message_key for one in screening.excluded] == [KEY]
    assert excluded(screening).reasons == (Exclusion.CREATIVE_UNFIT,)
    assert excluded(screening).details == ("headline has 90 characters, at most 80 fit",)


@pytest.mark.parametrize(
    ("asked", "taken", "channels"),
    [
        (None, None, {"email", "push"}),
        ({"email"}, None, {"email"}),
        (None, {"push"}, {"push"}),
        ({"email", "push"}, {"push"}, {"push"}),
        ({"email"}, {"push"}, set()),
    ],
)
def test_a_message_travels_on_channels_that_caller_and_placement_take(
    plain_policy: Policy, inputs_of: MakeInputs, asked: set[str] | None, taken: set[str] | None, channels: set[str]
) -> None:
    placement = Placement(placement_id="1", channels=None if taken is None else frozenset(taken))
    request = {"channels": None if asked is None else frozenset(asked), "placements": (placement,)}
    screening = judge(plain_policy, inputs_of, **request)
    assert {key.split("/")[1] for key in permitted(plain_policy, screening)} == channels


def with_resting_offer(catalogue: Catalogue) -> Catalogue:
    offer = replace(catalogue.offers["ten-percent"], not_after={"free-coffee": DAY})
    return replace(catalogue, offers={**catalogue.offers, "ten-percent": offer})


NO_CONTACTS = ContactPolicy(caps=(Cap(cap_id="none", scope=CapScope.EVERYTHING, limit=0, window_seconds=DAY),))
NO_SECOND_TRY = ContactPolicy(
    suppressions=(Suppression(after="declined", scope=SuppressionScope.OFFER, cooldown_seconds=None),)
)
PAUSES_ALL = replace(DEFAULT_CARE, paused_classes=frozenset(MessageClass))


def breach(catalogue: Catalogue, layer: Layer, now: datetime) -> tuple[Catalogue, dict[str, Any]]:
    """A catalogue and inputs in which this layer refuses `ten-percent` by e-mail, and no other layer does."""
    policy = Policy(catalogue)
    sent, own = contact(policy, "free-coffee/push/plain", now), contact(policy, KEY, now).touch
    declined = Response(outcome="declined", touch=own, at=now)
    case = Case(case_id="c", kind="outage", severity="low", opened_at=now)
    breaches: dict[Layer, tuple[Catalogue, dict[str, Any]]] = {
        Layer.PROTECTION: (catalogue, {"protections": frozenset({"deceased"})}),
        Layer.CONSENT: (catalogue, {"consents": (), "unsubscribed_channels": frozenset({"email"})}),
        Layer.COMPATIBILITY: (with_resting_offer(catalogue), {"live": LiveState(contacts=(sent,))}),
        Layer.CARE: (replace(catalogue, care=PAUSES_ALL), {"live": LiveState(cases=(case,))}),
        Layer.CONTACT_POLICY: (replace(catalogue, contact_policy=NO_CONTACTS), {}),
        Layer.SUPPRESSION: (
            replace(catalogue, contact_policy=NO_SECOND_TRY),
            {"live": LiveState(responses=(declined,))},
        ),
        Layer.PURPOSE: (replace(catalogue, channels=FOR_CARE), {}),
        Layer.CONVERSATION: (
            replace(catalogue, conversation=Conversation(seen_seconds=DAY)),
            {"live": LiveState(responses=(replace(declined, outcome="clicked"),))},
        ),
        Layer.QUIET_HOURS: (replace(catalogue, quiet_hours=NIGHT), {}),
        Layer.TEST: (replace(catalogue, holdout=Holdout(share=1.0, salt="h")), {}),
        Layer.SCORE: (catalogue, {"expected_values": None}),
    }
    return breaches[layer]


@pytest.mark.parametrize("message_class", MessageClass)
@pytest.mark.parametrize("layer", sorted(BYPASSABLE))
def test_a_class_passes_exactly_the_layers_that_the_matrix_gives_it(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime, layer: Layer, message_class: MessageClass
) -> None:
    catalogue, fields = breach(plain_catalogue, layer, now)
    offer = replace(catalogue.offers["ten-percent"], message_class=message_class)
    offers = {**catalogue.offers, "ten-percent": offer}
    bare = dict.fromkeys(MessageClass, ClassRules())
    closed = judge(Policy(replace(catalogue, offers=offers, classes=bare)), inputs_of, **fields)
    assert reasons(closed)
    may = message_class is not MessageClass.MARKETING and (
        (layer is not Layer.PROTECTION or message_class is MessageClass.MANDATORY)
        and (layer is not Layer.CONSENT or message_class in {MessageClass.MANDATORY, MessageClass.TRANSACTIONAL})
    )
    if may:
        opened = {**bare, message_class: ClassRules(bypasses=frozenset({layer}))}
        screening = judge(Policy(replace(catalogue, offers=offers, classes=opened)), inputs_of, **fields)
        assert reasons(screening) == ()
    declared = judge(Policy(replace(catalogue, offers=offers)), inputs_of, **fields)
    assert (reasons(declared) == ()) is (layer in DEFAULT_CLASSES[message_class].bypasses)


def slate_world(catalogue: Catalogue) -> Policy:
    """Caps, capacities and rules between offers, all of which a slate can meet."""
    offers = {
        **catalogue.offers,
        "ten-percent": replace(catalogue.offers["ten-percent"], never_with=frozenset({"free-coffee"})),
        "double-stamps": replace(catalogue.offers["double-stamps"], not_after={"opening-hours": DAY}),
    }
    caps = (
        Cap(cap_id="push", scope=CapScope.CHANNEL, of="push", limit=1, window_seconds=DAY),
        Cap(cap_id="all", scope=CapScope.EVERYTHING, limit=2, window_seconds=DAY),
    )
    limit = Limit(limit_id="mails", scope=LimitScope.CHANNEL, of="email", amount=1)
    return Policy(replace(catalogue, offers=offers, contact_policy=ContactPolicy(caps=caps), limits=(limit,)))


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (
            "ten-percent/push/plain",
            {
                "ten-percent/email/plain": (Exclusion.ALREADY_IN_SLATE,),
                "ten-percent/push/plain": (Exclusion.ALREADY_IN_SLATE, Exclusion.CAP_REACHED),
                "free-coffee/email/plain": (Exclusion.INCOMPATIBLE,),
                "free-coffee/push/plain": (Exclusion.INCOMPATIBLE, Exclusion.CAP_REACHED),
                "double-stamps/push/plain": (Exclusion.CAP_REACHED,),
                "opening-hours/push/plain": (Exclusion.CAP_REACHED,),
            },
        ),
        (
            "opening-hours/email/plain",
            {
                "opening-hours/email/plain": (Exclusion.ALREADY_IN_SLATE, Exclusion.CAPACITY_FULL),
                "opening-hours/push/plain": (Exclusion.ALREADY_IN_SLATE,),
                "double-stamps/email/plain": (Exclusion.INCOMPATIBLE, Exclusion.CAPACITY_FULL),
                "double-stamps/push/plain": (Exclusion.INCOMPATIBLE,),
                "ten-percent/email/plain": (Exclusion.CAPACITY_FULL,),
                "free-coffee/email/plain": (Exclusion.CAPACITY_FULL,),
            },
        ),
        (
            "double-stamps/email/plain",
            {
                "double-stamps/email/plain": (Exclusion.ALREADY_IN_SLATE, Exclusion.CAPACITY_FULL),
                "double-stamps/push/plain": (Exclusion.ALREADY_IN_SLATE,),
                "opening-hours/email/plain": (Exclusion.INCOMPATIBLE, Exclusion.CAPACITY_FULL),
                "opening-hours/push/plain": (Exclusion.INCOMPATIBLE,),
                "ten-percent/email/plain": (Exclusion.CAPACITY_FULL,),
                "free-coffee/email/plain": (Exclusion.CAPACITY_FULL,),
            },
        ),
        ("silence", {}),
    ],
)
def test_a_slate_counts_what_its_earlier_positions_take(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, first: str, expected: dict[str, tuple[Exclusion, ...]]
) -> None:
    policy = slate_world(plain_catalogue)
    candidates = policy.compiled_candidates("weekly-mail")
    start = situation(policy, inputs_of(policy))
    before = screen(candidates, start)
    assert before.excluded == ()
    chosen = next((one for one in candidates if one.key == first), None)
    after = in_slate(start, chosen, Placement(placement_id="2"))
    again = screen_again(candidates, before, after, SLATE_LAYERS)
    assert {one.message_key: one.reasons for one in again.excluded} == expected
    assert again == screen(candidates, after)


def test_what_is_asked_again_takes_its_place_among_the_other_reasons(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    policy = slate_world(plain_catalogue)
    candidates = policy.compiled_candidates("weekly-mail")
    start = situation(policy, inputs_of(policy, consents=(), expected_values=None))
    chosen = next(one for one in candidates if one.key == "ten-percent/push/plain")
    after = in_slate(start, chosen, Placement(placement_id="2"))
    again = screen_again(candidates, screen(candidates, start), after, SLATE_LAYERS)
    assert again == screen(candidates, after)
    assert reasons(again, "free-coffee/push/plain") == (
        Exclusion.NO_CONSENT,
        Exclusion.INCOMPATIBLE,
        Exclusion.CAP_REACHED,
        Exclusion.NOT_SCORED,
    )


def test_the_next_placement_may_take_other_channels(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    candidates = plain_policy.compiled_candidates("weekly-mail")
    mail = Placement(placement_id="mail", channels=frozenset({"email"}))
    start = situation(plain_policy, inputs_of(plain_policy, placements=(mail,), expected_values=None))
    before = screen(candidates, start)
    after = in_slate(start, None, Placement(placement_id="app", channels=frozenset({"push"})))
    again = screen_again(candidates, before, after, SLATE_LAYERS)
    assert again == screen(candidates, after)
    assert permitted(plain_policy, again) == {"opening-hours/push/plain"}
    assert reasons(again) == (Exclusion.CHANNEL_NOT_ASKED, Exclusion.NOT_SCORED)


def test_a_ghost_passes_the_same_gates_with_the_book_of_ghosts(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime, experiment_of: Callable[..., Experiment]
) -> None:
    cap = Cap(cap_id="once", scope=CapScope.OFFER, limit=1, window_seconds=DAY)
    policy = Policy(
        replace(
            plain_catalogue,
            contact_policy=ContactPolicy(caps=(cap,)),
            experiments=(experiment_of(ArmPolicy.SILENCE),),
            programme_holdouts=(ProgrammeHoldout(programme_id="p", share=1.0, salt="s", goals=frozenset({"loyalty"})),),
        )
    )
    ghost = replace(contact(policy, KEY, now - timedelta(hours=1)), is_ghost=True)
    candidates = policy.compiled_candidates("weekly-mail")
    inputs = inputs_of(policy, live=LiveState(contacts=(ghost,)), unfit={"free-coffee/push/plain": "image is missing"})
    start = situation(policy, inputs)
    before = screen(candidates, start)
    assert reasons(before) == (Exclusion.PROGRAMME_HOLDOUT, Exclusion.EXPERIMENT_ARM)
    again = screen_again(candidates, before, freed(start), FREED_LAYERS)
    assert again == screen(candidates, freed(start))
    assert {one.message_key: one.reasons for one in again.excluded} == {
        KEY: (Exclusion.CAP_REACHED,),
        "ten-percent/push/plain": (Exclusion.CAP_REACHED,),
        "free-coffee/push/plain": (Exclusion.CREATIVE_UNFIT,),
    }
