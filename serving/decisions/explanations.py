"""Answers to "why" and "why not", from the record and from what is known now; asking changes nothing.

The answer about then comes from the record alone. For now, a decision is made and discarded: it reads what a decision
reads, and logs, reserves and stores nothing. Which change would have let another offer win is tested with the policy
that decided, built from its archived catalogue; if that is gone, the answer says so.
"""

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Literal, TypedDict

from pydantic import Field

from decisioning.decision import Decision
from decisioning.errors import UnavailableError, UnknownNameError
from decisioning.explanation.explanation import Reader, explain_decision
from decisioning.explanation.nearest_change import Change, ChangeStep, StepKind, nearest_change
from decisioning.explanation.why_not import NOW_ID, MessageStanding, OfferStanding, WhyNot, why_not_then
from decisioning.policy import Policy
from features.models.policy_archive import PolicyArchive
from serving.decisions.answer import Amount, Amounts, closed
from serving.decisions.ask import Ask
from serving.decisions.draft import decide_many
from serving.in_force.policy_in_force import InForce
from serving.live.store import LiveStore

_MINOR = "_minor"

ExplainedAnswer = TypedDict(
    "ExplainedAnswer",
    {"decision_id": str, "for": Literal["customer", "agent", "auditor"], "sentences": list[str]},
)
closed(ExplainedAnswer)
ExplainedAnswer.__doc__ = "A decision in plain sentences."


@closed
class ObstacleDocument(TypedDict):
    """A gate that refused."""

    reason: str
    because: str
    detail: str


@closed
class FactorDocument(TypedDict):
    """How much worse a message was than the best one in one factor; negative where it was better."""

    factor: str
    amount: Amount | None
    ratio: float | None


@closed
class StandingDocument(TypedDict):
    """How far a message got."""

    message: str
    standing: OfferStanding
    action_probability: float
    obstacles: list[ObstacleDocument]
    allowed_at: str | None
    gap: Annotated[Amount | None, Field(description="By how much its priority was below the best one's")]
    factors: list[FactorDocument]


@closed
class StepDocument(TypedDict):
    """One thing that would have to be different."""

    kind: StepKind
    words: str
    reason: str | None
    amount: Amount | None
    at: str | None


@closed
class ChangeDocument(TypedDict):
    """The nearest change, or why there is none."""

    message: str | None
    sentence: str
    is_verified: Annotated[bool, Field(description="Deciding again with these steps put the message first")]
    steps: list[StepDocument]


@closed
class SideDocument(TypedDict):
    """Why an offer was not chosen, at one moment."""

    decided_at: str
    policy_version: str
    standing: OfferStanding
    sentence: str
    chosen: str
    best: Annotated[str, Field(description="What was best before the draw")]
    is_ghost: Annotated[bool, Field(description="A holdout or a silent arm held back this very offer")]
    messages: list[StandingDocument]
    nearest_change: ChangeDocument


@closed
class WhyNotAnswer(TypedDict):
    """Why an offer was not chosen, then and now."""

    decision_id: str
    offer_id: str
    channel: str | None
    then: SideDocument
    now: SideDocument | None
    now_problem: Annotated[str | None, Field(description="Why there is no answer about now")]


def explanation_for(decision: Decision, reader: Reader, locale: str | None) -> ExplainedAnswer:
    """A decision in plain sentences; `locale` is a BCP 47 tag, None for the customer's own."""
    sentences = explain_decision(decision, reader, locale)
    return {"decision_id": decision.decision_id, "for": reader.value, "sentences": list(sentences)}


async def why_not_answer(
    state: LiveStore,
    in_force: InForce,
    archive: PolicyArchive,
    then: Decision,
    *,
    offer_id: str,
    channel_id: str | None,
    now: datetime,
    within_s: float,
) -> WhyNotAnswer:
    """Why an offer was not chosen, why it would not be now, and what would have let it win.

    Redis is only read, for at most `within_s` seconds. Without a channel it is about the offer on any of them.

    Raises:
        UnknownNameError: Neither the record nor the catalogue knows the offer or the channel.
    """
    _check_names(in_force, then, offer_id, channel_id)
    problem = None
    told_now = None
    try:
        decision = await _decide_now(state, in_force, then, offer_id=offer_id, now=now, within_s=within_s)
        told_now = await asyncio.to_thread(_told, in_force, in_force.policy, decision, offer_id, channel_id)
    except UnknownNameError as error:
        problem = f"the catalogue has changed since: {error}"
    except (TimeoutError, UnavailableError):
        problem = "the customer's current data cannot be read at the moment"
    return {
        "decision_id": then.decision_id,
        "offer_id": offer_id,
        "channel": channel_id,
        "then": await asyncio.to_thread(_told_then, in_force, archive, then, offer_id, channel_id),
        "now": told_now,
        "now_problem": problem,
    }


def _check_names(in_force: InForce, then: Decision, offer_id: str, channel_id: str | None) -> None:
    known = why_not_then(then, offer_id, channel_id).standing is not OfferStanding.NOT_A_CANDIDATE
    catalogue = in_force.catalogue
    if not known and offer_id not in catalogue.offers:
        raise UnknownNameError("offer", offer_id, catalogue.offers)
    if not known and channel_id is not None and channel_id not in catalogue.channels:
        raise UnknownNameError("channel", channel_id, catalogue.channels)


async def _decide_now(
    state: LiveStore, in_force: InForce, then: Decision, *, offer_id: str, now: datetime, within_s: float
) -> Decision:
    """What the same ask would get now; nothing of it is kept."""
    catalogue, request = in_force.catalogue, then.inputs.request
    if offer_id not in catalogue.offers:
        raise UnknownNameError("offer", offer_id, catalogue.offers)
    in_force.policy.candidates(request.touchpoint_id)  # refuses a touchpoint that is gone
    is_stage_known = request.stage_id in {stage.stage_id for stage in catalogue.stages}
    ask = Ask(request=replace(request, stage_id=request.stage_id if is_stage_known else None))
    async with asyncio.timeout(within_s):
        [known] = await state.read_people([ask.lookup(in_force.supply.query(now))])
    [decision] = decide_many(in_force, [ask.about(known)], [known], now, decision_id=NOW_ID)
    return decision


def _told_then(
    in_force: InForce, archive: PolicyArchive, then: Decision, offer_id: str, channel_id: str | None
) -> SideDocument:
    is_same = then.policy_version == in_force.policy.version
    kept = in_force.policy if is_same else archive.policy(then.policy_version)
    policy = kept if isinstance(kept, Policy) else in_force.policy
    return _told(in_force, policy, then, offer_id, channel_id)


def _told(in_force: InForce, policy: Policy, decision: Decision, offer_id: str, channel_id: str | None) -> SideDocument:
    found = why_not_then(decision, offer_id, channel_id)
    change = nearest_change(policy, decision, offer_id, channel_id)
    money = Amounts(policy, in_force.per_major)
    return {
        "decided_at": decision.decided_at.isoformat(),
        "policy_version": decision.policy_version,
        "standing": found.standing,
        "sentence": found.sentence,
        "chosen": found.chosen_key,
        "best": found.best_key,
        "is_ghost": found.is_ghost,
        "messages": _messages(found, money),
        "nearest_change": _change(change, money),
    }


def _messages(found: WhyNot, money: Amounts) -> list[StandingDocument]:
    return [_message(one, money) for one in found.messages]


def _message(one: MessageStanding, money: Amounts) -> StandingDocument:
    return {
        "message": one.message_key,
        "standing": one.standing,
        "action_probability": one.probability,
        "obstacles": [
            {"reason": reason, "because": words, "detail": detail} for reason, words, detail in one.obstacles
        ],
        "allowed_at": None if one.allowed_at is None else one.allowed_at.isoformat(),
        "gap": None if one.gap_minor is None else money.money(one.gap_minor),
        "factors": [_factor(name, amount, money) for name, amount in one.factors.items()],
    }


def _factor(name: str, amount: float, money: Amounts) -> FactorDocument:
    """A factor in which the message was worse (positive) or better than the best one."""
    if not name.endswith(_MINOR):
        return {"factor": name, "amount": None, "ratio": amount}
    told = money.value(amount) if name == "uplift_minor" else money.money(amount)
    return {"factor": name.removesuffix(_MINOR), "amount": told, "ratio": None}


def _change(change: Change, money: Amounts) -> ChangeDocument:
    return {
        "message": change.message_key,
        "sentence": change.sentence,
        "is_verified": change.is_verified,
        "steps": [_step(step, money) for step in change.steps],
    }


def _step(step: ChangeStep, money: Amounts) -> StepDocument:
    return {
        "kind": step.kind,
        "words": step.words,
        "reason": None if step.exclusion is None else step.exclusion.value,
        "amount": money.value(step.amount),
        "at": None if step.at is None else step.at.isoformat(),
    }
