"""The checks of the gates: each takes one message and returns None or a refusal."""

from decisioning.catalogue.care import CaseState
from decisioning.catalogue.contact_policy import limits_contacts
from decisioning.catalogue.message import MessageClass
from decisioning.consent import refusal_words
from decisioning.decision import Exclusion
from decisioning.gates.candidate import Candidate
from decisioning.gates.contact_ledger import BookRefusal
from decisioning.gates.contact_rules import span_words
from decisioning.gates.situation import Situation
from decisioning.rules.layer_rule import LayerRule

_CHANNEL_NOT_ASKED: BookRefusal = (Exclusion.CHANNEL_NOT_ASKED, "", None)
_EXCLUDED_BY_CALLER: BookRefusal = (Exclusion.EXCLUDED_BY_CALLER, "", None)
_ALREADY_IN_SLATE: BookRefusal = (Exclusion.ALREADY_IN_SLATE, "", None)
_PROTECTED: BookRefusal = (Exclusion.PROTECTED, "", None)  # an answer must not tell which one
_UNSUBSCRIBED: BookRefusal = (Exclusion.UNSUBSCRIBED, "", None)
_NOT_REACHABLE: BookRefusal = (Exclusion.NOT_REACHABLE, "", None)
_FOLLOWED: BookRefusal = (Exclusion.INCOMPATIBLE, "an offer of this slate must not follow it", None)
_STATE_LOST: BookRefusal = (Exclusion.STATE_LOST, "", None)
_WRONG_STAGE: BookRefusal = (Exclusion.WRONG_STAGE, "", None)
_HOLDOUT: BookRefusal = (Exclusion.HOLDOUT, "", None)
_NOTHING_TO_FOLLOW: BookRefusal = (Exclusion.NOTHING_TO_FOLLOW, "", None)
_EXPERIMENT_ARM: BookRefusal = (Exclusion.EXPERIMENT_ARM, "", None)
_NOT_SCORED: BookRefusal = (Exclusion.NOT_SCORED, "", None)

_NO_GOALS: frozenset[str] = frozenset()


def channel_gate(candidate: Candidate, situation: Situation) -> BookRefusal | None:
    """The caller asked for other channels, or the placement takes others."""
    asked = situation.channels
    return None if asked is None or candidate.channel_id in asked else _CHANNEL_NOT_ASKED


def caller_gate(candidate: Candidate, situation: Situation) -> BookRefusal | None:
    """The caller ruled this offer out."""
    return _EXCLUDED_BY_CALLER if candidate.offer_id in situation.request.excluded_offers else None


def slate_gate(candidate: Candidate, situation: Situation) -> BookRefusal | None:
    """An earlier position of the slate has the offer already."""
    return _ALREADY_IN_SLATE if candidate.offer_id in situation.slate else None


def protection_gate(_: Candidate, situation: Situation) -> BookRefusal | None:
    """The customer is protected: deceased, minor, vulnerable, legal hold."""
    return _PROTECTED if situation.protections else None


def consent_gate(candidate: Candidate, situation: Situation) -> BookRefusal | None:
    """The purpose needs a yes on this channel, and there is none."""
    needed = candidate.consent
    if needed is None or needed in situation.granted:
        return None
    channel, purpose = needed
    words = refusal_words(situation.answers.get(needed))
    return (Exclusion.NO_CONSENT, f"{purpose} on {channel}: {words}", None)


def subscription_gate(candidate: Candidate, situation: Situation) -> BookRefusal | None:
    """The customer has left the channel."""
    return _UNSUBSCRIBED if candidate.channel_id in situation.unsubscribed else None


def reach_gate(candidate: Candidate, situation: Situation) -> BookRefusal | None:
    """No working address on the channel is known."""
    return None if candidate.channel_id in situation.reachable else _NOT_REACHABLE


def validity_gate(candidate: Candidate, situation: Situation) -> BookRefusal | None:
    """The offer is valid from its start (inclusive), and until its end (exclusive) it must arrive."""
    if candidate.valid_from is not None and situation.now < candidate.valid_from:
        return (Exclusion.NOT_YET_VALID, f"from {candidate.valid_from.isoformat()}", candidate.valid_from)
    until = candidate.valid_until
    if until is None or situation.times.arrival(candidate.message.channel, situation.now) < until:
        return None
    words = "" if situation.now >= until else "it would arrive too late"
    return (Exclusion.EXPIRED, words, None)


def stage_gate(candidate: Candidate, situation: Situation) -> BookRefusal | None:
    """The offer is for other stages of the journey."""
    return None if not candidate.stages or situation.stage_id in candidate.stages else _WRONG_STAGE


def purpose_gate(candidate: Candidate, situation: Situation) -> BookRefusal | None:
    """The channel serves other goals in the customer's stage, or none."""
    channel, stage_id = candidate.message.channel, situation.stage_id
    if channel.purposes is None:
        return None
    goals = _NO_GOALS if stage_id is None else channel.purposes.get(stage_id, _NO_GOALS)
    if candidate.goal_id in goals:
        return None
    served = ", ".join(sorted(goals)) or "nothing"
    stage = "where no stage is known" if stage_id is None else f"in stage {stage_id}"
    return (Exclusion.OTHER_PURPOSE, f"{stage} {channel.channel_id} serves {served}", None)


def eligibility_gate(candidate: Candidate, situation: Situation) -> BookRefusal | None:
    """The customer may not have it, or that cannot be checked."""
    return _unmet(candidate.eligibility, Exclusion.NOT_ELIGIBLE, situation)


def applicability_gate(candidate: Candidate, situation: Situation) -> BookRefusal | None:
    """It makes no sense for them now, or that cannot be checked."""
    return _unmet(candidate.applicability, Exclusion.NOT_APPLICABLE, situation)


def suitability_gate(candidate: Candidate, situation: Situation) -> BookRefusal | None:
    """It is not good for them, or that cannot be checked."""
    return _unmet(candidate.suitability, Exclusion.NOT_SUITABLE, situation)


def follow_gate(candidate: Candidate, situation: Situation) -> BookRefusal | None:
    """It carries on an offer of which the customer has seen nothing lately."""
    is_lost = candidate.is_follow_up and candidate.offer_id not in situation.seen.offers
    return _NOTHING_TO_FOLLOW if is_lost else None


def known_gate(candidate: Candidate, situation: Situation) -> BookRefusal | None:
    """The customer has told us everything that it asks."""
    customer = situation.inputs.customer
    if not candidate.asks or customer is None:
        return None
    if any(customer.attributes.get(name) is None for name in candidate.asks):
        return None
    return (Exclusion.ALREADY_KNOWN, ", ".join(sorted(candidate.asks)), None)


def company_gate(candidate: Candidate, situation: Situation) -> BookRefusal | None:
    """The customer has, or is getting, an offer that this one must never meet."""
    if not candidate.never_with:
        return None
    sent, slate = situation.sent, situation.slate
    met = [offer for offer in candidate.never_with if offer in sent or offer in slate]
    return (Exclusion.INCOMPATIBLE, f"never with {', '.join(sorted(met))}", None) if met else None


def order_gate(candidate: Candidate, situation: Situation) -> BookRefusal | None:
    """The customer got, or is getting, an offer that this one must not follow so soon."""
    if candidate.offer_id in situation.followed:
        return _FOLLOWED
    if not candidate.not_after:
        return None
    sent, found = situation.sent, None
    for offer_id, rest in candidate.not_after.items():
        at = situation.now if offer_id in situation.slate else sent.get(offer_id)
        if at is not None and situation.now < at + rest and (found is None or at + rest > found[1]):
            found = (f"not within {span_words(rest.total_seconds())} after {offer_id}", at + rest)
    return None if found is None else (Exclusion.INCOMPATIBLE, *found)


def care_gate(candidate: Candidate, situation: Situation) -> BookRefusal | None:
    """An open or recent case pauses the class."""
    if candidate.message_class not in situation.paused:
        return None
    care = situation.care
    kind = care.case.kind if care.case is not None else ""
    is_open = care.state is CaseState.OPEN
    return (Exclusion.CASE_OPEN if is_open else Exclusion.CASE_COOLING_DOWN, kind, care.until)


def state_gate(candidate: Candidate, situation: Situation) -> BookRefusal | None:
    """What was sent is forgotten: no marketing, and nothing else that contacts are counted for."""
    if not situation.inputs.live.is_lost:
        return None
    is_marketing = candidate.message_class is MessageClass.MARKETING
    return _STATE_LOST if is_marketing or limits_contacts(situation.catalogue.contact_policy) else None


def contact_gate(candidate: Candidate, situation: Situation) -> BookRefusal | None:
    """A cap or the contact pressure has no room left, or keeps it for a heavier message that is due."""
    return situation.ledger.refusal(candidate.touch)


def suppression_gate(candidate: Candidate, situation: Situation) -> BookRefusal | None:
    """The customer declined, left or complained about something like it, or it bounced."""
    return situation.ledger.suppression(candidate.touch)


def seen_gate(candidate: Candidate, situation: Situation) -> BookRefusal | None:
    """The customer has seen the offer on some channel; of what follows up, the same is asked of what followed up."""
    seen = situation.seen.followed if candidate.is_follow_up else situation.seen.offers
    sighting = seen.get(candidate.offer_id)
    return None if sighting is None else (Exclusion.ALREADY_SEEN, f"on {sighting.channel_id}", sighting.until)


def quiet_gate(candidate: Candidate, situation: Situation) -> BookRefusal | None:
    """It is quiet time for the channel in a zone where the customer lives or may live."""
    until = situation.times.quiet_until(candidate.channel_id, situation.now)
    return None if until is None else (Exclusion.QUIET_HOURS, "", until)


def capacity_gate(candidate: Candidate, situation: Situation) -> BookRefusal | None:
    """A capacity, a budget or a department's share is used up."""
    return candidate.shared.refusal(situation.supply, situation.now)


def creative_gate(candidate: Candidate, situation: Situation) -> BookRefusal | None:
    """The expanded content breaks its channel, or would have a hole where a field is missing."""
    fault = situation.unfit.get(candidate.key)
    return None if fault is None else (Exclusion.CREATIVE_UNFIT, fault, None)


def holdout_gate(_: Candidate, situation: Situation) -> BookRefusal | None:
    """The customer is in the universal holdout."""
    return _HOLDOUT if situation.is_held_out else None


def programme_gate(candidate: Candidate, situation: Situation) -> BookRefusal | None:
    """The customer is in the holdout of a programme that the message belongs to."""
    kept = candidate.programmes & situation.programmes
    return (Exclusion.PROGRAMME_HOLDOUT, ", ".join(sorted(kept)), None) if kept else None


def arm_gate(_: Candidate, situation: Situation) -> BookRefusal | None:
    """A silent experiment arm."""
    return _EXPERIMENT_ARM if situation.is_silent_arm else None


def score_gate(_: Candidate, situation: Situation) -> BookRefusal | None:
    """Not sent on a guess: it needs a score, or a way of choosing that asks for none."""
    return None if situation.is_rankable else _NOT_SCORED


def _unmet(rules: tuple[LayerRule, ...], reason: Exclusion, situation: Situation) -> BookRefusal | None:
    for rule in rules:
        if not _can_check(rule, situation):
            return (reason, f"the {rule.owner}'s rule cannot be checked", None)
        if not rule.is_met(situation.facts):
            return (reason, f"the {rule.owner}'s rule", None)
    return None


def holds(rule: LayerRule, situation: Situation) -> bool:
    """True where a rule can be checked and is met."""
    return _can_check(rule, situation) and rule.is_met(situation.facts)


def _can_check(rule: LayerRule, situation: Situation) -> bool:
    return (
        (not rule.features or rule.features <= situation.facts.keys())
        and (situation.is_profiled or not rule.needs_behaviour)
        and (situation.is_stage_known or not rule.needs_stage)
    )
