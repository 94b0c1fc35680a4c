"""Offers and creatives that nobody can get, channels for which an offer has no creative, and follow-ups of nothing."""

from collections.abc import Iterator

from decisioning.catalogue.journey import Touchpoint
from decisioning.catalogue.message import Creative, Offer
from decisioning.catalogue.message_classes import Layer
from decisioning.rules.fact_names import STAGE_FACT
from decisioning.rules.predicate import AllOf, Compare, Comparison, Predicate
from decisioning.rules.predicate_analysis import ProofVerdict, can_hold
from features.catalogue.checks.findings import Finding, Proof
from features.catalogue.proofs.ground import ProofInputs
from features.catalogue.proofs.purpose_proof import serves
from features.catalogue.proofs.stage_proof import region_of
from features.catalogue.reading.documents import Location


def rules_together(entry: Offer | Creative) -> Predicate:
    """All rules of an offer or a creative: eligibility, applicability, suitability."""
    return AllOf(parts=(entry.eligibility, entry.applicability, entry.suitability))


def prove_offers(ground: ProofInputs) -> Iterator[Finding]:
    """Warnings about what can never be sent, offer by offer."""
    for offer in ground.catalogue.offers.values():
        at = ("offers", offer.offer_id)
        if offer.valid_until is not None and offer.valid_until <= ground.now:
            found = f"is over since {offer.valid_until:%Y-%m-%d %H:%M} UTC, so it is never sent"
            yield ground.warning((*at, "valid_until"), Proof.OFFER_OVER, found, "take it out, or give it a later end")
        yield from _neighbour_findings(ground, offer)
        unreachable = _unreachable(ground, offer)
        if unreachable is not None:
            yield unreachable
            continue
        yield from _unreachable_creatives(ground, offer)
        yield from _missing_creatives(ground, offer)


def travels_at(ground: ProofInputs, offer: Offer) -> list[Touchpoint]:
    """Touchpoints at which an offer can travel: one of its creatives is for one of their channels."""
    written = {creative.channel_id for creative in ground.creatives[offer.offer_id]}
    return [each for each in ground.catalogue.touchpoints.values() if written & each.channels]


def _unreachable(ground: ProofInputs, offer: Offer) -> Finding | None:
    at: Location = ("offers", offer.offer_id)
    touchpoints = travels_at(ground, offer)
    if not touchpoints:
        channels = ", ".join(sorted({each.channel_id for each in ground.creatives[offer.offer_id]}))
        found = f"can never be sent: no touchpoint has one of its channels ({channels})"
        advice = "add a creative for a channel of a touchpoint, or the channel to a touchpoint"
        return ground.warning((*at, "creatives"), Proof.OFFER_UNREACHABLE, found, advice)
    creatives = ground.creatives[offer.offer_id]
    if any(_is_reachable(ground, offer, each, point) for each in creatives for point in touchpoints):
        return None
    named = [named for _, named in _stage_rules(ground, offer)]
    stages = ", ".join(sorted(offer.stages)) or "any stage"
    if any(
        can_hold(AllOf(parts=(each, rules_together(offer))), ground.domains) is not ProofVerdict.NO for each in named
    ):
        found = f"can never be sent: who is in {stages} by the rules, at its touchpoints, never meets its rules"
        advice = "change its rules, its `stages` or the stages' rules, unless an event or the caller names the stage"
    else:
        found = f"can never be sent: its rules exclude the stages it is for ({stages})"
        advice = "change its rules or its `stages`"
    return ground.warning(at, Proof.OFFER_UNREACHABLE, found, advice)


def _is_reachable(ground: ProofInputs, offer: Offer, creative: Creative, touchpoint: Touchpoint) -> bool:
    """Whether anybody in a stage of the offer can meet all rules at once; True where that cannot be disproved."""
    if creative.channel_id not in touchpoint.channels:
        return False
    rules = (rules_together(offer), rules_together(creative))
    whos = (AllOf(parts=(region, named)) for region, named in _stage_rules(ground, offer))
    return any(ground.may_hold_at(AllOf(parts=(who, *rules)), touchpoint.touchpoint_id) for who in whos)


def _stage_rules(ground: ProofInputs, offer: Offer) -> Iterator[tuple[Predicate, Predicate]]:
    """For each stage of an offer: the rule for being in it, and the fact that it is the stage."""
    catalogue = ground.catalogue
    for stage in catalogue.stages:
        if not offer.stages or stage.stage_id in offer.stages:
            named = Compare(fact=STAGE_FACT, comparison=Comparison.EQUALS, value=stage.stage_id)
            yield region_of(catalogue, stage.stage_id), named
    if not offer.stages:
        nobody = AllOf(parts=())
        yield nobody, Compare(fact=STAGE_FACT, comparison=Comparison.IS_MISSING, value=True)


def _unreachable_creatives(ground: ProofInputs, offer: Offer) -> Iterator[Finding]:
    touchpoints = travels_at(ground, offer)
    for creative in ground.creatives[offer.offer_id]:
        at = ground.creative_at(creative)
        if not any(creative.channel_id in each.channels for each in touchpoints):
            found = f"can never be sent: no touchpoint has the channel {creative.channel_id!r}"
            advice = "add the channel to a touchpoint, or take the creative out"
            yield ground.warning((*at, "channel"), Proof.CREATIVE_UNREACHABLE, found, advice)
        elif not any(_is_reachable(ground, offer, creative, each) for each in touchpoints):
            found = "can never be sent: its rules exclude those of its offer or the stages of its offer"
            yield ground.warning(at, Proof.CREATIVE_UNREACHABLE, found, "change its rules, or take it out")


def _missing_creatives(ground: ProofInputs, offer: Offer) -> Iterator[Finding]:
    """Channels of its touchpoints for which an offer has no words."""
    written = {creative.channel_id for creative in ground.creatives[offer.offer_id]}
    gaps: dict[str, list[str]] = {}
    for touchpoint in travels_at(ground, offer):
        for channel in sorted(touchpoint.channels - written):
            if not serves(ground, offer, channel):
                continue
            gaps.setdefault(channel, []).append(touchpoint.touchpoint_id)
    if gaps:
        words = "; ".join(f"{channel} (at {', '.join(points)})" for channel, points in sorted(gaps.items()))
        found = f"has no creative for {words}"
        advice = "write one for each, or leave it if the offer must not travel there"
        at = ("offers", offer.offer_id, "creatives")
        yield ground.warning(at, Proof.CREATIVE_MISSING, found, advice)


def _neighbour_findings(ground: ProofInputs, offer: Offer) -> Iterator[Finding]:
    at = ("offers", offer.offer_id, "not_after")
    bypasses = ground.catalogue.classes[offer.message_class].bypasses
    if offer.offer_id in offer.not_after and Layer.CONTACT_POLICY not in bypasses:
        found = "excludes itself after every time it was sent"
        advice = "write a cap with `scope: offer`, which says so for what it is"
        yield ground.warning((*at, offer.offer_id), Proof.OFFER_EXCLUDES_ITSELF, found, advice)
    for other in sorted(offer.never_with & set(offer.not_after)):
        found = f"is in `never_with` too, which already excludes it for as long as {other!r} is remembered"
        advice = "keep one of the two"
        yield ground.warning((*at, other), Proof.OFFER_EXCLUDES_ITSELF, found, advice)


def prove_conversation(ground: ProofInputs) -> Iterator[Finding]:
    """Warnings about offers all of whose wordings follow up."""
    conversation = ground.catalogue.conversation
    if conversation is None:
        return
    for offer_id, creatives in ground.creatives.items():
        keys = {each.message_key for each in creatives}
        if keys <= conversation.follow_ups:
            found = "can never be sent: all of its wordings follow up, and nothing of it is ever seen before"
            advice = "write the wording that begins, without `follow_up`"
            yield ground.warning(("offers", offer_id, "creatives"), Proof.NOTHING_BEGINS, found, advice)
