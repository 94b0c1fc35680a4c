"""Asks from different callers that share a round, on a real Redis: each is answered as if it were alone."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import redis
from starlette.testclient import TestClient

from decisioning.customer import Customer
from features.log.contracts import OUTCOMES
from features.log.event_log import EventLog
from features.online.redis_keys import book_key
from features.settings import Settings
from serving.decisions import draft as drafts
from serving.decisions.answer import Answer
from serving.decisions.ask import Ask, ask_of
from serving.errors import ReusedKeyError
from serving.forms import DecisionBody, validate
from serving.http.app import create_app
from serving.live import store as live_store
from serving.live.reader import Claim
from serving.log.drain import drain_spool

TOUCHPOINT = "weekly-mail"


class Callers:
    """Callers of one server, on its own event loop."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        self.engine: Any = client.app.state.engine  # pyright: ignore[reportAttributeAccessIssue]

    def ask(self, customer_id: str, claim: Claim | None = None, **fields: Any) -> Ask:
        form = validate(DecisionBody, {"customer_id": customer_id, "touchpoint": TOUCHPOINT, **fields})
        return ask_of(form, self.engine.refresher.current(), key=claim and claim.key, claim=claim)

    async def decide(self, *asks: Ask, deadline_s: float = 10.0) -> list[Answer]:
        return await self.engine.decisions.answer_many(list(asks), now=self.engine.now, deadline_s=deadline_s)

    def run[T](self, work: Callable[[], Awaitable[T]]) -> T:
        portal = self.client.portal
        assert portal is not None
        return portal.call(work)

    def together(self, *asks: Ask) -> list[Any]:
        """Answers or errors for callers who ask at the same time."""

        async def all_at_once() -> list[Any]:
            found = await asyncio.gather(*(self.decide(one) for one in asks), return_exceptions=True)
            return [one[0] if isinstance(one, list) else one for one in found]

        return self.run(all_at_once)


@pytest.fixture
def people(store: Any, new_customer: Callable[..., Customer]) -> list[str]:
    return [store.put(new_customer(f"C-{n}")) for n in range(8)]


@pytest.fixture
def callers(serve: Callable[..., TestClient], people: list[str]) -> Callers:
    return Callers(serve())


def test_concurrent_asks_about_different_customers_share_two_round_trips(
    callers: Callers, people: list[str], round_trips: Any
) -> None:
    alone = {one: callers.together(callers.ask(one, dry_run=True))[0] for one in people}

    with round_trips(callers.client) as trips:
        answers = callers.together(*(callers.ask(one) for one in people))

    assert trips == [len(people), len(people)]
    for one, answer in zip(people, answers, strict=True):
        same = ("customer_id", "action", "reason", "selected", "action_probability")
        assert [answer[name] for name in same] == [alone[one][name] for name in same]


def test_a_lone_ask_takes_two_round_trips_and_few_turns_of_the_event_loop(callers: Callers) -> None:
    async def turns() -> int:
        loop, count, is_done = asyncio.get_running_loop(), 0, False

        def once_more() -> None:
            nonlocal count
            count += 1
            if not is_done:
                loop.call_soon(once_more)

        reading, engine = callers.engine.state.read_people, callers.engine

        async def reads(lookups: Any) -> Any:
            nonlocal is_done
            is_done = True
            return await reading(lookups)

        engine.state.read_people = reads
        loop.call_soon(once_more)
        await callers.decide(callers.ask("C-1"))
        engine.state.read_people = reading
        return count

    assert callers.run(turns) < 5


def test_asks_about_one_customer_run_one_after_the_other_while_other_customers_do_not_wait(
    serve: Callable[..., TestClient], people: list[str], live_redis: redis.Redis
) -> None:
    callers = Callers(serve("contact_policy: {caps: {day: {scope: everything, limit: 2, window_days: 1}}}"))
    finished: list[str] = []

    async def one(customer_id: str) -> Answer:
        [answer] = await callers.decide(callers.ask(customer_id))
        finished.append(customer_id)
        return answer

    async def all_at_once() -> list[Answer]:
        return await asyncio.gather(*(one(name) for name in ["C-1"] * 5 + ["C-2", "C-3"]))

    answers = callers.run(all_at_once)

    assert [one["action"] for one in answers[:5]] == ["send", "send", "hold", "hold", "hold"]
    assert sorted(finished[:3]) == ["C-1", "C-2", "C-3"]
    assert sum(name.startswith(b"dec_") for name in live_redis.hkeys(book_key("C-1"))) == 2
    assert "nextbest_conflicts_total 0.0" in callers.client.get("/metrics").text


def test_concurrent_copies_of_an_ask_get_one_decision(callers: Callers) -> None:
    answers = callers.together(*(callers.ask("C-1", dedupe_key="w45") for _ in range(5)))

    assert len({one["decision_id"] for one in answers}) == 1
    assert sorted(one["replayed"] for one in answers) == [False, True, True, True, True]


def test_a_reused_idempotency_key_is_refused_to_its_caller_only(callers: Callers) -> None:
    first, other = (Claim(key="k", fingerprint=one) for one in ("one", "other"))

    sent, refused, *rest = callers.together(
        callers.ask("C-1", claim=first), callers.ask("C-2", claim=other), *map(callers.ask, ("C-3", "C-4"))
    )

    assert isinstance(refused, ReusedKeyError)
    assert not any(one["degraded"] for one in (sent, *rest))


@pytest.mark.parametrize("place", ["read", "commit"])
def test_a_redis_error_for_one_customer_does_not_affect_the_others(
    callers: Callers, people: list[str], live_redis: redis.Redis, place: str
) -> None:
    broken = book_key("C-2") if place == "read" else callers.ask("C-2", dedupe_key="w45").lookup().stored_at
    assert broken is not None
    if place == "read":
        live_redis.set(broken, "no hash")
    else:  # the read treats a value that is not a string as missing; the commit must not
        live_redis.rpush(broken, "no text")

    answers = callers.together(*(callers.ask(one, dedupe_key="w45") for one in people))

    told = {one["customer_id"]: one["degraded_reasons"] for one in answers}
    cause = "state_unavailable" if place == "read" else "log_unavailable"
    assert told == {one: [cause] if one == "C-2" else [] for one in people}


def test_a_fault_in_one_decision_does_not_affect_the_others(
    callers: Callers, people: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = drafts.decide

    def decide(policy: Any, inputs: Any, decision_id: str) -> Any:
        if inputs.request.customer_id == "C-2":
            raise RuntimeError("a fault")
        return whole(policy, inputs, decision_id)

    monkeypatch.setattr(drafts, "decide", decide)
    answers = callers.together(*map(callers.ask, people))

    assert [one for one in people if isinstance(answers[people.index(one)], RuntimeError)] == ["C-2"]
    assert all(one["decision_id"] for one in answers if isinstance(one, dict))


def test_a_caller_who_disconnects_does_not_affect_the_others(callers: Callers, people: list[str]) -> None:
    async def some_hang_up() -> list[Any]:
        tasks = [asyncio.ensure_future(callers.decide(callers.ask(one))) for one in people]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = callers.run(some_hang_up)

    assert all(isinstance(one, asyncio.CancelledError) for one in answers[::2])
    assert not any(one[0]["degraded"] for one in answers[1::2])
    assert not any(one["degraded"] for one in callers.together(*map(callers.ask, people)))


def test_a_large_batch_does_not_delay_a_single_ask(callers: Callers, people: list[str]) -> None:
    slices: list[int] = []

    async def batch() -> None:
        for number in range(25):
            await callers.decide(*(callers.ask(f"B-{number}-{n}") for n in range(20)))
            slices.append(number)

    async def run() -> int:
        large = asyncio.ensure_future(batch())
        while len(slices) < 2:
            await asyncio.sleep(0)
        before = len(slices)
        await callers.decide(callers.ask("C-1"))
        waited = len(slices) - before
        await large
        return waited

    assert callers.run(run) <= 2


@pytest.fixture
def apart(
    settings: Settings, own_redis: Any, registry: Any, clock: Any, store: Any, new_customer: Callable[..., Customer],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callers]:  # fmt: skip
    """A server on a Redis that a test may freeze; it does not close the connection by itself."""
    monkeypatch.setattr(live_store, "_PING_TIMEOUT_S", 30.0)
    away = settings.model_copy(update={"redis_url": own_redis.url, "deadline_ms": 5_000})
    store.client = own_redis.client
    for n in range(4):
        store.put(new_customer(f"C-{n}"))
    with TestClient(create_app(away, fetch_model=registry.fetch, now=clock)) as client:
        yield Callers(client)


def test_each_caller_waits_until_its_own_deadline_and_no_longer(apart: Callers, own_redis: Any) -> None:
    """Redis stays frozen until callers with a short deadline are answered; the others then get their decisions."""

    async def run() -> list[Answer]:
        own_redis.send(signal.SIGSTOP)
        asks = [apart.ask(f"C-{n}") for n in range(4)]
        waits = [
            asyncio.ensure_future(apart.decide(one, deadline_s=s))
            for one, s in zip(asks, [0.3, 9, 0.3, 9], strict=True)
        ]
        silent = await asyncio.gather(waits[0], waits[2])
        own_redis.send(signal.SIGCONT)
        return [one[0] for one in (*silent, *await asyncio.gather(waits[1], waits[3]))]

    answers = apart.run(run)

    assert [one["degraded_reasons"][:1] for one in answers] == [["state_unavailable"], ["state_unavailable"], [], []]


def test_an_ask_whose_round_never_starts_is_answered_in_time_too(apart: Callers, own_redis: Any) -> None:
    async def run() -> tuple[list[Any], float]:
        own_redis.send(signal.SIGSTOP)
        started, tasks = time.perf_counter(), list[asyncio.Task[Any]]()
        for n in range(8):
            tasks.append(asyncio.create_task(apart.decide(apart.ask(f"C-{n % 4}"), deadline_s=0.2)))
            await asyncio.sleep(0.001)
        return await asyncio.gather(*tasks), time.perf_counter() - started

    answers, seconds = apart.run(run)
    own_redis.send(signal.SIGCONT)

    assert {one["degraded_reasons"][0] for [one] in answers} == {"state_unavailable"}
    assert seconds < 2.0


def test_after_a_lost_connection_a_commit_may_have_happened_and_is_marked_not_sent(
    apart: Callers, own_redis: Any
) -> None:
    state = apart.engine.state
    committing = state.commit

    async def commit_to_a_frozen_redis(entries: Any) -> Any:
        own_redis.send(signal.SIGSTOP)
        asyncio.get_running_loop().call_soon(state._link.close)  # runs once the commit has been sent and waits
        return await committing(entries)

    state.commit = commit_to_a_frozen_redis
    [answer] = apart.together(apart.ask("C-0"))
    own_redis.send(signal.SIGCONT)

    assert answer["degraded_reasons"] == ["log_unavailable"]
    settings = apart.engine.settings
    log = EventLog(settings.log_path)
    drain_spool(log, settings.spool_path)
    [withdrawn] = log.read(OUTCOMES).to_dicts()
    assert withdrawn["type"] == "not_sent"
