"""Each gate alone: what it refuses, that all reasons are reported, and which message classes bypass it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from decisioning.catalogue.care import DEFAULT_CARE, Case
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.channel import Channel
from decisioning.catalogue.contact_policy import Cap, ContactPolicy, Response, Suppression, SuppressionScope
from decisioning.catalogue.conversation import Conversation
from decisioning.catalogue.experiment import ArmPolicy, Experiment, Holdout, ProgrammeHoldout
from decisioning.catalogue.limits import Limit, LimitScope
from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.message_classes import BYPASSABLE, DEFAULT_CLASSES, CapScope, ClassRules, Layer
from decisioning.decision import Exclusion, Placement
from decisioning.gates.gate import GATES
from decisioning.live import LiveState
from decisioning.policy import Policy
from decisioning.rules.predicate import Compare, Comparison
from tests.decisioning.gates.judging import (
    DAY,
    KEY,
    NIGHT,
    MakeInputs,
    contact,
    excluded,
    judge,
    permitted,
    reasons,
    with_offer,
)

FOR_CARE = {name: Channel(channel_id=name, purposes={"active": frozenset({"care"})}) for name in ("email", "push")}


def test_a_customer_without_any_obstacle_passes_every_gate(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    screening = judge(plain_policy, inputs_of)
    assert screening.permitted.bit_count() == 8
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


def test_gates_run_in_the_order_of_their_layers_and_every_layer_has_one() -> None:
    layers = list(Layer)
    places = [layers.index(gate.layer) for gate in GATES]
    assert places == sorted(places)
    assert {gate.layer for gate in GATES} == set(Layer)


def test_every_reason_is_reported_in_the_order_of_the_gates(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
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


def test_a_holdout_and_a_silent_arm_stop_marketing_and_nothing_else(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, experiment_of: Callable[..., Experiment]
) -> None:
    held_out = Policy(replace(plain_catalogue, holdout=Holdout(share=1.0, salt="h")))
    silent = Policy(replace(plain_catalogue, experiments=(experiment_of(ArmPolicy.SILENCE),)))
    for policy, reason in ((held_out, Exclusion.HOLDOUT), (silent, Exclusion.EXPERIMENT_ARM)):
        screening = judge(policy, inputs_of)
        assert permitted(policy, screening) == {"opening-hours/email/plain", "opening-hours/push/plain"}
        assert {one.reasons for one in screening.excluded} == {(reason,)}


def test_while_live_state_is_lost_only_service_messages_outside_every_cap_go(
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


def test_an_unknown_customer_gets_no_message(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = with_offer(plain_catalogue, purpose=None, message_class=MessageClass.MANDATORY)
    screening = judge(policy, inputs_of, customer=None, features=None, expected_values=None)
    assert not screening.permitted
    assert all(Exclusion.NOT_REACHABLE in one.reasons for one in screening.excluded)
    assert reasons(screening, "opening-hours/email/plain") == (Exclusion.NO_CONSENT, Exclusion.NOT_REACHABLE)
    assert reasons(screening) == (Exclusion.NOT_REACHABLE, Exclusion.NOT_ELIGIBLE)


def test_programme_holdouts_hold_back_only_messages_of_the_programme(
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


def test_content_beyond_its_channels_limits_stops_only_that_message(
    plain_policy: Policy, inputs_of: MakeInputs
) -> None:
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
def test_a_message_uses_only_channels_that_caller_and_placement_accept(
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
def test_a_class_bypasses_exactly_the_layers_that_the_matrix_gives_it(
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
