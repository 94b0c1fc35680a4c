"""Customers with known moments: prices of room are believed where waiting pays, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import Cap, CapUnit, ContactPolicy
from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.message_classes import CapScope
from training.foresight.backtest import taken
from training.foresight.moments import FEWEST_CUSTOMERS, Moments, gains_of, moments_of, step_seconds_of, stepped
from training.foresight.rooms import price_room, priced_caps
from training.foresight.slot_prices import MOST_STEPS, PricedCap

DAY = 86_400.0
CAP = PricedCap(cap_id="month", of="marketing", limit=2, window_seconds=27 * DAY)
HORIZON = 90 * DAY


def simulated(seed: int, *, share: float, good: float, spread: float = 0.0, customers: int = 800) -> Moments:
    """Half a year of weekly moments: most bring 8 on average, a share of them more; customers differ by `spread`."""
    rng, weeks = np.random.default_rng(seed), 26
    people = np.repeat(np.arange(customers), weeks)
    level = np.exp(spread * rng.normal(size=customers))[people]
    gains = np.where(rng.random(people.size) < share, good, 10.0) * level * np.exp(0.2 * rng.normal(size=people.size))
    seconds = np.tile(np.arange(weeks) * 7 * DAY, customers)
    return moments_of(people, seconds, gains - 2.0, rng.random(people.size) < 0.2)


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_where_good_moments_are_rare_waiting_pays(spread: float) -> None:
    slot, report = price_room(CAP, simulated(1, share=0.15, good=100.0, spread=spread), HORIZON)
    assert slot is not None
    assert report.strength > 0
    fresh = stepped(simulated(2, share=0.15, good=100.0, spread=spread), slot.step_seconds)
    gain = taken(fresh, slot, 1.0) - taken(fresh, slot, 0.0)
    per_customer = np.bincount(fresh.customers, weights=gain)
    assert per_customer.mean() > 5 * per_customer.std() / np.sqrt(len(per_customer))


def test_where_all_moments_are_alike_nothing_is_kept_back() -> None:
    slot, report = price_room(CAP, simulated(3, share=0.0, good=10.0), HORIZON)
    assert (slot, report.strength) == (None, 0.0)
    assert report.gain_minor is not None


def test_where_no_cap_binds_nothing_is_kept_back() -> None:
    loose = PricedCap(cap_id="month", of="", limit=9, window_seconds=27 * DAY)
    slot, _ = price_room(loose, simulated(4, share=0.15, good=100.0), HORIZON)
    assert slot is None


def test_customers_who_are_always_worth_more_are_no_reason_to_wait() -> None:
    """What others bring is no better moment of one's own."""
    rng, weeks, customers = np.random.default_rng(5), 26, 800
    people = np.repeat(np.arange(customers), weeks)
    level = np.where(rng.random(customers) < 0.15, 100.0, 10.0)[people]
    seconds = np.tile(np.arange(weeks) * 7 * DAY, customers)
    slot, _ = price_room(CAP, moments_of(people, seconds, level, rng.random(people.size) < 0.2), HORIZON)
    assert slot is None


def test_few_customers_say_nothing() -> None:
    slot, report = price_room(CAP, simulated(6, share=0.2, good=100.0, customers=FEWEST_CUSTOMERS // 2), HORIZON)
    assert (slot, report.gain_minor) == (None, None)
    assert "too few" in report.words


def test_contacts_of_a_replay_keep_the_cap() -> None:
    moments = simulated(7, share=0.15, good=100.0, customers=300)
    slot, _ = price_room(CAP, moments, HORIZON)
    assert slot is not None
    found = stepped(moments, slot.step_seconds)
    for strength in (0.0, 1.0):
        sent = (taken(found, slot, strength) != 0).reshape(300, 26)
        assert max(sent[:, week : week + 4].sum(axis=1).max() for week in range(23)) == CAP.limit


def test_steps_are_the_usual_gap_and_never_too_many() -> None:
    weekly = simulated(8, share=0.1, good=50.0, customers=20)
    assert step_seconds_of(weekly, 27 * DAY) == 7 * DAY
    assert step_seconds_of(weekly, 700 * DAY) == 700 * DAY / (MOST_STEPS + 1)
    once = weekly.take(weekly.seconds == 0)
    assert step_seconds_of(once, 27 * DAY) == 27 * DAY


def test_a_gain_is_what_the_best_counted_message_adds_to_the_best_other_choice() -> None:
    priorities = np.array([[0.0, 5.0, 9.0, 7.0], [0.0, np.nan, 9.0, 7.0], [0.0, 5.0, -9.0, np.nan]])
    assert gains_of(priorities, np.array([False, True, True, False])).tolist() == [2.0, 2.0, 5.0]
    assert gains_of(priorities, np.array([False, True, False, False])).tolist() == [-4.0, 0.0, 5.0]


def test_a_cap_on_each_offer_is_priced_offer_by_offer_and_a_household_s_is_not(shop_catalogue: Catalogue) -> None:
    each = Cap(cap_id="each", scope=CapScope.OFFER, limit=1, window_seconds=27 * DAY)
    home = Cap(cap_id="home", scope=CapScope.EVERYTHING, limit=1, window_seconds=27 * DAY, unit=CapUnit.HOUSEHOLD)
    found = priced_caps(replace(shop_catalogue, contact_policy=ContactPolicy(caps=(each, home))))
    marketing = {name for name, one in shop_catalogue.offers.items() if one.message_class is MessageClass.MARKETING}
    assert {(one.cap_id, one.of) for one in found} == {("each", name) for name in marketing}


def test_the_more_caps_are_tried_the_surer_each_must_be() -> None:
    moments = simulated(10, share=0.15, good=40.0, customers=240)
    alone, report = price_room(CAP, moments, HORIZON)
    assert report.gain_minor is not None
    assert report.standard_error_minor is not None
    assert alone is not None
    tried = int(1 / norm.sf(report.gain_minor / report.standard_error_minor))
    assert price_room(CAP, moments, HORIZON, tried=tried)[0] is None
