"""The hard rules: each gate looks at one message and passes it or says why not.

Every gate is asked about every message on every path, so a record always holds all the reasons, and no arm, outage or
shortage of knowledge opens anything. What cannot be checked does not pass: without a profile nothing counts as
reachable or agreed to, and without features no rule over features holds, whichever way it points.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from decisioning.candidate import Candidate
from decisioning.customer import Consent, Customer
from decisioning.decision import Excluded, Exclusion, Request
from decisioning.errors import InvalidInputError
from decisioning.predicate import Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that gates may look at.

    Attributes:
        facts: As `facts.gather_facts`, with `stage`.
        stage_id: None where no stage matches or none can be told.
        has_features: False where the features could not be read.
        is_stage_known: False where the stage hangs on features that could not be read.
        reachable: Channels with a working address.
        unsubscribed: Channels the customer has left.
        granted: Channel and purpose pairs with a yes in force.
        is_held_out: The customer is in the universal holdout.
        is_silent_arm: An experiment arm keeps marketing silent.
        is_rankable: A model's scores are there, or none are needed to choose.
    """

    request: Request
    facts: Facts
    now: datetime
    stage_id: str | None
    has_features: bool
    is_stage_known: bool
    reachable: frozenset[str]
    unsubscribed: frozenset[str]
    granted: frozenset[tuple[str, str]]
    is_held_out: bool
    is_silent_arm: bool
    is_rankable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Screening:
    """What the gates left: indexes of permitted candidates in candidate order, and the rest with their reasons."""

    permitted: tuple[int, ...]
    excluded: tuple[Excluded, ...]


type Gate = Callable[[Candidate, Situation], Exclusion | None]


def channel_gate(candidate: Candidate, situation: Situation) -> Exclusion | None:
    """The caller asked for other channels."""
    asked = situation.request.channels
    return None if asked is None or candidate.channel_id in asked else Exclusion.CHANNEL_NOT_ASKED


def caller_gate(candidate: Candidate, situation: Situation) -> Exclusion | None:
    """The caller ruled this offer out."""
    return Exclusion.EXCLUDED_BY_CALLER if candidate.offer_id in situation.request.excluded_offers else None


def reach_gate(candidate: Candidate, situation: Situation) -> Exclusion | None:
    """No working address on the channel is known."""
    return None if candidate.channel_id in situation.reachable else Exclusion.NOT_REACHABLE


def consent_gate(candidate: Candidate, situation: Situation) -> Exclusion | None:
    """The purpose needs a yes on this channel, and there is none."""
    return None if candidate.consent is None or candidate.consent in situation.granted else Exclusion.NO_CONSENT


def subscription_gate(candidate: Candidate, situation: Situation) -> Exclusion | None:
    """The customer has left the channel; only what needs no consent still travels on it."""
    has_left = candidate.consent is not None and candidate.channel_id in situation.unsubscribed
    return Exclusion.UNSUBSCRIBED if has_left else None


def validity_gate(candidate: Candidate, situation: Situation) -> Exclusion | None:
    """The offer is valid from its start (inclusive) until its end (exclusive)."""
    if candidate.valid_from is not None and situation.now < candidate.valid_from:
        return Exclusion.NOT_YET_VALID
    is_over = candidate.valid_until is not None and situation.now >= candidate.valid_until
    return Exclusion.EXPIRED if is_over else None


def stage_gate(candidate: Candidate, situation: Situation) -> Exclusion | None:
    """The offer is for other stages of the journey."""
    return None if not candidate.stages or situation.stage_id in candidate.stages else Exclusion.WRONG_STAGE


def eligibility_gate(candidate: Candidate, situation: Situation) -> Exclusion | None:
    """The rule of the offer or of the creative is not met, or cannot be checked."""
    can_check = (situation.has_features or not candidate.needs_features) and (
        situation.is_stage_known or not candidate.needs_stage
    )
    return None if can_check and candidate.is_eligible(situation.facts) else Exclusion.NOT_ELIGIBLE


def holdout_gate(candidate: Candidate, situation: Situation) -> Exclusion | None:
    """Customers in the universal holdout get no marketing."""
    return Exclusion.HOLDOUT if situation.is_held_out and candidate.is_marketing else None


def arm_gate(candidate: Candidate, situation: Situation) -> Exclusion | None:
    """A silent experiment arm gets no marketing."""
    return Exclusion.EXPERIMENT_ARM if situation.is_silent_arm and candidate.is_marketing else None


def score_gate(candidate: Candidate, situation: Situation) -> Exclusion | None:
    """Marketing is not sent on a guess: it needs a score, or an arm that draws without one."""
    return None if situation.is_rankable or not candidate.is_marketing else Exclusion.NOT_SCORED


GATES: tuple[Gate, ...] = (
    channel_gate,
    caller_gate,
    reach_gate,
    consent_gate,
    subscription_gate,
    validity_gate,
    stage_gate,
    eligibility_gate,
    holdout_gate,
    arm_gate,
    score_gate,
)
"""In the order in which reasons are reported."""


def screen(candidates: Sequence[Candidate], situation: Situation) -> Screening:
    """Ask every gate about every candidate.

    Returns:
        Which candidates may be sent, and every reason against each of the others.
    """
    permitted: list[int] = []
    excluded: list[Excluded] = []
    for index, candidate in enumerate(candidates):
        reasons = [reason for gate in GATES if (reason := gate(candidate, situation)) is not None]
        if reasons:
            excluded.append(Excluded(message_key=candidate.key, reasons=tuple(reasons)))
        else:
            permitted.append(index)
    return Screening(permitted=tuple(permitted), excluded=tuple(excluded))


def granted_consents(customer: Customer | None, now: datetime) -> frozenset[tuple[str, str]]:
    """Channel and purpose pairs with a yes in force.

    The latest answer wins; one without a date is older than any with one, and of two at the same moment the no wins.
    A yes dated after `now` does not count yet, a no counts at once: a wrong clock must not create consent.

    Raises:
        InvalidInputError: An answer dated without an offset.
    """
    latest: dict[tuple[str, str], Consent] = {}
    for consent in customer.consents if customer is not None else ():
        if consent.recorded_at is not None and consent.recorded_at.utcoffset() is None:
            raise InvalidInputError(
                f"recorded_at of a consent must be a time with an offset, got {consent.recorded_at}"
            )
        if consent.is_granted and consent.recorded_at is not None and consent.recorded_at > now:
            continue
        pair = (consent.channel_id, consent.purpose)
        if pair not in latest or _is_later(consent, latest[pair]):
            latest[pair] = consent
    return frozenset(pair for pair, consent in latest.items() if consent.is_granted)


def _is_later(consent: Consent, other: Consent) -> bool:
    """A total order of answers: by date, undated first, and at the same moment a no after a yes."""
    if consent.recorded_at == other.recorded_at:
        return not consent.is_granted
    if consent.recorded_at is None or other.recorded_at is None:
        return other.recorded_at is None
    return consent.recorded_at > other.recorded_at
