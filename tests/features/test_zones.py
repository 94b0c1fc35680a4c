"""Where a customer may live: never fewer zones than what is known leaves open."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import SUPPORTED_REGIONS, country_code_for_region

from features.zones import country_codes, is_international, locale_zones, plausible_zones


def zones(**known: str | None) -> tuple[str, ...]:
    return plausible_zones(**{"time_zone": None, "country": None, "phone_prefix": None, **known})


def same_times(some: tuple[str, ...], others: tuple[str, ...]) -> bool:
    """Every zone of the first keeps the time of one of the others, from 2026 to 2028."""
    moments = [datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(days=7 * week) for week in range(157)]
    hours = [
        {tuple(at.astimezone(ZoneInfo(name)).utcoffset() for at in moments) for name in names}
        for names in (some, others)
    ]
    return hours[0] <= hours[1]


def test_a_known_zone_leaves_nothing_to_guess() -> None:
    assert zones(time_zone="Asia/Tokyo", country="US", phone_prefix="+49 30") == ()


def test_nothing_known_leaves_it_to_the_policy() -> None:
    assert zones() == zones(phone_prefix="+800") == locale_zones(None) == locale_zones("en") == ()


@pytest.mark.parametrize(
    ("country", "expected"),
    [("DE", {"Europe/Berlin"}), ("IN", {"Asia/Kolkata"}), ("PT", {"Europe/Lisbon", "Atlantic/Azores"})],
)
def test_a_country_leaves_its_own_zones_one_per_clock(country: str, expected: set[str]) -> None:
    assert set(zones(country=country)) == expected


def test_zones_that_keep_the_same_time_count_once() -> None:
    found = zones(country="US")

    assert {"America/New_York", "America/Los_Angeles", "America/Phoenix", "Pacific/Honolulu"} <= set(found)
    assert len(found) == 8  # of 29 in the database
    assert "America/Detroit" not in found  # New York's time


@pytest.mark.parametrize(
    ("country", "number", "expected"),
    [
        ("US", "+1 808", ("Pacific/Honolulu",)),
        ("US", "+1 (808) 555-0100", ("Pacific/Honolulu",)),
        ("CA", "+1 604", ("America/Vancouver",)),
        ("PT", "+351 292", ("Atlantic/Azores",)),
        ("IN", "+91 11", ("Asia/Kolkata",)),  # where numbers say Asia/Calcutta
    ],
)
def test_a_number_narrows_its_country(country: str, number: str, expected: tuple[str, ...]) -> None:
    assert zones(country=country, phone_prefix=number) == expected


def test_the_beginning_of_a_number_leaves_open_whatever_it_may_become() -> None:
    whole, cut, code = (zones(phone_prefix=number) for number in ("+1 808 555 0100", "+1 8", "+1"))

    assert same_times(whole, cut)
    assert same_times(cut, code)
    assert len(whole) < len(cut)


@pytest.mark.parametrize(
    ("number", "own"),
    [
        ("+213 555", "Africa/Algiers"),  # the tables give Paris
        ("+218", "Africa/Tripoli"),  # Bucharest
        ("+505", "America/Managua"),  # Chicago
        ("+211", "Africa/Juba"),  # Nairobi
        ("+212 6", "Africa/Casablanca"),  # Canary
        ("+970", "Asia/Gaza"),  # Bucharest
        ("+7 401", "Europe/Kaliningrad"),  # Bucharest
        ("+61 8 89", "Australia/Darwin"),
        ("+56 9", "America/Punta_Arenas"),
        ("+56 9", "Pacific/Easter"),
        ("+675", "Pacific/Bougainville"),
    ],
)
def test_a_number_alone_leaves_open_the_zones_of_its_country(number: str, own: str) -> None:
    assert same_times((own,), zones(phone_prefix=number))


@pytest.mark.parametrize("region", sorted(SUPPORTED_REGIONS))
def test_no_code_of_a_country_leaves_out_where_its_people_live(region: str) -> None:
    found = zones(phone_prefix=f"+{country_code_for_region(region)}")

    assert same_times(zones(country=region), found)


def test_a_number_that_several_countries_share_leaves_open_those_it_points_to() -> None:
    assert set(zones(phone_prefix="+1 604")) == set(zones(country="CA"))
    assert "Asia/Almaty" not in zones(phone_prefix="+7 495")
    assert "Europe/Moscow" not in zones(phone_prefix="+7 727")


@pytest.mark.parametrize(
    ("country", "number", "unknown_to_numbers"),
    [
        ("AU", "+61 8 89", "Australia/Darwin"),
        ("CL", "+56 2", "America/Punta_Arenas"),
        ("RU", "+7 495", "Europe/Kaliningrad"),
    ],
)
def test_a_number_rules_out_no_zone_that_the_tables_of_numbers_do_not_know(
    country: str, number: str, unknown_to_numbers: str
) -> None:
    assert same_times((unknown_to_numbers,), zones(country=country, phone_prefix=number))
    assert set(zones(country=country, phone_prefix=number)) <= set(zones(country=country))


def test_where_country_and_number_contradict_each_other_both_stay_plausible() -> None:
    assert zones(country="DE", phone_prefix="+1 808") == ("Europe/Berlin", "Pacific/Honolulu")


def test_a_locale_hints_at_the_zones_of_its_region() -> None:
    assert "America/New_York" in locale_zones("en-US")
    assert locale_zones("zh-Hant-TW") == ("Asia/Taipei",)
    assert locale_zones("xx-XX") == locale_zones("-") == ()
    assert locale_zones("en_gb") == ("Europe/London",)


@given(
    country=st.none() | st.sampled_from(sorted(country_codes())),
    digits=st.text("0123456789", max_size=15),
)
def test_every_answer_is_a_sorted_set_of_zones_and_a_number_never_leaves_more_of_its_country(
    country: str | None, digits: str
) -> None:
    found = zones(country=country, phone_prefix=f"+{digits}")

    assert list(found) == sorted(set(found))
    assert set(found) <= available_timezones()
    if country is not None and not zones(phone_prefix=f"+{digits}"):
        assert found == zones(country=country)


@pytest.mark.parametrize(("number", "is_good"), [("+1", True), ("+49 30", True), ("+800", True), ("0049", False)])
def test_a_readable_number_is_international(number: str, is_good: bool) -> None:
    assert is_international(number) is is_good
