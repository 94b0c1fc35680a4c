"""Hands decisions over: asks a permit for each, as a tool would at the moment of sending, and writes who gets what.

A decision that may not be sent now is not handed over, and told with every reason. One that only waits for time, or for
an address, is looked at again by the next run; any other is settled.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import batched
from pathlib import Path
from secrets import token_hex
from typing import Any

import polars as pl

from decisioning.catalogue.contact_policy import CONFIRMING_OUTCOMES
from decisioning.catalogue.message import Message
from decisioning.customer import Customer
from decisioning.errors import (
    FeatureUnavailableError,
    InvalidInputError,
    InvalidPolicyError,
    UnavailableError,
    UnknownNameError,
)
from features.catalogue import load_catalogue
from features.log.contracts import DECISIONS, OUTCOMES
from features.log.event_log import EventLog
from features.models.logged_decisions import LoggedDecisions
from features.online.profiles import decode_profile
from features.settings import Settings
from pipelines.handoff.book import HandOff, HandOffBook
from pipelines.handoff.handoff_sheet import Slip, check_suffix, missing_address, sheet_bytes, slip_of, table_bytes
from serving.decisions.permits import CONTENDED, STATE_UNAVAILABLE, PermitAnswer, Permits
from serving.decisions.records import DecisionRecords
from serving.errors import UnknownDecisionError
from serving.in_force.policy_in_force import InForce, put_in_force
from serving.live.reader import Known, Lookup
from serving.live.store import STATE_LOST, LiveStore
from serving.log.log_rows import decision_of_position
from serving.metrics import Metrics

ADDRESS_MISSING = "ADDRESS_MISSING"
"""The profile does not hold what the channel needs to reach the customer."""

NO_WORDS = "NO_WORDS"
"""Its content cannot be rendered for this customer."""

_CONNECT_S = 5.0
_PERMIT_S = 5.0
_TOGETHER = 500
_COLUMNS = ("decision_id", "customer_id", "decided_at", "touchpoint", "offer_id", "channel", "creative_id", "record")
_COMING_BACK = frozenset({ADDRESS_MISSING, CONTENDED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A decision that is not handed over.

    Attributes:
        reasons: Codes, in the order of the gates.
        because: The same in words.
        retry_at: When asking again helps (ISO 8601); None where time alone does not.
    """

    decision_id: str
    customer_id: str
    reasons: tuple[str, ...]
    because: tuple[str, ...]
    retry_at: str | None = None

    @property
    def is_final(self) -> bool:
        """Whether the next run need not look at it again."""
        return self.retry_at is None and bool(self.reasons) and _COMING_BACK.isdisjoint(self.reasons)


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOffReport:
    """What a run did.

    Attributes:
        handoff_id: None where there was nothing to note.
        out: The file; None where nobody gets anything.
        handed_over: Messages in it.
        refused: What was not handed over, and why.
        refused_out: The file that lists them; None without any.
        finished: Hand-offs of an earlier run that ended in between, completed by this one instead of new ones.
    """

    channel: str
    handoff_id: str | None = None
    out: str | None = None
    handed_over: int = 0
    refused: tuple[Refused, ...] = ()
    refused_out: str | None = None
    finished: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOffPlan:
    """What to hand over.

    Attributes:
        touchpoint_id: Only decisions of this touchpoint; None for all.
        as_of: The moment of handing over (aware): decisions up to it, permits and days as of it.
    """

    channel_id: str
    out: Path
    as_of: datetime
    touchpoint_id: str | None = None


def hand_over(plan: HandOffPlan, settings: Settings, *, redis_url: str) -> HandOffReport:
    """Write the file for an offline channel; the log has to be drained before, and is to be drained after.

    Returns:
        What was done. After a run that ended in between, what that one had prepared is put in place and nothing else.

    Raises:
        InvalidInputError: The channel or touchpoint is not declared, the channel has a line to us, the file exists or
            its folder does not, or another run is at work.
        LogUnavailableError: A file could not be written.
        UnavailableError: Redis is away; run it again.
    """
    in_force = put_in_force(load_catalogue(settings.catalogue_path), seed=settings.policy_seed)
    _check(plan, in_force)
    book = HandOffBook(settings.handoffs_path)
    with book.opened():
        finished = book.finish()
        if finished:
            paths = tuple(path for one in finished for path in one.paths)
            return HandOffReport(channel=plan.channel_id, finished=paths)
        waiting = _waiting(plan, settings, book.settled())
        if waiting and plan.out.exists():
            raise InvalidInputError(f"OUT must be a new file, got one that exists: {plan.out}; choose another name")
        slips, refused = asyncio.run(_Desk(settings, in_force, plan, redis_url).run(waiting)) if waiting else ([], [])
        return _noted(plan, book, slips, refused)


def _check(plan: HandOffPlan, in_force: InForce) -> None:
    catalogue = in_force.catalogue
    if plan.channel_id not in catalogue.channels:
        raise UnknownNameError("channel", plan.channel_id, catalogue.channels)
    if catalogue.channels[plan.channel_id].is_online:
        raise InvalidInputError(
            f"CHANNEL must be declared with `online: false`, got {plan.channel_id}; tools send on it over HTTP"
        )
    if plan.touchpoint_id is not None and plan.touchpoint_id not in catalogue.touchpoints:
        raise UnknownNameError("touchpoint", plan.touchpoint_id, catalogue.touchpoints)
    check_suffix(plan.out)
    if not plan.out.parent.is_dir():
        raise InvalidInputError(f"folder of OUT must exist, got none at {plan.out.parent}; make it")


def _waiting(plan: HandOffPlan, settings: Settings, settled: set[str]) -> list[dict[str, Any]]:
    """Decisions of the channel that nobody carried yet, the oldest first, each with what was asked."""
    log = EventLog(settings.log_path)
    since = plan.as_of - timedelta(days=settings.decision_ttl_days)
    frame = log.scan(DECISIONS).filter(
        (pl.col("channel") == plan.channel_id)
        & pl.col("offer_id").is_not_null()
        & pl.col("decision_id").str.starts_with("dec_")
        & pl.col("decided_at").is_between(since, plan.as_of, closed="right")
    )
    if plan.touchpoint_id is not None:
        frame = frame.filter(pl.col("touchpoint") == plan.touchpoint_id)
    arrived = log.scan(OUTCOMES).filter(pl.col("type").is_in(list(CONFIRMING_OUTCOMES))).select("decision_id")
    frame = frame.select(_COLUMNS).join(arrived, on="decision_id", how="anti").sort("decided_at", "decision_id")
    rows = [row for row in log.collect(DECISIONS, frame).to_dicts() if row["decision_id"] not in settled]
    return _with_contexts(log, LoggedDecisions(settings), rows)


def _with_contexts(log: EventLog, logged: LoggedDecisions, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with what was asked; further positions of a slate have the record of the first."""
    firsts = sorted({decision_of_position(row["decision_id"])[0] for row in rows})
    contexts = {
        one["decision_id"]: logged.decision(one).inputs.request.context
        for one in log.find(DECISIONS, "decision_id", firsts)
        if one["record"] is not None
    }
    return [row | {"context": contexts.get(decision_of_position(row["decision_id"])[0], {})} for row in rows]


def _noted(plan: HandOffPlan, book: HandOffBook, slips: list[Slip], refused: list[Refused]) -> HandOffReport:
    """Note the hand-off with its files; where there is nothing to tell, nothing is noted."""
    if not slips and not refused:
        return HandOffReport(channel=plan.channel_id)
    out, listed = plan.out.absolute(), plan.out.absolute().with_name(f"{plan.out.stem}-refused.csv")
    files = [(out, sheet_bytes(slips, plan.out.suffix))] if slips else []
    files += [(listed, _refusals(refused))] if refused else []
    handoff = HandOff(
        handoff_id=f"{plan.as_of.astimezone(UTC):%Y%m%dT%H%M%SZ}-{token_hex(4)}",
        channel_id=plan.channel_id,
        handed_over_at=plan.as_of.astimezone(UTC).isoformat(),
        decision_ids=tuple(slip.decision_id for slip in slips),
        settled_ids=tuple(one.decision_id for one in refused if one.is_final),
        paths=tuple(str(path) for path, _ in files),
    )
    book.hand_over(handoff, [payload for _, payload in files])
    return HandOffReport(
        channel=plan.channel_id,
        handoff_id=handoff.handoff_id,
        out=str(out) if slips else None,
        handed_over=len(slips),
        refused=tuple(refused),
        refused_out=str(listed) if refused else None,
    )


def _refusals(refused: Sequence[Refused]) -> bytes:
    rows = [asdict(one) | {"reasons": " ".join(one.reasons), "because": "; ".join(one.because)} for one in refused]
    names = ("decision_id", "customer_id", "reasons", "because", "retry_at")
    return table_bytes(pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String())), ".csv")


@dataclass(slots=True)
class _Desk:
    """One run, with its connection."""

    settings: Settings
    in_force: InForce
    plan: HandOffPlan
    redis_url: str
    slips: list[Slip] = field(default_factory=list[Slip])
    refused: list[Refused] = field(default_factory=list[Refused])

    async def run(self, waiting: Sequence[Mapping[str, Any]]) -> tuple[list[Slip], list[Refused]]:
        state = LiveStore.of(self.settings, self.redis_url)
        records = DecisionRecords(
            state=state,
            log_path=self.settings.log_path,
            logged=LoggedDecisions(self.settings),
            redis_s=_CONNECT_S,
        )
        permits = Permits(
            state=state,
            records=records,
            in_force=lambda: self.in_force,
            now=lambda: self.plan.as_of,
            metrics=Metrics(),
        )
        await state.start(wait_s=_CONNECT_S)
        try:
            if state.is_lost:
                raise UnavailableError(f"{STATE_LOST} first; nothing was written")
            for rows in batched(waiting, _TOGETHER):
                for row, customer in zip(rows, await self._customers(state, rows), strict=True):
                    await self._judge(permits, row, customer)
        finally:
            await state.stop()
        return self.slips, self.refused

    async def _customers(self, state: LiveStore, rows: Sequence[Mapping[str, Any]]) -> list[Customer | None]:
        lookups = [Lookup(customer_id=row["customer_id"], touchpoint_id=row["touchpoint"]) for row in rows]
        return [_customer(known) for known in await state.read_many(lookups)]

    async def _judge(self, permits: Permits, row: Mapping[str, Any], customer: Customer | None) -> None:
        """Everything that can be said without a permit comes first: one that is given counts as a contact."""
        message = self._message(row)
        slip: Slip | None = None
        if message is not None and customer is not None:
            missing = missing_address(message.channel, customer.attributes)
            if missing:
                self._refuse(row, [ADDRESS_MISSING], [f"the profile has no {', '.join(missing)}"])
                return
            try:
                slip = slip_of(row, message, customer.attributes, row["context"], self.plan.as_of)
            except InvalidPolicyError:
                self._refuse(row, [NO_WORDS], ["its content cannot be rendered for this customer"])
                return
        answer = await self._permit(permits, row)
        if answer is None:
            self._refuse(row, ["UNKNOWN_DECISION"], ["the decision is no longer stored"])
        elif answer["permit"] == "allowed" and slip is not None:
            self.slips.append(slip)
        else:
            self._refuse(row, answer["reasons"], answer["because"], answer["retry_at"])

    async def _permit(self, permits: Permits, row: Mapping[str, Any]) -> PermitAnswer | None:
        try:
            answer = await permits.answer(row["decision_id"], deadline_s=_PERMIT_S)
        except UnknownDecisionError:  # its customer was erased meanwhile
            return None
        if STATE_UNAVAILABLE in answer["reasons"]:
            raise UnavailableError(
                "Redis must answer for every permit, got no answer; nothing was written, run it again"
            )
        return answer

    def _message(self, row: Mapping[str, Any]) -> Message | None:
        """The message as the catalogue has it now; None where it is no longer there."""
        if row["touchpoint"] not in self.in_force.catalogue.touchpoints:
            return None
        key = f"{row['offer_id']}/{row['channel']}/{row['creative_id']}"
        found: Iterator[Message] = (one for one in self.in_force.policy.candidates(row["touchpoint"]) if one.key == key)
        return next(found, None)

    def _refuse(
        self, row: Mapping[str, Any], reasons: Sequence[str], because: Sequence[str], retry_at: str | None = None
    ) -> None:
        who = {"decision_id": row["decision_id"], "customer_id": row["customer_id"]}
        self.refused.append(Refused(**who, reasons=tuple(reasons), because=tuple(because), retry_at=retry_at))


def _customer(known: Known) -> Customer | None:
    try:
        return None if known.profile is None else decode_profile(known.profile)
    except FeatureUnavailableError:
        return None
