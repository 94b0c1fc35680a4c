"""Room under a customer's caps has a price where it is worth more at a better moment, and only marketing pays it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import Cap, Contact, ContactPolicy
from decisioning.catalogue.experiment import Holdout
from decisioning.catalogue.levers import ArbitrationSwitches
from decisioning.catalogue.message_classes import CapScope
from decisioning.choice.slot_pricing import PRICED_SCOPES
from decisioning.decision import Decision, Inputs, Reason
from decisioning.explanation.auditor_sentences import tell_auditor
from decisioning.explanation.why_not import why_not_then
from decisioning.foresight.slots import Foresight, SlotPrices, recent_pattern
from decisioning.gates.contact_rules import TOUCH_SIDES, CapRule
from decisioning.live import LiveState
from decisioning.policy import Policy, decide
from decisioning.record.compact import compact_record, decision_from_compact
from decisioning.record.document import decision_from_record, decision_to_record, replay
from tests.decisioning.generated import made_catalogue, made_inputs
from tests.decisioning.record.test_compact import row_of, vocabulary_of

type MakeInputs = Callable[..., Inputs]
KEY, OTHER, SERVICE = "ten-percent/push/plain", "free-coffee/push/plain", "opening-hours/push/plain"
WEEK = 7 * 86_400.0
MONTH = Cap(cap_id="month", scope=CapScope.CLASS, of="marketing", limit=2, window_seconds=4 * WEEK)
TABLE = {0: (1.0, 2.0, 3.0), 0b1: (40.0, 50.0, 60.0), 0b10: (20.0, 25.0, 30.0)}


def slot(cap: Cap = MONTH, of: str = "marketing", table: dict[int, tuple[float, ...]] = TABLE) -> SlotPrices:
    return SlotPrices(
        cap_id=cap.cap_id,
        of=of,
        limit=cap.limit,
        window_seconds=cap.window_seconds,
        step_seconds=WEEK,
        edges_minor=(10.0, 100.0),
        prices_minor=table,
    )


FORESIGHT = Foresight(slots=(slot(),))


def capped(catalogue: Catalogue, *caps: Cap, **fields: Any) -> Policy:
    return Policy(replace(catalogue, contact_policy=ContactPolicy(caps=caps or (MONTH,)), **fields))


def contacted(policy: Policy, *moments: datetime, key: str = KEY) -> LiveState:
    message = next(one for one in policy.candidates("app-home") if one.key == key)
    touch = policy.catalogue.touch(message.creative.parts)
    contacts = [Contact(contact_id=f"d{number}", touch=touch, at=at) for number, at in enumerate(moments)]
    return LiveState(contacts=tuple(replace(one, is_confirmed=True) for one in contacts))


def decided(policy: Policy, inputs_of: MakeInputs, gains: dict[str, float], **fields: Any) -> Decision:
    keys = [message.key for message in policy.candidates("app-home")]
    scores = np.array([1_000.0, *(1_000.0 + gains.get(key, -500.0) for key in keys)])
    rest: dict[str, Any] = {"touchpoint_id": "app-home", "expected_values": scores, "foresight": FORESIGHT}
    rest["excluded_offers"] = frozenset({"opening-hours"})
    return decide(policy, inputs_of(policy, **(rest | fields)), "D-1")


def entry(decision: Decision, key: str) -> Any:
    return next(one for one in decision.evaluated if one.message_key == key)


def test_a_message_pays_what_its_room_is_worth_later(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    policy = capped(plain_catalogue)
    fresh = entry(decided(policy, inputs_of, {KEY: 50.0}), KEY)
    tired = decided(policy, inputs_of, {KEY: 50.0}, live=contacted(policy, now - timedelta(days=7)))
    assert (fresh.opportunity_minor, fresh.priority_minor) == (2.0, 50.0 - 0.5 - 2.0)
    assert (entry(tired, KEY).opportunity_minor, tired.message_key) == (50.0, "silence")
    assert tired.evaluated[0].opportunity_minor == 0.0


def test_what_is_kept_for_a_better_moment_is_said_to_be(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    policy = capped(plain_catalogue)
    live = contacted(policy, now - timedelta(days=7))
    kept = decided(policy, inputs_of, {KEY: 50.0}, live=live)
    assert kept.reason is Reason.KEPT_FOR_LATER
    assert decided(policy, inputs_of, {KEY: -5.0}, live=live).reason is Reason.SILENCE_BEST
    assert any("kept for a better moment 50.0" in sentence for sentence in tell_auditor(kept))
    assert "less than silence" in why_not_then(kept, "ten-percent").sentence


def test_a_better_moment_is_taken(plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime) -> None:
    policy = capped(plain_catalogue)
    found = decided(policy, inputs_of, {KEY: 300.0}, live=contacted(policy, now - timedelta(days=7)))
    assert (found.message_key, entry(found, KEY).opportunity_minor) == (KEY, 60.0)


def test_the_best_message_says_how_good_the_moment_is_and_all_pay_the_same(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    found = decided(capped(plain_catalogue), inputs_of, {KEY: 300.0, OTHER: 20.0})
    assert [entry(found, key).opportunity_minor for key in (KEY, OTHER)] == [3.0, 3.0]


def test_service_pays_nothing(plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime) -> None:
    everything = replace(MONTH, scope=CapScope.EVERYTHING, of=None)
    policy = capped(plain_catalogue, everything)
    foresight = Foresight(slots=(slot(everything, of=""),))
    found = decided(policy, inputs_of, {KEY: 50.0}, foresight=foresight, excluded_offers=frozenset())
    assert entry(found, SERVICE).opportunity_minor == 0.0
    assert entry(found, KEY).opportunity_minor == 2.0


def test_a_cap_on_some_messages_is_priced_by_what_they_bring_more_than_others(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    offers = {**plain_catalogue.offers, "free-coffee": replace(plain_catalogue.offers["free-coffee"], goal_id="care")}
    goal = offers["ten-percent"].goal_id
    cap = Cap(cap_id="own", scope=CapScope.GOAL, of=goal, limit=2, window_seconds=4 * WEEK)
    policy, foresight = capped(plain_catalogue, cap, offers=offers), Foresight(slots=(slot(cap, of=goal),))
    alone = decided(policy, inputs_of, {KEY: 300.0}, foresight=foresight)
    beside = decided(policy, inputs_of, {KEY: 300.0, OTHER: 295.0}, foresight=foresight)
    assert entry(alone, KEY).opportunity_minor == 3.0
    assert [entry(beside, key).opportunity_minor for key in (KEY, OTHER)] == [1.0, 0.0]


@pytest.mark.parametrize("change", [{"limit": 3}, {"window_seconds": WEEK}, {"cap_id": "another"}, {"of": "service"}])
def test_prices_of_a_cap_that_changed_since_are_void(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, change: dict[str, Any]
) -> None:
    found = decided(capped(plain_catalogue, replace(MONTH, **change)), inputs_of, {KEY: 50.0})
    assert entry(found, KEY).opportunity_minor == 0.0
    assert found.inputs.foresight is None


def test_without_the_switch_and_without_a_model_nothing_is_priced(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    off = capped(plain_catalogue, switches=ArbitrationSwitches(slot_prices=False))
    plain, blind = decided(off, inputs_of, {KEY: 50.0}), decided(off, inputs_of, {KEY: 50.0}, foresight=None)
    assert decision_to_record(plain) == decision_to_record(blind)
    unscored = decided(capped(plain_catalogue), inputs_of, {}, expected_values=None, is_cold_start=True)
    assert unscored.inputs.foresight is None


def test_a_record_holds_what_was_looked_up_and_replays_bit_for_bit(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    policy = capped(plain_catalogue)
    made = decided(policy, inputs_of, {KEY: 50.0}, live=contacted(policy, now - timedelta(days=13)))
    record = orjson.loads(orjson.dumps(decision_to_record(made)))
    assert record["inputs"]["foresight"]["slots"][0]["prices_minor"] == {"2": [20.0, 25.0, 30.0]}
    assert decision_to_record(replay(policy, record)) == record


def test_a_ghost_pays_by_the_contacts_of_ghosts(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    policy = capped(plain_catalogue, holdout=Holdout(share=0.99, salt="h"))
    live = contacted(policy, now - timedelta(days=7))
    ghosts = LiveState(contacts=tuple(replace(one, is_ghost=True) for one in live.contacts))
    kept = decided(policy, inputs_of, {KEY: 50.0}, live=ghosts, excluded_offers=frozenset())
    assert kept.is_held_out
    assert kept.ghost is not None
    record = orjson.loads(orjson.dumps(decision_to_record(kept)))
    assert decision_to_record(replay(policy, record)) == record


def made_foresight(policy: Policy, seed: int) -> Foresight:
    """Prices for every cap that may be priced, for any pattern of contacts."""
    random = Random(seed)
    touches = [policy.catalogue.touch(one.parts) for one in policy.catalogue.creatives]
    slots = [
        replace(
            slot(cap, of=value, table={p: tuple(random.uniform(0, 80) for _ in range(3)) for p in range(8)}),
            step_seconds=cap.window_seconds / random.uniform(0.5, 4),
        )
        for cap in policy.catalogue.contact_policy.caps
        if cap.scope in PRICED_SCOPES
        for value in sorted({str(TOUCH_SIDES[CapRule(cap).side](touch)) for touch in touches})
    ]
    return Foresight(slots=tuple(slots))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_whatever_is_declared_probabilities_stay_exact_and_records_come_back(seed: int) -> None:
    policy = Policy(made_catalogue(seed))
    for customer in range(3):
        inputs = replace(made_inputs(policy, seed + customer), foresight=made_foresight(policy, seed))
        made = decide(policy, inputs, f"D-{customer}")
        record = orjson.loads(orjson.dumps(decision_to_record(made)))
        assert sum(one.probability for one in made.evaluated) == pytest.approx(1.0, abs=1e-12)
        assert all(one.opportunity_minor >= 0 for one in made.evaluated)
        assert decision_to_record(replay(policy, record)) == record
        assert decision_to_record(decision_from_record(record)) == record
        vocabulary = vocabulary_of(policy, made)
        kept = orjson.loads(orjson.dumps(compact_record(made, vocabulary)))
        assert decision_to_record(decision_from_compact(row_of(made), kept, vocabulary)) == record


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_an_foresight_without_prices_changes_nothing(seed: int) -> None:
    policy = Policy(made_catalogue(seed))
    inputs = made_inputs(policy, seed)
    free = decide(policy, replace(inputs, foresight=Foresight()), "D")
    assert decision_to_record(free) == decision_to_record(decide(policy, inputs, "D"))


def test_contacts_within_one_step_take_the_next_free_ones() -> None:
    assert recent_pattern([], 3, 1.0) == 0
    assert recent_pattern([0.2, 0.3, 0.4, 0.5], 3, 1.0) == 0b111
    assert recent_pattern([5.0], 0, 1.0) == 0
