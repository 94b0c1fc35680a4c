"""Gates and prices for many messages at once are equal, bit for bit, to asking about each one alone.

A hundred generated catalogues with four customers each; set `NEXTBEST_TEST_CASES=5000` for more.
"""

import os
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.levers import compile_lever
from decisioning.decision import Decision, Excluded
from decisioning.gates.candidate import Candidate
from decisioning.gates.checks import holds
from decisioning.gates.message_sets.grouping import members_of
from decisioning.gates.screening import ALL_LAYERS, Board, Screening, allowed_at, refusals
from decisioning.gates.situation import FREED_LAYERS, SLATE_LAYERS, Situation, freed, in_slate
from decisioning.policy import Policy, decide
from tests.decisioning.gates.judging import situation
from tests.decisioning.generated import made_catalogue, made_inputs

CASES = int(os.environ.get("NEXTBEST_TEST_CASES", "100"))


def alone(candidate: Candidate, now: Situation) -> Excluded | None:
    """The gates' answer about one message, asked alone."""
    refused = refusals(candidate, now, ALL_LAYERS)
    if not refused:
        return None
    return Excluded(
        message_key=candidate.key,
        reasons=tuple(exclusion for _, (exclusion, _, _) in refused),
        details=tuple(detail for _, (_, detail, _) in refused),
        allowed_at=allowed_at(candidate, refused, now),
    )


def check_screening(board: Board, screening: Screening, now: Situation) -> None:
    told = [alone(candidate, now) for candidate in board.lineup.candidates]
    assert screening.excluded == tuple(one for one in told if one is not None)
    assert members_of(screening.permitted) == [place for place, one in enumerate(told) if one is None]


def check_further_positions(board: Board, screening: Screening, now: Situation) -> None:
    for placement, chosen in zip(now.request.placements[1:], board.lineup.candidates, strict=False):
        now = in_slate(now, chosen, placement)
        screening = board.screen_again(screening, now, SLATE_LAYERS)
        check_screening(board, screening, now)


def check_prices(policy: Policy, decision: Decision, now: Situation) -> None:
    """Check the arbitration formula message by message."""
    catalogue, candidates = policy.catalogue, policy.compiled_candidates("weekly")
    by_key = {one.key: one for one in candidates}
    silence, *permitted = sorted(decision.evaluated, key=lambda one: one.message_key != "silence")
    levers = [compile_lever(one) for one in catalogue.levers]
    counting = [one for one in levers if one.counts(lambda rule: holds(rule, now), now.now)]
    assert [one.message_key for one in permitted] == sorted(
        by_key.keys() - {one.message_key for one in decision.excluded},
        key=lambda key: (-next(one.priority_minor for one in permitted if one.message_key == key), key),
    )
    for own in permitted:
        candidate, value = by_key[own.message_key], own.expected_value_minor
        touch, cost = candidate.touch, candidate.cost_minor
        worth = candidate.declared_value_minor
        if value is not None and silence.expected_value_minor is not None:
            assert own.uplift_minor == value - silence.expected_value_minor
            worth = own.uplift_minor * candidate.unit_value_minor
        if catalogue.switches.fatigue and candidate.is_marketing:
            assert own.fatigue_minor == now.ledger.fatigue_minor(touch)
        if catalogue.switches.shadow_prices:
            assert own.shadow_minor == candidate.shared.shadow_minor(now.supply, now.now)
        if own.context_weight != 1 or own.business_weight != 1:
            weighing = [one for one in counting if one.is_for(touch)]
            assert own.context_weight == prod(one.factor for one in weighing if one.has_rule)
            assert own.business_weight == prod(one.factor for one in weighing if not one.has_rule)
        assert own.cost_minor == (cost if catalogue.switches.contact_cost else 0.0)
        net = worth - own.cost_minor - own.fatigue_minor - own.shadow_minor
        assert own.priority_minor == (net * own.context_weight * own.business_weight if net > 0 else net)


@pytest.mark.no_cover
@settings(max_examples=CASES, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_checking_messages_together_equals_checking_each_alone(seed: int) -> None:
    policy = Policy(made_catalogue(seed))
    board = policy.board("weekly")
    for customer in range(4):
        inputs = made_inputs(policy, seed + customer)
        now = situation(policy, inputs)
        screening = board.screen(now)
        check_screening(board, screening, now)
        check_further_positions(board, screening, now)
        check_screening(board, board.screen_again(screening, freed(now), FREED_LAYERS), freed(now))
        decision = decide(policy, inputs, "D")
        assert decision.excluded == screening.excluded
        check_prices(policy, decision, now)
