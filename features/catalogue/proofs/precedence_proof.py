"""Messages that always go first and so leave nothing to those below them."""

from collections.abc import Iterator

from decisioning.catalogue.journey import Touchpoint
from decisioning.catalogue.message import Creative, Offer
from decisioning.catalogue.message_classes import CLASS_ORDER, Layer
from decisioning.rules.predicate_analysis import ProofVerdict, always_holds
from features.catalogue.checks.findings import Finding, Proof
from features.catalogue.proofs.contact_proof import values_of
from features.catalogue.proofs.ground import ProofInputs
from features.catalogue.proofs.offer_proof import rules_together, travels_at
from features.catalogue.reading.problems import listed

_MOST_NAMED = 3


def prove_precedence(ground: ProofInputs) -> Iterator[Finding]:
    """Warnings about offers that are always permitted, always go first, and so are all that is ever sent."""
    for offer in ground.catalogue.offers.values():
        if not ground.catalogue.classes[offer.message_class].has_precedence or not _is_for_all(ground, offer):
            continue
        starved = {
            point.touchpoint_id: lower
            for point in travels_at(ground, offer)
            if _has_open_creative(ground, offer, point)
            and (lower := _below(ground, offer, point))
            and not any(_is_spared(ground, offer, each) for each in lower)
        }
        if starved:
            yield _finding(ground, offer, starved)


def _finding(ground: ProofInputs, offer: Offer, starved: dict[str, list[Offer]]) -> Finding:
    names = sorted({each.offer_id for lower in starved.values() for each in lower})
    found = (
        f"always goes first at {', '.join(sorted(starved))}: whoever may get it there never gets "
        f"{listed(names, _MOST_NAMED)}"
    )
    advice = (
        "say in a rule when it is due, cap it (`scope: offer`), "
        f"or let its class compete: `classes: {{{offer.message_class}: {{precedence: false}}}}`"
    )
    return ground.warning(("offers", offer.offer_id), Proof.CLASS_STARVES, found, advice)


def _is_for_all(ground: ProofInputs, offer: Offer) -> bool:
    """Nothing but consent and reach stands between an offer and everybody, now and at every time."""
    stages = {stage.stage_id for stage in ground.catalogue.stages}
    is_valid = (offer.valid_from is None or offer.valid_from <= ground.now) and (
        offer.valid_until is None or offer.valid_until > ground.now
    )
    is_free = not offer.never_with and not offer.not_after and (not offer.stages or offer.stages >= stages)
    return is_valid and is_free and always_holds(rules_together(offer), ground.domains) is ProofVerdict.YES


def _has_open_creative(ground: ProofInputs, offer: Offer, touchpoint: Touchpoint) -> bool:
    return any(
        creative.channel_id in touchpoint.channels
        and _is_unrestricted(ground, offer, creative)
        and always_holds(rules_together(creative), ground.domains) is ProofVerdict.YES
        for creative in ground.creatives[offer.offer_id]
    )


def _is_unrestricted(ground: ProofInputs, offer: Offer, creative: Creative) -> bool:
    """No purpose of its channel, and nothing that was seen, ever keeps it back."""
    bypasses = ground.catalogue.classes[offer.message_class].bypasses
    purposes = ground.catalogue.channels[creative.channel_id].purposes
    talks = ground.catalogue.conversation is not None
    return (purposes is None or Layer.PURPOSE in bypasses) and (not talks or Layer.CONVERSATION in bypasses)


def _below(ground: ProofInputs, offer: Offer, touchpoint: Touchpoint) -> list[Offer]:
    """Offers at the same touchpoint that wait for this one: of a lower class, or of one without precedence."""
    return [
        other
        for other in ground.catalogue.offers.values()
        if (
            CLASS_ORDER.index(other.message_class) > CLASS_ORDER.index(offer.message_class)
            or not ground.catalogue.classes[other.message_class].has_precedence
        )
        and touchpoint in travels_at(ground, other)
    ]


def _is_spared(ground: ProofInputs, offer: Offer, other: Offer) -> bool:
    """Something that runs out for the one that goes first, and not with it for the other."""
    catalogue = ground.catalogue
    rules = catalogue.classes[offer.message_class]
    caps = catalogue.contact_policy.caps if Layer.CONTACT_POLICY not in rules.bypasses else ()
    counting = [(cap.scope.value, cap.of) for cap in caps if cap.scope in rules.counts_towards]
    counting += [(limit.scope.value, limit.of) for limit in catalogue.limits]
    counting += [("department", share.department) for share in catalogue.shares if share.max_share < 1]
    return any(
        (of is None or of in values_of(ground, offer, scope))
        and not _runs_out_too(values_of(ground, offer, scope), values_of(ground, other, scope), of)
        for scope, of in counting
    )


def _runs_out_too(values: frozenset[str], others: frozenset[str], of: str | None) -> bool:
    """Whether the other counts where the first one counts, and nowhere else."""
    return others <= (values if of is None else {of})
