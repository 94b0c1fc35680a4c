"""Ask the gates about single messages of the shop."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import Contact
from decisioning.catalogue.quiet_hours import QuietHours, QuietRule
from decisioning.decision import Excluded, Exclusion, Inputs
from decisioning.gates.message_sets.grouping import members_of
from decisioning.gates.screening import Screening
from decisioning.gates.situation import Situation
from decisioning.policy import Policy

type MakeInputs = Callable[..., Inputs]
KEY = "ten-percent/email/plain"
DAY = 86_400.0
NIGHT = QuietHours(rules=(QuietRule(channels=frozenset({"email"}), from_minute=12 * 60, until_minute=15 * 60),))


def situation(policy: Policy, inputs: Inputs) -> Situation:
    return policy.situation(inputs, policy.assignment(inputs.request, inputs.customer, inputs.now, inputs.live.kept))


def judge(policy: Policy, inputs_of: MakeInputs, **fields: Any) -> Screening:
    inputs = inputs_of(policy, **fields)
    return policy.board(inputs.request.touchpoint_id).screen(situation(policy, inputs))


def excluded(screening: Screening, key: str = KEY) -> Excluded:
    nothing = Excluded(message_key=key, reasons=())
    return next((one for one in screening.excluded if one.message_key == key), nothing)


def reasons(screening: Screening, key: str = KEY) -> tuple[Exclusion, ...]:
    return excluded(screening, key).reasons


def permitted(policy: Policy, screening: Screening) -> set[str]:
    candidates = policy.compiled_candidates("weekly-mail")
    return {candidates[index].key for index in members_of(screening.permitted)}


def with_offer(catalogue: Catalogue, **change: Any) -> Policy:
    offer = replace(catalogue.offers["ten-percent"], **change)
    return Policy(replace(catalogue, offers={**catalogue.offers, "ten-percent": offer}))


def contact(policy: Policy, key: str, at: datetime) -> Contact:
    touch = next(one.touch for one in policy.compiled_candidates("weekly-mail") if one.key == key)
    return Contact(contact_id=f"before-{key}-{at:%j%H%M}", touch=touch, at=at, is_confirmed=True)
