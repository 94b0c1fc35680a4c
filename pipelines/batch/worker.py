"""One process of a batch: reads, decides and commits for some rows of an audience at a time."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import isnan
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from decisioning.catalogue.limits import Supply
from decisioning.decision import Decision
from decisioning.errors import InvalidInputError
from decisioning.value_model import ValueModel
from features.catalogue import load_catalogue
from features.models.bundle import load_value_model
from features.models.logged_decisions import LoggedDecisions
from features.models.rollout import Rollout
from features.models.schema_archive import known_schemas
from features.online.residuals import ResidualSnapshot
from features.settings import Settings
from pipelines.batch.audience import CUSTOMER, KEY
from pipelines.batch.customer_options import CustomerOptions, Volume, options_of
from pipelines.batch.results import SCHEMA, counted, result_row
from serving.decisions.ask import Ask, ask_of
from serving.decisions.draft import decide_many
from serving.decisions.orchestrator import Orchestrator
from serving.decisions.records import DecisionRecords
from serving.errors import InvalidFormError
from serving.forms import DecisionBody, validate
from serving.in_force.policy_in_force import InForce, put_in_force
from serving.live.reader import Known
from serving.live.store import LiveStore

MAX_BACKLOG = 20_000
"""Log entries that may wait for the drain before the batch waits for it: some 100 MB of Redis."""

SLICE = 256
"""Decisions that travel together: one read, one scoring, one commit."""

PATIENCE_S = 30.0
"""How long Redis may be silent: a batch has nobody who waits for an answer, and a busy disk may take seconds."""

CONNECT_S = 5.0
"""How long Redis may take to be there."""

type AskedRow = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCopy:
    """A model's local copy, so that every process loads the same one."""

    folder: Path
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """What to decide, and how.

    Attributes:
        key: Dedupe key of rows without one of their own; None makes every run decide anew.
        now: Moment of all decisions; None for the moment each is made.
        is_dry_run: Decide, and log nothing.
        allows_no_model: Go on by declared values where there is no model.
        is_cold_start: No champion was ever in force, so declared values and exploration decide, as the API does.
        optimises: Look at everybody first and spread what is limited so that all of it is worth most.
        volumes: Offers of which so many must, or may, be sent; only where it optimises.
    """

    audience: Path
    out: Path
    touchpoint_id: str
    key: str | None = None
    now: datetime | None = None
    is_dry_run: bool = False
    allows_no_model: bool = False
    is_cold_start: bool = False
    workers: int = 1
    optimises: bool = False
    volumes: tuple[Volume, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a process needs to take part.

    Attributes:
        arms: Models of experiment arms, by alias.
        rollout: A challenger beside the champion; a canary decides for its customers here, too.
        residuals: What outcomes since training say, as it was when the run began.
        is_archived: Catalogue and feature schema are archived, so that records need not repeat what these say.
    """

    plan: BatchPlan
    settings: Settings
    redis_url: str
    model: ModelCopy | None
    arms: Mapping[str, ModelCopy]
    rollout: Rollout | None = None
    residuals: ResidualSnapshot | None = None
    is_archived: bool = False

    def in_force(self) -> InForce:
        """Policy and models, as every process sees them."""
        model: ValueModel | None = None
        if self.model is not None:
            model = load_value_model(self.model.folder, version=self.model.version)
        in_force = put_in_force(
            load_catalogue(self.settings.catalogue_path),
            seed=self.settings.policy_seed,
            model=model,
            model_problem=None if model else "there is no champion",
            arm_models={alias: load_value_model(one.folder, version=one.version) for alias, one in self.arms.items()},
            known=known_schemas(self.settings),
            is_cold_start=self.plan.is_cold_start,
        )
        return in_force.beside(self.rollout).learning_from(self.residuals)


@dataclass(frozen=True, slots=True, kw_only=True)
class AudiencePart:
    """Some rows of the audience with what a plan over everybody says about them.

    Attributes:
        allocated: Message key per row; None without a plan.
        prices_minor: Shadow prices that the decisions pay; None for those that Redis holds.
        now: Moment of the decisions; None for the run's.
    """

    rows: Sequence[AskedRow]
    allocated: Sequence[str] | None = None
    prices_minor: Mapping[str, float] | None = None
    now: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedPart:
    """The result of a part, rows in order.

    Attributes:
        counts: See `counted`; `conflicts` are commits that were lost to others and decided again.
    """

    rows: pa.RecordBatch
    counts: Counter[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """What the rows of a part may get, in order, and what all customers share."""

    options: list[CustomerOptions]
    supply: Supply


@dataclass(slots=True)
class Lost:
    """Counts commits that came too late; what was decided is in the answers."""

    commits: int = 0

    def decided(self, decision: Decision) -> None:
        """A decision is in the log."""

    def repeated(self, touchpoint_id: str) -> None:
        """An ask got the decision that it already had."""

    def lost(self, commits: int) -> None:
        """So many commits came too late, and their asks were decided again."""
        self.commits += commits


class Worker:
    """One process's connection and compiled policy, kept over parts."""

    def __init__(self, run: Run) -> None:
        """Load what is in force.

        Raises:
            InvalidInputError: The catalogue is wrong.
            ModelUnavailableError: The model's copy cannot be read.
        """
        self._run = run
        self._in_force = run.in_force().archived() if run.is_archived else run.in_force()
        self._state = LiveStore.of(run.settings, run.redis_url, patience_s=PATIENCE_S)
        self._lost = Lost()
        self._orchestrator = Orchestrator(
            state=self._state,
            in_force=lambda: self._in_force,
            counts=self._lost,
            most_together=SLICE,
            records=DecisionRecords(
                state=self._state,
                log_path=run.settings.log_path,
                logged=LoggedDecisions(run.settings),
                redis_s=CONNECT_S,
            ),
        )

    async def start(self) -> None:
        """Connect."""
        await self._state.start(wait_s=CONNECT_S)

    async def stop(self) -> None:
        """Let go of the connection."""
        await self._state.stop()

    async def survey(self, part: AudiencePart) -> Surveyed:
        """What each row may get, decided without prices and without a plan; nothing is logged.

        Raises:
            UnavailableError: Redis is away.
        """
        now, rows = self._now(part), self._asks(part)
        asks, known = await self._orchestrator.read(self._in_force, rows, [now] * len(rows), prices_minor={})
        fresh = [place for place, one in enumerate(known) if one.stored is None or self._run.plan.is_dry_run]
        decisions = decide_many(
            self._in_force, [asks[place] for place in fresh], [known[place] for place in fresh], now
        )
        found = {place: options_of(decision) for place, decision in zip(fresh, decisions, strict=True)}
        options = [found[place] if place in found else _stored_options(one) for place, one in enumerate(known)]
        return Surveyed(options=options, supply=known[0].supply if known else Supply())

    async def decide(self, part: AudiencePart) -> DecidedPart:
        """Decide and log.

        Raises:
            UnavailableError: Redis is away.
        """
        asks = self._asks(part)
        if not self._run.plan.is_dry_run:
            await self._wait_for_drain()
        answers = await self._orchestrator.answer_many(
            asks, now=lambda: self._now(part), prices_minor=part.prices_minor
        )
        rows = [result_row(ask.dedupe_key, answer) for ask, answer in zip(asks, answers, strict=True)]
        counts = counted(rows)
        counts["conflicts"], self._lost.commits = self._lost.commits, 0
        return DecidedPart(rows=pa.RecordBatch.from_pylist(rows, SCHEMA), counts=counts)

    async def _wait_for_drain(self) -> None:
        while await self._state.stream_length() > MAX_BACKLOG:
            await asyncio.sleep(0.2)

    def _now(self, part: AudiencePart) -> datetime:
        return part.now or self._run.plan.now or datetime.now(UTC)  # noqa: TID251 - the edge of a batch

    def _asks(self, part: AudiencePart) -> list[Ask]:
        asks = [self._ask(row) for row in part.rows]
        if part.allocated is None:
            return asks
        return [replace(ask, allocated=key) for ask, key in zip(asks, part.allocated, strict=True)]

    def _ask(self, row: AskedRow) -> Ask:
        """A row as an ask; one of a dry run writes nothing."""
        context = {name: _present(value) for name, value in row.items() if name not in (CUSTOMER, KEY)}
        body = {
            "customer_id": row[CUSTOMER],
            "touchpoint": self._run.plan.touchpoint_id,
            "context": context,
            "dedupe_key": row.get(KEY) or self._run.plan.key,
            "dry_run": self._run.plan.is_dry_run,
        }
        try:
            return ask_of(validate(DecisionBody, body), self._in_force)
        except InvalidFormError as error:
            raise InvalidInputError(f"a row of the audience must be a valid ask, got {error}") from error


def _stored_options(known: Known) -> CustomerOptions:
    """Of who has a decision already: nothing to choose."""
    selected = orjson.loads(known.stored or b"{}").get("selected")
    return CustomerOptions(stored_offer=selected["offer_id"] if selected else None)


def _present(value: Any) -> Any:
    """Missing stays missing, also where a frame library wrote it as NaN."""
    return None if isinstance(value, float) and isnan(value) else value
