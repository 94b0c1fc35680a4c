"""What a policy would send within limits: every wave of a log planned as a batch would plan it.

A wave is what one touchpoint decided on one day (UTC). Its plan is the exact optimum of what arbitration compares,
within the catalogue's capacities, budgets and shares, which last for as long as they say, and within the limits asked
for, whose shares of a wave are rounded down. Beside it stands the best use of the same limits that knows nothing of
customers: so many of each message as are best by what each is worth on average, drawn among those who may get it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from math import floor

import numpy as np

from decisioning.arrays import BoolArray, FloatArray, IndexArray, IntArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.limits import Supply
from decisioning.catalogue.message import SILENCE
from decisioning.errors import InvalidInputError
from decisioning.gates.capacity import uses
from decisioning.policy import Policy
from features.progress import OnStageProgress
from pipelines.batch.allocation import NOBODY, AllocationChoices, Constraint, Plan, allocate
from pipelines.batch.allocation_problem import problem_of
from pipelines.batch.customer_options import CustomerOptions
from training.off_policy.choices import PolicyChoices, touchpoints_of
from training.off_policy.evaluation import Judged

_PASSES = 200
_CLOSE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveLimits:
    """Limits per wave beside the catalogue's own.

    Attributes:
        keeps_mix: Exactly as many of each message as the log sent.
        max_share: Most that an offer may have of all decisions.
        messaged: Most of all decisions that may send anything.
        scale: Share of the audience that the log holds; amounts of the catalogue's limits count for so much.
    """

    keeps_mix: bool = False
    max_share: float | None = None
    messaged: float | None = None
    scale: float = 1.0

    def check(self, catalogue: Catalogue) -> None:
        """Refuse limits that say nothing, or nothing that could be.

        Raises:
            InvalidInputError: A share out of range, or no limit at all.
        """
        for name, share in (("--max-share", self.max_share), ("--messaged", self.messaged), ("--scale", self.scale)):
            if share is not None and not 0 < share <= 1:
                raise InvalidInputError(f"{name} must be above 0 and at most 1, got {share:g}")
        if not (self.words or catalogue.limits or catalogue.shares):
            raise InvalidInputError(
                "--constrained must know a limit, got none: the catalogue has no limits and no shares; declare some, or"
                " pass --mix logged, --max-share or --messaged"
            )

    @property
    def words(self) -> tuple[str, ...]:
        """The limits in words, without the catalogue's."""
        told = ("exactly as many of each message as logged",) if self.keeps_mix else ()
        told += () if self.max_share is None else (f"each offer for at most {100 * self.max_share:g}% of decisions",)
        return told + (() if self.messaged is None else (f"at most {100 * self.messaged:g}% of decisions messaged",))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedWave:
    """One wave.

    Attributes:
        gap_minor: Most that another plan could be better by what the model expects; 0 where it is proven best.
        prices_minor: Worth of one more unit of each limit.
        shortfalls: Least amounts that cannot be met, and by how much they are missed.
    """

    touchpoint: str
    day: str
    decisions: int
    messaged: int
    gap_minor: float
    prices_minor: Mapping[str, float]
    shortfalls: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitedPolicy:
    """What is sent within the limits at n decisions.

    Attributes:
        planned: shape (n,), column of what each decision gets by the plan.
        random: shape (n, k + 1), chances of drawing within the same limits; rows sum to 1.
    """

    planned: IndexArray
    random: FloatArray
    waves: tuple[PlannedWave, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wave:
    """The decisions of one wave, by their places in the log."""

    touchpoint: str
    day: str
    at: datetime
    rows: IndexArray


def plan_waves(
    judged: Judged, catalogue: Catalogue, limits: WaveLimits, *, on_progress: OnStageProgress | None = None
) -> LimitedPolicy:
    """Plan every wave of a log, in the order of time.

    Raises:
        InvalidInputError: Limits that leave no plan.
        UnavailableError: The solver gave up.
    """
    policy = Policy(_scaled(catalogue, limits.scale))
    choices = judged.choices
    planned, random = choices.greedy.copy(), np.zeros_like(choices.probabilities)
    used: Counter[str] = Counter()
    waves: list[PlannedWave] = []
    everything = list(_waves(judged, catalogue))
    for done, wave in enumerate(everything, start=1):
        table = _Table(policy, choices, judged, wave, limits, Supply(used=dict(used)))
        plan = allocate(table.problem.choices, table.constraints)
        planned[wave.rows] = table.columns_of(plan)
        random[wave.rows] = table.drawn(table.counts(allocate(table.averaged, table.constraints)))
        used.update(table.used_by(planned[wave.rows]))
        waves.append(
            PlannedWave(
                touchpoint=wave.touchpoint,
                day=wave.day,
                decisions=len(wave.rows),
                messaged=int((planned[wave.rows] > 0).sum()),
                gap_minor=plan.gap_minor,
                prices_minor=plan.prices_minor,
                shortfalls=plan.shortfalls,
            )
        )
        if on_progress:
            on_progress("planning", done, len(everything))
    return LimitedPolicy(planned=planned, random=random, waves=tuple(waves))


def _scaled(catalogue: Catalogue, scale: float) -> Catalogue:
    return replace(catalogue, limits=tuple(replace(one, amount=one.amount * scale) for one in catalogue.limits))


def _waves(judged: Judged, catalogue: Catalogue) -> Iterator[_Wave]:
    moments: list[datetime] = judged.decisions["decided_at"].to_list()
    places: dict[tuple[str, str], list[int]] = {}
    for row, (at, name) in enumerate(zip(moments, touchpoints_of(judged.decisions, catalogue), strict=True)):
        places.setdefault((at.date().isoformat(), name), []).append(row)
    for (day, name), rows in sorted(places.items()):
        at = min(moments[row] for row in rows)
        yield _Wave(touchpoint=name, day=day, at=at, rows=np.array(rows, dtype=np.intp))


class _Table:
    """One wave as a problem of allocation."""

    def __init__(
        self, policy: Policy, choices: PolicyChoices, judged: Judged, wave: _Wave, limits: WaveLimits, supply: Supply
    ) -> None:
        self._catalogue, self._at = policy.catalogue, wave.at
        self._part = choices.take(wave.rows)
        self._messages = {one.key: one for one in policy.candidates(wave.touchpoint)}
        logged = Counter(judged.decisions["message_key"].gather(wave.rows).to_list())
        self.problem = problem_of(policy.catalogue, list(self._messages.values()), self._options(), supply, wave.at)
        self._columns = choices.columns([*self.problem.keys])
        settled = np.bincount(self._part.greedy[self._part.settled], minlength=len(choices.keys))[self._columns]
        self.constraints = (*self.problem.constraints, *self._asked(limits, logged, settled.astype(np.float64)))

    def _options(self) -> list[CustomerOptions]:
        part, keys = self._part, self._part.keys
        options: list[CustomerOptions] = []
        for row in range(len(part.greedy)):
            best = keys[part.greedy[row]]
            if part.settled[row]:
                options.append(CustomerOptions(settled=None if best == SILENCE else best))
                continue
            may = np.flatnonzero(part.permitted[row, 1:]) + 1
            options.append(CustomerOptions(net_minor={keys[one]: float(part.priorities[row, one]) for one in may}))
        return options

    def _asked(self, limits: WaveLimits, logged: Mapping[str, int], settled: FloatArray) -> Iterator[Constraint]:
        """Bounds on what a plan may choose, what is settled taken off."""
        keys, n = self.problem.keys, len(self._part.greedy)
        ones, one_of = np.ones(len(keys)), np.eye(len(keys))
        if limits.keeps_mix:
            for place, key in enumerate(keys):
                left = max(0.0, logged.get(key, 0) - float(settled[place]))
                told = f"exactly {logged.get(key, 0):,} of {key}"
                yield Constraint(
                    name=f"mix of {key}", units=one_of[place], least=left, most=left, told=told, is_soft=True
                )
        if limits.max_share is not None:
            for offer in dict.fromkeys(self._offers):
                own = np.array([name == offer for name in self._offers], dtype=np.float64)
                yield Constraint(
                    name=f"share of {offer}", units=own, most=_left(limits.max_share * n, float(own @ settled))
                )
        if limits.messaged is not None:
            yield Constraint(name="messaged", units=ones, most=_left(limits.messaged * n, float(settled.sum())))

    @property
    def _offers(self) -> list[str]:
        return [self._messages[key].offer.offer_id for key in self.problem.keys]

    @property
    def averaged(self) -> AllocationChoices:
        """The same choices where nobody knows customers: each message is worth what it is on average."""
        pairs = self.problem.choices
        counts = np.bincount(pairs.messages, minlength=len(self.problem.keys))
        sums = np.bincount(pairs.messages, weights=pairs.net_minor, minlength=len(self.problem.keys))
        return replace(pairs, net_minor=(sums / np.maximum(counts, 1))[pairs.messages])

    def columns_of(self, plan: Plan) -> IndexArray:
        """What each decision gets: a column of the policy's matrices."""
        found = np.where(plan.chosen == NOBODY, 0, self._columns[plan.chosen])
        return np.where(self._part.settled, self._part.greedy, found)

    def counts(self, plan: Plan) -> IntArray:
        """How many of each column a plan sends, what is settled left out: shape (k + 1,)."""
        free = self.columns_of(plan)[~self._part.settled]
        return np.bincount(free, minlength=len(self._part.keys))

    def drawn(self, counts: IntArray) -> FloatArray:
        """Chances of a draw that sends so many of each column: shape (n, k + 1)."""
        part = self._part
        found = np.eye(len(part.keys))[part.greedy]
        free = ~part.settled
        found[free] = spread_evenly(part.permitted[free], counts.astype(np.float64))
        return found

    def used_by(self, columns: IndexArray) -> dict[str, float]:
        """What a wave used of the catalogue's limits and shares, by the names of their counters."""
        used: Counter[str] = Counter()
        for column, count in Counter(columns.tolist()).items():
            if column:
                message = self._messages[self._part.keys[column]]
                touch = self._catalogue.touch(message.parts)
                amounts = uses(self._catalogue, touch, message.channel.cost_minor, self._at)
                used.update({name: count * amount for name, amount in amounts.items()})
        return dict(used)


def _left(most: float, settled: float) -> float:
    return max(0.0, floor(most + _CLOSE) - settled)


def spread_evenly(permitted: BoolArray, counts: FloatArray) -> FloatArray:
    """Chances that send so many of each choice, as evenly as what is permitted allows: shape (n, k), rows sum to 1.

    Args:
        permitted: shape (n, k); the first, silence, always is.
        counts: shape (k,), summing to n.

    Reference:
        Sinkhorn (1967), Diagonal equivalence to matrices with prescribed row and column sums: the fixed point of
        scaling rows and columns in turn is the distribution of the largest entropy.

    Example:
        >>> spread_evenly(np.ones((4, 2), dtype=np.bool_), np.array([3.0, 1.0]))[0].tolist()
        [0.75, 0.25]
    """
    if not permitted.size:
        return permitted.astype(np.float64)
    chances = permitted * (counts / permitted.shape[0])
    chances[:, 0] += chances.sum(axis=1) == 0
    for _ in range(_PASSES):
        chances /= chances.sum(axis=1, keepdims=True)
        sums = chances.sum(axis=0)
        if np.abs(sums - counts).max() < _CLOSE * permitted.shape[0]:
            break
        chances *= np.divide(counts, sums, out=np.zeros_like(counts), where=sums > 0)
        chances[:, 0] += chances.sum(axis=1) == 0
    return chances / chances.sum(axis=1, keepdims=True)
