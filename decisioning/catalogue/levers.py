"""The business's visible weights: each with an owner, a reason and a day on which it ends.

A lever multiplies the gain of the messages it is for. Several on one message multiply; the product is cut at
`LARGEST_WEIGHT`. One that has expired counts 1, and so does one whose rule cannot be checked: a weight that nobody can
justify for this customer at this moment weighs nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from decisioning.catalogue.contact_policy import Touch
from decisioning.errors import InvalidPolicyError, UnknownNameError
from decisioning.rules.layer_rule import LayerRule, layer_rules
from decisioning.rules.predicate import ALWAYS, Predicate

LARGEST_WEIGHT = 1e6
"""No lever, and no product of levers, is larger."""


class LeverScope(StrEnum):
    """What a lever lifts or lowers."""

    GOAL = "goal"
    DEPARTMENT = "department"
    CHANNEL = "channel"
    OFFER = "offer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lever:
    """A factor on gains; 1 changes nothing, 0 switches off.

    Attributes:
        of: The one goal, department, channel or offer.
        owner: Who is responsible for it.
        reason: Why it is there.
        expires_at: First moment it no longer counts (aware, UTC).
        when: A rule over facts makes it a context weight; without one it is a business weight.
    """

    lever_id: str
    scope: LeverScope
    of: str
    factor: float
    owner: str
    reason: str
    expires_at: datetime
    when: Predicate = ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class ArbitrationSwitches:
    """Which factors count; each can be switched off."""

    contact_cost: bool = True
    fatigue: bool = True
    shadow_prices: bool = True
    slot_prices: bool = True
    levers: bool = True


type Holds = Callable[[LayerRule], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledLever:
    """A lever with its rule compiled; without a rule it is a business weight, with one a context weight."""

    scope: LeverScope
    of: str
    factor: float
    expires_at: datetime
    rules: tuple[LayerRule, ...]

    @property
    def has_rule(self) -> bool:
        """True for a context weight."""
        return bool(self.rules)

    def is_for(self, touch: Touch) -> bool:
        """Whether it is for a message."""
        names = {
            LeverScope.GOAL: touch.goal_id,
            LeverScope.DEPARTMENT: touch.department,
            LeverScope.CHANNEL: touch.channel_id,
            LeverScope.OFFER: touch.offer_id,
        }
        return names[self.scope] == self.of

    def counts(self, holds: Holds, now: datetime) -> bool:
        """Whether it counts at this moment for this customer.

        Args:
            holds: Whether a rule is met, and can be checked at all.
            now: The moment of deciding (aware).
        """
        return now < self.expires_at and all(map(holds, self.rules))


def compile_lever(lever: Lever) -> CompiledLever:
    """Compile a checked lever, see `check_levers`.

    Raises:
        InvalidPolicyError: A rule that could never be true.
    """
    return CompiledLever(
        scope=lever.scope,
        of=lever.of,
        factor=lever.factor,
        expires_at=lever.expires_at,
        rules=layer_rules(lever.when, ALWAYS),
    )


def check_levers(levers: Iterable[Lever], names: Mapping[LeverScope, frozenset[str]]) -> None:
    """Refuse levers that nobody answers for, that are for nothing, or that are no weights.

    Args:
        levers: The declared ones.
        names: Declared goals, departments, channels and offers.

    Raises:
        InvalidPolicyError: Two levers of one name, a factor outside [0, LARGEST_WEIGHT], a blank owner or reason, or an
            expiry without an offset.
        UnknownNameError: A lever on something that is not declared.
    """
    seen: set[str] = set()
    for lever in levers:
        name = f"lever {lever.lever_id}"
        if lever.lever_id in seen:
            raise InvalidPolicyError(f"{name} must have a name of its own, got it twice; rename one")
        seen.add(lever.lever_id)
        if lever.of not in names[lever.scope]:
            raise UnknownNameError(f"{lever.scope} of {name}", lever.of, names[lever.scope])
        _check_lever(name, lever)


def _check_lever(name: str, lever: Lever) -> None:
    if not 0 <= lever.factor <= LARGEST_WEIGHT:
        raise InvalidPolicyError(f"factor of {name} must be in [0, {LARGEST_WEIGHT:g}], got {lever.factor}")
    for what, text in (("owner", lever.owner), ("reason", lever.reason)):
        if not text.strip():
            raise InvalidPolicyError(f"{what} of {name} must be named, got {text!r}; name an owner and a reason")
    if lever.expires_at.utcoffset() is None:
        raise InvalidPolicyError(f"expiry of {name} must be a time with an offset, got {lever.expires_at}")
