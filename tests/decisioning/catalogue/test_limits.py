"""Limits that all customers share: periods across daylight saving, counters, refusals, prices."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.channel import Channel
from decisioning.catalogue.limits import (
    DepartmentShare,
    Limit,
    LimitMeasure,
    LimitScope,
    Period,
    Supply,
    check_limits,
    counter_name,
    period_ends_at,
    period_key,
    price_name,
    total_counter_name,
)
from decisioning.decision import Exclusion
from decisioning.errors import InvalidInputError, InvalidPolicyError
from decisioning.gates.arrival import run_at
from decisioning.gates.capacity import SharedUse, falls_under, uses
from tests.touches import make_touch

NOW = datetime(2026, 11, 4, 12, tzinfo=UTC)  # a Wednesday
TICK = timedelta(microseconds=1)
BERLIN = ZoneInfo("Europe/Berlin")
CALLS = Limit(limit_id="calls", scope=LimitScope.CHANNEL, of="call", amount=2, period=Period.DAY, zone="Europe/Berlin")
BUDGET = Limit(
    limit_id="q4",
    scope=LimitScope.DEPARTMENT,
    of="sales",
    amount=1000.0,
    measure=LimitMeasure.COST,
    period=Period.TOTAL,
)
SHARE = DepartmentShare(share_id="most", department="sales", max_share=0.5, slack=2)
CALL = make_touch("coffee", "call", department="sales")

type Shop = Callable[..., Catalogue]


@pytest.fixture(scope="session")
def shop(shop_catalogue: Catalogue) -> Shop:
    """The shop with a call centre, a printer, and the given limits and shares."""

    def make(*limits: Limit, shares: tuple[DepartmentShare, ...] = (), **fields: Any) -> Catalogue:
        call = Channel(channel_id="call", cost_minor=300.0, is_online=False)
        letter = Channel(channel_id="letter", cost_minor=80.0, cut_off_minute=14 * 60, zone="Europe/Berlin")
        channels = {**shop_catalogue.channels, "call": call, "letter": letter}
        return replace(shop_catalogue, channels=channels, limits=limits, shares=shares, **fields)

    return make


# --- periods


@pytest.mark.parametrize(
    ("period", "zone", "at", "key"),
    [
        (Period.TOTAL, "Europe/Berlin", NOW, "total"),
        (Period.MONTH, "Europe/Berlin", datetime(2026, 10, 31, 23, tzinfo=UTC), "2026-11"),
        (Period.WEEK, "Europe/Berlin", datetime(2027, 1, 3, 12, tzinfo=UTC), "2026-W53"),
        (Period.WEEK, "UTC", datetime(2027, 1, 4, tzinfo=UTC), "2027-W01"),
        (Period.DAY, "Pacific/Kiritimati", datetime(2026, 11, 4, 10, tzinfo=UTC), "2026-11-05"),
        (Period.HOUR, "Europe/Berlin", NOW + timedelta(minutes=59), "2026-11-04T12:00Z"),
        (Period.HOUR, "Asia/Kathmandu", NOW, "2026-11-04T11:15Z"),
    ],
)
def test_periods_follow_the_zone_of_the_limit(period: Period, zone: str, at: datetime, key: str) -> None:
    assert period_key(period, zone, at) == key


def test_an_hour_that_clocks_show_twice_is_two_hours() -> None:
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # 02:30 in Berlin
    second = first + timedelta(hours=1)  # 02:30 again
    keys = [period_key(Period.HOUR, "Europe/Berlin", at) for at in (first, second)]
    assert keys == ["2026-10-25T00:00Z", "2026-10-25T01:00Z"]
    assert period_ends_at(Period.HOUR, "Europe/Berlin", first) == datetime(2026, 10, 25, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("period", "ends_at"),
    [
        (Period.TOTAL, None),
        (Period.HOUR, datetime(2026, 12, 31, 13, tzinfo=UTC)),
        (Period.DAY, datetime(2026, 12, 31, 23, tzinfo=UTC)),
        (Period.WEEK, datetime(2027, 1, 3, 23, tzinfo=UTC)),
        (Period.MONTH, datetime(2026, 12, 31, 23, tzinfo=UTC)),
    ],
)
def test_a_period_ends_when_the_next_begins(period: Period, ends_at: datetime | None) -> None:
    at = datetime(2026, 12, 31, 12, 20, 5, 7, tzinfo=UTC)
    assert period_ends_at(period, "Europe/Berlin", at) == ends_at


zones = st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "America/Havana", "Asia/Kathmandu", "UTC"])
moments = st.integers(0, 366 * 1440).map(lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes))


@settings(max_examples=200, deadline=None)
@given(period=st.sampled_from([each for each in Period if each is not Period.TOTAL]), zone=zones, at=moments)
def test_the_end_of_a_period_is_the_first_moment_of_the_next(period: Period, zone: str, at: datetime) -> None:
    ends_at = period_ends_at(period, zone, at)
    assert ends_at is not None
    assert ends_at > at
    assert period_key(period, zone, ends_at) != period_key(period, zone, at)
    if zone != "Australia/Lord_Howe" or period is not Period.HOUR:  # clocks there change by half an hour
        assert period_key(period, zone, ends_at - TICK) == period_key(period, zone, at)


def test_if_clocks_show_midnight_twice_the_new_month_begins_at_the_first() -> None:
    october = datetime(2026, 10, 1, 4, tzinfo=UTC)
    assert period_ends_at(Period.MONTH, "America/Havana", october) == datetime(2026, 11, 1, 4, tzinfo=UTC)


def test_a_period_without_a_valid_zone_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="IANA"):
        period_key(Period.DAY, "Europe/Bonn", NOW)


# --- counters and uses


def test_a_message_uses_every_limit_it_falls_under(shop: Shop) -> None:
    catalogue = shop(CALLS, BUDGET, shares=(SHARE,))
    assert uses(catalogue, CALL, 300.0, NOW) == {
        "limit:calls:2026-11-04": 1.0,
        "limit:q4:total": 300.0,
        "share:most:2026-11-04": 1.0,
        "share:most:2026-11-04:all": 1.0,
    }
    care = replace(CALL, department="care", channel_id="email")
    assert uses(catalogue, care, 0.0, NOW) == {"share:most:2026-11-04:all": 1.0}


def test_a_message_without_cost_uses_no_budget(shop: Shop) -> None:
    assert uses(shop(BUDGET), CALL, 0.0, NOW) == {}
    assert SharedUse(shop(BUDGET), CALL, 0.0).ceilings(Supply(), NOW) == {}


@pytest.mark.parametrize(
    ("scope", "value"),
    [
        (LimitScope.DEPARTMENT, "sales"),
        (LimitScope.GOAL, "loyalty"),
        (LimitScope.CLASS, "marketing"),
        (LimitScope.CHANNEL, "call"),
        (LimitScope.OFFER, "coffee"),
    ],
)
def test_a_limit_counts_the_value_it_names_or_each_value_separately(shop: Shop, scope: LimitScope, value: str) -> None:
    named = Limit(limit_id="l", scope=scope, of=value, amount=1)
    assert uses(shop(named), CALL, 1.0, NOW) == {"limit:l:total": 1.0}
    assert uses(shop(replace(named, of="other")), CALL, 1.0, NOW) == {}
    assert uses(shop(replace(named, of=None)), CALL, 1.0, NOW) == {f"limit:l:total:{value}": 1.0}


def test_a_limit_on_everything_counts_everything(shop: Shop) -> None:
    everything = Limit(limit_id="all", scope=LimitScope.EVERYTHING, amount=1)
    assert uses(shop(everything), CALL, 1.0, NOW) == {"limit:all:total": 1.0}
    assert counter_name(SHARE, NOW) == "share:most:2026-11-04"
    assert total_counter_name(SHARE, NOW) == "share:most:2026-11-04:all"


def test_a_limit_applies_only_between_its_start_and_end(shop: Shop) -> None:
    limit = replace(CALLS, amount=0, starts_at=NOW, ends_at=NOW + timedelta(hours=2))
    moments = (NOW - TICK, NOW, NOW + timedelta(hours=2) - TICK, NOW + timedelta(hours=2))
    full = [SharedUse(shop(limit), CALL, 1.0).refusal(Supply(), at) is not None for at in moments]
    assert full == [falls_under(limit, CALL, at) for at in moments] == [False, True, True, False]
    assert SharedUse(shop(limit), CALL, 1.0).refusal(Supply(), NOW) == (
        Exclusion.CAPACITY_FULL,
        "limit calls: 0 of 0 messages per day",
        NOW + timedelta(hours=2),
    )


def test_after_the_cut_off_a_letter_uses_the_next_day_s_run(shop: Shop) -> None:
    letters = Limit(limit_id="run", scope=LimitScope.CHANNEL, of="letter", amount=5, period=Period.DAY)
    letter = replace(CALL, channel_id="letter")
    in_time = datetime(2026, 11, 4, 13, tzinfo=UTC)  # 14:00 in Berlin
    assert uses(shop(letters), letter, 1.0, in_time) == {"limit:run:2026-11-04": 1.0}
    assert uses(shop(letters), letter, 1.0, in_time + TICK) == {"limit:run:2026-11-05": 1.0}


# --- refusals


def test_a_full_capacity_is_refused_until_the_next_period(shop: Shop) -> None:
    catalogue = shop(CALLS)
    assert SharedUse(catalogue, CALL, 300.0).refusal(Supply(used={"limit:calls:2026-11-04": 1.0}), NOW) is None
    assert SharedUse(catalogue, CALL, 300.0).refusal(Supply(used={"limit:calls:2026-11-04": 2.0}), NOW) == (
        Exclusion.CAPACITY_FULL,
        "limit calls: 2 of 2 messages per day",
        datetime(2026, 11, 4, 23, tzinfo=UTC),
    )
    assert SharedUse(catalogue, replace(CALL, channel_id="email"), 0.0).refusal(Supply(), NOW) is None


def test_a_budget_pays_only_if_the_whole_contact_fits(shop: Shop) -> None:
    catalogue = shop(BUDGET)
    assert SharedUse(catalogue, CALL, 300.0).refusal(Supply(used={"limit:q4:total": 700.0}), NOW) is None
    assert SharedUse(catalogue, CALL, 300.0).refusal(Supply(used={"limit:q4:total": 700.01}), NOW) == (
        Exclusion.BUDGET_SPENT,
        "budget q4: 700.01 of 1000.00 minor units",
        None,
    )
    assert SharedUse(catalogue, CALL, 0.0).refusal(Supply(used={"limit:q4:total": 2000.0}), NOW) is None


def test_many_small_costs_spend_a_budget_to_the_last_cent(shop: Shop) -> None:
    used = sum([0.1] * 9)
    tenths = replace(BUDGET, amount=1.0)
    assert SharedUse(shop(tenths), CALL, 0.1).refusal(Supply(used={"limit:q4:total": used}), NOW) is None
    assert SharedUse(shop(tenths), CALL, 0.1).refusal(Supply(used={"limit:q4:total": used + 0.1}), NOW) is not None


def test_an_amount_of_0_refuses_everything_for_good_even_free_messages(shop: Shop) -> None:
    closed = replace(CALLS, amount=0)
    assert SharedUse(shop(closed), CALL, 1.0).refusal(Supply(), NOW) == (
        Exclusion.CAPACITY_FULL,
        "limit calls: 0 of 0 messages per day",
        None,
    )
    assert SharedUse(shop(replace(BUDGET, amount=0.0)), CALL, 0.0).refusal(Supply(), NOW) is not None


def test_of_several_full_limits_the_longest_lasting_is_reported(shop: Shop) -> None:
    spent = Supply(used={"limit:calls:2026-11-04": 9.0, "limit:q4:total": 1000.0})
    for limits in ((CALLS, BUDGET), (BUDGET, CALLS)):
        refusal = SharedUse(shop(*limits), CALL, 300.0).refusal(spent, NOW)
        assert refusal is not None
        assert (refusal[0], refusal[2]) == (Exclusion.BUDGET_SPENT, None)
    weekly = replace(CALLS, limit_id="weekly", period=Period.WEEK)
    both = Supply(used={"limit:calls:2026-11-04": 2.0, "limit:weekly:2026-W45": 2.0})
    refusal = SharedUse(shop(CALLS, weekly), CALL, 1.0).refusal(both, NOW)
    assert refusal is not None
    assert refusal[1].startswith("limit weekly")


def test_a_department_gets_its_share_plus_the_declared_slack(shop: Shop) -> None:
    catalogue = shop(shares=(SHARE,))

    def used(own: float, total: float) -> Supply:
        return Supply(used={"share:most:2026-11-04": own, "share:most:2026-11-04:all": total})

    assert SharedUse(catalogue, CALL, 1.0).refusal(Supply(), NOW) is None
    assert SharedUse(catalogue, CALL, 1.0).refusal(used(1, 1), NOW) is None
    assert SharedUse(catalogue, CALL, 1.0).refusal(used(3, 3), NOW) is None
    assert SharedUse(catalogue, CALL, 1.0).refusal(used(4, 4), NOW) == (
        Exclusion.SHARE_REACHED,
        "share most: 4 of 4 messages, at most 0.5 of them",
        datetime(2026, 11, 5, tzinfo=UTC),
    )
    assert SharedUse(catalogue, CALL, 1.0).refusal(used(4, 5), NOW) is None
    assert SharedUse(catalogue, replace(CALL, department="care"), 1.0).refusal(used(4, 4), NOW) is None
    assert SharedUse(shop(shares=(replace(SHARE, max_share=1.0),)), CALL, 1.0).refusal(used(9, 9), NOW) is None
    never = SharedUse(shop(shares=(replace(SHARE, slack=0),)), CALL, 1.0).refusal(Supply(), NOW)
    assert never is not None
    assert never[2] is None


def test_a_full_run_opens_just_after_the_cut_off_before_the_next(shop: Shop) -> None:
    letters = Limit(
        limit_id="run", scope=LimitScope.CHANNEL, of="letter", amount=1, period=Period.DAY, zone="Europe/Berlin"
    )
    letter = replace(CALL, channel_id="letter")
    today = Supply(used={"limit:run:2026-11-04": 1.0, "limit:run:2026-11-05": 1.0})
    cut_off = datetime(2026, 11, 4, 13, tzinfo=UTC)
    refusal = SharedUse(shop(letters), letter, 1.0).refusal(today, NOW)
    assert refusal is not None
    assert refusal[2] == cut_off + TICK
    refusal = SharedUse(shop(letters), letter, 1.0).refusal(today, cut_off + TICK)
    assert refusal is not None
    assert refusal[2] == cut_off + timedelta(days=1) + TICK


@settings(max_examples=100, deadline=None)
@given(period=st.sampled_from(list(Period)), zone=zones, at=moments, channel_id=st.sampled_from(["call", "letter"]))
def test_the_message_falls_into_another_period_at_the_stated_moment_and_not_before(
    shop: Shop, period: Period, zone: str, at: datetime, channel_id: str
) -> None:
    touch = replace(CALL, channel_id=channel_id)
    catalogue = shop(Limit(limit_id="l", scope=LimitScope.EVERYTHING, amount=1, period=period, zone=zone))
    (counter,) = uses(catalogue, touch, 1.0, at)
    refusal = SharedUse(catalogue, touch, 1.0).refusal(Supply(used={counter: 1.0}), at)
    assert refusal is not None
    room_at = refusal[2]
    if room_at is None:
        assert period is Period.TOTAL
        return
    assert room_at > at
    assert counter not in uses(catalogue, touch, 1.0, room_at)
    channel = catalogue.channels[channel_id]
    ends_at = period_ends_at(period, zone, run_at(channel, at))
    assert ends_at is not None
    assert run_at(channel, room_at - TICK) < ends_at


# --- ceilings and prices


def test_a_commit_must_stay_below_the_ceilings(shop: Shop) -> None:
    catalogue = shop(CALLS, BUDGET, shares=(SHARE, replace(SHARE, share_id="free", max_share=1.0)))
    supply = Supply(used={"share:most:2026-11-04:all": 7.0})
    found = SharedUse(catalogue, CALL, 300.0).ceilings(supply, NOW)
    assert found == pytest.approx(
        {"limit:calls:2026-11-04": 2.0, "limit:q4:total": 1000.0, "share:most:2026-11-04": 0.5 * 8 + 2}
    )
    second = SharedUse(catalogue, CALL, 300.0).ceilings(supply, NOW, earlier=1)
    assert second["share:most:2026-11-04"] == pytest.approx(0.5 * 9 + 2)


@settings(max_examples=150, deadline=None)
@given(
    used=st.dictionaries(
        st.sampled_from(
            ["limit:calls:2026-11-04", "limit:q4:total", "share:most:2026-11-04", "share:most:2026-11-04:all"]
        ),
        st.integers(0, 12).map(lambda number: number * 100.0 if number > 6 else float(number)),
    ),
    cost=st.sampled_from([0.1, 300.0]),
)
def test_a_message_is_refused_exactly_if_it_would_exceed_a_ceiling(
    shop: Shop, used: dict[str, float], cost: float
) -> None:
    catalogue, supply = shop(CALLS, BUDGET, shares=(SHARE,)), Supply(used=used)
    takes, most = uses(catalogue, CALL, cost, NOW), SharedUse(catalogue, CALL, cost).ceilings(supply, NOW)
    is_kept = all(used.get(name, 0.0) + takes[name] <= ceiling for name, ceiling in most.items())
    assert is_kept is (SharedUse(catalogue, CALL, cost).refusal(supply, NOW) is None)


def test_the_shadow_price_adds_up_each_use_times_its_price(shop: Shop) -> None:
    catalogue = shop(CALLS, BUDGET, shares=(SHARE,))
    prices = Supply(prices_minor={"calls": 40.0, "q4": 0.5, "most": -15.0})
    assert SharedUse(catalogue, CALL, 300.0).shadow_minor(prices, NOW) == 40 + 150 - 15
    assert (
        SharedUse(catalogue, replace(CALL, department="care", channel_id="email"), 300.0).shadow_minor(prices, NOW) == 0
    )
    assert SharedUse(catalogue, CALL, 300.0).shadow_minor(Supply(), NOW) == 0
    assert SharedUse(catalogue, CALL, 300.0).shadow_minor(Supply(prices_minor={"other": 1.0}), NOW) == 0


def test_if_each_value_is_limited_separately_each_has_its_own_price(shop: Shop) -> None:
    alone = shop(replace(CALLS, of=None))
    assert price_name(alone.limits[0], "call") == "calls:call"
    assert price_name(CALLS, "call") == "calls"
    assert price_name(SHARE) == "most"
    everything = Limit(limit_id="all", scope=LimitScope.EVERYTHING, amount=1)
    assert price_name(everything) == "all"
    prices = Supply(prices_minor={"calls": 1.0, "calls:call": 40.0})
    assert SharedUse(alone, CALL, 300.0).shadow_minor(prices, NOW) == 40
    assert SharedUse(alone, replace(CALL, channel_id="email"), 300.0).shadow_minor(prices, NOW) == 1


# --- the check


def test_valid_limits_pass() -> None:
    check_limits((), ())
    life = replace(CALLS, limit_id="life", starts_at=NOW, ends_at=NOW + TICK, amount=0)
    check_limits((CALLS, BUDGET, life), (SHARE, replace(SHARE, share_id="least", min_share=0.5)))


@pytest.mark.parametrize(
    ("limits", "shares", "words"),
    [
        ((CALLS, CALLS), (), "names of their own"),
        ((CALLS,), (replace(SHARE, share_id="calls"),), "names of their own"),
        ((replace(CALLS, amount=-1),), (), "amount of limit calls"),
        ((replace(CALLS, amount=float("nan")),), (), "amount of limit calls"),
        ((replace(CALLS, amount=float("inf")),), (), "amount of limit calls"),
        ((replace(CALLS, scope=LimitScope.EVERYTHING),), (), "must have no `of`"),
        ((replace(CALLS, zone="Europe/Bonn"),), (), "zone of limit calls"),
        ((replace(CALLS, starts_at=datetime(2026, 1, 1)),), (), "times with an offset"),  # noqa: DTZ001
        ((replace(CALLS, starts_at=NOW, ends_at=NOW),), (), "starts_at of limit calls"),
        ((), (replace(SHARE, min_share=0.6),), "0 <= min <= max <= 1"),
        ((), (replace(SHARE, max_share=1.1),), "0 <= min <= max <= 1"),
        ((), (replace(SHARE, min_share=-0.1),), "0 <= min <= max <= 1"),
        ((), (replace(SHARE, slack=-1),), "slack of share most"),
        ((), (replace(SHARE, zone="Moon"),), "zone of share most"),
        (
            (),
            (
                replace(SHARE, min_share=0.6, max_share=1.0),
                replace(SHARE, share_id="other", department="care", min_share=0.6, max_share=1.0),
            ),
            "least shares per day",
        ),
    ],
)
def test_invalid_limits_are_refused(limits: tuple[Limit, ...], shares: tuple[DepartmentShare, ...], words: str) -> None:
    with pytest.raises(InvalidPolicyError, match=words):
        check_limits(limits, shares)
