"""Counterfactuals: what would have to change for a gate to pass, and the policy and inputs after that change.

Each lift changes as little as it can of catalogue or inputs. Nothing here is ever decided for real.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import ContactPolicy, Response
from decisioning.catalogue.conversation import SEEN_OUTCOMES
from decisioning.catalogue.limits import LimitMeasure
from decisioning.catalogue.message import Offer
from decisioning.catalogue.quiet_hours import QuietHours
from decisioning.customer import Consent, Customer
from decisioning.decision import Exclusion, Inputs
from decisioning.gates.candidate import Candidate
from decisioning.rules.predicate import ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterfactual:
    """A catalogue and inputs that a decision could have been made with."""

    catalogue: Catalogue
    inputs: Inputs


type Lift = Callable[[Counterfactual, Candidate], Counterfactual]


def lifted(world: Counterfactual, candidate: Candidate, exclusion: Exclusion) -> Counterfactual | None:
    """The world in which this gate would not refuse this message; None where nobody can tell what that would be."""
    lift = _LIFTS.get(exclusion)
    if lift is None or world.inputs.customer is None:
        return None
    return lift(world, candidate)


def lift_words(candidate: Candidate, exclusion: Exclusion, detail: str) -> str:
    """What would have to be otherwise, as a part of a sentence after "if".

    Args:
        candidate: The message.
        exclusion: The gate's code, one that can be lifted.
        detail: What the gate said, or how a rule was not met.
    """
    channel, purpose = candidate.consent or (candidate.channel_id, "")
    words = _WORDS[exclusion].format(
        channel=channel, purpose=purpose, offer=candidate.offer_id, stages=" or ".join(sorted(candidate.stages))
    )
    return f"{words} ({detail})" if detail else words


def _with_inputs(world: Counterfactual, **changes: object) -> Counterfactual:
    return replace(world, inputs=replace(world.inputs, **changes))  # pyright: ignore[reportArgumentType]


def _with_customer(world: Counterfactual, change: Callable[[Customer], Customer]) -> Counterfactual:
    customer = world.inputs.customer
    return world if customer is None else _with_inputs(world, customer=change(customer))


def _with_catalogue(world: Counterfactual, **changes: object) -> Counterfactual:
    return replace(world, catalogue=replace(world.catalogue, **changes))  # pyright: ignore[reportArgumentType]


def _with_offer(world: Counterfactual, candidate: Candidate, **changes: object) -> Counterfactual:
    offer: Offer = replace(world.catalogue.offers[candidate.offer_id], **changes)  # pyright: ignore[reportArgumentType]
    return _with_catalogue(world, offers={**world.catalogue.offers, candidate.offer_id: offer})


def _with_contact_policy(world: Counterfactual, **changes: object) -> Counterfactual:
    policy: ContactPolicy = replace(world.catalogue.contact_policy, **changes)  # pyright: ignore[reportArgumentType]
    return _with_catalogue(world, contact_policy=policy)


def _ask_channel(world: Counterfactual, candidate: Candidate) -> Counterfactual:
    request = world.inputs.request
    first, *others = request.placements
    widened = replace(request, placements=(replace(first, channels=None), *others))
    asked = request.channels
    return _with_inputs(
        world, request=replace(widened, channels=None if asked is None else asked | {candidate.channel_id})
    )


def _allow_offer(world: Counterfactual, candidate: Candidate) -> Counterfactual:
    request = world.inputs.request
    return _with_inputs(world, request=replace(request, excluded_offers=request.excluded_offers - {candidate.offer_id}))


def _unprotect(world: Counterfactual, _: Candidate) -> Counterfactual:
    free = _with_customer(world, lambda customer: replace(customer, protections=frozenset()))
    return _with_inputs(free, live=replace(world.inputs.live, protections={}))


def _grant(world: Counterfactual, candidate: Candidate) -> Counterfactual:
    """The customer says yes at this very moment, whatever they said before."""
    channel_id, purpose = candidate.consent or (candidate.channel_id, "")

    def is_other(consent: Consent) -> bool:
        return (consent.channel_id, consent.purpose) != (channel_id, purpose)

    yes = Consent(channel_id=channel_id, purpose=purpose, is_granted=True, recorded_at=world.inputs.now)
    live = world.inputs.live
    asked = _with_inputs(world, live=replace(live, consents=tuple(filter(is_other, live.consents))))
    return _with_customer(
        asked, lambda customer: replace(customer, consents=(*filter(is_other, customer.consents), yes))
    )


def _subscribe(world: Counterfactual, candidate: Candidate) -> Counterfactual:
    return _with_customer(
        world,
        lambda customer: replace(
            customer, unsubscribed_channels=customer.unsubscribed_channels - {candidate.channel_id}
        ),
    )


def _reach(world: Counterfactual, candidate: Candidate) -> Counterfactual:
    return _with_customer(
        world,
        lambda customer: replace(customer, reachable_channels=customer.reachable_channels | {candidate.channel_id}),
    )


def _enter_stage(world: Counterfactual, candidate: Candidate) -> Counterfactual:
    return _with_inputs(world, request=replace(world.inputs.request, stage_id=min(candidate.stages)))


def _without_rule(layer: str) -> Lift:
    """Without the rules of offer and creative in one layer."""

    def lift(world: Counterfactual, candidate: Candidate) -> Counterfactual:
        creatives = tuple(
            replace(one, **{layer: ALWAYS}) if one.message_key == candidate.key else one
            for one in world.catalogue.creatives
        )
        return _with_catalogue(_with_offer(world, candidate, **{layer: ALWAYS}), creatives=creatives)

    return lift


_NOTHING: frozenset[str] = frozenset()


def _befriend(world: Counterfactual, candidate: Candidate) -> Counterfactual:
    own = candidate.offer_id
    offers = {
        name: replace(offer, never_with=offer.never_with - {own}) for name, offer in world.catalogue.offers.items()
    }
    return _with_offer(_with_catalogue(world, offers=offers), candidate, never_with=_NOTHING, not_after={})


def _without_limits(measure: LimitMeasure) -> Lift:
    def lift(world: Counterfactual, _: Candidate) -> Counterfactual:
        return _with_catalogue(
            world, limits=tuple(limit for limit in world.catalogue.limits if limit.measure is not measure)
        )

    return lift


def _fit(world: Counterfactual, candidate: Candidate) -> Counterfactual:
    unfit = {key: fault for key, fault in world.inputs.unfit.items() if key != candidate.key}
    return _with_inputs(world, unfit=unfit)


def _open_channel(world: Counterfactual, candidate: Candidate) -> Counterfactual:
    channel = replace(world.catalogue.channels[candidate.channel_id], purposes=None)
    return _with_catalogue(world, channels={**world.catalogue.channels, candidate.channel_id: channel})


def _forget_seen(world: Counterfactual, candidate: Candidate) -> Counterfactual:
    """Nothing of the offer was seen; of what follows up, nothing that followed up."""
    conversation, live = world.catalogue.conversation, world.inputs.live
    kept = frozenset[str]() if conversation is None else conversation.follow_ups

    def is_other(one: Response) -> bool:
        touch = one.touch
        is_ordinary = touch.message_key not in kept
        is_own = touch.offer_id == candidate.offer_id and not (candidate.is_follow_up and is_ordinary)
        return one.outcome not in SEEN_OUTCOMES or not is_own

    return _with_inputs(world, live=replace(live, responses=tuple(filter(is_other, live.responses))))


def _see(world: Counterfactual, candidate: Candidate) -> Counterfactual:
    """The customer saw the offer at this very moment, in words that follow nothing."""
    live, touch = world.inputs.live, replace(candidate.touch, creative_id="")
    seen = Response(outcome=min(SEEN_OUTCOMES), touch=touch, at=world.inputs.now)
    return _with_inputs(world, live=replace(live, responses=(*live.responses, seen)))


def _restore(world: Counterfactual, _: Candidate) -> Counterfactual:
    return _with_inputs(world, live=replace(world.inputs.live, is_lost=False))


def _solve_cases(world: Counterfactual, _: Candidate) -> Counterfactual:
    return _with_inputs(world, live=replace(world.inputs.live, cases=()))


_LIFTS: Mapping[Exclusion, Lift] = {
    Exclusion.CHANNEL_NOT_ASKED: _ask_channel,
    Exclusion.EXCLUDED_BY_CALLER: _allow_offer,
    Exclusion.PROTECTED: _unprotect,
    Exclusion.NO_CONSENT: _grant,
    Exclusion.UNSUBSCRIBED: _subscribe,
    Exclusion.NOT_REACHABLE: _reach,
    Exclusion.NOT_YET_VALID: lambda world, candidate: _with_offer(world, candidate, valid_from=None),
    Exclusion.EXPIRED: lambda world, candidate: _with_offer(world, candidate, valid_until=None),
    Exclusion.WRONG_STAGE: _enter_stage,
    Exclusion.OTHER_PURPOSE: _open_channel,
    Exclusion.NOT_ELIGIBLE: _without_rule("eligibility"),
    Exclusion.NOT_APPLICABLE: _without_rule("applicability"),
    Exclusion.NOT_SUITABLE: _without_rule("suitability"),
    Exclusion.INCOMPATIBLE: _befriend,
    Exclusion.CASE_OPEN: _solve_cases,
    Exclusion.CASE_COOLING_DOWN: _solve_cases,
    Exclusion.STATE_LOST: _restore,
    Exclusion.CAP_REACHED: lambda world, _: _with_contact_policy(world, caps=()),
    Exclusion.PRESSURE_REACHED: lambda world, _: _with_contact_policy(world, pressure=None),
    Exclusion.ROOM_KEPT: lambda world, _: _with_contact_policy(world, look_ahead_seconds=0.0),
    Exclusion.SUPPRESSED: lambda world, _: _with_contact_policy(world, suppressions=()),
    Exclusion.ALREADY_SEEN: _forget_seen,
    Exclusion.ALREADY_KNOWN: lambda world, candidate: _with_offer(world, candidate, asks=_NOTHING),
    Exclusion.NOTHING_TO_FOLLOW: _see,
    Exclusion.QUIET_HOURS: lambda world, _: _with_catalogue(world, quiet_hours=QuietHours()),
    Exclusion.CAPACITY_FULL: _without_limits(LimitMeasure.COUNT),
    Exclusion.BUDGET_SPENT: _without_limits(LimitMeasure.COST),
    Exclusion.SHARE_REACHED: lambda world, _: _with_catalogue(world, shares=()),
    Exclusion.CREATIVE_UNFIT: _fit,
    Exclusion.HOLDOUT: lambda world, _: _with_catalogue(world, holdout=None),
    Exclusion.PROGRAMME_HOLDOUT: lambda world, _: _with_catalogue(world, programme_holdouts=()),
    Exclusion.EXPERIMENT_ARM: lambda world, _: _with_catalogue(world, experiments=()),
}
"""How each refusal is lifted. NOT_SCORED is not there: what a model would have said, nobody knows."""

_WORDS: Mapping[Exclusion, str] = {
    Exclusion.CHANNEL_NOT_ASKED: "the caller had asked for {channel} too",
    Exclusion.EXCLUDED_BY_CALLER: "the caller had not ruled {offer} out",
    Exclusion.PROTECTED: "the customer were not protected",
    Exclusion.NO_CONSENT: "the customer agreed to {purpose} on {channel}",
    Exclusion.UNSUBSCRIBED: "the customer had not left {channel}",
    Exclusion.NOT_REACHABLE: "an address for {channel} were known",
    Exclusion.NOT_YET_VALID: "{offer} had started",
    Exclusion.EXPIRED: "{offer} had not ended",
    Exclusion.WRONG_STAGE: "the customer were in stage {stages}",
    Exclusion.OTHER_PURPOSE: "{channel} were there for it at this stage",
    Exclusion.NOT_ELIGIBLE: "the rule for who may have it were met",
    Exclusion.NOT_APPLICABLE: "the rule for when it makes sense were met",
    Exclusion.NOT_SUITABLE: "the rule for whom it is good were met",
    Exclusion.INCOMPATIBLE: "no other offer ruled it out",
    Exclusion.CASE_OPEN: "no service case were open",
    Exclusion.CASE_COOLING_DOWN: "the last service case were solved longer ago",
    Exclusion.STATE_LOST: "live state were restored",
    Exclusion.CAP_REACHED: "there were room under the cap",
    Exclusion.PRESSURE_REACHED: "there were room under the contact pressure",
    Exclusion.ROOM_KEPT: "no heavier message were due",
    Exclusion.SUPPRESSED: "the customer had not answered like this before",
    Exclusion.ALREADY_SEEN: "the customer had not seen it",
    Exclusion.ALREADY_KNOWN: "something that it asks were not known",
    Exclusion.NOTHING_TO_FOLLOW: "the customer had seen {offer}",
    Exclusion.QUIET_HOURS: "it were no quiet time",
    Exclusion.CAPACITY_FULL: "there were capacity left",
    Exclusion.BUDGET_SPENT: "there were budget left",
    Exclusion.SHARE_REACHED: "the department had not had its share",
    Exclusion.CREATIVE_UNFIT: "its content could be sent to this customer",
    Exclusion.HOLDOUT: "the customer were not in the universal holdout",
    Exclusion.PROGRAMME_HOLDOUT: "the customer were not in the programme's holdout",
    Exclusion.EXPERIMENT_ARM: "no experiment kept this customer silent",
}
