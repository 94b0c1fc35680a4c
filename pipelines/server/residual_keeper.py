"""Keeps residuals current: works them out from the log beside the drain, and leaves them in Redis for all workers.

From the log and nothing else, so a report that came twice counts once, the order of reports changes nothing, an erased
customer is gone from the next snapshot on, and a Redis that lost everything gets all of it back. It takes a tenth of
one core's time at most: after a look that took long it waits nine times as long.
"""

import threading
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import structlog

from decisioning.errors import NextbestError
from features.clock import clock_of
from features.settings import Settings
from serving.background import survive_blocking
from serving.in_force.catalogue_source import CatalogueSource

if TYPE_CHECKING:
    from features.log.event_log import EventLog
    from features.online.residuals import ResidualSnapshot
    from training.residuals.updating import ResidualLearner

EVERY_S = 10.0
REST = 9.0
"""How many times as long as a look it rests at least."""

LONGEST_S = 60.0
"""How long outcomes that did not come take to count, at most, where the log has nothing new."""

_LOG = structlog.get_logger("nextbest.serving")


def run_keeping(settings: Settings, redis_url: str, stop: threading.Event, *, every_s: float = EVERY_S) -> None:
    """Look again and again until told to stop; nothing is loaded and read while there is no model to learn on."""
    now, keeper, wait_s = clock_of(settings), ResidualKeeper(settings=settings, redis_url=redis_url), every_s
    while not stop.wait(wait_s):
        began = perf_counter()
        survive_blocking(partial(_keep, keeper, now()), "residuals_not_kept")
        wait_s = max(every_s, REST * (perf_counter() - began))


def _keep(keeper: "ResidualKeeper", now: datetime) -> None:
    try:
        keeper.keep(now)
    except NextbestError as error:  # Redis, the log or the model is away: the next look may find it
        _LOG.debug("residuals_not_kept", problem=str(error))


@dataclass(slots=True, kw_only=True)
class ResidualKeeper:
    """Works residuals out for one home, again and again.

    Attributes:
        redis_url: Where they go.
    """

    settings: Settings
    redis_url: str
    _catalogues: CatalogueSource = field(init=False)
    _learner: "ResidualLearner | None" = field(default=None, init=False)
    _of: tuple[Path, str] | None = field(default=None, init=False)
    _looked_at: tuple[tuple[str, ...], datetime] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Read nothing yet."""
        self._catalogues = CatalogueSource(folder=self.settings.catalogue_path)

    def keep(self, now: datetime, *, is_forced: bool = False) -> "ResidualSnapshot | None":
        """Look once, where the log has something new or a while has passed, and write what was found to Redis.

        Args:
            now: As of when.
            is_forced: Look in any case, and until everything is read.

        Returns:
            What was written; None where nothing was, or where there is nothing to learn on.

        Raises:
            UnavailableError: Redis, the log or the model is away.
            InvalidInputError: The champion does not fit the catalogue.
        """
        from features.log.event_log import EventLog
        from features.online.redis_connection import connect
        from features.online.residuals import read_residuals, write_residuals

        learner = self._current()
        with connect(self.redis_url) as redis:
            if learner is None:
                if read_residuals(redis) is not None:
                    write_residuals(redis, None)
                return None
            log = EventLog(self.settings.log_path)
            seen = _versions(log)
            is_there = read_residuals(redis) is not None
            if not is_forced and is_there and self._looked_at is not None and not learner.book.is_behind:
                versions, at = self._looked_at
                if versions == seen and (now - at).total_seconds() < LONGEST_S:
                    return None
            snapshot = learner.learn(log, now)
            while is_forced and learner.book.is_behind:
                snapshot = learner.learn(log, now)
            write_residuals(redis, snapshot)
            self._looked_at = seen, now
            return snapshot

    def _current(self) -> "ResidualLearner | None":
        """Who learns on the champion of now under the catalogue of now; a new one where either is another."""
        from features.models.registry import fetch_champion

        self._catalogues.refresh()
        catalogue = self._catalogues.catalogue
        if catalogue is None or catalogue.learning is None or not catalogue.learning.in_minutes:
            return None
        champion = fetch_champion(self.settings)
        key = champion.folder, catalogue.version
        if key != self._of:
            from features.models.bundle import read_bundle
            from features.models.logged_decisions import LoggedDecisions
            from features.models.schema_archive import known_schemas
            from training.residuals.updating import ResidualLearner

            self._learner = ResidualLearner.on(
                read_bundle(champion.folder),
                champion.version,
                catalogue=catalogue,
                seed=self.settings.policy_seed,
                logged=LoggedDecisions(self.settings),
                known=known_schemas(self.settings),
            )
            self._of, self._looked_at = key, None
        return self._learner


def _versions(log: "EventLog") -> tuple[str, ...]:
    from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES

    return tuple(log.version_of(table) for table in (CUSTOMERS, DECISIONS, EVENTS, OUTCOMES))
