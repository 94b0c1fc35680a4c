"""The zones a customer may live in: never fewer than the known facts allow."""

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
    """Whether every zone of the first list has the same time as one of the second, from 2026 to 2028."""
    moments = [datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(days=7 * week) for week in range(157)]
    hours = [
        {tuple(at.astimezone(ZoneInfo(name)).utcoffset() for at in moments) for name in names}
        for names in (some, others)
    ]
    return hours[0] <= hours[1]


def test_a_known_zone_is_the_only_one() -> None:
    assert zones(time_zone="Asia/Tokyo", country="US", phone_prefix="+49 30") == ()


def test_without_any_fact_the_policy_decides() -> None:
    assert zones() == zones(phone_prefix="+800") == locale_zones(None) == locale_zones("en") == ()


@pytest.mark.parametrize(
    ("country", "expected"),
    [("DE", {"Europe/Berlin"}), ("IN", {"Asia/Kolkata"}), ("PT", {"Europe/Lisbon", "Atlantic/Azores"})],
)
def test_a_country_gives_one_zone_per_local_time(country: str, expected: set[str]) -> None:
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
        ("IN", "+91 11", ("Asia/Kolkata",)),  # the phone number tables say Asia/Calcutta
    ],
)
def test_a_phone_number_narrows_down_its_country(country: str, number: str, expected: tuple[str, ...]) -> None:
    assert zones(country=country, phone_prefix=number) == expected


def test_a_partial_phone_number_keeps_every_zone_it_may_lead_to() -> None:
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
def test_a_phone_number_alone_gives_the_zones_of_its_country(number: str, own: str) -> None:
    assert same_times((own,), zones(phone_prefix=number))


@pytest.mark.parametrize("region", sorted(SUPPORTED_REGIONS))
def test_no_country_code_excludes_a_zone_of_its_country(region: str) -> None:
    found = zones(phone_prefix=f"+{country_code_for_region(region)}")

    assert same_times(zones(country=region), found)


def test_a_shared_country_code_gives_the_zones_the_number_points_to() -> None:
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
def test_a_phone_number_excludes_no_zone_that_its_tables_lack(
    country: str, number: str, unknown_to_numbers: str
) -> None:
    assert same_times((unknown_to_numbers,), zones(country=country, phone_prefix=number))
    assert set(zones(country=country, phone_prefix=number)) <= set(zones(country=country))


def test_if_country_and_phone_number_contradict_both_stay_plausible() -> None:
    assert zones(country="DE", phone_prefix="+1 808") == ("Europe/Berlin", "Pacific/Honolulu")


def test_a_locale_suggests_the_zones_of_its_region() -> None:
    assert "America/New_York" in locale_zones("en-US")
    assert locale_zones("zh-Hant-TW") == ("Asia/Taipei",)
    assert locale_zones("xx-XX") == locale_zones("-") == ()
    assert locale_zones("en_gb") == ("Europe/London",)


@given(
    country=st.none() | st.sampled_from(sorted(country_codes())),
    digits=st.text("0123456789", max_size=15),
)
def test_every_answer_is_a_sorted_set_of_zones_and_an_unknown_number_changes_nothing(
    country: str | None, digits: str
) -> None:
    found = zones(country=country, phone_prefix=f"+{digits}")

    assert list(found) == sorted(set(found))
    assert set(found) <= available_timezones()
    if country is not None and not zones(phone_prefix=f"+{digits}"):
        assert found == zones(country=country)


@pytest.mark.parametrize(("number", "is_good"), [("+1", True), ("+49 30", True), ("+800", True), ("0049", False)])
def test_a_readable_phone_number_is_international(number: str, is_good: bool) -> None:
    assert is_international(number) is is_good
