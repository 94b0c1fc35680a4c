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
def test_an_unambiguous_number_is_read(cell: str, value: float) -> None:
    assert read(cell) == [value]


@pytest.mark.parametrize("cell", ["much", "1.2.3", "1,2,3", "12,34,567", "0x1", "1e400", "inf", "5 EUR", "12-3"])
def test_invalid_numbers_are_distinguished_from_missing_ones(cell: str) -> None:
    cells = pl.Series([cell, "NA", "1"])
    values = numbers(cells)
    assert values.to_list() == [None, None, 1.0]
    assert unread(cells, values).to_list() == [0]


@pytest.mark.parametrize("word", [*MISSING_WORDS, "None", "-", None])
def test_missing_value_markers_are_missing(word: str | None) -> None:
    cells = pl.Series([word, "1"], dtype=pl.String)
    assert (numbers(cells).to_list(), unread(cells, numbers(cells)).to_list()) == ([None, 1.0], [])


def test_an_ambiguous_separator_follows_the_column_and_is_never_guessed() -> None:
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
def test_amounts_in_any_countrys_format_are_read_correctly(amounts, marks) -> None:
    point, group = marks
    cells = [f"{amount:,.2f}".replace(",", "G").replace(".", point).replace("G", group) for amount in amounts]
    assert read(*cells) == [float(amount) for amount in amounts]


def test_whole_numbers_written_as_floats_are_read_and_fractions_refused() -> None:
    frame = pl.DataFrame({"value": [4990.0, 18360.000000000004, 49.9, -3.0, 1e300, None]})
    assert frame.select(whole(pl.col("value"))).to_series().to_list() == [4990, 18360, None, -3, None, None]


def test_flags_are_read_from_words_and_digits() -> None:
    cells = pl.DataFrame({"flag": ["TRUE", "yes", "1", "1.0", "f", "No", "0", "perhaps", None]})
    assert cells.select(flags(pl.col("flag"))).to_series().to_list() == [True] * 4 + [False] * 3 + [None] * 2


def test_a_missing_value_marker_that_is_a_real_word_stays_text_in_text_columns() -> None:
    cells = pl.DataFrame({"arm": ["None", "none", "-", "NA", r"\N"]})
    kept = cells.select(without_missing(pl.col("arm"), is_number=False)).to_series()
    assert kept.to_list() == ["None", "none", "-", None, None]
