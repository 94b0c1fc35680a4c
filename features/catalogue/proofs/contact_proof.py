"""Caps that let nothing through, and quiet hours that never end."""

from collections.abc import Iterator

from decisioning.catalogue.contact_policy import Cap
from decisioning.catalogue.message import MessageClass, Offer
from decisioning.catalogue.message_classes import Layer
from decisioning.catalogue.quiet_hours import NEVER, QuietPlan
from features.catalogue.checks.findings import Finding, Proof
from features.catalogue.proofs.ground import ProofInputs
from features.catalogue.reading.problems import listed

_NOWHERE_NAMED = "ZZ"  # no country: only rules for all countries hold there
_ONE_ZONE = ("UTC",)


def prove_contact_policy(ground: ProofInputs) -> Iterator[Finding]:
    """Warnings about caps of nothing, and weights that no pressure limit has room for."""
    for cap in ground.catalogue.contact_policy.caps:
        bound = [offer.offer_id for offer in bound_offers(ground, cap)]
        if cap.limit == 0 and bound:
            found = f"a limit of 0 means never: {listed(bound, 3)} {'is' if len(bound) == 1 else 'are'} never sent"
            at = ("contact_policy", "caps", cap.cap_id, "limit")
            yield ground.warning(at, Proof.CAP_STARVES, found, "raise it, or take the offers out if that is meant")
    yield from _heavy_messages(ground)


def bound_offers(ground: ProofInputs, cap: Cap) -> list[Offer]:
    """Offers that a cap can refuse: their class asks the contact policy, and they are what it counts."""
    classes = ground.catalogue.classes
    return [
        offer
        for offer in ground.catalogue.offers.values()
        if Layer.CONTACT_POLICY not in classes[offer.message_class].bypasses
        and (cap.of is None or cap.of in values_of(ground, offer, cap.scope.value))
    ]


def values_of(ground: ProofInputs, offer: Offer, scope: str) -> frozenset[str]:
    """What messages of an offer count as at a scope of caps and limits: all its channels, its department, ..."""
    creatives = ground.creatives[offer.offer_id]
    values: dict[str, set[str]] = {
        "department": {ground.catalogue.goals[offer.goal_id].department},
        "goal": {offer.goal_id},
        "class": {offer.message_class.value},
        "channel": {each.channel_id for each in creatives},
        "offer": {offer.offer_id},
        "creative": {each.message_key for each in creatives} | {each.creative_id for each in creatives},
    }
    return frozenset(values.get(scope, {""}))


def _heavy_messages(ground: ProofInputs) -> Iterator[Finding]:
    """Messages that weigh more than all there is room for."""
    pressure = ground.catalogue.contact_policy.pressure
    if pressure is None:
        return
    for message_class, channel in sorted(_asked(ground)):
        weight = pressure.class_weights.get(message_class, 1.0) * pressure.channel_weights.get(channel, 1.0)
        if weight > pressure.limit:
            found = (
                f"has no room for one {message_class} message on {channel}, which weighs {weight:g} "
                f"of {pressure.limit:g}: none is ever sent"
            )
            at = ("contact_policy", "pressure", "limit")
            yield ground.warning(at, Proof.CAP_STARVES, found, "raise the limit, or lower the weight")


def _asked(ground: ProofInputs) -> set[tuple[MessageClass, str]]:
    """Class and channel of every message that asks the contact policy."""
    offers, classes = ground.catalogue.offers, ground.catalogue.classes
    pairs = {(offers[each.offer_id].message_class, each.channel_id) for each in ground.catalogue.creatives}
    return {pair for pair in pairs if Layer.CONTACT_POLICY not in classes[pair[0]].bypasses}


def prove_quiet_hours(ground: ProofInputs) -> Iterator[Finding]:
    """Warnings about channels that rest for weeks on end, for everybody or for some."""
    hours = ground.catalogue.quiet_hours
    if not hours.rules:
        return
    countries = sorted({country for rule in hours.rules for country in rule.countries} | set(hours.holidays))
    whos = [
        (_NOWHERE_NAMED, _ONE_ZONE, "everybody"),
        *((country, _ONE_ZONE, f"customers in {country}") for country in countries),
        (None, _ONE_ZONE, "customers whose country is not known"),
        (_NOWHERE_NAMED, hours.unknown_zones, "customers whose time zone is not known"),
    ]
    for channel in ground.catalogue.channels:
        for country, zones, who in whos:
            if QuietPlan(hours).quiet_until(channel_id=channel, zones=zones, country=country, now=ground.now) == NEVER:
                found = f"leave channel {channel!r} no hour in which it may be used for {who}"
                at = ("quiet_hours", "rules")
                yield ground.warning(at, Proof.NEVER_AWAKE, found, "shorten a rule, or name fewer channels")
                break
