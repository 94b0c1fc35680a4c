"""Decisions for a whole audience: the functions that serve one request, run over many customers at a time.

What is read, decided, logged and answered is what the API reads, decides, logs and answers; only the waiting differs.
A batch stops where the API would answer degraded because Redis is away: it can be run again, and with a key it goes on
where it stopped, since a customer who has a decision under that key keeps it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import batched

import numpy as np
import pyarrow as pa

from decisioning.catalogue.limits import Supply
from decisioning.catalogue.message import SILENCE
from decisioning.errors import ModelUnavailableError, UnknownNameError
from features.catalogue.assignment.settlement import settle
from features.clock import clock_of
from features.models.policy_archive import PolicyArchive
from features.models.rollout import Rollout
from features.models.schema_archive import keep_schema
from features.online.redis_connection import connect
from features.online.residuals import ResidualSnapshot, read_residuals
from features.progress import OnProgress
from features.settings import Settings
from pipelines.batch.audience import Audience, open_audience
from pipelines.batch.crew import Over, alone, together
from pipelines.batch.customer_options import CustomerOptions
from pipelines.batch.results import SCHEMA, write_results
from pipelines.batch.worker import (
    SLICE,
    AskedRow,
    AudiencePart,
    BatchPlan,
    DecidedPart,
    ModelCopy,
    Run,
    Surveyed,
    Worker,
)
from serving.in_force.policy_in_force import InForce

SMALL = 5_000
"""Up to so many, starting processes costs more than it saves."""


def _residuals(redis_url: str) -> ResidualSnapshot | None:
    """What outcomes since training say, as the servers of this Redis know it."""
    with connect(redis_url) as redis:
        return read_residuals(redis)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationReport:
    """What the plan over everybody is worth, and what is scarce.

    Attributes:
        planned: Customers whom the plan gives a message.
        net_value: Net value of the plan, in major units.
        gap: Most that another plan could be better; 0 where this one is proven best.
        shadow_prices: What one more unit would be worth, in major units, by limit, share and volume.
        shortfalls: Least shares that cannot be met, and by how much they are missed.
        kept: Decisions that are as planned; others lost their message to a cap or to chance in between.
    """

    planned: int
    net_value: float
    gap: float
    shadow_prices: Mapping[str, float]
    shortfalls: tuple[str, ...]
    kept: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReport:
    """What a batch did.

    Attributes:
        conflicts: Decisions that others overtook, and that were made again.
        repeated: Rows without any key whose customer came before: each of them was decided, too.
        allocation: The plan over everybody; None without one.
    """

    decided: int
    sent: int
    held: int
    replayed: int
    degraded: int
    model_version: str | None
    policy_version: str
    out: str
    conflicts: int = 0
    repeated: int = 0
    allocation: AllocationReport | None = None


def decide_audience(
    plan: BatchPlan,
    settings: Settings,
    *,
    redis_url: str,
    model: ModelCopy | None,
    arms: Mapping[str, ModelCopy] | None = None,
    rollout: Rollout | None = None,
    on_progress: OnProgress | None = None,
) -> BatchReport:
    """Decide for everybody in an audience file and write the answers.

    Returns:
        Counts; the answers are in `plan.out`, in the order of the audience.

    Raises:
        InvalidInputError: The audience, the catalogue or the touchpoint is wrong, or a volume cannot be reached;
            nothing was decided.
        ModelUnavailableError: No usable model, and the plan does not go without.
        UnavailableError: Redis is away; run it again, with a key it goes on where it stopped.
    """
    run = Run(
        plan=plan,
        settings=settings,
        redis_url=redis_url,
        model=model,
        arms=arms or {},
        rollout=rollout,
        residuals=None if model is None else _residuals(redis_url),
    )
    in_force = run.in_force()
    settle(settings.catalogue_path, clock_of(settings)())
    keep_schema(settings, in_force.schema)
    is_archived = PolicyArchive(settings.catalogues_path).keep(settings.catalogue_path, in_force.policy)
    run = replace(run, is_archived=is_archived)
    if in_force.model is None and not (plan.allows_no_model or in_force.is_cold_start):
        raise ModelUnavailableError(
            f"a batch must have a model, got none ({in_force.model_problem}); promote one, or pass --without-model"
        )
    touchpoint = in_force.catalogue.touchpoints.get(plan.touchpoint_id)
    if touchpoint is None:
        raise UnknownNameError("touchpoint", plan.touchpoint_id, in_force.catalogue.touchpoints)
    audience = open_audience(plan.audience, touchpoint)
    counts: Counter[str] = Counter()
    with _workers(run, plan, audience.row_count) as over:
        if plan.optimises:
            allocation = _decide_as_planned(plan, in_force, audience, over, counts, on_progress)
        else:
            parts = over(Worker.decide, (AudiencePart(rows=rows) for rows in audience.slices(SLICE)))
            write_results(plan.out, _counted(parts, counts, audience.row_count, on_progress))
            allocation = None
    counts["repeated"] = 0 if plan.key else audience.repeated
    return BatchReport(
        decided=counts["decided"],
        sent=counts["send"],
        held=counts["hold"],
        replayed=counts["replayed"],
        degraded=counts["degraded"],
        model_version=in_force.model.version if in_force.model else None,
        policy_version=in_force.policy.version,
        out=str(plan.out),
        conflicts=counts["conflicts"],
        repeated=counts["repeated"],
        allocation=allocation,
    )


@dataclass(slots=True, kw_only=True)
class _Spread:
    """An audience with what the plan gives each row of it."""

    rows: list[AskedRow]
    allocated: list[str]
    prices_minor: Mapping[str, float]
    now: datetime
    report: AllocationReport

    def parts(self, order: Sequence[int]) -> Iterator[AudiencePart]:
        for places in batched(order, SLICE):
            yield AudiencePart(
                rows=[self.rows[place] for place in places],
                allocated=[self.allocated[place] for place in places],
                prices_minor=self.prices_minor,
                now=self.now,
            )


def _decide_as_planned(
    plan: BatchPlan,
    in_force: InForce,
    audience: Audience,
    over: Over,
    counts: Counter[str],
    on_progress: OnProgress | None,
) -> AllocationReport:
    """Look at everybody, make the plan, and decide each by it: gates, caps and counters are asked again."""
    spread = _spread(plan, in_force, audience, over)
    order = _evenly(spread.allocated)
    decided = list(_counted(over(Worker.decide, spread.parts(order)), counts, len(order), on_progress))
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    whole = pa.Table.from_batches(decided, SCHEMA).take(pa.array(places))
    kept = sum(map(_is_as_planned, whole.select(_SENT).to_pylist(), spread.allocated))
    write_results(plan.out, whole.to_batches())
    return replace(spread.report, kept=kept)


def _spread(plan: BatchPlan, in_force: InForce, audience: Audience, over: Over) -> _Spread:
    from pipelines.batch.allocation import allocate  # SciPy takes a second to start, and few batches plan
    from pipelines.batch.allocation_problem import problem_of

    now = plan.now or datetime.now(UTC)  # noqa: TID251 - the edge of a batch
    rows = [row for some in audience.slices(SLICE) for row in some]
    parts = (AudiencePart(rows=some, now=now) for some in batched(rows, SLICE))
    surveyed: list[Surveyed] = list(over(Worker.survey, parts))
    options: list[CustomerOptions] = [one for some in surveyed for one in some.options]
    supply = max((one.supply for one in surveyed), key=lambda one: len(one.used), default=Supply())
    messages = in_force.policy.candidates(plan.touchpoint_id)
    problem = problem_of(in_force.catalogue, messages, options, supply, now, plan.volumes)
    best, per_major = allocate(problem.choices, problem.constraints), in_force.per_major
    report = AllocationReport(
        planned=int((best.chosen >= 0).sum()),
        net_value=best.value_minor / per_major,
        gap=best.gap_minor / per_major,
        shadow_prices={name: price / per_major for name, price in best.prices_minor.items()},
        shortfalls=best.shortfalls,
    )
    prices = problem.prices(best)
    return _Spread(rows=rows, allocated=problem.allocated(best), prices_minor=prices, now=now, report=report)


def _evenly(allocated: Sequence[str]) -> list[int]:
    """An order in which every message is spread evenly: a department's greatest share must hold at every moment."""
    totals, seen = Counter(allocated), Counter[str]()
    ranks: list[float] = []
    for key in allocated:
        seen[key] += 1
        ranks.append((seen[key] - 0.5) / totals[key])
    return sorted(range(len(ranks)), key=ranks.__getitem__)


_SENT = ["offer_id", "channel", "creative"]


def _is_as_planned(row: AskedRow, key: str) -> bool:
    sent = f"{row['offer_id']}/{row['channel']}/{row['creative']}" if row["offer_id"] is not None else SILENCE
    return sent == key


def _workers(run: Run, plan: BatchPlan, row_count: int) -> AbstractContextManager[Over]:
    return alone(run) if row_count <= SMALL else together(run, plan.workers)


def _counted(
    parts: Iterable[DecidedPart], counts: Counter[str], total: int, on_progress: OnProgress | None
) -> Iterator[pa.RecordBatch]:
    """The rows of parts, counted as they come."""
    for one in parts:
        counts.update(one.counts)
        if on_progress is not None:
            on_progress(counts["decided"], total)
        yield one.rows
