"""Profiles: the newest row, the latest answers, and back from Redis unchanged."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from decisioning.customer import Consent, Customer, CustomerId
from decisioning.errors import FeatureUnavailableError, InvalidInputError
from features.online.profiles import (
    customers_from_frame,
    decode_profile,
    encode_profile,
    latest_answers,
    write_profiles,
)
from features.online.redis_connection import connect
from features.online.redis_keys import profile_key

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
texts = st.text(max_size=8)
customers = st.builds(
    Customer,
    customer_id=texts.map(CustomerId),
    attributes=st.dictionaries(texts, st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), texts)),
    time_zone=st.one_of(st.none(), texts),
    locale=st.one_of(st.none(), texts),
    reachable_channels=st.frozensets(texts, max_size=3),
    consents=st.lists(
        st.builds(
            Consent,
            channel_id=texts,
            purpose=texts,
            is_granted=st.booleans(),
            recorded_at=st.one_of(st.none(), st.datetimes(timezones=st.just(UTC))),
            source=st.one_of(st.none(), texts),
        ),
        max_size=3,
    ).map(tuple),
)


@settings(max_examples=60, deadline=None)
@given(customer=customers)
def test_a_profile_comes_back_as_it_was(customer):
    assert decode_profile(encode_profile(customer)) == customer


def test_the_newest_row_of_a_customer_wins(tables_of):
    rows = [
        {"updated_at": NOON, "locale": "new", "channels": '["email"]', "attributes": '{"age": 40, "first_name": "A"}'},
        {"updated_at": NOON - timedelta(days=1), "locale": "old", "consents": '[{"channel": "email"}]'},
        {"customer_id": "B", "updated_at": NOON},
    ]
    someone, other = sorted(
        customers_from_frame(tables_of(customers=rows).customers), key=lambda each: each.locale or ""
    )
    assert (other.customer_id, other.locale, other.reachable_channels) == ("C", "new", {"email"})
    assert other.attributes == {"age": 40, "first_name": "A"}
    assert (someone.customer_id, someone.consents, someone.attributes) == ("B", (), {})


def answer(granted: object, recorded_at: str | None = None) -> dict[str, object]:
    return {"channel": "email", "purpose": "marketing", "granted": granted, "recorded_at": recorded_at}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([answer(True, "2026-01-01T00:00:00Z"), answer(False, "2026-02-01T00:00:00Z")], False),
        ([answer(True, "2026-02-01T00:00:00Z"), answer(False, "2026-01-01T00:00:00Z")], True),
        ([answer(True, "2026-01-01T00:00:00+05:00"), answer(False, "2025-12-31T20:00:00Z")], False),
        ([answer(False), answer(True)], False),
        ([answer(True), answer(False)], False),
        ([answer(False), answer(True, "2026-01-01T00:00:00Z")], True),
        ([answer("yes")], False),
    ],
)
def test_the_latest_answer_stands_and_in_doubt_the_refusal(answers, expected):
    (consent,) = latest_answers(answers)
    assert consent.is_granted is expected


def test_answers_for_channels_and_purposes_stand_side_by_side():
    other = {"channel": "push", "purpose": "service", "granted": True, "source": "form"}
    assert len(latest_answers([answer(True), other])) == 2


@pytest.mark.parametrize(
    "row",
    [
        {"channels": "{"},
        {"channels": "{}"},
        {"attributes": "[]"},
        {"attributes": '{"address": {"street": "x"}}'},
        {"consents": '[{"channel": "email"}]'},
        {"consents": '["email"]'},
        {"consents": '[{"channel": "email", "purpose": "marketing", "granted": true, "recorded_at": "soon"}]'},
    ],
)
def test_a_row_that_breaks_the_contract_is_refused(tables_of, row):
    frame = tables_of(customers=[{"updated_at": NOON, **row}]).customers
    with pytest.raises(InvalidInputError, match="must be"):
        list(customers_from_frame(frame))


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b'{"customer_id": 1}'])
def test_bytes_that_are_no_profile_are_refused(payload):
    with pytest.raises(FeatureUnavailableError, match="materialise"):
        decode_profile(payload)


def test_profiles_are_written_to_redis(shop, redis_url):
    with Redis.from_url(redis_url) as redis:
        assert write_profiles(redis, customers_from_frame(shop.customers)) == shop.customers.height
        payload = redis.get(profile_key("C-00001"))
    assert isinstance(payload, bytes)
    profile = decode_profile(payload)
    assert profile.customer_id == "C-00001"
    assert {"age", "region", "first_name"} == set(profile.attributes)


def test_redis_that_is_away_is_said_so(shop):
    with connect("unix:///nonexistent/redis.sock") as redis, pytest.raises(FeatureUnavailableError):
        write_profiles(redis, customers_from_frame(shop.customers))
