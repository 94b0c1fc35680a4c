"""Decisions for a whole audience: the functions that serve one request, run over many customers at a time.

What is read, decided, logged and answered is what the API reads, decides, logs and answers; only the waiting differs.
A batch stops where the API would answer degraded because Redis is away: it can be run again, and with a key it goes on
where it stopped, since a customer who has a decision under that key keeps it.
"""

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import batched
from typing import Any
from uuid import uuid4

import orjson
import pyarrow as pa
from pyarrow import parquet

from decisioning.catalogue.limits import Supply
from decisioning.catalogue.message import SILENCE
from decisioning.errors import ModelUnavailableError, UnavailableError, UnknownNameError
from features.catalogue.assignment.settlement import settle
from features.clock import clock_of
from features.models.policy_archive import PolicyArchive
from features.progress import OnProgress
from features.settings import Settings
from features.zone_rules import use_newest_rules
from pipelines.batch.allocation import allocate
from pipelines.batch.allocation_problem import CustomerOptions, problem_of
from pipelines.batch.audience import CUSTOMER, KEY, Audience, open_audience
from pipelines.batch.worker import AskedRow, AudiencePart, BatchPlan, DecidedPart, ModelCopy, Run, Surveyed, Worker
from serving.decisions.answer import Answer
from serving.in_force.policy_in_force import InForce

SLICE = 500
"""Decisions that travel and are scored together."""

SMALL = 5_000
"""Up to so many, starting processes costs more than it saves."""

SCHEMA = pa.schema(
    [
        (CUSTOMER, pa.string()), (KEY, pa.string()), ("touchpoint", pa.string()), ("decision_id", pa.string()),
        ("decided_at", pa.string()), ("action", pa.string()), ("reason", pa.string()), ("offer_id", pa.string()),
        ("channel", pa.string()), ("creative", pa.string()), ("content", pa.string()),
        ("action_probability", pa.float64()), ("expected_value", pa.float64()), ("uplift", pa.float64()),
        ("currency", pa.string()), ("stage", pa.string()), ("experiments", pa.string()), ("held_out", pa.bool_()),
        ("degraded_reasons", pa.string()), ("withheld", pa.string()), ("model_version", pa.string()),
        ("policy_version", pa.string()), ("features_as_of", pa.string()), ("replayed", pa.bool_()),
        ("retry_at", pa.string()),
    ]
)  # fmt: skip
"""Columns of the result; amounts in major units, `content` and the like as JSON text."""

type _Map = Callable[[Callable[[Worker, AudiencePart], Any], Iterable[AudiencePart]], Iterator[Any]]


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
    run = Run(plan=plan, settings=settings, redis_url=redis_url, model=model, arms=arms or {})
    in_force = run.in_force()
    settle(settings.catalogue_path, clock_of(settings)())
    PolicyArchive(settings.catalogues_path).keep(settings.catalogue_path, in_force.policy)
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
            slices = over(Worker.decide, (AudiencePart(rows=rows) for rows in audience.slices(SLICE)))
            _write(plan, (_rows(one, counts) for one in slices), audience.row_count, counts, on_progress)
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
    over: _Map,
    counts: Counter[str],
    on_progress: OnProgress | None,
) -> AllocationReport:
    """Look at everybody, make the plan, and decide each by it: gates, caps and counters are asked again."""
    spread = _spread(plan, in_force, audience, over)
    order = _evenly(spread.allocated)
    found: dict[int, AskedRow] = {}
    done = iter(order)
    for one in over(Worker.decide, spread.parts(order)):
        for row in _rows(one, counts):
            found[next(done)] = row
        if on_progress is not None:
            on_progress(len(found), len(order))
    kept = sum(_is_as_planned(found[place], key) for place, key in enumerate(spread.allocated))
    rows = (found[place] for place in range(len(order)))
    _write(plan, map(list, batched(rows, SLICE)), len(order), counts, None)
    return replace(spread.report, kept=kept)


def _spread(plan: BatchPlan, in_force: InForce, audience: Audience, over: _Map) -> _Spread:
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


def _is_as_planned(row: AskedRow, key: str) -> bool:
    sent = f"{row['offer_id']}/{row['channel']}/{row['creative']}" if row["offer_id"] is not None else SILENCE
    return sent == key


def _workers(run: Run, plan: BatchPlan, row_count: int) -> AbstractContextManager[_Map]:
    is_small = plan.workers == 1 or row_count <= SMALL
    return _alone(run) if is_small else _together(run, plan.workers)


@contextmanager
def _alone(run: Run) -> Iterator[_Map]:
    worker = Worker(run)
    try:
        yield lambda what, parts: map(partial(what, worker), parts)
    finally:
        worker.close()


@contextmanager
def _together(run: Run, count: int) -> Iterator[_Map]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, _start_worker, (run,)) as pool:
        yield lambda what, parts: _in_order(pool, what, parts, ahead=2 * count)


def _in_order(
    pool: ProcessPoolExecutor, what: Callable[[Worker, AudiencePart], Any], parts: Iterable[AudiencePart], *, ahead: int
) -> Iterator[Any]:
    """Like `pool.map`, with only so many parts under way, so that memory does not grow with the audience."""
    waiting = []
    for part in parts:
        waiting.append(pool.submit(_work, what, part))
        if len(waiting) >= ahead:
            yield waiting.pop(0).result()
    for one in waiting:
        yield one.result()


_WORKERS: list[Worker] = []


def _start_worker(run: Run) -> None:
    use_newest_rules()
    _WORKERS.append(Worker(run))


def _work(what: Callable[[Worker, AudiencePart], Any], part: AudiencePart) -> Any:
    return what(_WORKERS[0], part)


def _rows(decided: DecidedPart, counts: Counter[str]) -> list[AskedRow]:
    """Result rows of a part, counted."""
    rows = [_row(key, answer) for key, answer in decided.answers]
    counts["conflicts"] += decided.conflicts
    counts["decided"] += len(rows)
    for row in rows:
        counts[row["action"]] += 1
        counts["replayed"] += row["replayed"]
        counts["degraded"] += row["degraded_reasons"] != "[]"
    return rows


def _row(key: str | None, answer: Answer) -> AskedRow:
    selected = answer["selected"] or {}
    value, uplift = selected.get("expected_value"), selected.get("uplift")
    return {
        CUSTOMER: answer["customer_id"],
        KEY: key,
        "touchpoint": answer["touchpoint"],
        "decision_id": answer["decision_id"],
        "decided_at": answer["decided_at"],
        "action": answer["action"],
        "reason": answer["reason"],
        "offer_id": selected.get("offer_id"),
        "channel": selected.get("channel"),
        "creative": selected.get("creative"),
        "content": orjson.dumps(selected["content"]).decode() if selected else None,
        "action_probability": answer["action_probability"],
        "expected_value": value["amount"] if value else None,
        "uplift": uplift["amount"] if uplift else None,
        "currency": value["currency"] if value else None,
        "stage": answer["stage"],
        "experiments": orjson.dumps({one["experiment"]: one["arm"] for one in answer["experiments"]}).decode(),
        "held_out": answer["held_out"],
        "degraded_reasons": orjson.dumps(answer["degraded_reasons"]).decode(),
        "withheld": orjson.dumps(answer["withheld"]).decode(),
        "model_version": answer["model"]["version"] if answer["model"] else None,
        "policy_version": answer["policy_version"],
        "features_as_of": answer["features_as_of"],
        "replayed": answer["replayed"],
        "retry_at": answer["retry_at"],
    }


def _write(
    plan: BatchPlan,
    slices: Iterator[list[AskedRow]],
    total: int,
    counts: Mapping[str, int],
    on_progress: OnProgress | None,
) -> None:
    """Write the result beside its place and move it there when it is whole."""
    partial_file = plan.out.with_name(f".{plan.out.name}.{uuid4().hex[:8]}.partial")
    try:
        plan.out.parent.mkdir(parents=True, exist_ok=True)
        with parquet.ParquetWriter(partial_file, SCHEMA, compression="zstd") as writer:
            for rows in slices:
                writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
                if on_progress is not None:
                    on_progress(counts["decided"], total)
        partial_file.replace(plan.out)
    except OSError as error:
        raise UnavailableError(f"out must be writable, got {plan.out} ({error.strerror})") from error
    finally:
        partial_file.unlink(missing_ok=True)
