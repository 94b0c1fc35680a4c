"""Shadow prices over time: amounts last the period, are never overspent, and go where they are worth most."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.limits import DepartmentShare, Limit, LimitScope, Period, period_key
from decisioning.choice.pacing import (
    Pace,
    SharePace,
    _phi,
    elapsed_share,
    gain,
    next_price,
    next_share_price,
    period_begins_at,
)
from decisioning.errors import InvalidInputError

TICKS = 3_600
WORTH = 150.0
type Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The result of a simulated period.

    Attributes:
        used: Share of the amount that was used.
        lasted: Place on the expected use path at which nothing was left; 1 if the amount lasted.
        lead: Greatest lead of use over the path, at a look.
        between: Greatest share of the amount that went out between two looks.
        value: Value of what was sent, as a share of the best choice in hindsight.
    """

    used: float
    lasted: float
    lead: float
    between: float
    value: float


def lead_bound(amount: float, worth_in_scales: float, between_looks: float) -> float:
    """The most that use can be ahead of the path, as a share of the amount (derived in the docstring of `pacing`).

    Args:
        amount: What the limit allows in its period.
        worth_in_scales: Greatest worth of one unit, in scales.
        between_looks: Share of the amount that goes out between two looks at most.
    """
    return _phi(worth_in_scales) / gain(amount) + between_looks


STEADY: Callable[[np.random.Generator, int], Array] = lambda rng, n: rng.random(n)  # noqa: E731
FRONT: Callable[[np.random.Generator, int], Array] = lambda rng, n: rng.beta(1, 3, n)  # noqa: E731


def bursts(rng: np.random.Generator, n: int) -> Array:
    """Six bursts of a few minutes each."""
    return np.clip(rng.choice([0.1, 0.25, 0.5, 0.52, 0.8, 0.95], n) + rng.normal(0, 0.01, n), 0, 0.999)


def even(share: float) -> float:
    return share


def path_of(arrivals: Array) -> Callable[[float], float]:
    """The expected use path, from 24 hourly counts of another such period."""
    counts = np.histogram(arrivals, 24, (0, 1))[0] + 1.0
    done = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
    return lambda share: float(np.interp(share, np.linspace(0, 1, 25), done))


def spend(amount: int, at: Array, worth: Array, path: Callable[[float], float], *, scale: float = 2 * WORTH) -> Run:
    """A period under the controller: a message goes out if it is worth more than the price and something is left."""
    order = np.argsort(at, kind="stable")
    ticks, worth = np.floor(at[order] * TICKS).astype(int), worth[order]
    pace, used, value, lasted, lead, between, place = Pace(), 0, 0.0, 1.0, 0.0, 0.0, 0
    for tick in range(TICKS):
        elapsed, before = path(tick / TICKS), used
        pace = next_price(amount=amount, used=used, elapsed=elapsed, last=pace, scale_minor=scale)
        lead = max(lead, used / amount - elapsed)
        while place < len(worth) and ticks[place] == tick:
            if worth[place] > pace.price_minor and used < amount:
                used, value = used + 1, value + float(worth[place])
                lasted = elapsed if used == amount else lasted
            place += 1
        between = max(between, (used - before) / amount)
    best = float(np.sort(worth)[::-1][:amount].sum())
    return Run(used=used / amount, lasted=lasted, lead=lead, between=between, value=value / best)


def simulate(
    amount: int, n: int, when: Callable[..., Array], *, knows_hours: bool = True, scale: float = 2 * WORTH
) -> Run:
    rng = np.random.default_rng(amount + n)
    path = path_of(when(rng, n)) if knows_hours else even
    return spend(amount, when(rng, n), rng.gamma(2, WORTH, n), path, scale=scale)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("amount", "n", "when", "least_value"),
    [
        (10_000, 50_000, STEADY, 0.98),
        (10_000, 50_000, FRONT, 0.98),
        (10_000, 50_000, bursts, 0.85),
        (1_000, 5_000, STEADY, 0.96),
        (1_000, 5_000, FRONT, 0.96),
        (200, 2_000, STEADY, 0.90),
    ],
)
def test_a_budget_lasts_its_period_and_goes_where_it_is_worth_most(
    amount: int, n: int, when: Callable[..., Array], least_value: float
) -> None:
    run = simulate(amount, n, when)

    bound = lead_bound(amount, 8.0, run.between)
    assert run.used <= 1
    assert run.used > 0.94
    assert run.lasted >= 1 - bound - 0.02  # no two periods are alike
    assert run.value >= least_value
    first_come = simulate(amount, n, when, scale=1e-9).value
    assert run.value > first_come + 0.2 or first_come > 0.75


def test_first_come_first_served_gets_less_than_half_of_the_best_value() -> None:
    rng = np.random.default_rng(1)
    worth = rng.gamma(2, WORTH, 50_000)
    assert worth[:10_000].sum() / np.sort(worth)[::-1][:10_000].sum() < 0.5


def test_if_there_is_enough_for_everybody_the_price_is_0() -> None:
    run = simulate(10_000, 8_000, FRONT)

    assert run.used == pytest.approx(0.8, abs=0.001)
    assert run.value == pytest.approx(1, abs=0.005)


def test_a_wrong_scale_costs_some_value_and_never_overspends() -> None:
    for scale in (WORTH / 10, WORTH * 20):
        run = simulate(10_000, 50_000, STEADY, scale=scale)
        assert run.value > 0.96
        assert run.used > 0.99


@settings(max_examples=25, deadline=None)
@given(
    amount=st.sampled_from([50, 400, 3_000]),
    rushes=st.lists(st.tuples(st.floats(0, 0.99), st.integers(1, 4_000)), min_size=1, max_size=8),
    worth_in_scales=st.floats(0.5, 30),
)
def test_use_is_never_ahead_of_the_path_by_more_than_the_bound(
    amount: int, rushes: list[tuple[float, int]], worth_in_scales: float
) -> None:
    """The worst burst: every message is worth almost `worth_in_scales`, the most allowed."""
    at = np.concatenate([np.full(count, start) + np.linspace(0, 0.009, count) for start, count in rushes])
    run = spend(amount, at, np.full(len(at), worth_in_scales * 0.999), even, scale=1.0)

    assert run.lead <= lead_bound(amount, worth_in_scales, run.between) + 1e-9
    assert run.used <= 1


def test_a_new_period_begins_with_the_last_price_and_nothing_used() -> None:
    evening = Pace(price_minor=120.0, used=90, elapsed=0.95)

    morning = next_price(amount=100, used=0, elapsed=0.0, last=evening, scale_minor=100)

    assert morning == Pace(price_minor=pytest.approx(120.0), used=0, elapsed=0.0)


def test_released_units_lower_the_price() -> None:
    last = Pace(price_minor=120.0, used=50, elapsed=0.5)

    assert next_price(amount=100, used=40, elapsed=0.5, last=last, scale_minor=100).price_minor < 120


def test_a_closed_limit_has_no_price_and_invalid_input_is_refused() -> None:
    assert next_price(amount=0, used=0, elapsed=0.5, last=Pace(price_minor=3), scale_minor=1).price_minor == 0
    with pytest.raises(InvalidInputError, match="must be positive"):
        next_price(amount=1, used=0, elapsed=0.5, last=Pace(), scale_minor=0)
    with pytest.raises(InvalidInputError, match="must be positive"):
        next_share_price(SHARE, messages=0, total=0, last=SharePace(), scale_minor=0)


def test_a_price_is_bounded() -> None:
    pace = Pace()
    for used in range(0, 100_000, 1_000):
        pace = next_price(amount=10, used=used, elapsed=0.0, last=pace, scale_minor=1)
    assert pace.price_minor == pytest.approx(1e6)


def test_controller_gains_stay_within_their_range() -> None:
    assert (gain(1), gain(10_000), gain(1e12), gain(10_000, step=100)) == (5, 100, 200, 10)


SHARE = DepartmentShare(share_id="s", department="service", min_share=0.2, max_share=0.5)


def share_after(prefers: float, share: DepartmentShare, *, n: int = 8_000) -> tuple[float, float]:
    """The share and last price of a department whose messages are worth `prefers` more (or less) than others'."""
    rng = np.random.default_rng(3)
    pace, ours, total = SharePace(), 0, 0
    for step in range(n):
        if step % 10 == 0:
            pace = next_share_price(share, messages=ours, total=total, last=pace, scale_minor=100)
        mine, other = rng.gamma(2, 50) + prefers, rng.gamma(2, 50)
        total += 1
        ours += mine - pace.price_minor > other
    return ours / total, pace.price_minor


@pytest.mark.parametrize(
    ("prefers", "expected", "sign"), [(-200.0, 0.2, -1), (250.0, 0.5, 1), (-20.0, None, 0), (-120.0, 0.2, -1)]
)
def test_a_share_is_steered_into_its_range_and_not_changed_within_it(
    prefers: float, expected: float | None, sign: int
) -> None:
    share, price = share_after(prefers, SHARE)

    assert np.sign(price) == sign or (expected is None and abs(price) < 10)
    if expected is not None:
        assert share == pytest.approx(expected, abs=0.015)
    else:
        assert 0.2 <= share <= 0.5


def test_the_price_of_an_unreachable_minimum_is_bounded() -> None:
    pace = SharePace()
    for total in range(0, 100_000, 100):
        pace = next_share_price(SHARE, messages=0, total=total, last=pace, scale_minor=1)
    assert pace.price_minor == pytest.approx(-100)
    pace = next_share_price(SHARE, messages=0, total=10, last=pace, scale_minor=1)  # the next period
    assert pace == SharePace(price_minor=pytest.approx(-100, rel=0.3), messages=0, total=10)


def test_the_price_above_a_maximum_share_is_bounded_too() -> None:
    pace = SharePace()
    for total in range(0, 100_000, 100):
        pace = next_share_price(SHARE, messages=total, total=total, last=pace, scale_minor=1)
    assert pace.price_minor == pytest.approx(100)


def limit_of(period: Period, zone: str = "UTC", **life: datetime) -> Limit:
    return Limit(limit_id="l", scope=LimitScope.EVERYTHING, amount=1, period=period, zone=zone, **life)


def moment(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # pyright: ignore[reportArgumentType]


def test_a_limit_without_periods_is_paced_from_its_start_or_from_first_sight() -> None:
    ends = moment(2026, 11, 11)
    total = limit_of(Period.TOTAL, ends_at=ends)

    assert elapsed_share(total, moment(2026, 11, 6)) is None
    assert elapsed_share(total, moment(2026, 11, 6), begun_at=moment(2026, 11, 1)) == 0.5
    assert (
        elapsed_share(limit_of(Period.TOTAL, starts_at=moment(2026, 11, 1), ends_at=ends), moment(2026, 11, 6)) == 0.5
    )
    assert elapsed_share(limit_of(Period.TOTAL), moment(2026, 11, 6), begun_at=moment(2026, 11, 1)) is None
    assert elapsed_share(total, ends, begun_at=moment(2026, 11, 1)) is None


def test_the_first_and_last_period_are_cut_at_the_limits_start_and_end() -> None:
    noon_to_noon = limit_of(Period.DAY, starts_at=moment(2026, 11, 1, 12), ends_at=moment(2026, 11, 2, 12))

    assert elapsed_share(noon_to_noon, moment(2026, 11, 1, 11)) is None
    assert elapsed_share(noon_to_noon, moment(2026, 11, 1, 18)) == 0.5
    assert elapsed_share(noon_to_noon, moment(2026, 11, 2, 6)) == 0.5


def test_without_any_demand_the_path_follows_the_clock() -> None:
    assert elapsed_share(limit_of(Period.DAY), moment(2026, 11, 2, 6), hourly_demand=[0.0] * 168) == 0.25


def test_the_path_follows_demand_by_hour_of_the_week() -> None:
    weekend_only = [0.0] * 120 + [1.0] * 48  # from Monday
    week = limit_of(Period.WEEK)

    assert elapsed_share(week, moment(2026, 11, 6, 23), hourly_demand=weekend_only) == 0.0
    assert elapsed_share(week, moment(2026, 11, 8), hourly_demand=weekend_only) == 0.5
    assert elapsed_share(week, moment(2026, 11, 7, 0, 30), hourly_demand=weekend_only) == pytest.approx(0.5 / 48)


@settings(max_examples=200, deadline=None)
@given(
    period=st.sampled_from([Period.HOUR, Period.DAY, Period.WEEK, Period.MONTH]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo"]),
    minutes=st.integers(0, 8_000_000),
)
def test_a_period_begins_where_the_one_before_ends(period: Period, zone: str, minutes: int) -> None:
    at = moment(2015, 1, 1) + timedelta(minutes=minutes)
    begins = period_begins_at(period, zone, at)

    assert begins is not None
    assert begins <= at
    assert period_key(period, zone, begins) == period_key(period, zone, at)
    assert period_key(period, zone, begins - timedelta(seconds=1)) != period_key(period, zone, at)
    share = elapsed_share(limit_of(period, zone), at)
    assert share is not None
    assert 0 <= share < 1


def test_days_of_clock_changes_have_their_real_length() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    for day, hours in ((datetime(2026, 3, 29, tzinfo=berlin), 23), (datetime(2026, 10, 25, tzinfo=berlin), 25)):
        noon = day.astimezone(UTC) + timedelta(hours=hours / 2)
        assert elapsed_share(limit_of(Period.DAY, "Europe/Berlin"), noon) == 0.5
    assert period_begins_at(Period.TOTAL, "UTC", moment(2026, 1, 1)) is None
