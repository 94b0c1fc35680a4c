"""Counts of open and overdue cases, kept current for alarms.

Cases are computed from the log, as in `nextbest care list`, so both give the same numbers; they lag behind by what
the drain has not moved yet. One process at a time looks, every quarter of a minute, in a thread of its own.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import structlog

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InvalidInputError, LogUnavailableError, UnavailableError
from features.online.redis_keys import CARE_WATCH_KEY
from serving.background import survive
from serving.errors import NotReadyError
from serving.in_force.policy_in_force import InForce
from serving.live.redis_link import connect
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


@dataclass(slots=True, kw_only=True)
class CareWatch:
    """Counts cases again and again, as long as no other process does; nothing is opened before the first look."""

    url: str
    log_path: Path
    in_force: Callable[[], InForce]
    now: Callable[[], datetime]
    metrics: Metrics
    _name: str = field(default_factory=lambda: uuid4().hex, init=False)

    async def run(self, every_s: float = EVERY_S) -> None:
        """Look again and again, until cancelled."""
        while True:
            await survive(lambda: self._look_if_first(every_s), "care_watch_failed")
            await asyncio.sleep(every_s)

    async def look(self) -> CaseCounts | None:
        """Count once, and show the counts; None where there is no catalogue yet, or the log cannot be read."""
        try:
            catalogue = self.in_force().catalogue
            counts = await asyncio.to_thread(count_cases, self.log_path, catalogue, self.now())
        except (NotReadyError, LogUnavailableError) as error:
            _LOG.debug("cases_not_counted", problem=str(error))
            return None
        self.metrics.show(self.metrics.open_cases, counts.opened)
        self.metrics.show(self.metrics.overdue_cases, counts.overdue)
        return counts

    async def _look_if_first(self, every_s: float) -> None:
        if await self._is_first(every_s):
            await self.look()

    async def _is_first(self, every_s: float) -> bool:
        """True for the process whose turn it is; while Redis is away nobody is asked, and everybody looks."""
        lasts_ms = max(1, int(every_s * 900))
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                link = await connect(self.url)
                try:
                    [reply] = await link.send([("SET", CARE_WATCH_KEY, self._name, "NX", "PX", lasts_ms)])
                finally:
                    link.close()
        except (TimeoutError, UnavailableError, InvalidInputError):
            return True
        return reply is not None
