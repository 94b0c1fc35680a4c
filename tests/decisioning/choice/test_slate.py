"""Slates: positions are filled in order, and each counts what the earlier ones took."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import Cap, ContactPolicy, Fatigue
from decisioning.catalogue.experiment import ArmPolicy, Experiment
from decisioning.catalogue.exploration import Exploration, ExplorationKind, Ramp
from decisioning.catalogue.limits import DepartmentShare, Limit, LimitScope, Supply
from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.message_classes import CapScope
from decisioning.choice.slate import position_uniform
from decisioning.decision import Decision, Inputs, Placement, Reason
from decisioning.errors import InvalidInputError
from decisioning.gates.contact_ledger import ContactLedger
from decisioning.gates.contact_rules import ContactRules
from decisioning.gates.reservation import reservation_of, touch_of
from decisioning.policy import Policy, decide
from decisioning.record.document import decision_to_record, replay

type MakeInputs = Callable[..., Inputs]
FOUR = tuple(Placement(placement_id=f"p{number}") for number in range(1, 5))
WEEK = 7 * 86_400.0


def keys_of(decision: Decision) -> list[str]:
    return [decision.message_key, *(position.message_key for position in decision.further)]


def sent_by(decision: Decision) -> list[str]:
    return [key for key in keys_of(decision) if key != "silence"]


def test_offers_fill_a_slate_by_priority_and_each_position_has_its_probability(
    plain_policy: Policy, inputs_of: MakeInputs
) -> None:
    decision = decide(plain_policy, inputs_of(plain_policy, placements=FOUR), "D-1")
    assert [key.split("/")[0] for key in keys_of(decision)] == [
        "ten-percent",
        "free-coffee",
        "double-stamps",
        "opening-hours",
    ]
    assert [position.placement_id for position in decision.further] == ["p2", "p3", "p4"]
    assert [(position.action_probability, position.is_best) for position in decision.further] == [(1.0, True)] * 3


def test_one_placement_has_no_further_positions(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    assert decide(plain_policy, inputs_of(plain_policy), "D-1").further == ()


def test_a_position_without_a_permitted_message_is_silence(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    placements = (*FOUR, Placement(placement_id="p5"))
    decision = decide(plain_policy, inputs_of(plain_policy, placements=placements), "D-1")
    assert decision.further[-1].message_key == "silence"
    assert (decision.further[-1].action_probability, decision.further[-1].is_best) == (1.0, True)


def test_a_placement_takes_only_its_own_channels_among_those_requested(
    plain_policy: Policy, inputs_of: MakeInputs
) -> None:
    placements = (
        Placement(placement_id="inbox", channels=frozenset({"email"})),
        Placement(placement_id="screen", channels=frozenset({"push"})),
        Placement(placement_id="letter", channels=frozenset({"direct_mail"})),
    )
    decision = decide(plain_policy, inputs_of(plain_policy, placements=placements), "D-1")
    assert [key.split("/")[1:2] for key in keys_of(decision)] == [["email"], ["push"], []]
    only = decide(plain_policy, inputs_of(plain_policy, placements=placements, channels=frozenset({"push"})), "D-1")
    assert [key.split("/")[1:2] for key in keys_of(only)] == [[], ["push"], []]


def test_silence_in_one_position_leaves_the_next_free_to_send(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    policy = Policy(replace(plain_catalogue, exploration=Exploration(epsilon=1.0)))
    decision = decide(policy, inputs_of(policy, placements=FOUR, uniform=0.0), "D-1")
    assert decision.message_key == "silence"
    assert len(sent_by(decision)) >= 1


@pytest.mark.parametrize("placements", [(), (FOUR[0], FOUR[0])])
def test_placements_need_different_names(
    plain_policy: Policy, inputs_of: MakeInputs, placements: tuple[Placement, ...]
) -> None:
    with pytest.raises(InvalidInputError, match="placements must be one or more with different names"):
        decide(plain_policy, inputs_of(plain_policy, placements=placements), "D-1")


CAPS = st.lists(
    st.tuples(
        st.sampled_from([CapScope.EVERYTHING, CapScope.CHANNEL, CapScope.GOAL, CapScope.CLASS]), st.integers(0, 3)
    ),
    max_size=3,
)


@settings(max_examples=80, deadline=None)
@given(
    limits=CAPS,
    capacity=st.integers(0, 4),
    scores=st.lists(st.floats(0, 1e4), min_size=9, max_size=9),
    uniform=st.floats(0, 1, exclude_max=True),
    kind=st.sampled_from(ExplorationKind),
    enemies=st.sets(st.sampled_from(["double-stamps", "free-coffee", "opening-hours"]), max_size=2),
    arm=st.sampled_from([None, ArmPolicy.RANDOM, ArmPolicy.RULES]),
)
def test_no_slate_repeats_an_offer_or_breaks_a_cap_and_every_slate_replays(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, experiment_of: Callable[..., Experiment], **drawn: Any
) -> None:
    caps = tuple(
        Cap(cap_id=f"c{index}", scope=scope, limit=limit, window_seconds=WEEK)
        for index, (scope, limit) in enumerate(drawn["limits"])
    )
    offers = dict(plain_catalogue.offers)
    offers["ten-percent"] = replace(offers["ten-percent"], never_with=frozenset(drawn["enemies"]))
    policy = Policy(
        replace(
            plain_catalogue,
            offers=offers,
            contact_policy=ContactPolicy(caps=caps, fatigue=Fatigue(cost_minor=20.0, half_life_seconds=WEEK)),
            limits=(Limit(limit_id="pushes", scope=LimitScope.CHANNEL, of="push", amount=drawn["capacity"]),),
            exploration=Exploration(kind=drawn["kind"], epsilon=0.5, min_probability=0.02),
            experiments=(experiment_of(drawn["arm"]),) if drawn["arm"] else (),
        )
    )
    inputs = inputs_of(policy, placements=FOUR, expected_values=np.array(drawn["scores"]), uniform=drawn["uniform"])
    decision = decide(policy, inputs, "D-1")
    offers_sent = [key.split("/")[0] for key in sent_by(decision)]
    assert len(set(offers_sent)) == len(offers_sent)
    assert "ten-percent" not in offers_sent or not drawn["enemies"] & set(offers_sent)
    assert sum(key.split("/")[1] == "push" for key in sent_by(decision)) <= drawn["capacity"]
    _assert_caps_hold(policy.catalogue, decision)
    record = decision_to_record(decision)
    assert decision_to_record(replay(policy, record)) == record


def _assert_caps_hold(catalogue: Catalogue, decision: Decision) -> None:
    """Each message of the slate, taken in order, still fits the book of contacts after those before it."""
    ledger = ContactLedger(
        ContactRules(catalogue.contact_policy, catalogue.classes), (), (), (), (), decision.decided_at
    )
    for key in sent_by(decision):
        touch = touch_of(catalogue, key)
        assert ledger.refusal(touch) is None
        ledger = ledger.with_contact(touch)


def test_a_slate_reserves_no_more_than_there_is(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    limit = Limit(limit_id="pushes", scope=LimitScope.CHANNEL, of="push", amount=3)
    policy = Policy(replace(plain_catalogue, limits=(limit,)))
    supply = Supply(used={"limit:pushes:total": 1.0})
    decision = decide(policy, inputs_of(policy, placements=FOUR, supply=supply), "D-1")
    reservation = reservation_of(policy.catalogue, decision)
    assert reservation.uses["limit:pushes:total"] == 2.0
    assert [contact.contact_id for contact in reservation.contacts] == ["D-1", "D-1-2", "D-1-3", "D-1-4"]


def test_department_shares_count_earlier_positions(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    share = DepartmentShare(share_id="m", department="marketing", max_share=0.5, slack=0)
    policy = Policy(replace(plain_catalogue, shares=(share,)))
    used = {"share:m:2026-11-01": 4.0, "share:m:2026-11-01:all": 9.0}
    decision = decide(policy, inputs_of(policy, placements=FOUR, supply=Supply(used=used)), "D-1")
    assert [key.split("/")[0] for key in keys_of(decision)] == [
        "ten-percent",
        "opening-hours",
        "free-coffee",
        "silence",
    ]


def test_each_contact_of_a_slate_raises_the_fatigue_cost_of_the_next(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    tired = ContactPolicy(fatigue=Fatigue(cost_minor=180.0, half_life_seconds=WEEK))
    policy = Policy(replace(plain_catalogue, contact_policy=tired))
    decision = decide(policy, inputs_of(policy, placements=FOUR), "D-1")
    assert [key.split("/")[0] for key in keys_of(decision)] == [
        "ten-percent",
        "free-coffee",
        "opening-hours",
        "silence",
    ]


def test_a_class_with_precedence_comes_first_in_every_position(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    rules = replace(plain_catalogue.classes[MessageClass.SERVICE], has_precedence=True)
    classes = {**plain_catalogue.classes, MessageClass.SERVICE: rules}
    policy = Policy(replace(plain_catalogue, classes=classes, exploration=Exploration(epsilon=0.9)))
    placements = (Placement(placement_id="a", channels=frozenset({"fax"})), Placement(placement_id="b"))
    decision = decide(policy, inputs_of(policy, placements=placements), "D-1")
    assert (decision.message_key, decision.reason) == ("silence", Reason.NOTHING_PERMITTED)
    assert decision.further[0].message_key.startswith("opening-hours")
    assert (decision.further[0].action_probability, decision.further[0].is_best) == (1.0, True)


def test_each_position_has_a_draw_of_its_own() -> None:
    drawn = {position_uniform(uniform, position) for uniform in (0.1, 0.2) for position in (2, 3)}
    assert len(drawn) == 4
    spread = np.array([position_uniform(step / 10_000, 2) for step in range(10_000)])
    counts, _ = np.histogram(spread, bins=20, range=(0, 1))
    assert ((counts - 500) ** 2 / 500).sum() < 43.8  # chi-square, 19 degrees of freedom, 0.1 %


@pytest.mark.no_cover
@pytest.mark.parametrize("arm", [None, *(arm for arm in ArmPolicy if arm is not ArmPolicy.ENGINE)])
@pytest.mark.parametrize("kind", list(ExplorationKind))
def test_in_every_position_choices_are_as_frequent_as_their_logged_probabilities(
    plain_catalogue: Catalogue,
    inputs_of: MakeInputs,
    experiment_of: Callable[..., Experiment],
    kind: ExplorationKind,
    arm: ArmPolicy | None,
) -> None:
    """With gates, a cap, a capacity and its price, ties, a ramp, the arm, the floor and the slate all at work."""
    exploration = Exploration(
        kind=kind,
        epsilon=0.4,
        min_probability=0.02,
        gap_scale_minor=120.0,
        prior_deviation_minor=300.0,
        ramp=Ramp(needed=100, start_share=0.1),
    )
    cap = Cap(cap_id="mail", scope=CapScope.CHANNEL, of="email", limit=1, window_seconds=WEEK)
    policy = Policy(
        replace(
            plain_catalogue,
            exploration=exploration,
            contact_policy=ContactPolicy(caps=(cap,)),
            limits=(Limit(limit_id="pushes", scope=LimitScope.CHANNEL, of="push", amount=10),),
            experiments=(experiment_of(arm),) if arm else (),
        )
    )
    used, prices = {"limit:pushes:total": 9.0}, {"pushes": 30.0}
    scores = np.array([1000.0, 1100.0, 1100.0, 1100.0, 1200.0, 900.0, 900.0, 1350.0, 1400.0])
    supply = Supply(
        used=used,
        prices_minor=prices,
        evidence={"ten-percent": 20, "free-coffee": 60, "opening-hours": 100, "double-stamps": 300},
    )
    asks = 1_000
    decisions = [
        decide(
            policy,
            inputs_of(policy, request_key=f"k-{ask}", placements=FOUR[:2], supply=supply, expected_values=scores),
            "D-1",
        )
        for ask in range(asks)
    ]
    _assert_frequencies(Counter(one.message_key for one in decisions), _logged(decisions, 0), asks)
    first = Counter(one.message_key for one in decisions).most_common(1)[0][0]
    followers = [one for one in decisions if one.message_key == first]
    seconds = Counter(one.further[0].message_key for one in followers)
    logged = {one.further[0].message_key: one.further[0].action_probability for one in followers}
    _assert_frequencies(seconds, logged, len(followers))


def _logged(decisions: list[Decision], place: int) -> dict[str, float]:
    return {one.message_key: one.probability for one in decisions[place].evaluated}


def _assert_frequencies(counts: Counter[str], logged: dict[str, float], total: int) -> None:
    for key, probability in logged.items():
        error = (probability * (1 - probability) / total) ** 0.5
        assert abs(counts[key] / total - probability) <= 4.5 * error + 1e-9
    assert sum(logged.values()) <= 1 + 1e-9
    assert set(counts) <= set(logged)
