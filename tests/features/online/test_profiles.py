"""Profiles: the newest row, the latest consents, and an unchanged round trip through Redis."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from decisioning.customer import PROTECTIONS, Consent, Customer, CustomerId
from decisioning.errors import FeatureUnavailableError, InvalidInputError
from features.log.said import Said, said_by
from features.online.profiles import (
    customers_from_frame,
    decode_profile,
    encode_profile,
    write_profiles,
)
from features.online.redis_connection import connect
from features.online.redis_keys import household_pointer_key, profile_key

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
    household_id=st.none() | st.text(min_size=1, max_size=8),
    country=st.none() | st.sampled_from(["DE", "AT"]),
    plausible_zones=st.lists(texts, max_size=2).map(tuple),
    locale_zones=st.lists(texts, max_size=2).map(tuple),
    protections=st.frozensets(st.sampled_from(sorted(PROTECTIONS))),
    has_opted_out_of_profiling=st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(customer=customers)
def test_a_profile_survives_the_round_trip(customer):
    assert decode_profile(encode_profile(customer)) == customer


def test_the_newest_row_of_a_customer_wins(tables_of):
    rows = [
        {"updated_at": NOON, "locale": "new", "channels": '["email"]', "attributes": '{"age": 40, "first_name": "A"}'},
        {"updated_at": NOON - timedelta(days=1), "locale": "old", "time_zone": "Europe/Paris"},
        {"customer_id": "B", "updated_at": NOON},
    ]
    someone, other = sorted(
        customers_from_frame(tables_of(customers=rows).customers), key=lambda each: each.locale or ""
    )
    assert (other.customer_id, other.locale, other.reachable_channels) == ("C", "new", {"email"})
    assert other.time_zone == "Europe/Paris", "fields missing from a newer row keep their values"
    assert other.attributes == {"age": 40, "first_name": "A"}
    assert (someone.customer_id, someone.consents, someone.attributes) == ("B", (), {})


def answer(granted: object, recorded_at: str | None = None) -> dict[str, object]:
    return {"channel": "email", "purpose": "marketing", "granted": granted, "recorded_at": recorded_at}


def consents_of(tables_of, answers: list[dict[str, object]]) -> tuple[Consent, ...]:
    (customer,) = customers_from_frame(
        tables_of(customers=[{"updated_at": NOON, "consents": orjson.dumps(answers).decode()}]).customers
    )
    return customer.consents


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([answer(True, "2026-01-01T00:00:00Z"), answer(False, "2026-02-01T00:00:00Z")], False),
        ([answer(True, "2026-02-01T00:00:00Z"), answer(False, "2026-01-01T00:00:00Z")], True),
        ([answer(True, "2026-01-01T00:00:00+05:00"), answer(False, "2025-12-31T20:00:00Z")], False),
        ([answer(False), answer(True)], False),
        ([answer(True), answer(False)], False),
        ([answer(False), answer(True, "2026-01-01T00:00:00Z")], False),  # a refusal counts from its row on
        ([answer("yes")], False),
    ],
)
def test_the_latest_consent_wins_and_in_doubt_the_refusal(tables_of, answers, expected):
    (consent,) = consents_of(tables_of, answers)
    assert consent.is_granted is expected


def test_consents_are_kept_separately_by_channel_and_purpose(tables_of):
    other = {"channel": "push", "purpose": "service", "granted": True, "source": "form"}
    assert len(consents_of(tables_of, [answer(True), other])) == 2


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
def test_invalid_profile_bytes_are_refused(payload):
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


def test_an_unreachable_redis_is_reported(shop):
    with connect("unix:///nonexistent/redis.sock") as redis, pytest.raises(FeatureUnavailableError):
        write_profiles(redis, customers_from_frame(shop.customers))


def test_a_profile_of_an_older_release_is_still_read():
    older = b'{"customer_id":"C","attributes":{},"time_zone":null,"locale":null,"channels":[],"consents":[]}'
    expected = Customer(
        customer_id=CustomerId("C"),
        attributes={},
        time_zone=None,
        locale=None,
        reachable_channels=frozenset(),
        consents=(),
    )
    assert decode_profile(older) == expected
    assert encode_profile(expected) == older  # an older release can read profiles without newer fields


def only(frame, said=None):
    (customer,) = customers_from_frame(frame, said)
    return customer


def test_household_country_zones_and_protections_reach_the_profile(tables_of):
    row = {"household": "H", "country": "US", "phone_prefix": "+1 808", "protections": '["minor"]', "locale": "de-DE"}
    customer = only(tables_of(customers=[{"updated_at": NOON, **row}]).customers)
    assert (customer.household_id, customer.country, customer.protections) == ("H", "US", {"minor"})
    assert customer.plausible_zones == ("Pacific/Honolulu",)
    assert b"+1" not in encode_profile(customer)


def test_a_known_zone_rules_out_plausible_ones(tables_of):
    row = {"updated_at": NOON, "time_zone": "Asia/Tokyo", "country": "US", "locale": "en-US"}
    customer = only(tables_of(customers=[row]).customers)
    assert customer.plausible_zones == customer.locale_zones == ()


@pytest.mark.parametrize(
    ("known", "hints"),
    [({}, ("America/Noronha", "America/Belem")), ({"country": "DE"}, ()), ({"phone_prefix": "+49 30"}, ())],
)
def test_a_locale_is_a_hint_if_neither_country_nor_phone_number_is_known(tables_of, known, hints):
    row = {"updated_at": NOON, "locale": "pt-BR", **known}
    customer = only(tables_of(customers=[row]).customers)
    assert set(hints) <= set(customer.locale_zones)
    assert bool(customer.plausible_zones) is bool(known)
    assert not (customer.plausible_zones and customer.locale_zones)


def word(kind: str, hours: float, **properties: str) -> dict[str, object]:
    at = NOON + timedelta(hours=hours)
    return {"type": kind, "occurred_at": at, "properties": orjson.dumps(properties).decode() if properties else None}


def consents_json(**fields: object) -> str:
    return orjson.dumps([{"channel": "email", "purpose": "marketing", **fields}]).decode()


EMAIL = {"channel": "email", "purpose": "marketing"}
PROFILING = {"purpose": "profiling"}


@pytest.mark.parametrize(
    ("row", "events", "expected"),
    [
        (
            {"granted": True},
            [word("consent_withdrawn", -1, **EMAIL)],
            False,
        ),  # an undated consent is older than any other
        ({"granted": True, "recorded_at": "2026-06-01T12:00:00Z"}, [word("consent_withdrawn", -1, **EMAIL)], True),
        ({"granted": True, "recorded_at": "2026-06-01T12:00:00Z"}, [word("consent_withdrawn", 1, **EMAIL)], False),
        ({"granted": False}, [word("consent_given", -1, **EMAIL)], False),  # an undated refusal is as old as its row
        ({"granted": False}, [word("consent_given", 1, **EMAIL)], True),
        ({"granted": True}, [word("consent_withdrawn", 1, channel="email")], False),  # for every purpose
        ({"granted": True}, [word("consent_withdrawn", 1)], False),  # for everything
        ({"granted": True}, [word("consent_withdrawn", 1, channel="push", purpose="marketing")], True),
        ({"granted": False}, [word("consent_given", 1, channel="email")], False),  # a consent needs a purpose
        ({"granted": True}, [word("consent_withdrawn", 1, **EMAIL), word("consent_given", 2, **EMAIL)], True),
        ({"granted": True}, [word("consent_given", 2, **EMAIL), word("consent_withdrawn", 2, **EMAIL)], False),
        ({"granted": True}, [word("profiling_opted_out", 1)], True),  # a different purpose
    ],
)
def test_consents_given_in_events_are_ordered_by_time(tables_of, row, events, expected):
    tables = tables_of(customers=[{"updated_at": NOON, "consents": consents_json(**row)}], events=events)
    customer = only(tables.customers, said_by(tables.events))
    assert {
        one.is_granted for one in customer.consents if one.purpose == "marketing" and one.channel_id == "email"
    } == {expected}


@pytest.mark.parametrize(
    ("listed", "events", "expected"),
    [
        (["minor"], [], {"minor"}),
        (None, [word("protected", -5, protection="deceased")], {"deceased"}),
        ([], [word("protected", -5, protection="deceased")], {"deceased"}),  # a row without protections lifts none
        (["minor"], [word("unprotected", 1, protection="minor")], set()),
        (["minor"], [word("unprotected", -1, protection="minor")], {"minor"}),
        (["minor"], [word("unprotected", 0, protection="minor")], {"minor"}),  # in doubt, protected
        ([], [word("protected", 1, protection="minor"), word("unprotected", 2, protection="minor")], set()),
        ([], [word("unprotected", 2, protection="minor"), word("protected", 2, protection="minor")], {"minor"}),
        ([], [word("protected", 1, protection="celebrity"), word("protected", 1)], set()),
    ],
)
def test_protections_hold_until_they_are_lifted(tables_of, listed, events, expected):
    row = {"updated_at": NOON, "protections": None if listed is None else orjson.dumps(listed).decode()}
    tables = tables_of(customers=[row], events=events)
    assert only(tables.customers, said_by(tables.events)).protections == expected


def test_a_newer_row_without_protections_keeps_them(tables_of):
    rows = [
        {"updated_at": NOON, "protections": '["legal_hold"]'},
        {"updated_at": NOON + timedelta(days=1), "locale": "new"},
    ]
    customer = only(tables_of(customers=rows).customers)
    assert (customer.protections, customer.locale) == ({"legal_hold"}, "new")


@pytest.mark.parametrize(
    ("rows", "events", "expected"),
    [
        ([[]], [], False),
        ([[PROFILING | {"granted": False}]], [], True),
        ([[PROFILING | {"granted": False}], []], [], True),  # a newer row does not mention it
        ([[PROFILING | {"granted": False}], [PROFILING | {"granted": True}]], [], False),
        (
            [[PROFILING | {"granted": True, "recorded_at": "2026-06-01T00:00:00Z"}, PROFILING | {"granted": False}]],
            [],
            True,
        ),
        ([[PROFILING | {"granted": True}]], [word("profiling_opted_out", -9)], True),
        ([[]], [word("profiling_opted_out", 1), word("profiling_opted_in", 2)], False),
        ([[]], [word("profiling_opted_in", 2), word("profiling_opted_out", 2)], True),
        ([[PROFILING | {"granted": False}]], [word("profiling_opted_in", 1)], False),
        ([[PROFILING | {"granted": False}]], [word("profiling_opted_in", -1)], True),
        ([[]], [word("consent_withdrawn", 1, channel="email", purpose="profiling")], True),
        ([[]], [word("consent_withdrawn", 1)], False),  # consent to messages is separate
    ],
)
def test_the_latest_answer_about_profiling_wins_whatever_its_channel(tables_of, rows, events, expected):
    given = [
        {
            "updated_at": NOON + timedelta(minutes=place),
            "consents": orjson.dumps([{"channel": f"c{n}", **one} for n, one in enumerate(answers)]).decode(),
        }
        for place, answers in enumerate(rows)
    ]
    tables = tables_of(customers=given, events=events)
    assert only(tables.customers, said_by(tables.events)).has_opted_out_of_profiling is expected


@settings(max_examples=40, deadline=None)
@given(order=st.permutations(range(6)))
def test_the_order_of_events_does_not_change_the_profile(tables_of, order):
    events = [
        word("consent_given", 1, **EMAIL),
        word("consent_withdrawn", 1, **EMAIL),
        word("protected", 2, protection="minor"),
        word("unprotected", 2, protection="minor"),
        word("profiling_opted_out", 3),
        word("profiling_opted_in", 3),
    ]
    tables = tables_of(customers=[{"updated_at": NOON}], events=[events[place] for place in order])
    customer = only(tables.customers, said_by(tables.events))
    assert customer.protections == {"minor"}
    assert customer.has_opted_out_of_profiling
    assert not any(one.is_granted for one in customer.consents)


def test_the_household_of_a_customer_is_found_and_removed_when_they_leave(tables_of, redis_url):
    with Redis.from_url(redis_url) as redis:
        together = tables_of(customers=[{"updated_at": NOON, "household": "Hüttl 7"}]).customers
        write_profiles(redis, customers_from_frame(together))
        assert redis.get(household_pointer_key("C")) == "Hüttl 7".encode()
        write_profiles(redis, customers_from_frame(tables_of(customers=[{"updated_at": NOON}]).customers))
        assert redis.get(household_pointer_key("C")) is None


def test_other_events_add_no_answers(tables_of):
    assert said_by(tables_of(events=[word("purchase", 1)]).events) == {}
    assert Said().answers == ()
