"""What servers saw of a rollout, put together."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from features.models.rollout import Rollout
from features.models.rollout_counts import read_counts
from features.online.redis_connection import connect
from features.settings import Settings
from pipelines.server.embedded_redis import redis_for
from serving.watch.rollout_watch import DISTANCE, DROPPED, FAILED, HOLDS, OTHER_MESSAGE, SAME, SENDS

RESULTS = (SAME, OTHER_MESSAGE, SENDS, HOLDS, FAILED, DROPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowReading:
    """What a shadow would have done.

    Attributes:
        decisions: Decisions of the champion that it decided, too.
        differing_rate: Share of them in which it would have chosen something else, in [0, 1].
        distance: Mean share of the probability that it gives to something else, in [0, 1]: the expected rate of
            differing choices, without the luck of the draws.
        touchpoints: Counts by result, by touchpoint.
    """

    decisions: int
    differing_rate: float
    distance: float
    touchpoints: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])


def read_shadow(settings: Settings, rollout: Rollout) -> ShadowReading:
    """What servers told of a shadow so far; they do so every second.

    Raises:
        UnavailableError: Redis is away.
    """
    with redis_for(settings) as url, connect(url) as redis:
        counts = read_counts(redis, rollout)
    distance = counts.pop(DISTANCE, 0.0)
    names = sorted({name.rpartition("/")[0] for name in counts})
    by = {name: {one: int(counts.get(f"{name}/{one}", 0)) for one in RESULTS} for name in names}
    decided = sum(of[one] for of in by.values() for one in (SAME, OTHER_MESSAGE, SENDS, HOLDS))
    differing = decided - sum(of[SAME] for of in by.values())
    return ShadowReading(
        decisions=decided,
        differing_rate=differing / decided if decided else 0.0,
        distance=distance / decided if decided else 0.0,
        touchpoints=by,
    )
