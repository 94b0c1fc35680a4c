"""Do caps hold? `python benchmarks/caps_hammer.py`: many deciders in several processes hammer the same few customers.

Everything is real: a separate Redis server with an append-only file, the same read -> decide -> commit path that serves
requests, permits, and reservations that expire. Midway Redis is killed (SIGKILL) and restarted. Then every cap is
recounted from the rows of the decision log and from the answers to callers, never from the books and counters under
test. The verdict is printed; exit code 1 means that a cap was exceeded.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import redis

from decisioning.catalogue.catalogue import Catalogue, Learning
from decisioning.catalogue.channel import Channel
from decisioning.catalogue.contact_policy import Cap, CapUnit, ContactPolicy
from decisioning.catalogue.experiment import Arm, ArmPolicy, Experiment, Exposure
from decisioning.catalogue.journey import Goal, JourneyStage, Touchpoint
from decisioning.catalogue.limits import Limit, LimitMeasure, LimitScope
from decisioning.catalogue.measure import Measure, Unit
from decisioning.catalogue.message import Creative, MessageClass, Offer
from decisioning.catalogue.message_classes import CapScope
from decisioning.customer import Consent, Customer, CustomerId
from decisioning.decision import Placement, Request
from decisioning.errors import UnavailableError
from features.log.contracts import TABLES
from features.log.rows import fields_in
from features.models.logged_decisions import LoggedDecisions
from features.online.profiles import encode_profile
from features.online.redis_keys import SHARD_COUNT, household_pointer_key, profile_key, stream_key
from features.settings import Settings
from pipelines.server.redis_binary import find_binary
from serving.decisions.ask import Ask
from serving.decisions.draft import draft_many
from serving.decisions.permits import Permits
from serving.decisions.race import Race
from serving.decisions.records import DecisionRecords
from serving.errors import UnknownDecisionError
from serving.in_force.policy_in_force import InForce, put_in_force
from serving.live.store import LiveStore
from serving.metrics import Metrics

OFFERS = ("bread", "cake", "tea", "seat")
CHANNELS = ("email", "push")
CUSTOMERS = 12
"""Few, so that processes compete for their books."""

CROWD = 400
"""Many customers who only reserve, so that they compete for the last place whenever reservations expire."""

HOUSEHOLD_SIZE = 3
RESERVE_S = 1
CHANCE_OF_PERMIT, CHANCE_OF_CROWD = 0.5, 0.4
SHORT_S, LONG_S = 1.0, 2.0
SEATS, BUDGET_MINOR = 15.0, 17.5


def catalogue() -> Catalogue:
    """Four offers on two channels; windows of seconds, so that deciders compete for the caps again and again."""
    caps = (
        Cap(cap_id="all", scope=CapScope.EVERYTHING, limit=2, window_seconds=SHORT_S),
        Cap(cap_id="mail", scope=CapScope.CHANNEL, of="email", limit=1, window_seconds=SHORT_S),
        Cap(cap_id="each-offer", scope=CapScope.OFFER, limit=1, window_seconds=LONG_S),
        Cap(cap_id="home", scope=CapScope.EVERYTHING, limit=4, window_seconds=SHORT_S, unit=CapUnit.HOUSEHOLD),
        Cap(
            cap_id="home-cake", scope=CapScope.OFFER, of="cake", limit=1, window_seconds=LONG_S,
            unit=CapUnit.HOUSEHOLD,
        ),
    )  # fmt: skip
    limits = (
        Limit(limit_id="seats", scope=LimitScope.OFFER, of="seat", amount=SEATS),
        Limit(
            limit_id="mail-money", scope=LimitScope.CHANNEL, of="email", amount=BUDGET_MINOR,
            measure=LimitMeasure.COST,
        ),
    )  # fmt: skip
    return Catalogue(
        version="caps-hammer",
        currency="EUR",
        goals={"sell": Goal(goal_id="sell", department="marketing")},
        stages=(JourneyStage(stage_id="all", goal_id="sell"),),
        touchpoints={
            "now": Touchpoint(touchpoint_id="now", channels=frozenset(CHANNELS)),
            "later": Touchpoint(
                touchpoint_id="later", channels=frozenset(CHANNELS), needs_permit=True, reserve_seconds=RESERVE_S
            ),
        },
        channels={
            "email": Channel(channel_id="email", cost_minor=0.7),
            "push": Channel(channel_id="push", cost_minor=0.5),
        },
        offers={
            one: Offer(
                offer_id=one, goal_id="sell", kind="thing", message_class=MessageClass.MARKETING, purpose="marketing",
                value_minor=100,
            )
            for one in OFFERS
        },
        creatives=tuple(
            Creative(creative_id="plain", offer_id=offer, channel_id=channel, content={"headline": "Hello"})
            for offer in OFFERS
            for channel in CHANNELS
        ),
        offer_kinds=("thing",),
        event_types=("purchase",),
        measures={"bought": Measure(measure_id="bought", unit=Unit.RATE, added_events=frozenset({"purchase"}))},
        learning=Learning(measure_id="bought"),
        experiments=(
            Experiment(
                experiment_id="chance", salt="1", control_arm_id="a", exposure=Exposure.DECIDED,
                primary_measure_id="bought",
                arms=tuple(Arm(arm_id=one, share=0.5, policy=ArmPolicy.RANDOM) for one in ("a", "b")),
            ),
        ),
        contact_policy=ContactPolicy(caps=caps),
        limits=limits,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The work of one process."""

    folder: Path
    url: str
    worker: int
    deciders: int
    seconds: float


def household_of(customer_id: str) -> str:
    number = int(customer_id.removeprefix("C-"))
    return f"H-{number // HOUSEHOLD_SIZE}" if number < CUSTOMERS else f"alone-{number}"


def put_customers(client: redis.Redis) -> None:
    consents = tuple(
        Consent(channel_id=channel, purpose="marketing", is_granted=True, recorded_at=datetime(2026, 1, 1, tzinfo=UTC))
        for channel in CHANNELS
    )
    for n in range(CUSTOMERS + CROWD):
        customer = Customer(
            customer_id=CustomerId(f"C-{n}"), attributes={}, time_zone="UTC", locale=None,
            reachable_channels=frozenset(CHANNELS), consents=consents, household_id=household_of(f"C-{n}"),
        )  # fmt: skip
        client.set(profile_key(f"C-{n}"), encode_profile(customer))
        client.set(household_pointer_key(f"C-{n}"), household_of(f"C-{n}"))


def utc_now() -> datetime:
    return datetime.now(UTC)


class Hammer:
    """One process of deciders; their answers go to a file, line by line."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.in_force: InForce = put_in_force(catalogue(), seed="caps")
        self.state = LiveStore(plan.url, decision_ttl=timedelta(days=1))
        records = DecisionRecords(
            state=self.state, log_path=plan.folder / "log", logged=LoggedDecisions(Settings(home=plan.folder)),
            redis_s=1,
        )  # fmt: skip
        self.permits = Permits(
            state=self.state, records=records, in_force=lambda: self.in_force, now=utc_now, metrics=Metrics(None)
        )
        self.journal = (plan.folder / f"told-{plan.worker}.jsonl").open("ab")
        self.counts: Counter[str] = Counter()
        self.background: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        await self.state.start(wait_s=10)
        ends_at = time.monotonic() + self.plan.seconds
        await asyncio.gather(*(self._decide_until(ends_at, n) for n in range(self.plan.deciders)))
        await asyncio.gather(*self.background)
        await self.state.stop()
        self.tell(kind="counts", counts=self.counts)
        self.journal.close()

    def tell(self, **what: Any) -> None:
        self.journal.write(orjson.dumps(what) + b"\n")
        self.journal.flush()

    async def _decide_until(self, ends_at: float, number: int) -> None:
        dice = random.Random(1000 * self.plan.worker + number)
        while time.monotonic() < ends_at:
            try:
                async with asyncio.timeout(2):
                    await self._decide(dice)
            except (TimeoutError, UnavailableError):
                self.counts["away"] += 1
                self.state.doubt()
                await asyncio.sleep(0.05)

    async def _decide(self, dice: random.Random) -> None:
        is_crowd = dice.random() < CHANCE_OF_CROWD
        touchpoint = "later" if is_crowd else dice.choice(("now", "later"))
        places = tuple(Placement(placement_id=str(n)) for n in range(1, dice.choice((1, 1, 3)) + 1))
        number = CUSTOMERS + dice.randrange(CROWD) if is_crowd else dice.randrange(CUSTOMERS)
        request = Request(
            customer_id=f"C-{number}", touchpoint_id=touchpoint, request_key=uuid4().hex,
            placements=places,
        )  # fmt: skip
        ask, now = Ask(request=request), utc_now()
        known = await self.state.read_many([ask.lookup(self.in_force.supply.query(now))])
        race = Race(self.state, self.in_force, draft_many(self.in_force, [ask], known, [now]))
        [settled] = await race.run()
        decision = settled.draft.decision
        self.counts["decided"] += 1
        self.counts["conflicts"] += sum(race.conflicts.values())
        sent = [decision.decision_id] if decision.offer_id else []
        sent += [
            f"{decision.decision_id}-{place}"
            for place, one in enumerate(decision.further, start=2)
            if one.message_key != "silence"
        ]
        self.counts["sent"] += len(sent)
        self.tell(kind="sent", decision_ids=sent)
        for decision_id in sent if touchpoint == "later" and not is_crowd else ():
            if dice.random() < CHANCE_OF_PERMIT:
                task = asyncio.create_task(self._ask_leave(decision_id, dice.random() * 2 * RESERVE_S))
                self.background.add(task)
                task.add_done_callback(self.background.discard)

    async def _ask_leave(self, decision_id: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        try:
            async with asyncio.timeout(2):
                answer = await self.permits.answer(decision_id, deadline_s=2)
        except (TimeoutError, UnavailableError, UnknownDecisionError):
            self.counts["no_permit_answer"] += 1
            return
        self.counts[f"permit_{answer['permit']}"] += 1
        self.tell(kind="permit", decision_id=decision_id, is_allowed=answer["permit"] == "allowed",
                  at=answer["permitted_at"], told_at=utc_now().isoformat())  # fmt: skip


def work(plan: Plan) -> None:
    asyncio.run(Hammer(plan).run())


@dataclass
class Server:
    """A separate Redis, killed and started again."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None
    kills: int = 0

    @property
    def url(self) -> str:
        return f"unix://{self.folder / 'redis.sock'}"

    def start(self) -> None:
        command = [
            str(find_binary()), "--port", "0", "--unixsocket", str(self.folder / "redis.sock"), "--dir",
            str(self.folder), "--appendonly", "yes", "--appendfsync", "always", "--save", "",
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=self.folder)
        client = self.client()
        for _ in range(1_000):
            try:
                client.ping()
            except redis.RedisError:
                time.sleep(0.01)
            else:
                return
        raise SystemExit("the Redis server did not start")

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait()

    def crash(self) -> None:
        self.kills += 1
        self.stop(signal.SIGKILL)
        time.sleep(0.2)
        self.start()


@dataclass(slots=True)
class Sent:
    """A message of the log, with the span in which it counted."""

    customer_id: str
    offer_id: str
    channel_id: str
    at: float
    logged_at: float
    until: float = float("inf")
    permitted_at: float | None = None
    told_at: float = 0.0


@dataclass
class Evidence:
    """The evidence from the log and the callers."""

    sent: dict[str, Sent] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    lag_s: float = 0.0
    lost: int = 0


def gather(server: Server, folder: Path) -> Evidence:
    """Messages from the rows of the log stream, and the fate of reservations from the answers to callers."""
    found, released = Evidence(), dict[str, float]()
    client = server.client()
    for shard in range(SHARD_COUNT):
        for entry_id, fields in client.xrange(stream_key(shard)):
            row = fields_in(TABLES[fields[b"table"].decode()], fields[b"row"])
            if fields[b"table"] == b"outcomes":
                released[row["decision_id"]] = stamp(row["occurred_at"])
            else:
                add_row(found, row, int(entry_id.split(b"-")[0]) / 1000)
    for path in folder.glob("told-*.jsonl"):
        for told in map(orjson.loads, path.read_bytes().splitlines()):
            add_told(found, told)
    for decision_id, at in released.items():
        found.sent[decision_id].until = min(found.sent[decision_id].until, at)
    return found


def stamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def add_row(found: Evidence, row: dict[str, Any], logged_at: float) -> None:
    at = stamp(row["decided_at"])
    found.lag_s = max(found.lag_s, logged_at - at)
    if row.get("offer_id"):
        until = at + RESERVE_S if row["touchpoint"] == "later" else float("inf")
        found.sent[row["decision_id"]] = Sent(
            customer_id=row["customer_id"], offer_id=row["offer_id"], channel_id=row["channel"], at=at,
            logged_at=logged_at, until=until,
        )  # fmt: skip


def add_told(found: Evidence, told: dict[str, Any]) -> None:
    if told["kind"] == "counts":
        found.counts.update(told["counts"])
    elif told["kind"] == "sent":
        found.lost += sum(one not in found.sent for one in told["decision_ids"])
    elif told["is_allowed"] and told["decision_id"] in found.sent:
        sent = found.sent[told["decision_id"]]
        sent.permitted_at, sent.told_at = stamp(told["at"]), stamp(told["told_at"])


def spans(sent: Sent) -> Iterator[tuple[float, float, float]]:
    """The spans in which a message counted, first as a reservation, then as sent; and when each was written."""
    yield sent.at, sent.until if sent.permitted_at is None else min(sent.until, sent.permitted_at), sent.logged_at
    if sent.permitted_at is not None:
        yield sent.permitted_at, float("inf"), sent.told_at


def most_at_once(found: list[Sent], window_s: float) -> int:
    """The most messages in any window of this length.

    A decision is made when the state is read and written a little later. So the last message written within a window
    has seen all the others, except reservations that had expired and been swept before it was written.
    """
    alive = [span for one in found for span in spans(one)]
    most = 0
    for moment in sorted({start for start, _, _ in alive}):
        held = [span for span in alive if span[0] <= moment < span[1] and span[0] > moment - window_s]
        written_at = max(logged_at for _, _, logged_at in held) if held else 0.0
        most = max(most, sum(end > written_at for _, end, _ in held))
    return most


def group(found: list[Sent], by: Callable[[Sent], Any]) -> dict[Any, list[Sent]]:
    groups: dict[Any, list[Sent]] = {}
    for one in found:
        groups.setdefault(by(one), []).append(one)
    return groups


def most_under(cap: Cap, sent: list[Sent]) -> float:
    """The most contacts of any customer or household in a window of a cap."""
    key = {CapScope.OFFER: "offer_id", CapScope.CHANNEL: "channel_id"}.get(cap.scope)

    def scope(one: Sent) -> tuple[str, str]:
        whose = household_of(one.customer_id) if cap.unit is CapUnit.HOUSEHOLD else one.customer_id
        return whose, getattr(one, key) if key else ""

    groups = group([one for one in sent if cap.of in (None, scope(one)[1])], scope)
    return float(max((most_at_once(one, cap.window_seconds) for one in groups.values()), default=0))


def verdict(evidence: Evidence) -> list[dict[str, Any]]:
    """For every cap and limit, what it allows and the most that the log ever shows."""
    sent, rules = list(evidence.sent.values()), catalogue()
    lines: list[dict[str, Any]] = [
        {"cap": cap.cap_id, "allows": float(cap.limit), "most": most_under(cap, sent)}
        for cap in rules.contact_policy.caps
    ]
    for limit in rules.limits:
        is_seats = limit.scope is LimitScope.OFFER
        unit = 1.0 if is_seats else rules.channels["email"].cost_minor
        within = [one for one in sent if (one.offer_id if is_seats else one.channel_id) == limit.of]
        most = unit * most_at_once(within, float("inf"))
        lines.append({"cap": limit.limit_id, "allows": limit.amount, "most": round(most, 6)})
    return [{**line, "holds": line["most"] <= line["allows"] + 1e-6} for line in lines]


def hammer(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run everything and judge it."""
    server = Server(folder=folder)
    server.start()
    try:
        put_customers(server.client())
        context = multiprocessing.get_context("fork")
        each = max(1, options.deciders // options.processes)
        plan = Plan(folder=folder, url=server.url, worker=0, deciders=each, seconds=options.seconds)
        workers = [
            context.Process(target=work, args=(replace(plan, worker=n),), daemon=True) for n in range(options.processes)
        ]
        for one in workers:
            one.start()
        for _ in range(options.kills):
            time.sleep(options.seconds / (options.kills + 1))
            server.crash()
        for one in workers:
            one.join(options.seconds + 60)
        evidence = gather(server, folder)
        codes = [one.exitcode for one in workers]
    finally:
        server.stop()
    lines = verdict(evidence)
    return {
        "deciders": each * options.processes, "processes": options.processes, "kills": server.kills,
        "messages": len(evidence.sent), "counts": dict(evidence.counts), "lag_s": round(evidence.lag_s, 3),
        "caps": lines, "lost": evidence.lost, "worked": all(code == 0 for code in codes),
        "holds": evidence.lost == 0 and all(line["holds"] for line in lines),
    }  # fmt: skip


def main() -> None:
    """Run, print, and exit with 1 if a cap was exceeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--deciders", type=int, default=64)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="nextbest-caps-"))
    try:
        told = hammer(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        sys.stdout.write(json.dumps(told) + os.linesep)
    else:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(told["counts"].items()))
        print(f"{told['deciders']} deciders in {told['processes']} processes, Redis killed {told['kills']} times")
        print(f"{told['messages']} messages in the log; {counts}; longest commit {told['lag_s']} s after its read")
        for line in told["caps"]:
            print(f"{line['cap']:12} allows {line['allows']:7.1f}  most seen {line['most']:7.1f}  "
                  f"{'holds' if line['holds'] else 'EXCEEDED'}")  # fmt: skip
        print(f"{told['lost']} messages given to callers are missing from the log")
        print("verdict: every cap holds" if told["holds"] else "verdict: A CAP WAS EXCEEDED OR A MESSAGE LOST")
    raise SystemExit(0 if told["holds"] and told["worked"] else 1)


if __name__ == "__main__":
    main()
