"""Counts of open and overdue cases, kept current for alarms.

Cases are computed from the log, as in `nextbest care list`, so both give the same numbers; they lag behind by what
the drain has not moved yet. So who drains counts, every quarter of a minute, and leaves the counts in Redis: counting
takes libraries and memory that no worker needs. Workers show them.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Event

import orjson
import redis
import structlog

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import LogUnavailableError, UnavailableError
from features.clock import clock_of
from features.online.redis_keys import CARE_WATCH_KEY, CASES_KEY
from features.settings import Settings
from serving.background import survive, survive_blocking
from serving.in_force.catalogue_source import CatalogueSource
from serving.live.redis_link import look_up
from serving.metrics import Metrics

EVERY_S = 15.0

_TIMEOUT_S = 2.0
_LOG = structlog.get_logger("nextbest.serving")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseCounts:
    """Cases by kind; every declared kind is there."""

    opened: Mapping[str, int]
    overdue: Mapping[str, int]


def count_cases(log_path: Path, catalogue: Catalogue, now: datetime) -> CaseCounts:
    """Cases that are open, and those of them that are overdue; blocks on the disk.

    Raises:
        LogUnavailableError: The log cannot be read.
    """
    from features.log.case_log import cases_in_log
    from features.log.event_log import EventLog

    cases = cases_in_log(EventLog(log_path), catalogue, as_of=now)
    opened = Counter[str](cases.filter("is_open")["kind"].to_list())
    overdue = Counter[str](cases.filter("is_overdue")["kind"].to_list())
    kinds = catalogue.care.kinds
    return CaseCounts(opened={one: opened[one] for one in kinds}, overdue={one: overdue[one] for one in kinds})


def run_counting(settings: Settings, redis_url: str, stop: Event, *, every_s: float = EVERY_S) -> None:
    """Count cases again and again until told to stop, beside a drain: what is counted comes with what that moves."""
    catalogues, now = CatalogueSource(folder=settings.catalogue_path), clock_of(settings)
    with redis.Redis.from_url(redis_url, socket_timeout=_TIMEOUT_S) as client:
        while not stop.is_set():
            step = partial(tell_cases, client, settings.log_path, catalogues, now(), every_s=every_s)
            survive_blocking(step, "cases_not_counted")
            stop.wait(every_s)


def tell_cases(
    client: redis.Redis, log_path: Path, catalogues: CatalogueSource, now: datetime, *, every_s: float = EVERY_S
) -> None:
    """Count once and leave the counts in Redis, unless another process did so a moment ago or Redis is away."""
    try:
        if not client.set(CARE_WATCH_KEY, 1, nx=True, px=max(1, int(every_s * 900))):
            return
        catalogues.refresh()
        if catalogues.catalogue is not None:
            counts = count_cases(log_path, catalogues.catalogue, now)
            client.set(CASES_KEY, orjson.dumps(asdict(counts)))
    except (LogUnavailableError, redis.RedisError) as error:
        _LOG.debug("cases_not_counted", problem=type(error).__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CareWatch:
    """Shows what was counted last, again and again; nothing is opened before the first look."""

    url: str
    metrics: Metrics

    async def run(self, every_s: float = EVERY_S) -> None:
        """Look again and again, until cancelled."""
        while True:
            await survive(self.look, "care_watch_failed")
            await asyncio.sleep(every_s)

    async def look(self) -> None:
        """Show the counts; nothing changes where nobody has counted yet, or Redis is away."""
        try:
            told = await look_up(self.url, CASES_KEY, _TIMEOUT_S)
        except UnavailableError:
            return
        if told is not None:
            counts = CaseCounts(**orjson.loads(told))
            self.metrics.show(self.metrics.open_cases, counts.opened)
            self.metrics.show(self.metrics.overdue_cases, counts.overdue)
