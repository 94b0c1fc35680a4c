"""The policy that makes history: any permitted message alike, silence with a probability of its own, all of it known.

It keeps consent, stage, caps, rests after a no, the conversation and capacities. A scarce channel is given out by lot
before anything is chosen: whoever drew no lot has no such message to choose from. So the probability of each choice,
given the lots, is known exactly, and the lots depend on nobody.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from decisioning.arrays import BoolArray, FloatArray, IntArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import Cap, CapScope, SuppressionScope
from decisioning.catalogue.limits import LimitScope
from decisioning.catalogue.message import Message
from pipelines.simulation.events.outcomes import is_declined
from pipelines.simulation.events.timing import seen_hours
from pipelines.simulation.world.chance import Cause, draw
from pipelines.simulation.world.week import HOURS, WeekResult
from pipelines.simulation.world.world import World

SILENCE_PROBABILITY = 0.3
_WEEK_SECONDS = HOURS * 3_600
_KEPT_WEEKS = 26
_NEVER = -1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnChoice:
    """What the policy did in a week.

    Attributes:
        actions: Index into the world's messages, -1 for silence; shape (n,).
        probability: Of that action, in (0, 1]; shape (n,).
    """

    actions: IntArray
    probability: FloatArray


class LoggingPolicy:
    """Chooses for everybody, and remembers what it must not repeat.

    Attributes:
        catalogue: Its caps, rests, conversation and limits; those that the world has no word for never arise in it.
    """

    def __init__(self, world: World, catalogue: Catalogue) -> None:
        self._world, self._catalogue = world, catalogue
        messages, size = world.messages, world.population.size
        self._offers = sorted({one.offer.offer_id for one in messages})
        self._offer = np.array([self._offers.index(one.offer.offer_id) for one in messages], dtype=np.int64)
        self._sent: deque[IntArray] = deque(maxlen=_KEPT_WEEKS)
        self._seen_at = np.full((size, len(self._offers)), _NEVER)
        self._declined_at = self._seen_at.copy()

    def choose(self) -> DrawnChoice:
        """Choose for the world's current week."""
        world, size = self._world, self._world.population.size
        permitted = self._permitted()
        self._deal_out(permitted)
        count = permitted.sum(axis=1)
        uniform = draw(world.seed, world.week, Cause.CHOSEN, size)
        is_silent = (uniform < SILENCE_PROBABILITY) | (count == 0)
        place = ((uniform - SILENCE_PROBABILITY) / (1 - SILENCE_PROBABILITY) * count).astype(np.int64)
        rank = np.cumsum(permitted, axis=1) - 1
        chosen = ((rank == np.clip(place, 0, np.maximum(count - 1, 0))[:, None]) & permitted).argmax(axis=1)
        each = (1 - SILENCE_PROBABILITY) / np.maximum(count, 1)
        silence = np.where(count == 0, 1.0, SILENCE_PROBABILITY)
        return DrawnChoice(
            actions=np.where(is_silent, -1, chosen), probability=np.where(is_silent, silence, each).astype(np.float64)
        )

    def learn(self, result: WeekResult) -> None:
        """Remember a week: what was sent, seen and declined."""
        self._sent.appendleft(result.actions)
        hours = result.when.week * HOURS + seen_hours(result)
        for at, of in ((self._seen_at, result.is_seen), (self._declined_at, is_declined(result))):
            rows = np.flatnonzero(of)
            at[rows, self._offer[result.actions[rows]]] = hours[rows]

    def _permitted(self) -> BoolArray:
        world, now = self._world, self._world.week * HOURS
        permitted = world.permitted()
        for cap in self._catalogue.contact_policy.caps:
            for mask in _counted(cap, world.messages):
                permitted &= ~mask | (self._count(mask, cap.window_seconds) < cap.limit)[:, None]
        rests = [
            (one.cooldown_seconds or np.inf) / 3_600
            for one in self._catalogue.contact_policy.suppressions
            if (one.after, one.scope) == ("declined", SuppressionScope.OFFER)
        ]
        for rest in rests:
            permitted &= (self._declined_at + rest <= now)[:, self._offer]
        talk = self._catalogue.conversation
        if talk is not None:
            is_remembered = (now < self._seen_at + talk.seen_seconds / 3_600)[:, self._offer]
            follows_up = np.array([one.key in talk.follow_ups for one in world.messages])
            permitted &= is_remembered == follows_up
        return permitted

    def _count(self, mask: BoolArray, window_seconds: float) -> IntArray:
        counted = np.zeros(self._world.population.size, dtype=np.int64)
        for weeks, actions in enumerate(self._sent, start=1):
            if weeks * _WEEK_SECONDS < window_seconds:
                counted += (actions >= 0) & mask[actions]
        return counted

    def _deal_out(self, permitted: BoolArray) -> None:
        """Take scarce messages from those who drew no lot; in place."""
        world = self._world
        lot = draw(world.seed, world.week, Cause.LOT, world.population.size)
        for limit in self._catalogue.limits:
            if limit.scope is not LimitScope.CHANNEL or limit.of not in world.population.channels:
                continue
            scarce = world.effects.channel == world.population.channels.index(limit.of)
            wanting = np.flatnonzero(permitted[:, scarce].any(axis=1))
            losers = wanting[np.argsort(lot[wanting])][int(limit.amount) :]
            permitted[np.ix_(losers, np.flatnonzero(scarce))] = False


def _counted(cap: Cap, messages: tuple[Message, ...]) -> list[BoolArray]:
    """Messages that a cap counts together, one mask for each thing it counts alone."""
    words = np.array([_word(cap.scope, one) for one in messages])
    return [words == value for value in ({cap.of} if cap.of is not None else set(words.tolist()))]


def _word(scope: CapScope, message: Message) -> str:
    words = {
        CapScope.CLASS: message.offer.message_class.value,
        CapScope.CHANNEL: message.channel.channel_id,
        CapScope.OFFER: message.offer.offer_id,
        CapScope.GOAL: message.offer.goal_id,
        CapScope.CREATIVE: message.creative.creative_id,
    }
    return words.get(scope, "")
