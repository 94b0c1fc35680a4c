"""Where a customer may live: never fewer zones than what is known leaves open."""

from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.zones import country_codes, is_international, plausible_zones


def zones(**known: str | None) -> tuple[str, ...]:
    return plausible_zones(**{"time_zone": None, "country": None, "phone_prefix": None, "locale": None, **known})


def test_a_known_zone_leaves_nothing_to_guess() -> None:
    assert zones(time_zone="Asia/Tokyo", country="US", phone_prefix="+49 30", locale="pt-BR") == ()


def test_nothing_known_leaves_it_to_the_policy() -> None:
    assert zones() == zones(locale="en") == zones(locale="zh-Hant") == ()


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
    whole, cut = set(zones(phone_prefix="+1 808 555 0100")), set(zones(phone_prefix="+1 8"))

    assert whole < cut <= set(zones(phone_prefix="+1"))


def test_where_country_and_number_contradict_each_other_both_stay_plausible() -> None:
    assert zones(country="DE", phone_prefix="+1 808") == ("Europe/Berlin", "Pacific/Honolulu")


def test_the_locale_is_the_last_hint() -> None:
    assert "America/New_York" in zones(locale="en-US")
    assert zones(locale="zh-Hant-TW") == ("Asia/Taipei",)
    assert zones(locale="en-US", country="DE") == zones(country="DE")
    assert zones(locale="en-US", phone_prefix="+4930") == zones(phone_prefix="+4930") == ("Europe/Berlin",)


@given(
    country=st.none() | st.sampled_from(sorted(country_codes())),
    digits=st.text("0123456789", max_size=15),
    locale=st.none() | st.sampled_from(["de-DE", "en-US", "pt-BR", "xx-XX", "-", "en_gb"]),
)
def test_every_answer_is_a_sorted_set_of_zones_and_a_number_never_leaves_more_of_its_country(
    country: str | None, digits: str, locale: str | None
) -> None:
    found = zones(country=country, phone_prefix=f"+{digits}", locale=locale)

    assert list(found) == sorted(set(found))
    assert set(found) <= available_timezones()
    if country is not None and set(found) & set(zones(country=country)):
        assert found
    if digits and not country:
        assert zones(country=country, phone_prefix=f"+{digits}", locale=None) in (found, ())


@pytest.mark.parametrize(("number", "is_good"), [("+1", True), ("+49 30", True), ("+800", True), ("0049", False)])
def test_a_readable_number_is_international(number: str, is_good: bool) -> None:
    assert is_international(number) is is_good
