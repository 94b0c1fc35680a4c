"""Customers whom contacts tire, under a cap: with prices of room, fresh ones earn more than by whatever pays."""

import numpy as np

from decisioning.arrays import FloatArray
from decisioning.foresight.slots import SlotPrices, steps_within
from training.foresight.moments import Moments, moments_of
from training.foresight.rooms import price_room
from training.foresight.slot_prices import PricedCap, room

DAY = 86_400.0
WEEK, WEEKS, COST = 7 * DAY, 26, 2.0
CAP = PricedCap(cap_id="month", of="marketing", limit=2, window_seconds=27 * DAY)
LOOSE = PricedCap(cap_id="month", of="marketing", limit=9, window_seconds=27 * DAY)
HORIZON, TIRED = 90 * DAY, 0.6
STEPS = steps_within(CAP.window_seconds, WEEK)
"""A contact multiplies what the next ones bring by `TIRED` while it is within these steps."""


def worths(seed: int, customers: int, good: float) -> FloatArray:
    """What a contact would bring to a rested customer; one week in seven is good: shape (customers, weeks)."""
    rng = np.random.default_rng(seed)
    usual = np.where(rng.random((customers, WEEKS)) < 1 / 7, good, 10.0)
    return usual * np.exp(0.2 * rng.normal(size=usual.shape))


def lived(worth: FloatArray, sends, tired: float) -> tuple[FloatArray, FloatArray, np.ndarray]:
    """Customers week by week: what a contact would bring, what contacts brought, and who was contacted."""
    gains, earned, contacts = np.zeros_like(worth), np.zeros_like(worth), np.zeros(worth.shape, dtype=np.bool_)
    recent = np.zeros(len(worth), dtype=np.int64)
    for week in range(WEEKS):
        gains[:, week] = worth[:, week] * tired ** np.bitwise_count(recent) - COST
        contacts[:, week] = sends(week, recent, gains[:, week])
        earned[:, week] = np.where(contacts[:, week], gains[:, week], 0.0)
        recent = (recent << 1 | contacts[:, week]) & ((1 << STEPS) - 1)
    return gains, earned, contacts


def logged(seed: int, *, tired: float, good: float = 100.0, customers: int = 1_200) -> Moments:
    """The log of a policy that draws contacts at random where there is room."""
    rng = np.random.default_rng(seed + 1)
    gains, _, contacts = lived(
        worths(seed, customers, good),
        lambda _, recent, __: room(recent, CAP.limit) & (rng.random(customers) < 0.3),
        tired,
    )
    people, weeks = np.repeat(np.arange(customers), WEEKS), np.tile(np.arange(WEEKS) * WEEK, customers)
    return moments_of(people, weeks, gains.ravel(), contacts.ravel())


def earned_by(slot: SlotPrices | None, seed: int, *, tired: float, customers: int = 2_000) -> FloatArray:
    """What each fresh customer earns in half a year: shape (customers,)."""

    def sends(_: int, recent: np.ndarray, gains: FloatArray) -> np.ndarray:
        asked = zip(recent.tolist(), gains.tolist(), strict=True)
        prices = 0.0 if slot is None else np.array([slot.price_minor(*one) for one in asked])
        return room(recent, CAP.limit) & (gains > prices)

    return lived(worths(seed, customers, 100.0), sends, tired)[1].sum(axis=1)


def test_under_a_cap_customers_whom_contacts_tire_earn_more_by_prices_of_room() -> None:
    slot, report = price_room(CAP, logged(1, tired=TIRED), HORIZON)
    assert slot is not None
    assert report.strength > 0
    gain = earned_by(slot, 50, tired=TIRED) - earned_by(None, 50, tired=TIRED)
    error = gain.std() / np.sqrt(len(gain))
    greedy = earned_by(None, 50, tired=TIRED).mean()
    assert gain.mean() - 1.96 * error > 0.25 * greedy


def test_where_no_cap_binds_fatigue_alone_has_no_price() -> None:
    """What tires customers is in what a contact brings; prices are for room."""
    assert price_room(LOOSE, logged(2, tired=TIRED), HORIZON)[0] is None


def test_without_fatigue_and_with_moments_alike_nothing_is_learned() -> None:
    assert price_room(CAP, logged(3, tired=1.0, good=10.0), HORIZON)[0] is None
    assert price_room(LOOSE, logged(4, tired=1.0), HORIZON)[0] is None
