"""Randomly generated catalogues and customers that exercise every gate and price."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np

from decisioning.catalogue.care import DEFAULT_CARE, Case
from decisioning.catalogue.catalogue import Attribute, AttributeKind, Catalogue
from decisioning.catalogue.channel import Channel
from decisioning.catalogue.contact_policy import (
    Cap,
    CapUnit,
    Contact,
    ContactPolicy,
    Due,
    Fatigue,
    PressureBudget,
    Response,
    Suppression,
    SuppressionScope,
    Touch,
)
from decisioning.catalogue.conversation import Conversation
from decisioning.catalogue.experiment import Arm, ArmPolicy, Experiment, Exposure, Holdout, ProgrammeHoldout
from decisioning.catalogue.exploration import Exploration, ExplorationKind, Ramp
from decisioning.catalogue.journey import Goal, JourneyStage, Touchpoint
from decisioning.catalogue.levers import ArbitrationSwitches, Lever, LeverScope
from decisioning.catalogue.limits import DepartmentShare, Limit, LimitMeasure, LimitScope, Period, Supply
from decisioning.catalogue.message import Creative, MessageClass, MessageParts, Offer
from decisioning.catalogue.message_classes import CapScope
from decisioning.catalogue.quiet_hours import QuietHours, QuietRule
from decisioning.customer import Consent, Customer, CustomerId
from decisioning.decision import Inputs, Placement, Request, request_uniform
from decisioning.gates.capacity import uses
from decisioning.live import LiveState, RecentEvent, StageMove
from decisioning.policy import Policy
from decisioning.residuals import Residuals
from decisioning.rules.predicate import ALWAYS, AllOf, AnyOf, Compare, Comparison, Not, Predicate
from decisioning.scoring import FeatureVector

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = 86_400.0
CHANNELS = ("email", "letter", "push")
GOALS = {"care": "service", "loyalty": "marketing", "upsell": "sales"}
WORDS = {"customer.region": ("north", "south"), "stage": ("active", "new")}
NUMBERS = {"customer.age": 60, "purchase_count_90d": 5, "live.browse_count_24h": 3, "context.basket_value": 5}
OUTCOMES = ("clicked", "declined", "viewed")


class Chance:
    """Random draws from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def maybe[T](self, probability: float, make: Callable[[], T], otherwise: T) -> T:
        return make() if self.random.random() < probability else otherwise

    def one[T](self, choices: Sequence[T]) -> T:
        return self.random.choice(choices)

    def some[T](self, choices: Sequence[T], share: float = 0.5) -> list[T]:
        return [one for one in choices if self.random.random() < share]

    def up_to(self, most: int) -> range:
        return range(self.random.randint(0, most))

    def days(self, fewest: int, most: int) -> timedelta:
        return timedelta(days=self.random.randint(fewest, most))

    def seconds(self, most_days: int) -> float:
        return DAY * self.random.randint(1, most_days)

    def before_now(self) -> datetime:
        return NOW - timedelta(minutes=self.random.randint(0, 200 * 60))

    def rule(self, depth: int = 0) -> Predicate:
        kind = self.random.random()
        if depth < 2 and kind < 0.3:
            parts = tuple(self.rule(depth + 1) for _ in range(self.random.randint(1, 3)))
            return AllOf(parts=parts) if kind < 0.15 else AnyOf(parts=parts)
        if depth < 2 and kind < 0.4:
            return Not(part=self.rule(depth + 1))
        fact = self.one([*WORDS, *NUMBERS])
        if fact in WORDS:
            comparison = self.one([Comparison.EQUALS, Comparison.NOT_EQUALS])
            return Compare(fact=fact, comparison=comparison, value=self.one(WORDS[fact]))
        comparison = self.one([Comparison.AT_LEAST, Comparison.LESS_THAN, Comparison.MORE_THAN, Comparison.AT_MOST])
        return Compare(fact=fact, comparison=comparison, value=self.random.randint(0, NUMBERS[fact]))

    def maybe_rule(self, probability: float) -> Predicate:
        return self.maybe(probability, self.rule, ALWAYS)


def made_catalogue(seed: int) -> Catalogue:
    """A catalogue of up to nine offers on three channels, with any kind of rule."""
    chance = Chance(seed)
    offers = {f"o{number}": _offer(chance, f"o{number}") for number in range(chance.random.randint(2, 9))}
    offers = {name: _among_others(chance, offer, [*offers]) for name, offer in offers.items()}
    creatives = tuple(
        Creative(creative_id=f"c{copy}", offer_id=offer, channel_id=channel, content={}, place=chance.one((0, 1, 2)))
        for offer in offers
        for channel in chance.some(CHANNELS, 0.75)
        for copy in range(chance.one((1, 2)))
    )
    return Catalogue(
        version=f"made-{seed}",
        currency="EUR",
        goals={name: Goal(goal_id=name, department=department) for name, department in GOALS.items()},
        stages=(
            JourneyStage(stage_id="new", goal_id="loyalty", entry=chance.rule()),
            JourneyStage(stage_id="active", goal_id="loyalty", entry=ALWAYS),
        ),
        touchpoints={"weekly": Touchpoint(touchpoint_id="weekly", channels=frozenset(CHANNELS))},
        channels={name: _channel(chance, name) for name in CHANNELS},
        offers=offers,
        creatives=creatives,
        offer_kinds=("gift",),
        event_types=("browse", "purchase"),
        customer_attributes=(
            Attribute(name="age", kind=AttributeKind.NUMBER),
            Attribute(name="region", kind=AttributeKind.CATEGORY, values=WORDS["customer.region"]),
        ),
        contact_policy=_contact_policy(chance),
        conversation=chance.maybe(0.3, lambda: _conversation(chance, creatives), None),
        quiet_hours=QuietHours(rules=tuple(_quiet_rule(chance) for _ in chance.up_to(1))),
        care=DEFAULT_CARE,
        limits=tuple(_limit(chance, number) for number in chance.up_to(3)),
        shares=chance.maybe(0.3, lambda: (DepartmentShare(share_id="m", department="sales", max_share=0.5),), ()),
        levers=tuple(_lever(chance, number) for number in chance.up_to(3)),
        switches=ArbitrationSwitches(
            contact_cost=chance.random.random() < 0.9,
            fatigue=chance.random.random() < 0.9,
            shadow_prices=chance.random.random() < 0.9,
            levers=chance.random.random() < 0.9,
        ),
        exploration=Exploration(
            kind=chance.one(list(ExplorationKind)),
            epsilon=chance.one((0.0, 0.3)),
            min_probability=chance.one((0.0, 0.01)),
            ramp=chance.maybe(0.4, lambda: Ramp(needed=chance.random.randint(1, 100), start_share=0.1), Ramp()),
        ),
        experiments=chance.maybe(0.4, lambda: (_experiment(chance, seed),), ()),
        holdout=chance.maybe(0.3, lambda: Holdout(share=0.2, salt="h"), None),
        programme_holdouts=chance.maybe(0.3, lambda: (_PROGRAMME,), ()),
    )


_PROGRAMME = ProgrammeHoldout(programme_id="p", share=0.5, salt="p", offers=frozenset({"o0"}))


def _offer(chance: Chance, name: str) -> Offer:
    is_marketing = chance.random.random() < 0.9
    return Offer(
        offer_id=name,
        goal_id=chance.one([*GOALS]),
        kind="gift",
        message_class=MessageClass.MARKETING if is_marketing else chance.one(list(MessageClass)),
        purpose=chance.one(("marketing", "service")),
        value_minor=float(chance.random.randint(0, 400)),
        stages=chance.maybe(0.2, lambda: frozenset(chance.some(WORDS["stage"])), frozenset()),
        valid_from=chance.maybe(0.1, lambda: NOW + chance.days(-3, 3), None),
        valid_until=chance.maybe(0.2, lambda: NOW + chance.days(0, 4), None),
        urgency=chance.one((0.0, 1.0)),
        eligibility=chance.maybe_rule(0.15),
        applicability=chance.maybe_rule(0.1),
        suitability=chance.maybe_rule(0.1),
        asks=chance.maybe(0.05, lambda: frozenset({"age"}), frozenset()),
        answers_in_kind=chance.random.random() < 0.2,
    )


def _among_others(chance: Chance, offer: Offer, names: Sequence[str]) -> Offer:
    others = [name for name in names if name != offer.offer_id]
    return replace(
        offer,
        never_with=chance.maybe(0.15, lambda: frozenset({chance.one(others)}), frozenset()),
        not_after=chance.maybe(0.15, lambda: {chance.one(others): chance.seconds(6)}, {}),
    )


def _channel(chance: Chance, name: str) -> Channel:
    purposes = {"new": frozenset({"loyalty", "care"}), "active": frozenset({"upsell", "loyalty"})}
    return Channel(
        channel_id=name,
        cost_minor=chance.one((0.0, 0.5, 7.0)),
        lead_time_seconds=chance.maybe(0.4, lambda: chance.seconds(3), 0.0),
        cut_off_minute=chance.maybe(0.15, lambda: chance.random.randint(0, 1439), None),
        purposes=chance.maybe(0.1, lambda: purposes, None),
    )


_NAMED = {
    "department": "sales", "goal": "loyalty", "class": "marketing", "channel": "email", "offer": "o0", "creative": "c0",
}  # fmt: skip


def _contact_policy(chance: Chance) -> ContactPolicy:
    return ContactPolicy(
        caps=tuple(_cap(chance, number) for number in chance.up_to(4)),
        pressure=chance.maybe(0.4, lambda: _pressure(chance), None),
        suppressions=tuple(
            Suppression(
                after=chance.one(OUTCOMES),
                scope=chance.one(list(SuppressionScope)),
                cooldown_seconds=chance.maybe(0.8, lambda: chance.seconds(20), None),
            )
            for _ in chance.up_to(2)
        ),
        look_ahead_seconds=chance.maybe(0.4, lambda: chance.seconds(4), 0.0),
        fatigue=chance.maybe(0.5, lambda: Fatigue(cost_minor=30.0, half_life_seconds=chance.seconds(9)), None),
    )


def _cap(chance: Chance, number: int) -> Cap:
    scope = chance.one([one for one in CapScope if one is not CapScope.PRESSURE])
    return Cap(
        cap_id=f"cap{number}",
        scope=scope,
        of=chance.maybe(0.5, lambda: _NAMED.get(scope.value), None),
        limit=chance.one((0, 1, 1, 2, 2, 3)),
        window_seconds=chance.seconds(9),
        unit=chance.one(list(CapUnit)),
    )


def _pressure(chance: Chance) -> PressureBudget:
    return PressureBudget(
        limit=float(chance.random.randint(1, 6)),
        window_seconds=7 * DAY,
        class_weights=chance.maybe(0.3, lambda: {MessageClass.MARKETING: 1.5}, {}),
        channel_weights=chance.maybe(0.5, lambda: {"push": 0.5, "letter": 2.0}, {}),
    )


def _conversation(chance: Chance, creatives: Sequence[Creative]) -> Conversation:
    follow_ups = frozenset(one.message_key for one in chance.some(creatives, 0.2))
    return Conversation(seen_seconds=chance.seconds(9), follow_ups=follow_ups)


def _quiet_rule(chance: Chance) -> QuietRule:
    return QuietRule(
        channels=chance.maybe(0.5, lambda: frozenset({chance.one(CHANNELS)}), frozenset()),
        from_minute=chance.random.randint(0, 1439),
        until_minute=chance.random.randint(0, 1439),
    )


def _limit(chance: Chance, number: int) -> Limit:
    scope = chance.one(list(LimitScope))
    return Limit(
        limit_id=f"l{number}",
        scope=scope,
        of=chance.maybe(0.5, lambda: _NAMED.get(scope.value), None),
        amount=chance.one((0, 1, 5, 20)),
        period=chance.one(list(Period)),
        measure=chance.one(list(LimitMeasure)),
    )


def _lever(chance: Chance, number: int) -> Lever:
    scope = chance.one(list(LeverScope))
    return Lever(
        lever_id=f"v{number}",
        scope=scope,
        of=_NAMED[scope.value],
        factor=chance.one((0.0, 0.5, 1.7)),
        owner="owner",
        reason="reason",
        expires_at=NOW + chance.days(-1, 3),
        when=chance.maybe_rule(0.5),
    )


def _experiment(chance: Chance, seed: int) -> Experiment:
    policies = chance.random.sample(list(ArmPolicy), 2)
    arms = tuple(
        Arm(arm_id=one.value, share=0.5, policy=one, model_alias="rival" if one is ArmPolicy.MODEL else None)
        for one in policies
    )
    return Experiment(
        experiment_id="e",
        salt=str(seed),
        arms=arms,
        control_arm_id=arms[0].arm_id,
        exposure=Exposure.DECIDED,
        primary_measure_id="net_revenue",
    )


def made_inputs(policy: Policy, seed: int) -> Inputs:
    """A customer about whom anything may be known or missing, with up to four placements."""
    chance = Chance(seed)
    request = _request(chance)
    messages = policy.candidates(request.touchpoint_id)
    keys = [one.key for one in messages]
    features = chance.maybe(0.85, lambda: _features(chance), None)
    is_scored = features is not None and chance.random.random() < 0.85
    return Inputs(
        request=request,
        customer=chance.maybe(0.97, lambda: _customer(chance), None),
        features=features,
        expected_values=np.array([chance.random.gauss(1000, 150) for _ in (0, *keys)]) if is_scored else None,
        model_version="7" if is_scored else None,
        now=NOW,
        uniform=request_uniform(policy.seed, request),
        degraded=chance.maybe(0.08, lambda: (chance.one(("model_unavailable", "contended")),), ()),
        live=_live(chance, policy.catalogue),
        supply=_supply(chance, policy),
        unfit=chance.maybe(0.1, lambda: dict.fromkeys(chance.some(keys, 0.1), "too long"), {}),
        allocated=chance.maybe(0.15, lambda: chance.one([*keys, "silence", "no/such/key"]), None),
        is_cold_start=chance.random.random() < 0.05,
        residuals=_residuals(Chance(seed + 1), len(keys)),
    )


def _residuals(chance: Chance, count: int) -> dict[str, Residuals]:
    """Of half the customers: for some stages, with evidence about some messages."""
    if chance.random.random() < 0.5:
        return {}
    return {stage: _residuals_of_stage(chance, count) for stage in chance.some(("new", "active", ""), 0.8)}


def _residuals_of_stage(chance: Chance, count: int) -> Residuals:
    told = np.array([False, *(chance.random.random() < 0.6 for _ in range(count))])
    draws = np.array([[chance.random.gauss(0, 100), chance.random.uniform(1, 200)] for _ in told])
    return Residuals(
        prior_deviation=np.array([0.0, *(chance.one((0.0, 40.0, 55.5)) for _ in range(count))]),
        estimate=np.where(told, draws[:, 0], 0.0),
        standard_error=np.where(told, draws[:, 1], np.inf),
        customers=np.where(told, [float(chance.random.randint(0, 40)) for _ in told], 0.0),
    )


def _request(chance: Chance) -> Request:
    placements = [
        Placement(
            placement_id=str(number),
            channels=chance.maybe(0.4, lambda: frozenset(chance.some(CHANNELS)), None),
        )
        for number in range(chance.one((1, 1, 1, 2, 4)))
    ]
    return Request(
        customer_id="C",
        touchpoint_id="weekly",
        request_key=str(chance.random.random()),
        context=chance.maybe(0.4, lambda: {"basket_value": chance.random.randint(0, 6)}, {}),
        excluded_offers=chance.maybe(0.1, lambda: frozenset({"o0"}), frozenset()),
        placements=tuple(placements),
    )


def _features(chance: Chance) -> FeatureVector:
    values = np.array([float(chance.random.randint(0, 500)), float(chance.random.randint(0, 6)), np.nan])
    return FeatureVector(
        names=("customer_tenure_days", "purchase_count_90d", "purchase_recency_days"),
        values=values,
        ages_seconds={"purchase": 60.0},
        schema="s1",
    )


def _customer(chance: Chance) -> Customer:
    attributes = {"age": chance.random.randint(10, 70), "region": chance.one(WORDS["customer.region"])}
    return Customer(
        customer_id=CustomerId("C"),
        attributes=dict(chance.some(list(attributes.items()), 0.9)),
        time_zone=chance.maybe(0.8, lambda: chance.one(("Europe/Berlin", "America/New_York", "Asia/Tokyo")), None),
        locale="en-GB",
        reachable_channels=frozenset(chance.some(CHANNELS, 0.9)),
        consents=tuple(
            Consent(channel_id=channel, purpose=purpose, is_granted=chance.random.random() < 0.9)
            for channel in CHANNELS
            for purpose in ("marketing", "service")
        ),
        household_id=chance.maybe(0.4, lambda: "H", None),
        country=chance.maybe(0.4, lambda: "DE", None),
        protections=chance.maybe(0.03, lambda: frozenset({"minor"}), frozenset()),
        unsubscribed_channels=chance.maybe(0.1, lambda: frozenset({"email"}), frozenset()),
        has_opted_out_of_profiling=chance.random.random() < 0.04,
    )


def _touch(chance: Chance, catalogue: Catalogue) -> Touch:
    return catalogue.touch(MessageParts(chance.one([*catalogue.offers]), chance.one(CHANNELS), "c0"))


def _contact(chance: Chance, catalogue: Catalogue, name: str) -> Contact:
    is_confirmed = chance.random.random() < 0.6
    return Contact(
        contact_id=name,
        touch=_touch(chance, catalogue),
        at=chance.before_now(),
        reserved_until=None if is_confirmed else NOW + timedelta(hours=chance.random.randint(-5, 50)),
        is_confirmed=is_confirmed,
        is_released=chance.random.random() < 0.1,
        is_ghost=chance.random.random() < 0.1,
    )


def _live(chance: Chance, catalogue: Catalogue) -> LiveState:
    contacts = tuple(_contact(chance, catalogue, f"k{number}") for number in chance.up_to(5))
    household = tuple(_contact(chance, catalogue, f"h{number}") for number in chance.up_to(3))
    return LiveState(
        contacts=contacts,
        household_contacts=chance.maybe(0.4, lambda: (*contacts[:2], *household), ()),
        due=tuple(
            Due(due_id=str(number), due_at=NOW + timedelta(hours=hours), touch=_touch(chance, catalogue))
            for number in chance.up_to(2)
            for hours in (chance.random.randint(-5, 90),)
        ),
        responses=tuple(
            Response(outcome=chance.one(OUTCOMES), touch=_touch(chance, catalogue), at=chance.before_now())
            for _ in chance.up_to(4)
        ),
        cases=chance.maybe(0.2, lambda: (_case(chance),), ()),
        consents=chance.maybe(
            0.3, lambda: (Consent(channel_id="push", purpose="marketing", is_granted=False, recorded_at=NOW),), ()
        ),
        protections=chance.maybe(0.05, lambda: {"vulnerable": chance.random.random() < 0.7}, {}),
        has_opted_out_of_profiling=chance.one((None, None, None, True, False)),
        stage=chance.maybe(0.2, lambda: StageMove(stage_id="active", at=chance.before_now()), None),
        events=tuple(RecentEvent(event_type="browse", at=chance.before_now()) for _ in chance.up_to(3)),
        kept=chance.maybe(0.1, lambda: {"holdout": chance.one(("in", "out"))}, {}),
        is_lost=chance.random.random() < 0.03,
    )


def _case(chance: Chance) -> Case:
    return Case(
        case_id="case",
        kind=chance.one([*DEFAULT_CARE.kinds]),
        severity="high",
        opened_at=chance.before_now(),
        resolved_at=chance.maybe(0.5, chance.before_now, None),
        channel_id=chance.one((None, "email", "push")),
    )


def _supply(chance: Chance, policy: Policy) -> Supply:
    catalogue, used = policy.catalogue, dict[str, float]()
    for message in chance.some(policy.candidates("weekly"), 0.2):
        counters: Mapping[str, float] = uses(catalogue, catalogue.touch(message.parts), 1.0, NOW)
        used |= {name: float(chance.random.randint(0, 6)) for name in counters}
    return Supply(
        used=used,
        prices_minor=chance.maybe(0.5, lambda: {"l0": 20.0, "l1:o0": 3.0, "m": -5.0}, {}),
        evidence={"o0": chance.random.randint(0, 50), "o1": chance.random.randint(0, 200)},
    )
