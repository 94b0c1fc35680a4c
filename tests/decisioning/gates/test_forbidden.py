"""No path skips a gate: a message that a gate refuses is never chosen, whatever makes the choice.

The rules are written a second time here, independently, and compared with every decision. Only a message class may
bypass a gate, and only in the layers that the matrix of classes allows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
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
    Touch,
)
from decisioning.catalogue.conversation import Conversation
from decisioning.catalogue.experiment import ArmPolicy, Experiment, Holdout, ProgrammeHoldout
from decisioning.catalogue.exploration import Exploration
from decisioning.catalogue.limits import DepartmentShare, Limit, LimitScope, Supply
from decisioning.catalogue.message import Message, MessageClass
from decisioning.catalogue.message_classes import DEFAULT_CLASSES, CapScope, Layer
from decisioning.catalogue.quiet_hours import QuietHours, QuietRule
from decisioning.customer import Consent
from decisioning.decision import Decision, Exclusion, Inputs, Placement
from decisioning.gates.gate import GATES
from decisioning.live import LiveState
from decisioning.policy import Policy, decide
from decisioning.rules.predicate import Compare, Comparison
from tests.decisioning.gates.judging import situation
from tests.touches import make_touch

type MakeInputs = Callable[..., Inputs]
type MakeExperiment = Callable[..., Experiment]

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = 86_400.0
KEY = "target/email/plain"
TOUCHPOINT = "weekly-mail"
UNIFORMS = (0.0, 0.5, 0.999)
PATHS: dict[str, dict[str, Any]] = {
    "scored": {},
    "unscored": {"expected_values": None, "model_version": None},
    "degraded": {"features": None, "expected_values": None, "degraded": ("features_unavailable",)},
    "scored without features": {"features": None, "degraded": ("features_unavailable",)},
    "allocated": {"allocated": KEY},
    "not profiled": {"has_opted_out_of_profiling": True},
    "not profiled, allocated": {"has_opted_out_of_profiling": True, "expected_values": None, "allocated": KEY},
    "unknown customer": {"customer": None, "features": None, "expected_values": None},
    "unknown customer, scored": {"customer": None, "features": None},
}
ARMS = [None, *ArmPolicy]
COMPETING = {
    **DEFAULT_CLASSES,
    MessageClass.SERVICE: replace(DEFAULT_CLASSES[MessageClass.SERVICE], has_precedence=False),
}
WITHOUT_PROFILE = {"unknown customer", "unknown customer, scored"}


def touch(offer_id: str, channel_id: str = "push", message_class: MessageClass = MessageClass.MARKETING) -> Touch:
    return make_touch(offer_id, channel_id, message_class=message_class)


COFFEE_YESTERDAY = LiveState(
    contacts=(Contact(contact_id="before", touch=touch("free-coffee"), at=NOW - timedelta(days=1), is_confirmed=True),)
)


@dataclass(frozen=True, kw_only=True)
class Breach:
    """A reason to refuse the target, and the layer that refuses it."""

    layer: Layer
    offer: Mapping[str, Any] = field(default_factory=dict)
    creative: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    catalogue: Mapping[str, Any] = field(default_factory=dict)
    channel: Mapping[str, Any] = field(default_factory=dict)


def capped(**fields: Any) -> dict[str, Any]:
    cap = Cap(**{"cap_id": "cap", "scope": CapScope.EVERYTHING, "limit": 1, "window_seconds": 7 * DAY} | fields)
    return {"contact_policy": ContactPolicy(caps=(cap,))}


def never(fact: str = "customer.age") -> Compare:
    return Compare(fact=fact, comparison=Comparison.AT_LEAST, value=1000)


WITHDRAWN = tuple(
    Consent(channel_id="email", purpose=purpose, is_granted=is_granted)
    for purpose in ("marketing", "service")
    for is_granted in (True, False)
)
LIVE_WITHDRAWAL = LiveState(
    consents=tuple(
        Consent(channel_id="email", purpose=purpose, is_granted=False, recorded_at=NOW)
        for purpose in ("marketing", "service")
    )
)
HOUSEHOLD_YESTERDAY = LiveState(household_contacts=COFFEE_YESTERDAY.contacts)
OPEN_CASE = LiveState(cases=(Case(case_id="c", kind="outage", severity="low", opened_at=NOW - timedelta(days=1)),))
SOLVED_CASE = LiveState(cases=(replace(OPEN_CASE.cases[0], resolved_at=NOW - timedelta(hours=1)),))
PAUSES_ALL = {"care": replace(DEFAULT_CARE, paused_classes=frozenset(MessageClass))}
AFTER_DECLINING = {
    "contact_policy": ContactPolicy(
        suppressions=(Suppression(after="declined", scope=SuppressionScope.OFFER, cooldown_seconds=None),)
    )
}
BREACHES: dict[str, Breach] = {
    "channel not asked": Breach(layer=Layer.REQUEST, inputs={"channels": frozenset({"push"})}),
    "placement on another channel": Breach(
        layer=Layer.REQUEST,
        inputs={"placements": (Placement(placement_id="app", channels=frozenset({"push"})),)},
    ),
    "excluded by caller": Breach(layer=Layer.REQUEST, inputs={"excluded_offers": frozenset({"target"})}),
    "protected": Breach(layer=Layer.PROTECTION, inputs={"protections": frozenset({"vulnerable"})}),
    "protected since": Breach(layer=Layer.PROTECTION, inputs={"live": LiveState(protections={"deceased": True})}),
    "no consent": Breach(layer=Layer.CONSENT, inputs={"consents": ()}),
    "consent withdrawn": Breach(layer=Layer.CONSENT, inputs={"consents": WITHDRAWN}),
    "consent withdrawn since": Breach(layer=Layer.CONSENT, inputs={"live": LIVE_WITHDRAWAL}),
    "unsubscribed": Breach(layer=Layer.CONSENT, inputs={"unsubscribed_channels": frozenset({"email"})}),
    "not reachable": Breach(layer=Layer.REACHABILITY, inputs={"reachable_channels": frozenset({"push"})}),
    "not yet valid": Breach(layer=Layer.VALIDITY, offer={"valid_from": NOW + timedelta(seconds=1)}),
    "expired": Breach(layer=Layer.VALIDITY, offer={"valid_until": NOW}),
    "arrives too late": Breach(
        layer=Layer.VALIDITY, offer={"valid_until": NOW + timedelta(days=1)}, channel={"lead_time_seconds": DAY}
    ),
    "wrong stage": Breach(layer=Layer.STAGE, offer={"stages": frozenset({"new"})}),
    "offer not eligible": Breach(layer=Layer.ELIGIBILITY, offer={"eligibility": never()}),
    "creative not eligible": Breach(layer=Layer.ELIGIBILITY, creative={"eligibility": never("purchase_count_90d")}),
    "not applicable": Breach(layer=Layer.APPLICABILITY, offer={"applicability": never("live.browse_count_1h")}),
    "asks what is known": Breach(layer=Layer.APPLICABILITY, offer={"asks": frozenset({"region"})}),
    "not suitable": Breach(layer=Layer.SUITABILITY, creative={"suitability": never()}),
    "never with": Breach(
        layer=Layer.COMPATIBILITY, offer={"never_with": frozenset({"free-coffee"})}, inputs={"live": COFFEE_YESTERDAY}
    ),
    "not after": Breach(
        layer=Layer.COMPATIBILITY, offer={"not_after": {"free-coffee": 2 * DAY}}, inputs={"live": COFFEE_YESTERDAY}
    ),
    "case open": Breach(layer=Layer.CARE, inputs={"live": OPEN_CASE}, catalogue=PAUSES_ALL),
    "case cooling down": Breach(layer=Layer.CARE, inputs={"live": SOLVED_CASE}, catalogue=PAUSES_ALL),
    "cap of zero": Breach(layer=Layer.CONTACT_POLICY, catalogue=capped(limit=0, scope=CapScope.OFFER, of="target")),
    "cap reached": Breach(layer=Layer.CONTACT_POLICY, inputs={"live": COFFEE_YESTERDAY}, catalogue=capped()),
    "household cap reached": Breach(
        layer=Layer.CONTACT_POLICY,
        inputs={"live": HOUSEHOLD_YESTERDAY, "household_id": "H-1"},
        catalogue=capped(unit=CapUnit.HOUSEHOLD),
    ),
    "pressure reached": Breach(
        layer=Layer.CONTACT_POLICY,
        inputs={"live": COFFEE_YESTERDAY},
        catalogue={"contact_policy": ContactPolicy(pressure=PressureBudget(limit=1.5, window_seconds=7 * DAY))},
    ),
    "state lost": Breach(
        layer=Layer.CONTACT_POLICY, inputs={"live": LiveState(is_lost=True)}, catalogue=capped(limit=9)
    ),
    "suppressed": Breach(
        layer=Layer.SUPPRESSION,
        inputs={"live": LiveState(responses=(Response(outcome="declined", touch=touch("target"), at=NOW),))},
        catalogue=AFTER_DECLINING,
    ),
    "other purpose": Breach(layer=Layer.PURPOSE, channel={"purposes": {"active": frozenset({"care"})}}),
    "no purpose in the stage": Breach(layer=Layer.PURPOSE, channel={"purposes": {"dormant": frozenset({"loyalty"})}}),
    "seen elsewhere": Breach(
        layer=Layer.CONVERSATION,
        inputs={"live": LiveState(responses=(Response(outcome="viewed", touch=touch("target"), at=NOW),))},
        catalogue={"conversation": Conversation(seen_seconds=DAY)},
    ),
    "nothing to follow": Breach(
        layer=Layer.APPLICABILITY,
        catalogue={"conversation": Conversation(seen_seconds=DAY, follow_ups=frozenset({KEY}))},
    ),
    "quiet hours": Breach(
        layer=Layer.QUIET_HOURS,
        catalogue={"quiet_hours": QuietHours(rules=(QuietRule(from_minute=12 * 60, until_minute=15 * 60),))},
    ),
    "capacity full": Breach(
        layer=Layer.CAPACITY,
        catalogue={"limits": (Limit(limit_id="seats", scope=LimitScope.OFFER, of="target", amount=5),)},
        inputs={"supply": Supply(used={"limit:seats:total": 5.0})},
    ),
    "share reached": Breach(
        layer=Layer.CAPACITY,
        catalogue={"shares": (DepartmentShare(share_id="s", department="marketing", max_share=0.0, slack=0),)},
    ),
    "creative unfit": Breach(layer=Layer.CREATIVE, inputs={"unfit": {KEY: "image is missing"}}),
    "held out": Breach(layer=Layer.TEST, catalogue={"holdout": Holdout(share=1.0, salt="h")}),
    "programme held out": Breach(
        layer=Layer.TEST,
        catalogue={
            "programme_holdouts": (
                ProgrammeHoldout(programme_id="p", share=1.0, salt="p", offers=frozenset({"target"})),
            )
        },
    ),
}


def world(catalogue: Catalogue, message_class: MessageClass, breach: Breach, arm: Experiment | None = None) -> Policy:
    """The shop with one tempting offer, `target`, by e-mail, worth more than everything else."""
    target = replace(
        catalogue.offers["ten-percent"],
        offer_id="target",
        message_class=message_class,
        purpose="marketing" if message_class is MessageClass.MARKETING else "service",
        value_minor=9e6,
        **({"eligibility": Compare(fact="customer.age", comparison=Comparison.AT_LEAST, value=18)} | breach.offer),
    )
    wording = replace(catalogue.creatives[0], offer_id="target", channel_id="email", **breach.creative)
    return Policy(
        replace(
            catalogue,
            offers={**catalogue.offers, "target": target},
            creatives=(*catalogue.creatives, wording),
            channels={**catalogue.channels, "email": replace(catalogue.channels["email"], **breach.channel)},
            touchpoints={TOUCHPOINT: catalogue.touchpoints[TOUCHPOINT]},
            exploration=Exploration(epsilon=1.0),
            experiments=(arm,) if arm else (),
            **breach.catalogue,
        )
    )


def tempted(policy: Policy) -> Any:
    """Scores by which the target is worth most."""
    return np.array([0.0, *(1e6 if one.offer.offer_id == "target" else 10.0 for one in policy.candidates(TOUCHPOINT))])


def inputs_on(path: str, policy: Policy, breach: Breach, inputs_of: MakeInputs, **fields: Any) -> Inputs:
    """Inputs of the path with the breach; their live states are merged."""
    return inputs_of(policy, **({"expected_values": tempted(policy), **breach.inputs, **PATHS[path]} | fields))


def chosen_anywhere(decision: Decision) -> set[str]:
    ghost = {decision.ghost.message_key} if decision.ghost else set[str]()
    return {decision.message_key, *(one.message_key for one in decision.further)} | ghost


def check_kept_out(decision: Decision) -> None:
    """Check that the target is excluded and has no probability anywhere."""
    assert KEY in {one.message_key for one in decision.excluded}
    assert KEY not in {one.message_key for one in decision.evaluated}
    assert KEY not in chosen_anywhere(decision)
    assert decision.message_key in {one.message_key for one in decision.evaluated if one.probability > 0}


@pytest.fixture(scope="module")
def spoilt_world(plain_catalogue: Catalogue, experiment_of: MakeExperiment) -> Callable[..., Policy]:
    """The world with a breach, by name; made once for all paths."""

    @cache
    def made(breach: str, message_class: MessageClass, arm: ArmPolicy | None) -> Policy:
        return world(plain_catalogue, message_class, BREACHES[breach], experiment_of(arm) if arm else None)

    return made


@pytest.mark.no_cover
@pytest.mark.parametrize("message_class", MessageClass)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("breach", BREACHES)
def test_a_forbidden_message_is_never_chosen_unless_its_class_bypasses_that_layer(
    spoilt_world: Callable[..., Policy], inputs_of: MakeInputs, breach: str, path: str, message_class: MessageClass
) -> None:
    spoilt, rules = BREACHES[breach], DEFAULT_CLASSES[message_class]
    is_let_through = spoilt.layer in rules.bypasses and path not in WITHOUT_PROFILE
    for arm in ARMS:
        policy = spoilt_world(breach, message_class, arm)
        inputs = inputs_on(path, policy, spoilt, inputs_of)
        for uniform in UNIFORMS:
            decision = decide(policy, replace(inputs, uniform=uniform), "D-1")
            if not is_let_through:
                check_kept_out(decision)
                continue
            probability = {one.message_key: one.probability for one in decision.evaluated}
            assert KEY in probability
            if rules.has_precedence and message_class is not MessageClass.SERVICE:
                assert probability[KEY] == 1.0
                assert decision.message_key == KEY


@pytest.mark.no_cover
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("breach", sorted(name for name in BREACHES if not name.startswith("placement")))
def test_no_position_of_a_slate_takes_a_forbidden_message(
    spoilt_world: Callable[..., Policy], inputs_of: MakeInputs, breach: str, path: str
) -> None:
    spoilt = BREACHES[breach]
    places = tuple(Placement(placement_id=name) for name in ("first", "second", "third", "fourth"))
    for arm in (None, ArmPolicy.RANDOM, ArmPolicy.RULES):
        policy = spoilt_world(breach, MessageClass.MARKETING, arm)
        inputs = inputs_on(path, policy, spoilt, inputs_of, placements=places)
        for uniform in UNIFORMS:
            check_kept_out(decide(policy, replace(inputs, uniform=uniform), "D-1"))


@pytest.mark.no_cover
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("breach", sorted(name for name, one in BREACHES.items() if one.layer is not Layer.TEST))
def test_no_ghost_is_a_message_that_another_gate_refuses(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, experiment_of: MakeExperiment, breach: str, path: str
) -> None:
    spoilt = BREACHES[breach]
    policies = (
        world(replace(plain_catalogue, holdout=Holdout(share=1.0, salt="h")), MessageClass.MARKETING, spoilt),
        world(plain_catalogue, MessageClass.MARKETING, spoilt, experiment_of(ArmPolicy.SILENCE)),
    )
    for policy in policies:
        inputs = inputs_on(path, policy, spoilt, inputs_of)
        for uniform in UNIFORMS:
            check_kept_out(decide(policy, replace(inputs, uniform=uniform), "D-1"))


def test_without_a_breach_the_ghost_is_the_tempting_message(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    catalogue = replace(plain_catalogue, holdout=Holdout(share=1.0, salt="h"), classes=COMPETING)
    nothing = Breach(layer=Layer.TEST)
    policy = world(catalogue, MessageClass.MARKETING, nothing)
    ghosts: set[str] = set()
    for step in range(20):
        decision = decide(policy, inputs_on("scored", policy, nothing, inputs_of, uniform=step / 20), "D-1")
        assert decision.message_key != KEY
        ghosts |= chosen_anywhere(decision)
    assert KEY in ghosts


def test_a_retry_with_the_same_inputs_gives_the_same_decision(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    for spoilt in BREACHES.values():
        policy = world(plain_catalogue, MessageClass.MARKETING, spoilt)
        inputs = inputs_on("scored", policy, spoilt, inputs_of)
        first, again = decide(policy, inputs, "D-1"), decide(policy, inputs, "D-1")
        assert (first.message_key, first.action_probability) == (again.message_key, again.action_probability)
        assert (first.evaluated, first.excluded) == (again.evaluated, again.excluded)


@pytest.mark.parametrize("path", PATHS)
def test_a_held_out_customer_gets_no_marketing_on_any_path(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, path: str
) -> None:
    spoilt = BREACHES["held out"]
    policy = world(plain_catalogue, MessageClass.MARKETING, spoilt)
    inputs = inputs_on(path, policy, spoilt, inputs_of)
    for uniform in UNIFORMS:
        assert decide(policy, replace(inputs, uniform=uniform), "D-1").offer_id in {None, "opening-hours"}


@pytest.mark.parametrize("message_class", MessageClass)
def test_the_tempting_message_is_chosen_if_nothing_forbids_it(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, message_class: MessageClass
) -> None:
    nothing = Breach(layer=Layer.REQUEST, catalogue={"classes": COMPETING})
    policy = Policy(replace(world(plain_catalogue, message_class, nothing).catalogue, exploration=Exploration()))
    decision = decide(policy, inputs_on("scored", policy, nothing, inputs_of), "D-1")
    assert decision.offer_id == "target"


def test_the_breaches_cover_every_layer_and_every_reason_code(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    assert {one.layer for one in BREACHES.values()} | {Layer.SCORE} == set(Layer)
    met: set[Exclusion] = set()
    for name, spoilt in BREACHES.items():
        policy = world(plain_catalogue, MessageClass.MARKETING, spoilt)
        decision = decide(policy, inputs_on("scored", policy, spoilt, inputs_of), "D-1")
        found = next(one.reasons for one in decision.excluded if one.message_key == KEY)
        assert len(found) == 1, name
        met.update(found)
    # These need a slate, an arm, a missing score, a due message or a budget; each has its own tests.
    elsewhere = {"ALREADY_IN_SLATE", "EXPERIMENT_ARM", "NOT_SCORED", "ROOM_KEPT", "BUDGET_SPENT"}
    assert met == set(Exclusion) - {Exclusion(name) for name in elsewhere}


@pytest.mark.parametrize("path", PATHS)
def test_gates_that_are_skipped_would_have_refused_nothing(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, path: str
) -> None:
    """Skipping gates that cannot refuse, and asking about many messages at once, changes no result."""
    nothing = Breach(layer=Layer.SCORE)
    for spoilt in (nothing, *BREACHES.values()):
        policy = world(plain_catalogue, MessageClass.MARKETING, spoilt)
        inputs = inputs_on(path, policy, spoilt, inputs_of)
        board, now = policy.board(TOUCHPOINT), situation(policy, inputs)
        found = {one.message_key: one for one in board.screen(now).excluded}
        for candidate in board.lineup.candidates:
            asked = [gate.ask(candidate, now) for gate in GATES if gate.layer not in candidate.bypasses]
            told = [refusal for refusal in asked if refusal is not None]
            excluded = found.get(candidate.key)
            assert bool(told) == (excluded is not None)
            if excluded is not None:
                assert excluded.reasons == tuple(exclusion for exclusion, _, _ in told)
                assert excluded.details == tuple(detail for _, detail, _ in told)


def may_be_sent(message: Message, inputs: Inputs, policy: ArmPolicy, *, is_held_out: bool) -> bool:
    """An independent statement of the rules for the shop's first offer."""
    customer, request = inputs.customer, inputs.request
    if customer is None or customer.protections:
        return False
    features = None if customer.has_opted_out_of_profiling else inputs.features
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
    needs_score = policy not in {ArmPolicy.RANDOM, ArmPolicy.RULES} and not customer.has_opted_out_of_profiling
    return (
        channel in customer.reachable_channels
        and channel not in customer.unsubscribed_channels
        and bool(answers)
        and all(one.is_granted for one in answers)
        and (request.channels is None or channel in request.channels)
        and offer.offer_id not in request.excluded_offers
        and (offer.offer_id != "free-coffee" or stage in {"new", "active"})
        and (offer.offer_id != "ten-percent" or (isinstance(age, int) and age >= 18))
        and message.key not in inputs.unfit
        and not (is_marketing and (is_held_out or policy is ArmPolicy.SILENCE))
        and not (is_marketing and inputs.expected_values is None and needs_score)
    )


CHANNELS = st.frozensets(st.sampled_from(["email", "push"]))
PAIRS = st.tuples(st.sampled_from(["email", "push"]), st.sampled_from(["marketing", "service"]), st.booleans())


@pytest.mark.no_cover
@settings(max_examples=250, deadline=None)
@given(data=st.data(), arm=st.sampled_from(ArmPolicy), is_held_out=st.booleans())
def test_a_message_is_permitted_exactly_if_the_rules_permit_it(
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
        protections=data.draw(st.sampled_from([frozenset(), frozenset(), frozenset({"minor"})])),
        has_opted_out_of_profiling=data.draw(st.booleans()),
        features=data.draw(st.sampled_from([features, None])),
        uniform=data.draw(st.floats(0, 1, exclude_max=True)),
        expected_values=data.draw(st.sampled_from([None, np.linspace(0, 80, 9)])),
        unfit=data.draw(st.sampled_from([{}, {"opening-hours/email/plain": "body is missing"}])),
    )
    if data.draw(st.booleans()) and data.draw(st.booleans()):
        inputs = replace(inputs, customer=None)
    effective = ArmPolicy.ENGINE if is_held_out else arm
    decision = decide(policy, inputs, "D-1")
    permitted = {
        message.key
        for message in policy.candidates(TOUCHPOINT)
        if may_be_sent(message, inputs, effective, is_held_out=is_held_out)
    }
    assert {one.message_key for one in decision.evaluated} == permitted | {"silence"}
    assert decision.message_key in permitted | {"silence"}
