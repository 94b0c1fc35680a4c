"""Offers and creatives whose channels serve other goals at all of their stages."""

from collections.abc import Iterator

from decisioning.catalogue.message import Offer
from decisioning.catalogue.message_classes import Layer
from features.catalogue.checks.findings import Finding, Proof
from features.catalogue.proofs.ground import ProofInputs


def prove_purposes(ground: ProofInputs) -> Iterator[Finding]:
    """Warnings about what no channel's purposes ever let through."""
    for offer in ground.catalogue.offers.values():
        closed = [each for each in ground.creatives[offer.offer_id] if not serves(ground, offer, each.channel_id)]
        stages = ", ".join(sorted(offer.stages)) or "any stage"
        if len(closed) == len(ground.creatives[offer.offer_id]):
            channels = ", ".join(sorted({each.channel_id for each in closed}))
            found = f"can never be sent: none of its channels ({channels}) serves goal {offer.goal_id!r} in {stages}"
            advice = "name the goal in the `purposes` of one of them, or give the offer another goal or channel"
            yield ground.warning(("offers", offer.offer_id), Proof.CHANNEL_FOR_OTHER_GOALS, found, advice)
            continue
        for creative in closed:
            found = f"can never be sent: {creative.channel_id} does not serve goal {offer.goal_id!r} in {stages}"
            advice = "name the goal in the `purposes` of the channel, or take the creative out"
            at = (*ground.creative_at(creative), "channel")
            yield ground.warning(at, Proof.CHANNEL_FOR_OTHER_GOALS, found, advice)


def serves(ground: ProofInputs, offer: Offer, channel_id: str) -> bool:
    """Whether a channel is there for an offer's goal in any stage that the offer is for."""
    purposes = ground.catalogue.channels[channel_id].purposes
    if purposes is None or Layer.PURPOSE in ground.catalogue.classes[offer.message_class].bypasses:
        return True
    return any(offer.goal_id in goals for stage, goals in purposes.items() if not offer.stages or stage in offer.stages)
