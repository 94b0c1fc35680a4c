"""Residuals as Redis holds them: what outcomes since training say of messages, by journey stage.

This module owns the layout of the value: one JSON text, written as a whole by whoever works residuals out
(`pipelines.server.residual_keeper`), so that a reader never sees half of an update. It holds counts and estimates, and
nobody's id. A Redis that lost it gets it again from the log.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import orjson
from redis import Redis

from decisioning.catalogue.message import Message
from decisioning.residuals import NO_STAGE, Residuals, ResidualsByStage, rounded
from features.online.redis_connection import asking_redis
from features.online.redis_keys import RESIDUALS_KEY


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What outcomes since training say of one message at one stage; see `decisioning.residuals`.

    Attributes:
        estimate: In the measure's unit.
        customers: Who got the message by chance.
    """

    estimate: float
    standard_error: float
    customers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualPriors:
    """Prior deviations of residuals, as a training run estimated them; in the measure's unit.

    Attributes:
        usual: Of a message that the model knows, at a stage that it does not.
        by_stage: The same by stage.
        of_new: Of a message that the model does not know.
        known: Keys of the messages that it knows.
    """

    usual: float
    of_new: float
    by_stage: Mapping[str, float] = field(default_factory=dict[str, float])
    known: frozenset[str] = frozenset()

    def of(self, message_key: str, stage_id: str) -> float:
        """Prior deviation of a message at a stage."""
        return self.by_stage.get(stage_id, self.usual) if message_key in self.known else self.of_new


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualSnapshot:
    """All residuals on top of one model version.

    Attributes:
        model_version: The only version that they may be added to.
        computed_at: As of when (aware, UTC).
        decisions: How many went in.
        slates: How many did not, since they were slates.
        evidence: By stage and message key.
    """

    model_version: str
    computed_at: datetime
    decisions: int
    priors: ResidualPriors
    evidence: Mapping[str, Mapping[str, Evidence]]
    slates: int = 0

    def on(self, messages: Sequence[Message], stages: Sequence[str]) -> ResidualsByStage:
        """Residuals of silence and some candidates, in order, at every stage and where none is known."""
        keys = [message.key for message in messages]
        return {stage: self.at(stage, keys) for stage in {*stages, *self.evidence, NO_STAGE}}

    def at(self, stage: str, keys: Sequence[str]) -> Residuals:
        """Residuals of silence and some messages at a stage, by key."""
        rows = [self.evidence.get(stage, {}).get(key) for key in keys]
        return Residuals(
            np.array([0.0, *(self.priors.of(key, stage) for key in keys)]),
            rounded(np.array([0.0, *(0.0 if one is None else one.estimate for one in rows)])),
            rounded(np.array([np.inf, *(np.inf if one is None else one.standard_error for one in rows)])),
            np.array([0.0, *(0.0 if one is None else float(one.customers) for one in rows)]),
        )


def encode_residuals(snapshot: ResidualSnapshot) -> bytes:
    """A snapshot as Redis holds it; equal ones are equal bytes."""
    plain = asdict(snapshot)
    plain["priors"]["known"] = sorted(snapshot.priors.known)
    return orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)


def decode_residuals(told: bytes) -> ResidualSnapshot | None:
    """The snapshot; None where it is not one that this release wrote."""
    try:
        return _read(orjson.loads(told))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _read(plain: Mapping[str, Any]) -> ResidualSnapshot:
    priors = plain["priors"]
    return ResidualSnapshot(
        model_version=plain["model_version"],
        computed_at=datetime.fromisoformat(plain["computed_at"]),
        decisions=plain["decisions"],
        slates=plain.get("slates", 0),
        priors=ResidualPriors(**{**priors, "known": frozenset(priors["known"])}),
        evidence={
            stage: {key: Evidence(**one) for key, one in messages.items()}
            for stage, messages in plain["evidence"].items()
        },
    )


def write_residuals(redis: Redis, snapshot: ResidualSnapshot | None) -> None:
    """Put a snapshot in place of the former one; None forgets it.

    Raises:
        FeatureUnavailableError: Redis could not take it.
    """
    with asking_redis("residuals could not be written to Redis"):
        if snapshot is None:
            redis.delete(RESIDUALS_KEY)
        else:
            redis.set(RESIDUALS_KEY, encode_residuals(snapshot))


def read_residuals(redis: Redis) -> ResidualSnapshot | None:
    """The snapshot in Redis; None where there is none.

    Raises:
        FeatureUnavailableError: Redis is away.
    """
    with asking_redis("residuals could not be read from Redis"):
        told = redis.get(RESIDUALS_KEY)
    return decode_residuals(told) if isinstance(told, bytes) else None
