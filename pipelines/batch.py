"""Decisions for a whole audience: the functions that serve one request, run over many customers at a time.

What is read, decided, logged and answered is what the API reads, decides, logs and answers; only the waiting differs.
A batch stops where the API would answer degraded because Redis is away: it can be run again, and with a key it goes on
where it stopped, since a customer who has a decision under that key keeps it.
"""

import asyncio
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isnan
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pyarrow as pa
from pyarrow import parquet

from decisioning.errors import InvalidInputError, ModelUnavailableError, UnavailableError, UnknownNameError
from decisioning.value_model import ValueModel
from features.catalogue import load_catalogue
from features.model_bundle import load_value_model
from features.settings import Settings
from pipelines.audience import CUSTOMER, KEY, Audience, open_audience
from serving.answers import Answer
from serving.bodies import DecisionBody, validate
from serving.drafting import Ticket, draft_many, entry_of, repeat
from serving.in_force import InForce, put_in_force
from serving.live_state import Known, LiveState
from serving.problems import Problem
from serving.tickets import ticket_of

SLICE = 500
"""Decisions that travel and are scored together."""

SMALL = 5_000
"""Up to so many, starting processes costs more than it saves."""

MAX_BACKLOG = 20_000
"""Log entries that may wait for the drain before the batch waits for it: some 100 MB of Redis."""

CONNECT_S = 5.0
"""How long Redis may take to be there."""

SCHEMA = pa.schema(
    [
        (CUSTOMER, pa.string()), (KEY, pa.string()), ("touchpoint", pa.string()), ("decision_id", pa.string()),
        ("decided_at", pa.string()), ("action", pa.string()), ("reason", pa.string()), ("offer_id", pa.string()),
        ("channel", pa.string()), ("creative", pa.string()), ("content", pa.string()),
        ("action_probability", pa.float64()), ("expected_value", pa.float64()), ("uplift", pa.float64()),
        ("currency", pa.string()), ("stage", pa.string()), ("experiments", pa.string()), ("held_out", pa.bool_()),
        ("degraded_reasons", pa.string()), ("withheld", pa.string()), ("model_version", pa.string()),
        ("policy_version", pa.string()), ("features_as_of", pa.string()), ("replayed", pa.bool_()),
    ]
)  # fmt: skip
"""Columns of the result; amounts in major units, `content` and the like as JSON text."""

type OnProgress = Callable[[int, int], None]
type Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """What to decide, and how.

    Attributes:
        key: Dedupe key of rows without one of their own; None makes every run decide anew.
        now: Moment of all decisions; None for the moment each is made.
        is_dry_run: Decide, and log nothing.
        allows_no_model: Go on by declared values where there is no model.
    """

    audience: Path
    out: Path
    touchpoint_id: str
    key: str | None = None
    now: datetime | None = None
    is_dry_run: bool = False
    allows_no_model: bool = False
    workers: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReport:
    """What a batch did."""

    decided: int
    sent: int
    held: int
    replayed: int
    degraded: int
    model_version: str | None
    policy_version: str
    out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCopy:
    """The champion's local copy, so that every process loads the same one."""

    folder: Path
    version: str


def decide_audience(
    plan: BatchPlan,
    settings: Settings,
    *,
    redis_url: str,
    model: ModelCopy | None,
    on_progress: OnProgress | None = None,
) -> BatchReport:
    """Decide for everybody in an audience file and write the answers.

    Args:
        plan: What to decide, and how.
        settings: Where the catalogue is, and the seed.
        redis_url: Where features, profiles and the log stream are.
        model: The champion's copy; None without one.
        on_progress: Called with decisions made and to make.

    Returns:
        Counts; the answers are in `plan.out`, in the order of the audience.

    Raises:
        InvalidInputError: The audience, the catalogue or the touchpoint is wrong; nothing was decided.
        ModelUnavailableError: No usable model, and the plan does not go without.
        UnavailableError: Redis is away; run it again, with a key it goes on where it stopped.
    """
    run = _Run(plan=plan, settings=settings, redis_url=redis_url, model=model)
    in_force = run.in_force()
    if in_force.model is None and not plan.allows_no_model:
        raise ModelUnavailableError(
            f"a batch must have a model, got none ({in_force.model_problem}); promote one, or pass --without-model"
        )
    touchpoint = in_force.catalogue.touchpoints.get(plan.touchpoint_id)
    if touchpoint is None:
        raise UnknownNameError("touchpoint", plan.touchpoint_id, in_force.catalogue.touchpoints)
    audience = open_audience(plan.audience, touchpoint)
    counts = _write(plan, _answered(run, audience), audience.row_count, on_progress)
    return BatchReport(
        decided=counts["decided"],
        sent=counts["send"],
        held=counts["hold"],
        replayed=counts["replayed"],
        degraded=counts["degraded"],
        model_version=in_force.model.version if in_force.model else None,
        policy_version=in_force.policy.version,
        out=str(plan.out),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What a process needs to take part."""

    plan: BatchPlan
    settings: Settings
    redis_url: str
    model: ModelCopy | None

    def in_force(self) -> InForce:
        catalogue = load_catalogue(self.settings.catalogue_path)
        model: ValueModel | None = None
        if self.model is not None:
            model = load_value_model(self.model.folder, version=self.model.version)
        problem = None if model else "there is no champion"
        return put_in_force(catalogue, seed=self.settings.policy_seed, model=model, model_problem=problem)


class _Worker:
    """One process's connection and compiled policy, kept over slices."""

    def __init__(self, run: _Run) -> None:
        self.plan = run.plan
        self.in_force = run.in_force()
        self.state = LiveState(run.redis_url, decision_ttl=timedelta(days=run.settings.decision_ttl_days))
        self.runner = asyncio.Runner()
        self.runner.run(self.state.start(wait_s=CONNECT_S))

    def close(self) -> None:
        self.runner.run(self.state.stop())
        self.runner.close()

    def answer(self, rows: Sequence[Row]) -> list[Row]:
        """Rows of the result for rows of the audience."""
        return self.runner.run(self._answer(rows))

    async def _answer(self, rows: Sequence[Row]) -> list[Row]:
        tickets = [self._ticket(row) for row in rows]
        known = await self.state.read_many([ticket.lookup for ticket in tickets])
        now = self.plan.now or datetime.now(UTC)  # noqa: TID251 - the edge of a batch
        answers = await self._conclude(tickets, known, now)
        return [_row(ticket, answer) for ticket, answer in zip(tickets, answers, strict=True)]

    async def _conclude(self, tickets: Sequence[Ticket], known: Sequence[Known], now: datetime) -> list[Answer]:
        stored = [None if self.plan.is_dry_run else one.stored for one in known]
        fresh = [place for place, one in enumerate(stored) if one is None]
        drafts = draft_many(self.in_force, [tickets[one] for one in fresh], [known[one] for one in fresh], now)
        held: Sequence[bytes | None] = [None] * len(drafts)
        if not self.plan.is_dry_run and drafts:
            await self._wait_for_drain()
            held = await self.state.commit([entry_of(self.in_force, one, keeps_record=False) for one in drafts])
        answers: dict[int, Answer] = {}
        for place, draft, twin in zip(fresh, drafts, held, strict=True):
            dry = {"decision_id": None} if self.plan.is_dry_run else {}
            answers[place] = (
                draft.answer | dry if twin is None else self._repeat(tickets[place], known[place], twin, now)
            )
        for place, one in enumerate(stored):
            if one is not None:
                answers[place] = self._repeat(tickets[place], known[place], one, now)
        return [answers[place] for place in range(len(tickets))]

    def _repeat(self, ticket: Ticket, known: Known, stored: bytes, now: datetime) -> Answer:
        return repeat(self.in_force, ticket, known, stored, now)

    async def _wait_for_drain(self) -> None:
        while await self.state.stream_length() > MAX_BACKLOG:
            await asyncio.sleep(0.2)

    def _ticket(self, row: Row) -> Ticket:
        context = {name: _present(value) for name, value in row.items() if name not in (CUSTOMER, KEY)}
        body = {"customer_id": row[CUSTOMER], "touchpoint": self.plan.touchpoint_id, "context": context}
        key = row.get(KEY) or self.plan.key
        if key is not None:
            body["dedupe_key"] = key
        try:
            return ticket_of(validate(DecisionBody, body), self.in_force)
        except Problem as problem:
            raise InvalidInputError(f"a row of the audience must be a valid ask, got {problem.detail}") from problem


def _answered(run: _Run, audience: Audience) -> Iterator[list[Row]]:
    """Result rows in the order of the audience, slice by slice."""
    if run.plan.workers == 1 or audience.row_count <= SMALL:
        worker = _Worker(run)
        try:
            yield from map(worker.answer, audience.slices(SLICE))
        finally:
            worker.close()
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(run.plan.workers, context, _start_worker, (run,)) as pool:
        yield from _in_order(pool, audience.slices(SLICE), ahead=2 * run.plan.workers)


def _in_order(pool: ProcessPoolExecutor, slices: Iterable[list[Row]], *, ahead: int) -> Iterator[list[Row]]:
    """Like `pool.map`, with only so many slices under way, so that memory does not grow with the audience."""
    waiting = []
    for rows in slices:
        waiting.append(pool.submit(_answer_slice, rows))
        if len(waiting) >= ahead:
            yield waiting.pop(0).result()
    for one in waiting:
        yield one.result()


_WORKERS: list[_Worker] = []


def _start_worker(run: _Run) -> None:
    _WORKERS.append(_Worker(run))


def _answer_slice(rows: list[Row]) -> list[Row]:
    return _WORKERS[0].answer(rows)


def _present(value: Any) -> Any:
    """Missing stays missing, also where a frame library wrote it as NaN."""
    return None if isinstance(value, float) and isnan(value) else value


def _row(ticket: Ticket, answer: Answer) -> Row:
    selected = answer["selected"] or {}
    value, uplift = selected.get("expected_value"), selected.get("uplift")
    return {
        CUSTOMER: answer["customer_id"],
        KEY: ticket.dedupe_key,
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
    }


def _write(plan: BatchPlan, slices: Iterator[list[Row]], total: int, on_progress: OnProgress | None) -> Counter[str]:
    """Write the result beside its place and move it there when it is whole."""
    counts: Counter[str] = Counter()
    partial_file = plan.out.with_name(f".{plan.out.name}.{uuid4().hex[:8]}.partial")
    try:
        plan.out.parent.mkdir(parents=True, exist_ok=True)
        with parquet.ParquetWriter(partial_file, SCHEMA, compression="zstd") as writer:
            for rows in slices:
                writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
                _count(counts, rows)
                if on_progress is not None:
                    on_progress(counts["decided"], total)
        partial_file.replace(plan.out)
    except OSError as error:
        raise UnavailableError(f"out must be writable, got {plan.out} ({error.strerror})") from error
    finally:
        partial_file.unlink(missing_ok=True)
    return counts


def _count(counts: Counter[str], rows: Sequence[Row]) -> None:
    counts["decided"] += len(rows)
    for row in rows:
        counts[row["action"]] += 1
        counts["replayed"] += row["replayed"]
        counts["degraded"] += row["degraded_reasons"] != "[]"
