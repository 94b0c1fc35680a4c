"""Values of another type or spelling in an older log: profiles and features read them the same way."""

from datetime import UTC, datetime
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.catalogue import Attribute, AttributeKind
from features.computing.attribute_columns import as_fact, as_number, is_unfit
from features.declared import read_attributes
from features.log.contracts import CUSTOMERS
from features.log.customer_rows import attribute_text
from features.online.profiles import customers_from_frame

AGE = Attribute(name="age", kind=AttributeKind.NUMBER)
KEEN = Attribute(name="keen", kind=AttributeKind.FLAG)
REGION = Attribute(name="region", kind=AttributeKind.CATEGORY, values=("north", "south"))
BY_NAME = {one.name: one for one in (AGE, KEEN, REGION)}


def in_columns(attribute: Attribute, value: Any) -> tuple[Any, bool]:
    text = orjson.dumps({attribute.name: value}).decode()
    word = attribute_text(attribute.name)
    found = pl.DataFrame({"attributes": [text]}).select(
        fact=as_fact(attribute, word), unfit=is_unfit(attribute, word), number=as_number(attribute, word)
    )
    fact, is_other, _ = found.row(0)
    return fact, bool(is_other)


@pytest.mark.parametrize(
    ("name", "held", "read"),
    [
        ("age", "42", 42),
        ("age", "42,5", 42.5),
        ("age", "1E40 ", 1e40),
        ("age", "many", None),
        ("age", True, None),
        ("keen", "yes", True),
        ("keen", 0, False),
        ("keen", "often", None),
        ("region", "North", "north"),
        ("region", "nroth", None),
        ("region", 3, None),
    ],
)
def test_profiles_and_features_read_an_older_value_the_same_way(name: str, held: Any, read: Any) -> None:
    assert in_columns(BY_NAME[name], held) == (read, read is None)
    profile = read_attributes({name: held, "nickname": "Al"}, BY_NAME)
    assert profile == {name: held if read is None else read, "nickname": "Al"}


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from(sorted(BY_NAME)), held=st.one_of(
    st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6), st.booleans(), st.text(" +-.,eE0123456789naif", max_size=6),
    st.sampled_from(["north", " North", "SOUTH", "nor-th", "yes", "NA", "NaN", "inf", "1e3"]),
))  # fmt: skip
def test_profiles_and_features_never_disagree_about_a_value(name: str, held: Any) -> None:
    fact, is_other = in_columns(BY_NAME[name], held)
    [read] = read_attributes({name: held}, BY_NAME).values()
    if is_other:
        assert read == held
    else:
        assert read == (pytest.approx(fact) if name == "age" else fact)  # Polars may lose a float's last digit in JSON


def test_a_profile_made_from_an_older_row_holds_the_number(shop: Any) -> None:
    row = dict.fromkeys(CUSTOMERS.schema) | {"customer_id": "C-1", "updated_at": datetime(2026, 1, 1, tzinfo=UTC)}
    frame = pl.DataFrame([row | {"attributes": '{"age": "42", "region": "North"}'}], schema=CUSTOMERS.schema)
    [before] = customers_from_frame(frame)
    [after] = customers_from_frame(frame, None, shop)
    assert before.attributes == {"age": "42", "region": "North"}
    assert after.attributes == {"age": 42, "region": "north"}


@pytest.fixture(scope="module")
def shop() -> Any:
    from pathlib import Path

    from features.catalogue import load_catalogue

    return load_catalogue(Path(__file__).parents[2] / "catalogues" / "shop")
