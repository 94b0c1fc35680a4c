"""One process of a batch: reads, decides and commits for some rows of an audience at a time."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from math import isnan
from pathlib import Path
from typing import Any

import orjson

from decisioning.catalogue.limits import Supply
from decisioning.errors import InvalidInputError
from decisioning.value_model import ValueModel
from features.catalogue import load_catalogue
from features.models.bundle import load_value_model
from features.models.schema_archive import known_schemas
from features.settings import Settings
from pipelines.batch.allocation_problem import CustomerOptions, options_of
from pipelines.batch.audience import CUSTOMER, KEY
from serving.decisions.answer import Answer, unnamed
from serving.decisions.ask import ticket_of
from serving.decisions.draft import Ticket, about, draft_many, lookup_of, repeat
from serving.decisions.known import Ask, decide_prepared, new_decision_id, prepare_many
from serving.decisions.race import Race, rounds_of
from serving.errors import InvalidFormError
from serving.forms import DecisionBody, validate
from serving.in_force.policy_in_force import InForce, put_in_force
from serving.live.reader import Known
from serving.live.store import LiveStore

MAX_BACKLOG = 20_000
"""Log entries that may wait for the drain before the batch waits for it: some 100 MB of Redis."""

CONNECT_S = 5.0
"""How long Redis may take to be there."""

type AskedRow = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCopy:
    """A model's local copy, so that every process loads the same one."""

    folder: Path
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a process needs to take part.

    Attributes:
        key: Dedupe key of rows without one of their own.
        now: Moment of all decisions; None for the moment each is made.
        arms: Models of experiment arms, by alias.
        is_cold_start: No champion was ever in force.
    """

    settings: Settings
    redis_url: str
    touchpoint_id: str
    key: str | None
    now: datetime | None
    is_dry_run: bool
    model: ModelCopy | None
    arms: Mapping[str, ModelCopy] = field(default_factory=dict[str, ModelCopy])
    is_cold_start: bool = False

    def in_force(self) -> InForce:
        """Policy and models, as every process sees them."""
        model: ValueModel | None = None
        if self.model is not None:
            model = load_value_model(self.model.folder, version=self.model.version)
        return put_in_force(
            load_catalogue(self.settings.catalogue_path),
            seed=self.settings.policy_seed,
            model=model,
            model_problem=None if model else "there is no champion",
            arm_models={alias: load_value_model(one.folder, version=one.version) for alias, one in self.arms.items()},
            known=known_schemas(self.settings),
            is_cold_start=self.is_cold_start,
        )


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
    """Answers to the rows of a part, in order, and commits that were lost to others and decided again."""

    answers: list[tuple[str | None, Answer]]
    conflicts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """What the rows of a part may get, in order, and what all customers share."""

    options: list[CustomerOptions]
    supply: Supply


class Worker:
    """One process's connection and compiled policy, kept over parts."""

    def __init__(self, run: Run) -> None:
        """Load what is in force and connect.

        Raises:
            InvalidInputError: The catalogue is wrong.
            ModelUnavailableError: The model's copy cannot be read.
        """
        self._run = run
        self._in_force = run.in_force()
        self._state = LiveStore.of(run.settings, run.redis_url)
        self._runner = asyncio.Runner()
        self._runner.run(self._state.start(wait_s=CONNECT_S))

    def close(self) -> None:
        """Let go of the connection."""
        self._runner.run(self._state.stop())
        self._runner.close()

    def survey(self, part: AudiencePart) -> Surveyed:
        """What each row may get, decided without prices and without a plan; nothing is logged.

        Raises:
            UnavailableError: Redis is away.
        """
        return self._runner.run(self._survey(part))

    def decide(self, part: AudiencePart) -> DecidedPart:
        """Decide and log.

        Raises:
            UnavailableError: Redis is away.
        """
        return self._runner.run(self._decide(part))

    async def _survey(self, part: AudiencePart) -> Surveyed:
        tickets = [self._ticket(row) for row in part.rows]
        now = self._now(part)
        known = await self._read(tickets, replace(part, prices_minor={}), now)
        tickets = [about(ticket, one) for ticket, one in zip(tickets, known, strict=True)]
        fresh = [place for place, one in enumerate(known) if one.stored is None or self._run.is_dry_run]
        asks = [
            Ask(
                request=tickets[place].request,
                known=known[place],
                now=now,
                decision_id=new_decision_id(tickets[place].request.customer_id),
            )
            for place in fresh
        ]
        found = {
            place: options_of(decide_prepared(self._in_force, prepared))
            for place, prepared in zip(fresh, prepare_many(self._in_force, asks), strict=True)
        }
        options = [found[place] if place in found else _stored_options(one) for place, one in enumerate(known)]
        return Surveyed(options=options, supply=known[0].supply if known else Supply())

    async def _decide(self, part: AudiencePart) -> DecidedPart:
        tickets = [self._ticket(row) for row in part.rows]
        answers: dict[int, Answer] = {}
        conflicts = 0
        for places in rounds_of(tickets):
            planned = None if part.allocated is None else [part.allocated[place] for place in places]
            some = replace(part, allocated=planned)
            found, lost = await self._round(some, [tickets[place] for place in places])
            answers.update(zip(places, found, strict=True))
            conflicts += lost
        return DecidedPart(
            answers=[(ticket.dedupe_key, answers[place]) for place, ticket in enumerate(tickets)], conflicts=conflicts
        )

    async def _round(self, part: AudiencePart, tickets: Sequence[Ticket]) -> tuple[list[Answer], int]:
        """Answer asks of different customers; also how many commits were lost on the way."""
        now = self._now(part)
        known = await self._read(tickets, part, now)
        tickets = [about(ticket, one) for ticket, one in zip(tickets, known, strict=True)]
        stored = [None if self._run.is_dry_run else one.stored for one in known]
        fresh = [place for place, one in enumerate(stored) if one is None]
        drafts = draft_many(
            self._in_force,
            [tickets[place] for place in fresh],
            [known[place] for place in fresh],
            now,
            allocated=None if part.allocated is None else [part.allocated[place] for place in fresh],
        )
        answers = {
            place: repeat(self._in_force, tickets[place], known[place], one, now)
            for place, one in enumerate(stored)
            if one is not None
        }
        if self._run.is_dry_run:
            answers |= {place: unnamed(draft.answer) for place, draft in zip(fresh, drafts, strict=True)}
            return [answers[place] for place in range(len(tickets))], 0
        await self._wait_for_drain()
        race = Race(self._state, self._in_force, drafts, keeps_record=False)
        for place, settled in zip(fresh, await race.run(), strict=True):
            draft, twin = settled.draft, settled.twin
            answers[place] = (
                draft.answer if twin is None else repeat(self._in_force, draft.ticket, draft.known, twin, now)
            )
        return [answers[place] for place in range(len(tickets))], sum(race.conflicts.values())

    async def _read(self, tickets: Sequence[Ticket], part: AudiencePart, now: datetime) -> list[Known]:
        known = await self._state.read_people([lookup_of(self._in_force, ticket, now) for ticket in tickets])
        if part.prices_minor is None:
            return known
        prices = dict(part.prices_minor)
        return [replace(one, supply=replace(one.supply, prices_minor=prices)) for one in known]

    async def _wait_for_drain(self) -> None:
        while await self._state.stream_length() > MAX_BACKLOG:
            await asyncio.sleep(0.2)

    def _now(self, part: AudiencePart) -> datetime:
        return part.now or self._run.now or datetime.now(UTC)  # noqa: TID251 - the edge of a batch

    def _ticket(self, row: AskedRow) -> Ticket:
        context = {name: _present(value) for name, value in row.items() if name not in (CUSTOMER, KEY)}
        body = {"customer_id": row[CUSTOMER], "touchpoint": self._run.touchpoint_id, "context": context}
        key = row.get(KEY) or self._run.key
        if key is not None:
            body["dedupe_key"] = key
        try:
            return ticket_of(validate(DecisionBody, body), self._in_force)
        except InvalidFormError as error:
            raise InvalidInputError(f"a row of the audience must be a valid ask, got {error}") from error


def _stored_options(known: Known) -> CustomerOptions:
    """Of who has a decision already: nothing to choose."""
    selected = orjson.loads(known.stored or b"{}").get("selected")
    return CustomerOptions(stored_offer=selected["offer_id"] if selected else None)


def _present(value: Any) -> Any:
    """Missing stays missing, also where a frame library wrote it as NaN."""
    return None if isinstance(value, float) and isnan(value) else value
