"""The business's visible weights: each with an owner, a reason and a day on which it ends.

A lever multiplies the gain of the messages it is for. Several on one message multiply; the product is cut at
`LARGEST_WEIGHT`. One that has expired counts 1, and so does one whose rule cannot be checked: a weight that nobody can
justify for this customer at this moment weighs nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

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
        owner: Who answers for it.
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
    levers: bool = True


class Weights(NamedTuple):
    """What the levers make of one message."""

    context: float = 1.0
    business: float = 1.0


NO_WEIGHTS = Weights()


@dataclass(frozen=True, slots=True, kw_only=True)
class _CompiledLever:
    scope: LeverScope
    of: str
    weights: Weights
    expires_at: datetime
    rules: tuple[LayerRule, ...]


type Holds = Callable[[LayerRule], bool]


class Levers:
    """The levers of a catalogue, compiled, with the messages each is for."""

    __slots__ = ("_levers",)

    def __init__(self, levers: Iterable[Lever] = ()) -> None:
        """Compile checked levers, see `check_levers`.

        Raises:
            InvalidPolicyError: A rule that could never be true.
        """
        self._levers = tuple(_compile(lever) for lever in levers)

    def applying(self, touch: Touch) -> tuple[int, ...]:
        """Which levers are for a message, by position; work it out once per message."""
        names = {
            LeverScope.GOAL: touch.goal_id,
            LeverScope.DEPARTMENT: touch.department,
            LeverScope.CHANNEL: touch.channel_id,
            LeverScope.OFFER: touch.offer_id,
        }
        return tuple(place for place, lever in enumerate(self._levers) if names[lever.scope] == lever.of)

    def weights(self, holds: Holds, now: datetime) -> tuple[Weights, ...]:
        """What each lever counts at this moment for this customer, by position; empty where none counts.

        Args:
            holds: Whether a rule is met, and can be checked at all.
            now: The moment of deciding (aware).
        """
        counting = [now < lever.expires_at and all(map(holds, lever.rules)) for lever in self._levers]
        if not any(counting):
            return ()
        return tuple(
            lever.weights if counts else NO_WEIGHTS for lever, counts in zip(self._levers, counting, strict=True)
        )


def weights_of(applying: Sequence[int], weights: Sequence[Weights]) -> Weights:
    """Product of the levers of one message, each of the two cut at `LARGEST_WEIGHT`.

    Example:
        >>> weights_of((0, 2), (Weights(business=2.0), Weights(business=9.0), Weights(context=1.5)))
        Weights(context=1.5, business=2.0)
    """
    context, business = 1.0, 1.0
    for place in applying:
        context *= weights[place].context
        business *= weights[place].business
    return Weights(min(context, LARGEST_WEIGHT), min(business, LARGEST_WEIGHT))


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


def _compile(lever: Lever) -> _CompiledLever:
    rules = layer_rules(lever.when, ALWAYS)
    return _CompiledLever(
        scope=lever.scope,
        of=lever.of,
        weights=Weights(context=lever.factor) if rules else Weights(business=lever.factor),
        expires_at=lever.expires_at,
        rules=rules,
    )
