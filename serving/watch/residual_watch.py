"""Hands what outcomes since training say to the decision path of a worker: one look at Redis every few seconds.

Whoever drains works residuals out from the log (`pipelines.server.residual_keeper`) and leaves them in Redis. A
decision reads nothing more for it: it takes the snapshot that was there when it began.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from decisioning.errors import UnavailableError
from decisioning.residuals import Residuals
from features.online.redis_keys import RESIDUALS_KEY
from features.online.residuals import ResidualSnapshot, decode_residuals
from serving.background import survive
from serving.errors import NotReadyError
from serving.in_force.refresher import Refresher
from serving.live.redis_link import look_up
from serving.metrics import Metrics

EVERY_S = 3.0

_TIMEOUT_S = 2.0


@dataclass(slots=True, kw_only=True)
class ResidualWatch:
    """Looks for one worker; nothing is opened before the first look."""

    url: str
    refresher: Refresher
    metrics: Metrics
    now: Callable[[], datetime]
    _told: bytes | None = field(default=None, init=False)

    async def run(self, every_s: float = EVERY_S) -> None:
        """Look again and again, until cancelled."""
        while True:
            await survive(self.look, "residual_watch_failed")
            await asyncio.sleep(every_s)

    async def look(self) -> None:
        """Take the snapshot; what is known stays where Redis is away, and goes where Redis has none."""
        try:
            told = await look_up(self.url, RESIDUALS_KEY, _TIMEOUT_S)
        except UnavailableError:
            return
        if told != self._told:
            self._told = told
            self.refresher.residuals = None if told is None else decode_residuals(told)
        self._show(self.refresher.residuals)

    def _show(self, snapshot: ResidualSnapshot | None) -> None:
        try:
            in_force = self.refresher.current()
        except NotReadyError:
            return
        used = snapshot if in_force.residuals else None
        self.metrics.residual_age.set((self.now() - used.computed_at).total_seconds() if used else float("nan"))
        moved = {
            f"{touchpoint_id}/{stage}": _moved(one)
            for touchpoint_id, stages in in_force.residuals.items()
            for stage, one in stages.items()
            if one.has_evidence.any()
        }
        self.metrics.show(self.metrics.residual_messages, moved)


def _moved(residuals: Residuals) -> float:
    """Messages whose price residuals move."""
    return float((residuals.contribution != 0).sum())
