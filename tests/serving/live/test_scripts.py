"""Lua scripts and their fragments on a real Redis: Lua reads what Python writes as Python does."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decisioning.catalogue.contact_policy import Contact
from features.online.redis_keys import household_book_key
from serving.live import scripts
from serving.live.book import NO_RESERVATION, PLACES, contact_in, contact_text
from serving.live.encoding import time_text
from serving.live.scripts import FOLDER, Script, script
from tests.touches import make_touch

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
TOUCH = make_touch("Grüße", department="d", goal_id="g", creative_id="c")
MADE = {name: value for name, value in vars(scripts).items() if isinstance(value, Script)}


def lua(client: redis.Redis, *fragments: str, does: str, args: tuple[Any, ...] = ()) -> Any:
    return client.eval(script(*fragments).text + does, 0, *args)


@pytest.mark.parametrize("name", MADE)
def test_redis_loads_every_script_under_the_digest_used_to_call_it(live_redis: redis.Redis, name: str) -> None:
    assert live_redis.script_load(MADE[name].text) == MADE[name].digest


def test_every_lua_file_is_part_of_a_script() -> None:
    texts = "".join(made.text for made in MADE.values())
    assert [file.name for file in FOLDER.glob("*.lua") if file.read_text(encoding="utf-8") not in texts] == []


def test_the_field_positions_of_a_contact_are_consecutive() -> None:
    first, last = zip(*PLACES.values(), strict=True)
    assert first == (1, *(place + 1 for place in last[:-1]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    at=st.integers(0, 10**6),
    reserved=st.none() | st.integers(0, 10**6),
)
def test_a_script_reads_a_contact_as_python_wrote_it(
    live_redis: redis.Redis, flags: tuple[bool, bool, bool], at: int, reserved: int | None
) -> None:
    until = None if reserved is None else NOW + timedelta(seconds=reserved)
    confirmed, released, ghost = flags
    contact = Contact(
        contact_id="D-1",
        touch=TOUCH,
        at=NOW + timedelta(seconds=at),
        reserved_until=until,
        is_confirmed=confirmed,
        is_released=released,
        is_ghost=ghost,
    )
    text = contact_text(contact)
    told = lua(
        live_redis,
        "contact",
        does="local c = split(ARGV[1]) return {c.confirmed, c.released, c.ghost, c.decided, c.reserved, joined(c)}",
        args=(text,),
    )
    assert [one.decode() for one in told] == [
        *(str(int(flag)) for flag in flags),
        time_text(contact.at),
        NO_RESERVATION if until is None else time_text(until),
        text,
    ]
    assert contact_in("D-1", told[-1]) == contact


@pytest.mark.parametrize(
    ("word", "delivered", "expected"),
    [("release", None, (False, True)), ("confirm", None, (True, False)), ("confirm", 30, (True, False))],
)
def test_a_mark_sets_its_flags_and_raises_the_books_version(
    live_redis: redis.Redis, word: str, delivered: int | None, expected: tuple[bool, bool]
) -> None:
    contact = Contact(contact_id="D-1", touch=TOUCH, at=NOW)
    live_redis.hset("book", "D-1", contact_text(contact))
    arrived = None if delivered is None else NOW + timedelta(seconds=delivered)
    lua(
        live_redis,
        "state", "reading", "counting", "contact", "bookkeeping",
        does="return mark('book', 'D-1', ARGV[1], ARGV[2])",
        args=(word, *(() if arrived is None else (time_text(arrived),))),
    )  # fmt: skip
    book: Any = live_redis.hgetall("book")
    found = contact_in("D-1", book[b"D-1"])
    assert (found.is_confirmed, found.is_released) == expected
    assert found.at == (arrived or NOW)
    assert int(book[b"version"]) > 0


@pytest.mark.parametrize("household", ["H-1", "Grüße", "", "%d"])
def test_a_script_finds_the_household_book_under_pythons_key(live_redis: redis.Redis, household: str) -> None:
    found = lua(live_redis, "state", "reading", does="return household_book(ARGV[1])", args=(household,))
    assert found.decode() == household_book_key(household)


def test_redis_refuses_a_decision_field_unknown_to_python(live_redis: redis.Redis) -> None:
    assert lua(live_redis, does="return redis.call('HSET', 'd', DECISION.ask, '{}')") == 1
    with pytest.raises(redis.ResponseError, match="arguments must be strings"):
        lua(live_redis, does="return redis.call('HSET', 'd', DECISION.recrod, '{}')")
