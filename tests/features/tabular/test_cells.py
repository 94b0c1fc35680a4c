"""Numbers, flags and missing values as spreadsheets, databases and frames write them."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.tabular.cells import MISSING_WORDS, flags, numbers, unread, whole, without_missing


def read(*cells: str | None, delimiter: str = ",") -> list[float | None]:
    return numbers(pl.Series("column", cells, dtype=pl.String), delimiter=delimiter).to_list()


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("4990.0", 4990.0),
        ("183.60000000000002", 183.60000000000002),
        ("1.234,50", 1234.5),
        ("1,234.50", 1234.5),
        ("1.234.567", 1234567.0),
        ("1,234,567", 1234567.0),
        ("9.0E7", 9e7),
        ("49,90", 49.9),
        ("0,123", 0.123),
        ("1234,567", 1234.567),
        ("1 234,50", 1234.5),
        ("1\u00a0234", 1234.0),
        ("1'234.50", 1234.5),
        ("\u22125", -5.0),
        ("+5", 5.0),
        (" 7 ", 7.0),
        (".5", 0.5),
        ("5.", 5.0),
    ],
)
def test_a_number_that_leaves_no_doubt_is_read(cell: str, value: float) -> None:
    assert read(cell) == [value]


@pytest.mark.parametrize("cell", ["much", "1.2.3", "1,2,3", "12,34,567", "0x1", "1e400", "inf", "5 EUR", "12-3"])
def test_what_is_no_number_is_told_from_what_is_missing(cell: str) -> None:
    cells = pl.Series([cell, "NA", "1"])
    values = numbers(cells)
    assert values.to_list() == [None, None, 1.0]
    assert unread(cells, values).to_list() == [0]


@pytest.mark.parametrize("word", [*MISSING_WORDS, "None", "-", None])
def test_marks_of_missing_values_are_missing(word: str | None) -> None:
    cells = pl.Series([word, "1"], dtype=pl.String)
    assert (numbers(cells).to_list(), unread(cells, numbers(cells)).to_list()) == ([None, 1.0], [])


def test_one_mark_with_three_digits_is_read_as_the_column_says_and_never_guessed() -> None:
    assert read("1,234", "7,5") == [1.234, 7.5]
    assert read("1,234", "7.5") == [1234.0, 7.5]
    assert read("1.234", "7,5") == [1234.0, 7.5]
    assert read("1.234", "7.5") == [1.234, 7.5]
    assert read("1.234") == [1.234]
    assert read("1.234", delimiter=";") == [None]
    assert read("1,234") == [None]
    assert read("1.234", "1,234", "7,5", "7.5") == [None, None, 7.5, 7.5]


@given(
    amounts=st.lists(st.decimals(min_value=-(10**9), max_value=10**9, places=2), min_size=1, max_size=8),
    marks=st.sampled_from([(".", ","), (",", "."), (",", ""), (".", ""), (",", " "), (".", "'")]),
)
def test_amounts_written_in_any_country_are_read_as_they_were(amounts, marks) -> None:
    point, group = marks
    cells = [f"{amount:,.2f}".replace(",", "G").replace(".", point).replace("G", group) for amount in amounts]
    assert read(*cells) == [float(amount) for amount in amounts]


def test_whole_numbers_lose_what_floats_added_and_keep_no_fraction() -> None:
    frame = pl.DataFrame({"value": [4990.0, 18360.000000000004, 49.9, -3.0, 1e300, None]})
    assert frame.select(whole(pl.col("value"))).to_series().to_list() == [4990, 18360, None, -3, None, None]


def test_flags_are_read_from_words_and_digits() -> None:
    cells = pl.DataFrame({"flag": ["TRUE", "yes", "1", "1.0", "f", "No", "0", "perhaps", None]})
    assert cells.select(flags(pl.col("flag"))).to_series().to_list() == [True] * 4 + [False] * 3 + [None] * 2


def test_a_word_that_can_be_a_value_is_one_where_the_column_holds_text() -> None:
    cells = pl.DataFrame({"arm": ["None", "none", "-", "NA", r"\N"]})
    kept = cells.select(without_missing(pl.col("arm"), is_number=False)).to_series()
    assert kept.to_list() == ["None", "none", "-", None, None]
