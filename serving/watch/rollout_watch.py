"""Looks at a challenger beside the champion: what a shadow would have decided, off the path of decisions.

A decision that the champion made on its values is handed over once it is in the log, and decided once more in another
thread with the challenger's values: same inputs, same draw, same gates. Nothing of it is logged or counted
against a cap; what differs is counted, in the metrics and in Redis, where `nextbest rollout status` finds it. Where
decisions come faster than they can be looked at, some are dropped, and their number is told.

Of a canary, which does decide, it tells what scoring counted (`serving.decisions.known`).
"""

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field, replace

import structlog

from decisioning.decision import Action, Decision
from decisioning.errors import InvalidInputError, UnavailableError
from decisioning.policy import decide
from decisioning.residuals import NO_RESIDUALS
from features.models.rollout import ROLLOUT_ALIAS, Rollout, RolloutKind
from features.models.rollout_counts import ADD_COUNTS, count_arguments
from features.online.redis_keys import ROLLOUT_KEY
from serving.background import survive
from serving.in_force.policy_in_force import InForce
from serving.live.redis_link import connect
from serving.metrics import Metrics

MOST_WAITING = 1_000
"""Decisions that wait to be looked at; more are dropped."""

AT_ONCE = 16
"""Decisions looked at before the thread gives way."""

TELL_EVERY_S = 1.0

SAME = "same"
OTHER_MESSAGE = "other_message"
SENDS = "sends"
"""The challenger sends where the champion is silent."""

HOLDS = "holds"
"""The challenger is silent where the champion sends."""

FAILED = "failed"
DROPPED = "dropped"
DISTANCE = "distance"
"""Sum over decisions of the share of probability that the challenger would have given to something else, in [0, 1]."""

_TIMEOUT_S = 2.0
_LOG = structlog.get_logger("nextbest.serving")


@dataclass(slots=True, kw_only=True)
class RolloutWatch:
    """Looks on for one worker.

    Attributes:
        url: Redis that the counts are told to.
    """

    url: str
    metrics: Metrics
    _waiting: deque[tuple[InForce, Decision]] = field(default_factory=deque[tuple[InForce, Decision]], init=False)
    _counts: Counter[str] = field(default_factory=Counter[str], init=False)
    _rollout: Rollout | None = field(default=None, init=False)
    _has_work: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def saw(self, in_force: InForce, decision: Decision) -> None:
        """Take note of a decision that was logged; cheap, whatever is at work."""
        rollout = in_force.rollout
        if rollout is None:
            return
        self._follow(rollout)
        if rollout.kind is RolloutKind.CANARY:
            self._counts.update(in_force.tally)
            in_force.tally.clear()
            return
        if not _is_champions(in_force, decision):
            return
        if len(self._waiting) >= MOST_WAITING:
            self._count(decision, DROPPED)
            return
        self._waiting.append((in_force, decision))
        self._has_work.set()

    async def run(self) -> None:
        """Look at what waits and tell what was seen, until cancelled."""
        self._has_work = asyncio.Event()  # an app may be started again, in another event loop
        telling = asyncio.create_task(self._tell_again(), name="rollout teller")
        try:
            while True:
                await self._has_work.wait()
                await survive(self._look, "rollout_watch_failed")
        finally:
            telling.cancel()

    async def _look(self) -> None:
        self._has_work.clear()
        while self._waiting:
            some = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
            seen = await asyncio.to_thread(lambda some=some: [difference(*one) for one in some])
            for (in_force, decision), (result, distance) in zip(some, seen, strict=True):
                if in_force.rollout == self._rollout:
                    self._count(decision, result)
                    self._counts[DISTANCE] += distance  # pyright: ignore[reportArgumentType]

    def _follow(self, rollout: Rollout) -> None:
        if rollout != self._rollout:
            self._rollout = rollout
            self._counts.clear()

    def _count(self, decision: Decision, result: str) -> None:
        self._counts[f"{decision.touchpoint_id}/{result}"] += 1
        self.metrics.shadowed.labels(decision.touchpoint_id, result).inc()

    async def _tell_again(self) -> None:
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            await survive(self._tell, "rollout_not_told")

    async def _tell(self) -> None:
        """Add what was counted to what other workers counted; it is kept for the next time where Redis is away."""
        if self._rollout is None or not self._counts:
            return
        told = dict(self._counts)
        self._counts.clear()
        arguments = count_arguments(self._rollout, told)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                link = await connect(self.url)
                try:
                    await link.send([("EVAL", ADD_COUNTS, 1, ROLLOUT_KEY, *arguments)])
                finally:
                    link.close()
        except (TimeoutError, UnavailableError, InvalidInputError):
            self._counts.update(told)


def difference(in_force: InForce, decision: Decision) -> tuple[str, float]:
    """What the challenger would have done in place of a decision, and how much of the probability lies elsewhere."""
    try:
        other = shadow_of(in_force, decision)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the challenger is what a shadow is there to find
        _LOG.error("shadow_failed", exc_info=error)
        return FAILED, 0.0
    ours = {one.message_key: one.probability for one in decision.evaluated}
    theirs = {one.message_key: one.probability for one in other.evaluated}
    distance = sum(abs(ours.get(key, 0.0) - theirs.get(key, 0.0)) for key in ours.keys() | theirs.keys()) / 2
    return _result(decision, other), distance


def shadow_of(in_force: InForce, decision: Decision) -> Decision:
    """The decision as the challenger would have made it: same inputs, same draw, other values."""
    inputs, challenger = decision.inputs, in_force.arm_models[ROLLOUT_ALIAS]
    features = inputs.features or in_force.nothing_known
    [values] = challenger.on_touchpoint[decision.touchpoint_id].of([features], [inputs.now])
    own = replace(inputs, expected_values=values, model_version=challenger.model.version, residuals=NO_RESIDUALS)
    return decide(in_force.policy, own, decision.decision_id)


def _is_champions(in_force: InForce, decision: Decision) -> bool:
    """Whether a decision was made on the champion's values."""
    return in_force.model is not None and decision.model_version == in_force.model.version


def _result(ours: Decision, theirs: Decision) -> str:
    if ours.message_key == theirs.message_key:
        return SAME
    if ours.action is Action.HOLD:
        return SENDS
    return HOLDS if theirs.action is Action.HOLD else OTHER_MESSAGE
