"""The world: customers who live week by week, with or without messages.

A week begins on a Monday at 15:00 UTC, when it is day in every zone the customers live in; campaigns are decided then.
What happens until the next Monday is drawn from chance that is the same for every policy.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

import numpy as np

from decisioning.arrays import BoolArray, IntArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message import Message, MessageClass
from decisioning.errors import InvalidInputError
from pipelines.simulation.world.chance import Cause, draw
from pipelines.simulation.world.effects import WorldEffects
from pipelines.simulation.world.journey import FULL_MEMORY, STAGE_OF, JourneyStep
from pipelines.simulation.world.life import Living
from pipelines.simulation.world.population import Population
from pipelines.simulation.world.state import first_state
from pipelines.simulation.world.structure import Structure
from pipelines.simulation.world.week import WeekResult, When

TOUCHPOINT = "weekly-campaign"
WEEK = timedelta(weeks=1)
_SETTLED_WEEKS = 40
_KEPT_WEEKS = 5  # longer than any stage rule looks back
_MONDAY_HOUR = 15


def campaign_messages(catalogue: Catalogue) -> tuple[Message, ...]:
    """Marketing that the campaign may send, ordered by key: what an action of the world means."""
    channels = catalogue.touchpoints[TOUCHPOINT].channels
    found = [
        Message(offer=catalogue.offers[one.offer_id], channel=catalogue.channels[one.channel_id], creative=one)
        for one in catalogue.creatives
        if one.channel_id in channels and catalogue.offers[one.offer_id].message_class is MessageClass.MARKETING
    ]
    return tuple(sorted(found, key=lambda message: message.key))


class World:
    """A population that lives.

    Attributes:
        messages: k messages; an action is an index into them, -1 is silence.
        starts_at: Monday of week 0.
        week: Number of the week that begins now.
        state: Where everybody stands now.
        prelude: The silent weeks before week 0, oldest first: their events tell the stage that customers are in.
    """

    def __init__(
        self, population: Population, structure: Structure, messages: Sequence[Message], starts_at: datetime, seed: int
    ) -> None:
        """Let customers live in silence until they are spread over the journey, then begin.

        Raises:
            InvalidInputError: It would begin at another moment of the week.
        """
        if starts_at.utcoffset() != timedelta(0) or (starts_at.weekday(), starts_at.hour) != (0, _MONDAY_HOUR):
            raise InvalidInputError(f"starts_at must be a Monday at {_MONDAY_HOUR}:00 UTC, got {starts_at}")
        self.population, self.starts_at, self.seed = population, starts_at, seed
        self.effects = WorldEffects(population, structure, messages)
        self.messages = self.effects.messages
        self.week = -_SETTLED_WEEKS
        self.state = first_state(population.size, draw(seed, self.week, Cause.PLACE, population.size))
        silence = np.full(population.size, -1)
        settled = [self.run_week(silence) for _ in range(_SETTLED_WEEKS)]
        self.prelude: tuple[WeekResult, ...] = tuple(settled[-_KEPT_WEEKS:])

    @staticmethod
    def monday(day: date) -> datetime:
        """The moment of a Monday on which a week of the world begins."""
        return datetime.combine(day, time(_MONDAY_HOUR), tzinfo=UTC)

    @property
    def now(self) -> datetime:
        """The Monday on which the current week begins."""
        return self.starts_at + self.week * WEEK

    @property
    def structure(self) -> Structure:
        """Constants of the world."""
        return self.effects.structure

    def copy(self) -> "World":
        """The same world at the same moment, to be lived on differently."""
        other = object.__new__(World)
        other.__dict__.update(self.__dict__)
        return other

    def first(self, count: int) -> "World":
        """The world of the first customers alone, at the same moment: they live the same lives in it."""
        other = self.copy()
        other.population = self.population.first(count)
        other.effects = WorldEffects(other.population, self.structure, self.messages)
        other.state = self.state.first(count)
        other.prelude = ()
        return other

    def permitted(self) -> BoolArray:
        """Messages of the campaign that consent, stage and the cap of three in four weeks allow; shape (n, k).

        The stage is the true one; a catalogue's rules see it through events and may refuse more.
        """
        effects, state = self.effects, self.state
        may_hear = ~state.has_left & (state.memory != FULL_MEMORY)
        in_stage = effects.is_in_stage.T[state.step] & may_serve(effects.messages)[:, state.step].T
        return effects.permits() & in_stage & may_hear[:, None]

    def run_week(
        self, actions: IntArray, decision_ids: Sequence[str | None] | None = None, *, answered: BoolArray | None = None
    ) -> WeekResult:
        """Live one week.

        Args:
            actions: What each customer was sent at `now`, shape (n,): an index into `messages`, -1 for silence.
            decision_ids: Of the decisions behind them, n; needed where outcomes are to be reported.
            answered: Whose open case somebody answered this week; None where the airline's own people answer everybody,
                which events `case_answered` then tell.

        Raises:
            InvalidInputError: Actions of another shape, or beyond the messages there are.
        """
        _check(actions, self.population.size, len(self.messages))
        result = Living(
            self.effects,
            self.state,
            When(seed=self.seed, week=self.week, begins_at=self.now),
            actions=np.asarray(actions, dtype=np.int64),
            answered=answered,
        ).live(decision_ids)
        self.state, self.week = result.after, self.week + 1
        return result


def may_serve(messages: Sequence[Message]) -> BoolArray:
    """Steps in whose stage the message's channel may serve its offer's goal; shape (k, steps)."""
    return np.array([[_serves(message, STAGE_OF[step]) for step in JourneyStep] for message in messages]).reshape(
        -1, len(JourneyStep)
    )


def _serves(message: Message, stage: str) -> bool:
    purposes = message.channel.purposes
    return purposes is None or message.offer.goal_id in purposes.get(stage, frozenset())


def _check(actions: IntArray, size: int, count: int) -> None:
    if actions.shape != (size,):
        raise InvalidInputError(f"actions must have shape ({size},), got {actions.shape}")
    if size and not (actions.min() >= -1 and actions.max() < count):
        raise InvalidInputError(f"actions must be in [-1, {count}), got {actions.min()} to {actions.max()}")
