"""Offers with follow-ups but nothing to follow up."""

from collections.abc import Iterator

from features.catalogue.checks.findings import Finding, Proof
from features.catalogue.proofs.ground import ProofInputs


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
