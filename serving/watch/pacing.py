"""Shadow prices of shared limits: one process at a time updates them every second.

The process that holds a lock in Redis sets the prices; the lock expires after a few rounds, so another process takes
over if one dies. Prices and their inputs are stored in Redis, too, so that a restarted server continues from the last
price. Counters, and so ceilings, do not depend on this: without prices nothing is overspent, it is only served
first come, first served.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import batched
from statistics import median
from typing import Any
from uuid import uuid4

import hiredis
import orjson
import structlog

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.limits import (
    DepartmentShare,
    Limit,
    LimitMeasure,
    counter_name,
    price_name,
    total_counter_name,
)
from decisioning.choice.pacing import Pace, SharePace, elapsed_share, next_price, next_share_price
from decisioning.errors import InvalidInputError, UnavailableError
from decisioning.gates.arrival import run_at
from decisioning.gates.capacity import falls_under, value_of
from features.online.redis_keys import DEMAND_KEY, PACER_KEY, PACES_KEY, PRICES_KEY, counter_key
from serving.background import survive
from serving.errors import NotReadyError
from serving.in_force.policy_in_force import InForce
from serving.live.encoding import pairs_of
from serving.live.redis_link import Command, RedisLink, Reply, connect
from serving.live.scripts import LEAD_PACING, WRITE_PRICES
from serving.metrics import Metrics

EVERY_S = 1.0
LEADS_FOR_MS = 5_000
"""How long a leader that has gone silent still counts as running."""

_TIMEOUT_S = 2.0
_HOURS = 168
_LOG = structlog.get_logger("nextbest.serving")


@dataclass(frozen=True, slots=True, kw_only=True)
class PacedSupply:
    """A limit or share as it is counted now.

    Attributes:
        price: Name of its price.
        rule: The limit or share; of a limit that counts each value alone there is a line per value.
        counter: Its counter now.
        total_counter: Of a share, the counter of all departments.
        run: The moment that the counter is of: later than now after a cut-off.
        step: Most that one message uses.
    """

    price: str
    rule: Limit | DepartmentShare
    counter: str
    total_counter: str | None = None
    run: datetime
    step: float = 1.0


class Pacer:
    """Sets prices for a catalogue, as long as no other process does."""

    def __init__(
        self, url: str, *, in_force: Callable[[], InForce], now: Callable[[], datetime], metrics: Metrics | None = None
    ) -> None:
        """Prepare; nothing is opened before the first look, and prices are shown where there are metrics."""
        self._url = url
        self._in_force = in_force
        self._now = now
        self._metrics = metrics
        self._link: RedisLink | None = None
        self._name = uuid4().hex

    async def run(self, every_s: float = EVERY_S) -> None:
        """Look again and again, until cancelled; while Redis is away there is nothing to look at."""
        try:
            while True:
                if not await survive(self._look_in_time, "pacing_failed"):
                    self.close()
                await asyncio.sleep(every_s)
        finally:
            self.close()

    def close(self) -> None:
        """Drop the connection."""
        if self._link is not None:
            self._link.close()
            self._link = None

    async def look(self) -> Mapping[str, float] | None:
        """Set the prices once.

        Returns:
            Prices by name, in minor units per unit; None where another process sets them, or nothing is shared.

        Raises:
            UnavailableError: Redis is away.
            NotReadyError: There is no catalogue yet.
        """
        catalogue = self._in_force().catalogue
        lines = lines_of(catalogue, self._now())
        if not lines:
            return None
        if (await self._ask([("EVAL", LEAD_PACING.text, 1, PACER_KEY, self._name, LEADS_FOR_MS)]))[0] != 1:
            return None
        counters = sorted({one for line in lines for one in (line.counter, line.total_counter) if one})
        read: list[Command] = [("HGETALL", PACES_KEY), ("HGETALL", DEMAND_KEY)]
        read += [("MGET", *map(counter_key, some)) for some in batched(counters, 500)]
        paces, demand, *used = await self._ask(read)
        amounts = dict(zip(counters, map(_number, (one for some in used for one in some)), strict=True))
        worth = scale_minor(catalogue)
        steps = {
            line.price: _step(line, amounts, _known(paces).get(line.price, {}), worth, _hourly(demand))
            for line in lines
        }
        await self._write(steps)
        self._show(lines, amounts, steps)
        return {name: found["price_minor"] for name, found in steps.items()}

    async def _look_in_time(self) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await self.look()
        except NotReadyError:
            return
        except (TimeoutError, UnavailableError, InvalidInputError) as error:
            self.close()
            _LOG.debug("prices_not_set", problem=str(error))

    async def _ask(self, commands: Sequence[Command]) -> list[Reply]:
        if self._link is None or not self._link.is_up:
            self._link = await connect(self._url)
        replies = await self._link.send(commands)
        for reply in replies:
            if isinstance(reply, hiredis.ReplyError):
                raise UnavailableError(f"Redis must take prices, got {reply}")
        return replies

    async def _write(self, steps: Mapping[str, Mapping[str, Any]]) -> None:
        words = [word for name, one in steps.items() for word in (name, repr(one["price_minor"]), orjson.dumps(one))]
        keys = (PACER_KEY, PRICES_KEY, PACES_KEY)
        await self._ask([("EVAL", WRITE_PRICES.text, len(keys), *keys, self._name, len(steps), *words)])

    def _show(
        self, lines: Sequence[PacedSupply], amounts: Mapping[str, float], steps: Mapping[str, Mapping[str, Any]]
    ) -> None:
        if self._metrics is None:
            return
        used: dict[str, float] = {}
        for line in lines:
            whole = line.rule.amount if isinstance(line.rule, Limit) else amounts.get(line.total_counter or "", 0.0)
            used[line.price] = amounts[line.counter] / whole if whole else 0.0
        self._metrics.show(self._metrics.shadow_price, {line.price: steps[line.price]["price_minor"] for line in lines})
        self._metrics.show(self._metrics.supply_used, used)


def lines_of(catalogue: Catalogue, now: datetime) -> tuple[PacedSupply, ...]:
    """Every limit that lives and every share, as counted now; a channel with a cut-off counts to its next run."""
    found: dict[str, PacedSupply] = {}
    for limit in catalogue.limits:
        for line in _lines_of_limit(catalogue, limit, now):
            known = found.setdefault(line.price, line)
            if line.step > known.step or line.run < known.run:
                found[line.price] = line
    for share in catalogue.shares:
        found[share.share_id] = PacedSupply(
            price=share.share_id,
            rule=share,
            counter=counter_name(share, now),
            total_counter=total_counter_name(share, now),
            run=now,
        )
    return tuple(found.values())


def scale_minor(catalogue: Catalogue) -> float:
    """Typical worth of a message: the middle of the declared values, 100 minor units where there are none.

    Prices find their level by themselves; a wrong scale only costs them time.
    """
    values = [offer.value_minor for offer in catalogue.offers.values() if offer.value_minor > 0]
    return median(values) if values else 100.0


def _lines_of_limit(catalogue: Catalogue, limit: Limit, now: datetime) -> Iterator[PacedSupply]:
    for creative in catalogue.creatives:
        channel, touch = catalogue.channels[creative.channel_id], catalogue.touch(creative.parts)
        value, run = value_of(limit, touch), run_at(channel, now)
        step = channel.cost_minor if limit.measure is LimitMeasure.COST else 1.0
        if step > 0 and falls_under(limit, touch, run):
            name = counter_name(limit, run, value)
            yield PacedSupply(price=price_name(limit, value), rule=limit, counter=name, run=run, step=step)


def _step(
    line: PacedSupply, amounts: Mapping[str, float], known: Mapping[str, Any], worth: float, hourly: Sequence[float]
) -> dict[str, Any]:
    """The next price of a line with all that the look after this one needs."""
    is_same = known.get("counter") == line.counter
    price = known.get("price_minor", 0.0)
    if isinstance(line.rule, DepartmentShare):
        last = SharePace(**_fields(known, "messages", "total")) if is_same else SharePace(price_minor=price)
        total = amounts.get(line.total_counter or "", 0.0)
        share_pace = next_share_price(
            line.rule, messages=amounts[line.counter], total=total, last=last, scale_minor=worth
        )
        return {"counter": line.counter, **asdict(share_pace)}
    begun_at = known["begun_at"] if is_same else line.run.isoformat()
    elapsed = elapsed_share(line.rule, line.run, begun_at=datetime.fromisoformat(begun_at), hourly_demand=hourly)
    used = amounts[line.counter]
    if elapsed is None:  # no end to pace towards
        return {"counter": line.counter, "begun_at": begun_at, **asdict(Pace(used=used))}
    pace = next_price(
        amount=line.rule.amount,
        used=used,
        elapsed=elapsed,
        last=Pace(**_fields(known, "used", "elapsed")) if is_same else Pace(price_minor=price),
        scale_minor=worth / line.step,
        step=line.step,
    )
    return {"counter": line.counter, "begun_at": begun_at, **asdict(pace)}


def _fields(known: Mapping[str, Any], *names: str) -> dict[str, float]:
    return {name: float(known[name]) for name in ("price_minor", *names)}


def _known(paces: Sequence[bytes]) -> dict[str, Mapping[str, Any]]:
    return {name.decode(): orjson.loads(one) for name, one in pairs_of(paces)}


def _hourly(demand: Sequence[bytes]) -> list[float]:
    known = {name.decode(): float(one) for name, one in pairs_of(demand)}
    return [known.get(str(hour), 0.0) for hour in range(_HOURS)] if known else []


def _number(value: bytes | None) -> float:
    return float(value) if value else 0.0
