"""Numbers from hashes: uniform, stable, and different for different keys."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.decision import Request, request_uniform
from decisioning.draw import unit_hash

REQUEST = Request(customer_id="C-1", touchpoint_id="weekly-mail", request_key="2026-W45")
TEXTS = st.lists(st.text(), max_size=4)


def test_the_number_is_the_top_53_bits_of_the_digest_of_length_prefixed_parts() -> None:
    framed = b"".join(len(part).to_bytes(8, "big") + part for part in (b"salt", b"C-1"))
    digest = int.from_bytes(hashlib.blake2b(framed, digest_size=16).digest(), "big")
    assert unit_hash("salt", "C-1") == (digest >> 75) / 2**53


@settings(max_examples=200, deadline=None)
@given(parts=TEXTS)
def test_every_text_maps_to_a_fixed_number_in_the_unit_interval(parts: list[str]) -> None:
    assert 0 <= unit_hash(*parts) < 1
    assert unit_hash(*parts) == unit_hash(*parts)


@settings(max_examples=200, deadline=None)
@given(one=TEXTS, other=TEXTS)
def test_different_parts_give_different_numbers(one: list[str], other: list[str]) -> None:
    assert (unit_hash(*one) == unit_hash(*other)) is (one == other)


def test_where_a_part_ends_matters() -> None:
    assert len({unit_hash("ab", "c"), unit_hash("a", "bc"), unit_hash("abc"), unit_hash("abc", "")}) == 4


def test_a_lone_surrogate_is_hashed() -> None:
    assert unit_hash("\ud800") != unit_hash("?")


def test_numbers_are_uniform() -> None:
    drawn = np.array([unit_hash("spread", str(index)) for index in range(20_000)])
    counts, _ = np.histogram(drawn, bins=50, range=(0, 1))
    assert ((counts - 400) ** 2 / 400).sum() < 85.4  # chi-square, 49 degrees of freedom, 0.1 %
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("field", ["customer_id", "touchpoint_id", "request_key"])
def test_customer_touchpoint_and_request_key_each_change_the_draw(field: str) -> None:
    assert request_uniform("s", replace(REQUEST, **{field: "other"})) != request_uniform("s", REQUEST)
    assert request_uniform("other", REQUEST) != request_uniform("s", REQUEST)


def test_nothing_else_changes_the_draw() -> None:
    retried = replace(REQUEST, context={"basket_value": 3.0}, channels=frozenset({"email"}), stage_id="new")
    assert request_uniform("s", retried) == request_uniform("s", REQUEST)
