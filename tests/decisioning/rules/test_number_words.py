"""Numbers are written the way people write them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decisioning.errors import InvalidPolicyError, MissingFieldError
from decisioning.rules.number_words import number_words


@pytest.mark.parametrize(
    ("value", "words"),
    [(3.0, "3"), (3, "3"), (-0.0, "0"), (2.5, "2.5"), (0.1 + 0.2, "0.3"), (1234567.0, "1234567"), (1e20, "1e+20")],
)
def test_a_number_is_written_the_way_people_write_it(value: float, words: str) -> None:
    assert number_words(value) == words


@given(value=st.floats(-1e300, 1e300) | st.integers(-(10**17), 10**17))
def test_the_text_parses_back_to_the_number(value: float) -> None:
    told = float(number_words(value))

    assert told == value or math.isclose(told, value, rel_tol=1e-14)
    assert not number_words(value).endswith(".0")


def test_a_missing_field_is_named() -> None:
    error = MissingFieldError("customer.first_name")

    assert isinstance(error, InvalidPolicyError)
    assert (error.field, error.code) == ("customer.first_name", "missing_field")
    assert str(error).startswith("customer.first_name must be known")
