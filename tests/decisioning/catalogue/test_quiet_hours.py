"""Quiet hours: every edge of days, weeks, holidays, zones and clock changes."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.quiet_hours import (
    LOOK_AHEAD,
    NEVER,
    QuietHours,
    QuietPlan,
    QuietRule,
    check_quiet_hours,
    zones_of,
)
from decisioning.customer import Customer, CustomerId
from decisioning.errors import InvalidPolicyError
from decisioning.local_time import find_zone, moment_of, steady_offset

TICK = timedelta(microseconds=1)
MINUTE = timedelta(minutes=1)
NIGHT = QuietRule(from_minute=21 * 60, until_minute=8 * 60)
HOLIDAYS = {
    "DE": frozenset({date(2026, 12, 25), date(2026, 12, 26)}),
    "AT": frozenset({date(2026, 12, 8), date(2026, 12, 25)}),
}
BERLIN = ("Europe/Berlin",)


def local(zone: str, *parts: int, fold: int = 0) -> datetime:
    return datetime(*parts, tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


def until(
    rules: tuple[QuietRule, ...] | QuietRule,
    now: datetime,
    zones: tuple[str, ...] = BERLIN,
    *,
    channel_id: str = "sms",
    country: str | None = "DE",
) -> datetime | None:
    hours = QuietHours(rules=rules if isinstance(rules, tuple) else (rules,), holidays=HOLIDAYS)
    return QuietPlan(hours).quiet_until(channel_id=channel_id, zones=zones, country=country, now=now)


# --- an ordinary night


def test_without_rules_there_are_no_quiet_hours() -> None:
    assert until((), local("Europe/Berlin", 2026, 11, 2, 3)) is None


@pytest.mark.parametrize(
    ("now", "awake_at"),
    [
        ((2026, 11, 2, 20, 59, 59, 999_999), None),
        ((2026, 11, 2, 21), (2026, 11, 3, 8)),
        ((2026, 11, 3, 0), (2026, 11, 3, 8)),
        ((2026, 11, 3, 7, 59, 59, 999_999), (2026, 11, 3, 8)),
        ((2026, 11, 3, 8), None),
    ],
)
def test_quiet_hours_over_midnight_include_their_start_and_exclude_their_end(
    now: tuple[int, ...], awake_at: tuple[int, ...] | None
) -> None:
    expected = None if awake_at is None else local("Europe/Berlin", *awake_at)
    assert until(NIGHT, local("Europe/Berlin", *now)) == expected


def test_quiet_hours_may_lie_within_a_day_or_last_until_midnight() -> None:
    lunch = QuietRule(from_minute=12 * 60, until_minute=13 * 60)
    assert until(lunch, local("Europe/Berlin", 2026, 11, 2, 12, 30)) == local("Europe/Berlin", 2026, 11, 2, 13)
    assert until(lunch, local("Europe/Berlin", 2026, 11, 2, 13)) is None
    evening = QuietRule(from_minute=20 * 60, until_minute=1440)
    assert until(evening, local("Europe/Berlin", 2026, 11, 2, 23)) == local("Europe/Berlin", 2026, 11, 3, 0)
    assert until(evening, local("Europe/Berlin", 2026, 11, 3, 0)) is None


def test_adjacent_quiet_hours_are_one_span() -> None:
    rules = (NIGHT, QuietRule(from_minute=8 * 60, until_minute=9 * 60))
    assert until(rules, local("Europe/Berlin", 2026, 11, 2, 22)) == local("Europe/Berlin", 2026, 11, 3, 9)


def test_the_answer_does_not_depend_on_the_zone_of_now() -> None:
    now = datetime(2026, 11, 2, 22, tzinfo=ZoneInfo("Asia/Tokyo"))
    assert until(NIGHT, now) is None
    night = local("Europe/Berlin", 2026, 11, 2, 22).astimezone(ZoneInfo("Asia/Tokyo"))
    assert until(NIGHT, night) == local("Europe/Berlin", 2026, 11, 3, 8)


# --- channels, weekdays, holidays, countries


def test_a_rule_applies_to_its_channels_and_countries() -> None:
    night = replace(NIGHT, channels=frozenset({"call"}), countries=frozenset({"AT"}))
    late = local("Europe/Berlin", 2026, 11, 2, 22)
    assert until(night, late, channel_id="call", country="AT") is not None
    assert until(night, late, channel_id="sms", country="AT") is None
    assert until(night, late, channel_id="call", country="DE") is None


def test_if_the_country_is_unknown_the_rules_of_every_country_apply() -> None:
    late = local("Europe/Berlin", 2026, 11, 2, 22)
    assert until(replace(NIGHT, countries=frozenset({"AT"})), late, country=None) is not None


def test_a_whole_weekend_can_be_quiet() -> None:
    weekend = QuietRule(weekdays=frozenset({5, 6}))
    monday = local("Europe/Berlin", 2026, 11, 9, 0)
    assert until(weekend, local("Europe/Berlin", 2026, 11, 6, 23, 59)) is None
    assert until(weekend, local("Europe/Berlin", 2026, 11, 7, 0)) == monday
    assert until(weekend, monday - TICK) == monday
    assert until(weekend, monday) is None


def test_a_night_belongs_to_the_day_it_begins_on() -> None:
    saturdays = replace(NIGHT, weekdays=frozenset({5}))
    assert until(saturdays, local("Europe/Berlin", 2026, 11, 8, 3)) == local("Europe/Berlin", 2026, 11, 8, 8)
    assert until(saturdays, local("Europe/Berlin", 2026, 11, 7, 3)) is None
    assert until(saturdays, local("Europe/Berlin", 2026, 11, 8, 22)) is None


def test_public_holidays_are_quiet_in_their_country() -> None:
    holiday = QuietRule(only_holidays=True)
    noon = local("Europe/Berlin", 2026, 12, 25, 12)
    assert until(holiday, noon) == local("Europe/Berlin", 2026, 12, 27, 0)
    assert until(holiday, noon, country="AT") == local("Europe/Berlin", 2026, 12, 26, 0)
    assert until(holiday, noon, country="FR") is None
    assert until(holiday, local("Europe/Berlin", 2026, 12, 8, 12)) is None
    assert until(holiday, local("Europe/Berlin", 2026, 12, 8, 12), country=None) is not None
    german = replace(holiday, countries=frozenset({"DE"}))
    assert until(german, local("Europe/Berlin", 2026, 12, 8, 12), country=None) is None
    evening = replace(NIGHT, only_holidays=True)
    assert until(evening, local("Europe/Berlin", 2026, 12, 27, 3)) == local("Europe/Berlin", 2026, 12, 27, 8)
    assert until(evening, local("Europe/Berlin", 2026, 12, 24, 22)) is None


# --- daylight saving


@pytest.mark.parametrize("now", [(2026, 3, 28, 22), (2026, 3, 29, 1, 59)])
def test_an_end_that_clocks_skip_moves_to_the_moment_after_the_gap(now: tuple[int, ...]) -> None:
    gap = QuietRule(from_minute=21 * 60, until_minute=150)  # 02:30, when clocks go from 02:00 to 03:00
    assert until(gap, local("Europe/Berlin", *now)) == datetime(2026, 3, 29, 1, tzinfo=UTC)


def test_a_start_that_clocks_skip_moves_to_the_moment_after_the_gap() -> None:
    gap = QuietRule(from_minute=150, until_minute=300)
    assert until(gap, datetime(2026, 3, 29, 0, 59, 59, 999_999, tzinfo=UTC)) is None
    assert until(gap, datetime(2026, 3, 29, 1, tzinfo=UTC)) == datetime(2026, 3, 29, 3, tzinfo=UTC)


def test_an_end_that_clocks_show_twice_is_the_later_one() -> None:
    back = QuietRule(from_minute=21 * 60, until_minute=150)  # 02:30 comes at 00:30 and at 01:30 UTC
    ends = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    for now in (datetime(2026, 10, 25, 0, 29, tzinfo=UTC), datetime(2026, 10, 25, 0, 45, tzinfo=UTC), ends - TICK):
        assert until(back, now) == ends
    assert until(back, ends) is None


def test_a_start_that_clocks_show_twice_is_the_first_one() -> None:
    back = QuietRule(from_minute=150, until_minute=300)
    ends = datetime(2026, 10, 25, 4, tzinfo=UTC)
    assert until(back, datetime(2026, 10, 25, 0, 29, 59, tzinfo=UTC)) is None
    assert until(back, datetime(2026, 10, 25, 0, 30, tzinfo=UTC)) == ends
    assert until(back, datetime(2026, 10, 25, 1, 15, tzinfo=UTC)) == ends


def test_a_calendar_day_that_never_happened_does_not_shift_quiet_hours() -> None:
    """Samoa skipped 30 December 2011."""
    begins = local("Pacific/Apia", 2011, 12, 29, 22)
    assert until(NIGHT, begins, ("Pacific/Apia",)) == local("Pacific/Apia", 2011, 12, 31, 8)
    all_day = QuietRule(weekdays=frozenset({4}))
    assert until(all_day, begins, ("Pacific/Apia",)) is None
    assert until(all_day, local("Pacific/Apia", 2011, 12, 31, 0), ("Pacific/Apia",)) is None


# --- zones


def test_the_most_distant_zones_follow_their_own_clocks() -> None:
    noon = datetime(2026, 11, 2, 12, tzinfo=UTC)
    assert until(NIGHT, noon, ("Pacific/Kiritimati",)) == local("Pacific/Kiritimati", 2026, 11, 3, 8)  # +14
    assert until(NIGHT, noon, ("Etc/GMT+12",)) == local("Etc/GMT+12", 2026, 11, 2, 8)  # -12
    assert until(NIGHT, noon, ("UTC",)) is None


def test_without_a_zone_sending_is_allowed_only_when_no_possible_zone_is_quiet() -> None:
    coasts = ("America/New_York", "America/Los_Angeles")
    assert until(NIGHT, local("America/New_York", 2026, 11, 2, 9), coasts) == local(
        "America/Los_Angeles", 2026, 11, 2, 8
    )
    assert until(NIGHT, local("America/Los_Angeles", 2026, 11, 2, 18), coasts) == local(
        "America/Los_Angeles", 2026, 11, 3, 8
    )
    assert until(NIGHT, local("America/New_York", 2026, 11, 2, 12), coasts) is None


def test_if_one_of_the_zones_is_always_quiet_there_is_no_allowed_moment() -> None:
    opposite = ("Pacific/Auckland", "UTC")
    day = QuietRule(from_minute=18 * 60, until_minute=9 * 60)
    assert until(day, datetime(2026, 11, 2, 12, tzinfo=UTC), opposite) == NEVER
    assert until(QuietRule(), datetime(2026, 11, 2, 12, tzinfo=UTC)) == NEVER


def test_invalid_zone_names_are_ignored_and_if_none_remain_the_zone_is_unknown() -> None:
    late = local("Europe/Berlin", 2026, 11, 2, 22)
    hours = QuietHours(rules=(NIGHT,), unknown_zones=("Europe/Berlin",))
    for zones in ((), ("Europe/Bonn",), ("../etc/passwd", "")):
        assert QuietPlan(hours).quiet_until(channel_id="sms", zones=zones, country=None, now=late) is not None
    known = QuietPlan(hours).quiet_until(channel_id="sms", zones=("Asia/Tokyo", "Bonn"), country=None, now=late)
    assert known == local("Asia/Tokyo", 2026, 11, 3, 8)


def customer_in(time_zone: str | None, plausible: tuple[str, ...] = (), hinted: tuple[str, ...] = ()) -> Customer:
    return Customer(
        customer_id=CustomerId("C-1"),
        attributes={},
        time_zone=time_zone,
        locale=None,
        reachable_channels=frozenset(),
        consents=(),
        plausible_zones=plausible,
        locale_zones=hinted,
    )


def test_the_customers_own_zone_comes_first_then_plausible_ones_then_the_default() -> None:
    hours = QuietHours(unknown_zones=("UTC",))
    assert zones_of(customer_in("Asia/Tokyo", ("Europe/Paris",)), hours) == ("Asia/Tokyo",)
    assert zones_of(customer_in("Nowhere/Land", ("Europe/Paris", "Bonn")), hours) == ("Europe/Paris",)
    assert zones_of(customer_in(None, ("Bonn",)), hours) == ("UTC",)
    assert zones_of(customer_in(""), hours) == ("UTC",)
    assert zones_of(None, hours) == ("UTC",)


@given(
    plausible=st.lists(st.sampled_from(["Asia/Tokyo", "Bonn"]), max_size=2).map(tuple),
    hinted=st.lists(st.sampled_from(["America/New_York", "Europe/Berlin", "Bonn"]), max_size=3).map(tuple),
)
def test_a_locale_may_add_a_zone_and_never_takes_one_away(plausible: tuple[str, ...], hinted: tuple[str, ...]) -> None:
    hours = QuietHours(unknown_zones=("Europe/London", "Europe/Berlin"))
    without, found = (
        zones_of(customer_in(None, plausible), hours),
        zones_of(customer_in(None, plausible, hinted), hours),
    )

    assert found[: len(without)] == without
    assert set(found) <= set(without) | set(hinted) - {"Bonn"}
    if "Asia/Tokyo" in plausible:
        assert found == without


@pytest.mark.parametrize("name", ["Europe/Bonn", "", "Europe", "../../etc/passwd", "/etc/localtime", "\x00", "Ü"])
def test_an_invalid_zone_name_finds_no_zone(name: str) -> None:
    assert find_zone(name) is None


# --- local time


def test_an_offset_is_steady_except_around_a_clock_change() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert steady_offset(berlin, datetime(2026, 11, 20, tzinfo=UTC)) == timedelta(hours=1)
    assert steady_offset(berlin, datetime(2026, 10, 25, tzinfo=UTC)) is None
    assert steady_offset(berlin, datetime(2026, 10, 27, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("zone", "day", "minute", "jump"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 120, datetime(2026, 3, 29, 1, tzinfo=UTC)),
        ("Europe/Berlin", date(2026, 3, 29), 179, datetime(2026, 3, 29, 1, tzinfo=UTC)),
        ("Europe/Berlin", date(2026, 3, 29), 180, datetime(2026, 3, 29, 1, tzinfo=UTC)),
        ("Australia/Lord_Howe", date(2026, 10, 4), 135, datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
        ("Pacific/Apia", date(2011, 12, 30), 720, datetime(2011, 12, 30, 10, tzinfo=UTC)),
    ],
)
def test_a_skipped_time_maps_to_the_moment_of_the_jump(zone: str, day: date, minute: int, jump: datetime) -> None:
    assert moment_of(day, minute, ZoneInfo(zone)) == jump


def test_a_time_shown_twice_has_two_moments() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert moment_of(date(2026, 10, 25), 150, berlin) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert moment_of(date(2026, 10, 25), 150, berlin, later=True) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


# --- invariants

ZONES = (
    "Europe/Berlin",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Pacific/Kiritimati",
    "Etc/GMT+12",
    "Asia/Kathmandu",
    "Africa/Casablanca",
    "America/Havana",
)
STARTS = [
    datetime(2026, month, day, tzinfo=UTC) for month, day in ((3, 28), (3, 8), (10, 24), (10, 3), (11, 1), (12, 24))
]
rules_given = st.lists(
    st.builds(
        QuietRule,
        channels=st.sampled_from([frozenset[str](), frozenset({"sms"}), frozenset({"call"})]),
        countries=st.sampled_from([frozenset[str](), frozenset({"DE"}), frozenset({"AT"})]),
        from_minute=st.integers(0, 47).map(lambda half: half * 30),
        until_minute=st.integers(0, 48).map(lambda half: half * 30),
        weekdays=st.sampled_from([frozenset[int](), frozenset({5, 6}), frozenset({2})]),
        only_holidays=st.booleans(),
    ),
    min_size=1,
    max_size=3,
).map(tuple)
moments = st.builds(
    lambda start, minutes, ticks: start + minutes * MINUTE + ticks * TICK,
    st.sampled_from(STARTS),
    st.integers(0, 3 * 1440),
    st.sampled_from([0, 0, 1, 59_999_999]),
)
places_given = st.lists(st.sampled_from(ZONES), min_size=1, max_size=3, unique=True).map(tuple)


def naive_rests(rules: tuple[QuietRule, ...], zones: tuple[str, ...], country: str | None, at: datetime) -> bool:
    """Check every quiet span that began within a week of a moment; each boundary is found minute by minute."""
    for rule in rules:
        if rule.channels and "sms" not in rule.channels:
            continue
        if rule.countries and country is not None and country not in rule.countries:
            continue
        for zone in zones:
            if any(begins <= at < ends for begins, ends in naive_rest_spans(rule, ZoneInfo(zone), country, at)):
                return True
    return False


def naive_rest_spans(
    rule: QuietRule, zone: ZoneInfo, country: str | None, at: datetime
) -> list[tuple[datetime, datetime]]:
    today = at.astimezone(zone).date()
    spans: list[tuple[datetime, datetime]] = []
    for shift in range(-3, 4):
        day = today + timedelta(days=shift)
        names = [country] if country is not None else sorted(rule.countries or HOLIDAYS)
        is_holiday = any(day in HOLIDAYS.get(name, frozenset()) for name in names)
        if (rule.weekdays and day.weekday() not in rule.weekdays) or (rule.only_holidays and not is_holiday):
            continue
        last = day if rule.from_minute < rule.until_minute else day + timedelta(days=1)
        begins = naive_readings(day, rule.from_minute, zone)[0]
        ends = naive_readings(last, rule.until_minute, zone)[-1]
        spans.append((begins, ends))
    return spans


@cache
def naive_readings(day: date, minute: int, zone: ZoneInfo) -> list[datetime]:
    """Every moment at which clocks show a time; if they skip it, the first moment at which they show a later one."""
    wall = datetime.combine(day, time()) + timedelta(minutes=minute)
    first = (wall - timedelta(hours=15)).replace(tzinfo=UTC)
    shown = [first + quarter * timedelta(minutes=15) for quarter in range(30 * 4)]
    faces = [(moment, moment.astimezone(zone).replace(tzinfo=None)) for moment in shown]
    exact = [moment for moment, face in faces if face == wall]
    return exact or [min(moment for moment, face in faces if face > wall)]


@pytest.mark.no_cover
@settings(max_examples=250, deadline=None)
@given(rules=rules_given, zones=places_given, country=st.sampled_from([None, "DE", "AT"]), now=moments)
def test_quiet_now_agrees_with_a_naive_check(
    rules: tuple[QuietRule, ...], zones: tuple[str, ...], country: str | None, now: datetime
) -> None:
    assert (until(rules, now, zones, country=country) is not None) is naive_rests(rules, zones, country, now)


@pytest.mark.no_cover
@settings(max_examples=80, deadline=None)
@given(rules=rules_given, zones=places_given, country=st.sampled_from([None, "DE", "AT"]), now=moments)
def test_the_stated_moment_is_the_first_when_no_possible_zone_is_quiet(
    rules: tuple[QuietRule, ...], zones: tuple[str, ...], country: str | None, now: datetime
) -> None:
    awake_at = until(rules, now, zones, country=country)
    if awake_at is None:
        return
    ends = min(awake_at, now + LOOK_AHEAD)
    step = timedelta(minutes=15)
    first = now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0)
    between = [first + count * step for count in range(1, int((ends - first) / step) + 1)]
    sampled = between[:30] + between[30:-30:17] + between[-30:]
    assert all(naive_rests(rules, zones, country, at) for at in sampled if now <= at < ends)
    if awake_at != NEVER:
        assert not naive_rests(rules, zones, country, awake_at)
        assert naive_rests(rules, zones, country, awake_at - TICK)
        assert until(rules, awake_at, zones, country=country) is None


@settings(max_examples=60, deadline=None)
@given(rules=rules_given, zones=places_given, now=moments)
def test_more_zones_or_an_unknown_country_never_shorten_quiet_hours(
    rules: tuple[QuietRule, ...], zones: tuple[str, ...], now: datetime
) -> None:
    one = until(rules, now, zones[:1])
    if one is not None:
        everywhere = until(rules, now, zones)
        assert everywhere is not None
        assert everywhere >= one
        unknown = until(rules, now, zones[:1], country=None)
        assert unknown is not None
        assert unknown >= one


# --- the check


def test_valid_quiet_hours_pass() -> None:
    check_quiet_hours(QuietHours())
    check_quiet_hours(QuietHours(rules=(NIGHT, QuietRule(only_holidays=True, until_minute=1440)), holidays=HOLIDAYS))


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        (QuietHours(unknown_zones=()), "must name a zone"),
        (QuietHours(unknown_zones=("Europe/Bonn",)), "IANA zones"),
        (QuietHours(rules=(QuietRule(from_minute=1440),)), "from_minute"),
        (QuietHours(rules=(QuietRule(until_minute=1441),)), "until_minute"),
        (QuietHours(rules=(QuietRule(until_minute=-1),)), "until_minute"),
        (QuietHours(rules=(QuietRule(weekdays=frozenset({7})),)), "weekdays"),
        (QuietHours(rules=(QuietRule(only_holidays=True),)), "got none for any"),
        (
            QuietHours(rules=(QuietRule(only_holidays=True, countries=frozenset({"FR"})),), holidays=HOLIDAYS),
            "got none for .'FR'.",
        ),
    ],
)
def test_invalid_quiet_hours_are_refused(hours: QuietHours, words: str) -> None:
    with pytest.raises(InvalidPolicyError, match=words):
        check_quiet_hours(hours)
