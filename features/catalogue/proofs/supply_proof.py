"""Limits that are closed or over, shares that cannot be reached, levers that have expired, and floors of chance."""

from collections.abc import Iterator
from datetime import timedelta

from decisioning.catalogue.levers import Lever
from decisioning.catalogue.limits import Limit, LimitMeasure
from decisioning.gates.candidate import compile_candidates
from features.catalogue.checks.findings import Finding, Proof
from features.catalogue.proofs.contact_proof import values_of
from features.catalogue.proofs.ground import ProofInputs

SOON = timedelta(days=14)
"""How long before its end a lever is announced."""


def prove_limits(ground: ProofInputs) -> Iterator[Finding]:
    """Warnings about capacities and budgets that let nothing through or hold no longer."""
    for limit in ground.catalogue.limits:
        at = ("limits", limit.limit_id)
        if limit.ends_at is not None and limit.ends_at <= ground.now:
            found = f"holds no longer since {limit.ends_at:%Y-%m-%d %H:%M} UTC"
            yield ground.warning((*at, "ends_at"), Proof.LIMIT_OVER, found, "take it out, or give it a later end")
        elif limit.amount == 0:
            found = "is closed: of what it counts, nothing is sent while it holds"
            yield ground.warning(at, Proof.LIMIT_CLOSED, found, "raise it, unless that is meant")
        elif limit.measure is LimitMeasure.COST and limit.amount < (cheapest := _cheapest(ground, limit)):
            found = (
                f"has no room for one message: the cheapest it counts costs {cheapest / limit.amount:.3g} times as much"
            )
            yield ground.warning((*at, "budget"), Proof.LIMIT_CLOSED, found, "raise it, or correct the channel's cost")


def _cheapest(ground: ProofInputs, limit: Limit) -> float:
    """The least that a message costs which a budget counts, in minor units; 0 where it counts none."""
    offers, channels = ground.catalogue.offers, ground.catalogue.channels
    costs = [
        channels[creative.channel_id].cost_minor
        for creative in ground.catalogue.creatives
        if limit.of is None
        or limit.of == creative.channel_id
        or (limit.scope.value != "channel" and limit.of in values_of(ground, offers[creative.offer_id], limit.scope))
    ]
    return min(costs, default=0.0)


def prove_shares(ground: ProofInputs) -> Iterator[Finding]:
    """Warnings about least shares of departments that have no offer, and greatest shares of nothing."""
    owners = {ground.catalogue.goals[offer.goal_id].department for offer in ground.catalogue.offers.values()}
    for share in ground.catalogue.shares:
        at = ("shares", share.share_id)
        if share.min_share > 0 and share.department not in owners:
            found = f"is impossible: no offer serves a goal of department {share.department!r}"
            yield ground.warning((*at, "min"), Proof.SHARE_IMPOSSIBLE, found, "write an offer for it, or take it out")
        if share.max_share == 0:
            found = f"leaves department {share.department!r} nothing but its slack of {share.slack} messages"
            yield ground.warning((*at, "max"), Proof.LIMIT_CLOSED, found, "raise it, unless that is meant")


def prove_levers(ground: ProofInputs) -> Iterator[Finding]:
    """Warnings about levers that count no longer, or not for long."""
    for lever in ground.catalogue.levers:
        at = ("levers", lever.lever_id, "expires_on")
        if lever.expires_at <= ground.now:
            found = f"counts no longer: it expired on {_last_day(lever)}"
            advice = f"take it out, or let {lever.owner} say anew why and how long"
            yield ground.warning(at, Proof.LEVER_OVER, found, advice)
        elif lever.expires_at <= ground.now + SOON:
            found = f"counts until {_last_day(lever)} only: {_days_left(ground, lever)}"
            yield ground.warning(at, Proof.LEVER_ENDS_SOON, found, f"ask {lever.owner} whether it shall go on")


def _last_day(lever: Lever) -> str:
    return f"{lever.expires_at - timedelta(days=1):%Y-%m-%d}"


def _days_left(ground: ProofInputs, lever: Lever) -> str:
    days = (lever.expires_at - ground.now) // timedelta(days=1)
    return f"{days} days left" if days > 1 else "1 day left" if days else "less than a day left"


def prove_exploration(ground: ProofInputs) -> Iterator[Finding]:
    """A warning where a floor for every message would take more of the decisions than exploration may."""
    exploration, catalogue = ground.catalogue.exploration, ground.catalogue
    floor, share = exploration.min_probability, exploration.floor_share
    counts = {
        name: len(compile_candidates(catalogue, touchpoint)) for name, touchpoint in catalogue.touchpoints.items()
    }
    name = max(counts, key=lambda each: counts[each], default="")
    if not floor or counts.get(name, 0) * floor <= share:
        return
    messages = counts[name]
    found = (
        f"would take {min(messages * floor, 1.0):.0%} of the decisions at {name}, where {messages} messages may be"
        f" permitted together; exploration takes {share:.0%} at most, so each gets {share / messages:.2g} then"
    )
    advice = f"lower it to {share / messages:.2g}, raise epsilon, or leave it: fewer permitted messages get the floor"
    yield ground.warning(("exploration", "min_probability"), Proof.FLOOR_OUT_OF_REACH, found, advice)
