"""Takes a canary back that harms, without asking anybody: looked at beside the drain, again and again."""

import threading
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import structlog

from features.clock import clock_of
from features.models.rollout import Rollout, RolloutKind, read_rollout
from features.settings import Settings
from serving.background import survive_blocking

if TYPE_CHECKING:
    from training.registry.canary_guard import GuardReading

EVERY_S = 15.0

_LOG = structlog.get_logger("nextbest.serving")


def run_guarding(settings: Settings, redis_url: str, stop: threading.Event, *, every_s: float = EVERY_S) -> None:
    """Look at the canary again and again until told to stop; nothing is loaded and read while there is none."""
    now = clock_of(settings)
    while not stop.wait(every_s):
        survive_blocking(partial(guard_once, settings, redis_url, now()), "canary_not_guarded")


def guard_once(settings: Settings, redis_url: str, now: datetime) -> bool:
    """Look at the canary, and take it back where a guardrail is broken; whether it was.

    Raises:
        UnavailableError: Redis or the log is away.
    """
    rollout = read_rollout(settings)
    if rollout is None or rollout.kind is not RolloutKind.CANARY:
        return False
    readings = read_canary(settings, redis_url, rollout, now)
    broken = [one for one in readings if one.is_broken]
    if not broken or read_rollout(settings) != rollout:
        return False
    from training.registry.promotion_ledger import TAKEN_BACK
    from training.registry.rollout_end import end_rollout

    numbers = {f"{one.name}: {who}": getattr(one, who) for one in readings for who in ("canary", "champion")}
    reason = "guardrail broken: " + "; ".join(one.words for one in broken)
    end_rollout(settings, now=now, reason=reason, by="guard", action=TAKEN_BACK, numbers=numbers)
    _LOG.error("canary_taken_back", version=rollout.version, reason=reason)
    return True


def read_canary(settings: Settings, redis_url: str, rollout: Rollout, now: datetime) -> "list[GuardReading]":
    """Every guardrail of a canary as it stands.

    Raises:
        UnavailableError: Redis or the log is away.
    """
    from features.catalogue import load_catalogue
    from features.log.event_log import EventLog
    from features.models.rollout_counts import read_counts
    from features.online.redis_connection import connect
    from training.registry.canary_guard import guard_by_counts, guard_by_log, history_since

    with connect(redis_url) as redis:
        counts = read_counts(redis, rollout)
    history = history_since(EventLog(settings.log_path), rollout)
    return [
        *guard_by_counts(counts),
        *guard_by_log(history, load_catalogue(settings.catalogue_path), rollout, now=now),
    ]
