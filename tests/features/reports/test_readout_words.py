"""Numbers in readouts, as people write them."""

import pytest

from features.reports.readout_words import (
    display_scale,
    format_bounds,
    format_difference,
    format_interval,
    format_number,
    format_p,
    format_percent,
    format_value,
)
from features.reports.readouts import ReadoutUnit

MONEY, RATE, NUMBER = ReadoutUnit.MONEY_MINOR, ReadoutUnit.RATE, ReadoutUnit.NUMBER


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (format_value(123456.0, MONEY, "EUR"), "1,234.56 EUR"),
        (format_value(300.0, MONEY, "JPY"), "300 JPY"),
        (format_value(1234.0, MONEY, "KWD"), "1.234 KWD"),
        (format_value(0.5, RATE), "50.0 %"),
        (format_value(0.00567, RATE), "0.57 %"),
        (format_value(51.87, NUMBER), "51.9"),
        (format_value(0.0123, NUMBER), "0.012"),
        (format_value(0.0, NUMBER), "0"),
        (format_difference(42.0, MONEY, "EUR"), "+0.42 EUR"),
        (format_difference(-42.0, MONEY, "EUR"), "-0.42 EUR"),
        (format_difference(42.0, MONEY, "EUR", signed=False), "0.42 EUR"),
        (format_difference(0.0767, RATE), "+7.67 points"),
        (format_interval(-133.0, 31.0, MONEY, "EUR"), "-1.33 to 0.31"),
        (format_interval(-0.0133, -0.0031, RATE), "-1.33 to -0.31"),
        (format_interval(-20_000.0, 3_000.0, NUMBER), "-20,000 to 3,000"),
        (format_percent(0.123), "+12.3 %"),
        (format_percent(-0.5), "-50.0 %"),
        (format_percent(0.0), "0.0 %"),
        (format_number(-0.0001, 2), "0.00"),
        (format_p(0.049), "0.049"),
        (format_p(0.0086), "0.0086"),
        (format_p(0.0), "< 0.0001"),
    ],
)
def test_numbers_read_as_people_write_them(text: str, expected: str):
    assert plain(text) == expected


def test_both_ends_of_an_interval_have_equal_precision():
    assert tuple(map(plain, format_bounds(-0.0124, 0.00058, RATE))) == ("-1.24", "0.06")


def test_displayed_units_are_scaled_from_stored_ones():
    assert [display_scale(MONEY, "EUR"), display_scale(MONEY, "JPY"), display_scale(RATE), display_scale(NUMBER)] == [
        0.01,
        1,
        100,
        1,
    ]
