"""The hard rules in their order: what each gate asks, of which messages, and when.

A gate checks one message, and passes it or gives a reason. It need not be asked about each: it names what it looks at,
messages that are alike in that share its answer, and in most situations only few can be refused at all.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from operator import attrgetter

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import limits_contacts
from decisioning.catalogue.message_classes import Layer
from decisioning.catalogue.quiet_hours import rules_for
from decisioning.gates.candidate import Candidate
from decisioning.gates.checks import (
    applicability_gate,
    arm_gate,
    caller_gate,
    capacity_gate,
    care_gate,
    channel_gate,
    company_gate,
    consent_gate,
    contact_gate,
    creative_gate,
    eligibility_gate,
    follow_gate,
    holdout_gate,
    known_gate,
    order_gate,
    programme_gate,
    protection_gate,
    purpose_gate,
    quiet_gate,
    reach_gate,
    score_gate,
    seen_gate,
    slate_gate,
    stage_gate,
    state_gate,
    subscription_gate,
    suitability_gate,
    suppression_gate,
    validity_gate,
)
from decisioning.gates.contact_ledger import BookRefusal, BookRefusals
from decisioning.gates.message_sets.grouping import MessageSet
from decisioning.gates.message_sets.lineup import Lineup
from decisioning.gates.situation import Situation
from decisioning.rules.layer_rule import LayerRule

type LooksAt = Callable[[Candidate, Catalogue], Hashable | None]
"""What of a message a gate looks at: it answers alike for messages that are alike in this; None for those it passes."""


def _always(_: Situation) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Gate:
    """A gate and its layer.

    Attributes:
        ask: What it says against one message.
        looks_at: What tells messages apart for it.
        can_refuse: False in situations in which it passes every message, so that asking is idle.
        among: The messages that it could refuse in a situation, and maybe others; None where that is all of them.
        sweep: What it says against all messages, where that takes less than asking about each group.
        is_of_stage: It looks at nothing but the stage in a situation, and is the only one of its layer.
    """

    layer: Layer
    ask: Callable[[Candidate, Situation], BookRefusal | None]
    looks_at: LooksAt
    can_refuse: Callable[[Situation], bool] = _always
    among: Callable[[Lineup, Situation], MessageSet] | None = None
    sweep: Callable[[Lineup, Situation], BookRefusals] | None = None
    is_of_stage: bool = False


def _its(side: str) -> LooksAt:
    """One side of a message; None where that is empty."""
    side_of = attrgetter(side)
    return lambda candidate, _: side_of(candidate) or None


def _rules(layer: str) -> LooksAt:
    """The rules of a layer, as written: 1, 1.0 and True are equal, and rules tell them apart."""
    rules_of: Callable[[Candidate], tuple[LayerRule, ...]] = attrgetter(layer)
    return lambda candidate, _: tuple((rule.owner, repr(rule.predicate)) for rule in rules_of(candidate)) or None


def _nothing(_: Candidate, __: Catalogue) -> Hashable:
    return ()


def _validity(candidate: Candidate, _: Catalogue) -> Hashable | None:
    bounds = (candidate.valid_from, candidate.valid_until)
    return None if bounds == (None, None) else (*bounds, candidate.channel_id)


def _purpose(candidate: Candidate, _: Catalogue) -> Hashable | None:
    return None if candidate.message.channel.purposes is None else (candidate.channel_id, candidate.goal_id)


def _follow_up(candidate: Candidate, _: Catalogue) -> Hashable | None:
    return candidate.offer_id if candidate.is_follow_up else None


def _sighting(candidate: Candidate, _: Catalogue) -> Hashable:
    return (candidate.is_follow_up, candidate.offer_id)


def _rest(candidate: Candidate, catalogue: Catalogue) -> Hashable | None:
    return rules_for(catalogue.quiet_hours, candidate.channel_id) or None


def _limits(candidate: Candidate, _: Catalogue) -> Hashable | None:
    return candidate.shared.alike


def _has_company(situation: Situation) -> bool:
    return bool(situation.sent or situation.slate)


def _has_caps(situation: Situation) -> bool:
    return limits_contacts(situation.catalogue.contact_policy)


def _has_responses(situation: Situation) -> bool:
    return bool(situation.catalogue.contact_policy.suppressions and situation.inputs.live.responses)


def _excluded(lineup: Lineup, situation: Situation) -> MessageSet:
    return lineup.of_offers(situation.request.excluded_offers)


def _in_slate(lineup: Lineup, situation: Situation) -> MessageSet:
    return lineup.of_offers(situation.slate)


def _in_company(lineup: Lineup, situation: Situation) -> MessageSet:
    return lineup.opposing(situation.sent) | lineup.opposing(situation.slate)


def _in_order(lineup: Lineup, situation: Situation) -> MessageSet:
    after = lineup.resting_after(situation.sent) | lineup.resting_after(situation.slate)
    return after | lineup.of_offers(situation.followed)


def _seen(lineup: Lineup, situation: Situation) -> MessageSet:
    return lineup.of_offers(situation.seen.offers)


def _unfit(lineup: Lineup, situation: Situation) -> MessageSet:
    return lineup.of_keys(situation.unfit)


def _book(lineup: Lineup, situation: Situation) -> BookRefusals:
    return situation.ledger.refusals(lineup.touch_groups)


def _suppressed(lineup: Lineup, situation: Situation) -> BookRefusals:
    return situation.ledger.suppressions(lineup.touch_groups)


GATES: tuple[Gate, ...] = (
    Gate(Layer.REQUEST, channel_gate, _its("channel_id"), lambda situation: situation.channels is not None),
    Gate(
        Layer.REQUEST,
        caller_gate,
        _its("offer_id"),
        lambda situation: bool(situation.request.excluded_offers),
        _excluded,
    ),
    Gate(Layer.REQUEST, slate_gate, _its("offer_id"), lambda situation: bool(situation.slate), _in_slate),
    Gate(Layer.PROTECTION, protection_gate, _nothing, lambda situation: bool(situation.protections)),
    Gate(Layer.CONSENT, consent_gate, _its("consent")),
    Gate(Layer.CONSENT, subscription_gate, _its("channel_id"), lambda situation: bool(situation.unsubscribed)),
    Gate(Layer.REACHABILITY, reach_gate, _its("channel_id")),
    Gate(Layer.VALIDITY, validity_gate, _validity),
    Gate(Layer.STAGE, stage_gate, _its("stages"), is_of_stage=True),
    Gate(Layer.PURPOSE, purpose_gate, _purpose, is_of_stage=True),
    Gate(Layer.ELIGIBILITY, eligibility_gate, _rules("eligibility")),
    Gate(Layer.APPLICABILITY, applicability_gate, _rules("applicability")),
    Gate(Layer.APPLICABILITY, known_gate, _its("asks")),
    Gate(Layer.APPLICABILITY, follow_gate, _follow_up, lambda situation: situation.catalogue.conversation is not None),
    Gate(Layer.SUITABILITY, suitability_gate, _rules("suitability")),
    Gate(Layer.COMPATIBILITY, company_gate, _its("never_with"), _has_company, _in_company),
    Gate(Layer.COMPATIBILITY, order_gate, _its("offer_id"), _has_company, _in_order),
    Gate(Layer.CARE, care_gate, _its("message_class"), lambda situation: bool(situation.paused)),
    Gate(Layer.CONTACT_POLICY, state_gate, _its("message_class"), lambda situation: situation.inputs.live.is_lost),
    Gate(Layer.CONTACT_POLICY, contact_gate, _its("key"), _has_caps, sweep=_book),
    Gate(Layer.SUPPRESSION, suppression_gate, _its("key"), _has_responses, sweep=_suppressed),
    Gate(Layer.CONVERSATION, seen_gate, _sighting, lambda situation: bool(situation.seen.offers), _seen),
    Gate(Layer.QUIET_HOURS, quiet_gate, _rest),
    Gate(Layer.CAPACITY, capacity_gate, _limits),
    Gate(Layer.CREATIVE, creative_gate, _its("key"), lambda situation: bool(situation.unfit), _unfit),
    Gate(Layer.TEST, holdout_gate, _nothing, lambda situation: situation.is_held_out),
    Gate(Layer.TEST, programme_gate, _its("programmes"), lambda situation: bool(situation.programmes)),
    Gate(Layer.TEST, arm_gate, _nothing, lambda situation: situation.is_silent_arm),
    Gate(Layer.SCORE, score_gate, _nothing, lambda situation: not situation.is_rankable),
)
"""In the order in which reasons are reported, which is that of the layers."""
