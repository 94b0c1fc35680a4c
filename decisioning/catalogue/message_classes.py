"""What each message class may bypass, and which caps it counts towards: one matrix, in the catalogue."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from decisioning.catalogue.message import MessageClass
from decisioning.errors import InvalidPolicyError


class Layer(StrEnum):
    """The layers of gates, in the order in which they are asked and reported."""

    REQUEST = "request"  # what the caller asked for and ruled out
    PROTECTION = "protection"  # deceased, minor, vulnerable, legal hold
    CONSENT = "consent"  # per channel and purpose, and subscriptions
    REACHABILITY = "reachability"
    VALIDITY = "validity"
    STAGE = "stage"
    PURPOSE = "purpose"  # what the channel is for in the stage
    ELIGIBILITY = "eligibility"  # may this customer have it
    APPLICABILITY = "applicability"  # does it make sense for them now
    SUITABILITY = "suitability"  # is it good for them
    COMPATIBILITY = "compatibility"  # never A with B, not B within N days of A
    CARE = "care"  # service before sales
    CONTACT_POLICY = "contact_policy"  # caps and contact pressure
    SUPPRESSION = "suppression"  # after declining, bouncing, complaining
    CONVERSATION = "conversation"  # what was seen is not said again
    QUIET_HOURS = "quiet_hours"
    CAPACITY = "capacity"  # capacities, budgets and shares
    CREATIVE = "creative"  # what the channel cannot carry
    TEST = "test"  # holdouts and silent arms
    SCORE = "score"  # what must pay needs a score


BYPASSABLE = frozenset(
    {
        Layer.PROTECTION, Layer.CONSENT, Layer.PURPOSE, Layer.COMPATIBILITY, Layer.CARE, Layer.CONTACT_POLICY,
        Layer.SUPPRESSION, Layer.CONVERSATION, Layer.QUIET_HOURS, Layer.TEST, Layer.SCORE,
    }
)  # fmt: skip
"""Layers that a class may bypass at all. Only `mandatory` may bypass protection, only `mandatory` and `transactional`
consent, and `marketing` nothing."""


class CapScope(StrEnum):
    """What a cap counts."""

    EVERYTHING = "everything"
    DEPARTMENT = "department"
    GOAL = "goal"
    CLASS = "class"
    CHANNEL = "channel"
    OFFER = "offer"
    CREATIVE = "creative"
    PRESSURE = "pressure"  # the weighted sum over class and channel


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRules:
    """One line of the matrix.

    Attributes:
        bypasses: Layers that messages of this class pass unasked.
        counts_towards: Caps that a contact of this class uses up.
        has_precedence: Goes before every class below it, whatever either is worth; never for marketing. Without it, a
            message of a class other than marketing competes by its declared value, the same for every customer.
    """

    bypasses: frozenset[Layer] = frozenset()
    counts_towards: frozenset[CapScope] = frozenset(CapScope)
    has_precedence: bool = False


_LIMITS_OF_CONTACT = frozenset({Layer.CONTACT_POLICY, Layer.SUPPRESSION})
_OWN = frozenset({CapScope.OFFER, CapScope.CREATIVE})

DEFAULT_CLASSES: Mapping[MessageClass, ClassRules] = {
    MessageClass.MANDATORY: ClassRules(bypasses=BYPASSABLE, counts_towards=frozenset(), has_precedence=True),
    MessageClass.TRANSACTIONAL: ClassRules(
        bypasses=BYPASSABLE - {Layer.PROTECTION}, counts_towards=frozenset(), has_precedence=True
    ),
    MessageClass.RECOVERY: ClassRules(
        bypasses=frozenset(
            {Layer.PURPOSE, Layer.CARE, Layer.CONVERSATION, Layer.TEST, Layer.SCORE} | _LIMITS_OF_CONTACT
        ),
        counts_towards=_OWN,
        has_precedence=True,
    ),
    MessageClass.SERVICE: ClassRules(bypasses=frozenset({Layer.CARE, Layer.TEST, Layer.SCORE}), has_precedence=True),
    MessageClass.MARKETING: ClassRules(),
}
"""The matrix where a catalogue declares none."""

CLASS_ORDER: tuple[MessageClass, ...] = tuple(MessageClass)
"""From the class that goes first to the one that goes last: mandatory, transactional, recovery, service, marketing."""

MAY_BYPASS_PROTECTION = frozenset({MessageClass.MANDATORY})
MAY_BYPASS_CONSENT = frozenset({MessageClass.MANDATORY, MessageClass.TRANSACTIONAL})


def check_classes(classes: Mapping[MessageClass, ClassRules]) -> None:
    """Refuse a matrix that would let a message past what protects people.

    Raises:
        InvalidPolicyError: A class without a line; a bypassed layer that none may bypass; protection bypassed by
            another class than mandatory, or consent by another than mandatory and transactional; marketing that
            bypasses anything or has precedence.

    Example:
        >>> check_classes(DEFAULT_CLASSES)
    """
    for message_class in MessageClass:
        if message_class not in classes:
            raise InvalidPolicyError(
                f"classes must have a line for every class, got none for {message_class}; leave it to the default"
            )
        _check_bypasses(message_class, classes[message_class].bypasses)
    if classes[MessageClass.MARKETING].has_precedence:
        raise InvalidPolicyError("precedence of class marketing must be false, got true; marketing competes by value")


def _check_bypasses(message_class: MessageClass, bypasses: frozenset[Layer]) -> None:
    allowed = _may_bypass(message_class)
    wrong = sorted(bypasses - allowed)
    if wrong:
        named = ", ".join(sorted(allowed)) or "nothing"
        raise InvalidPolicyError(f"bypasses of class {message_class} must be among {named}, got {', '.join(wrong)}")


def _may_bypass(message_class: MessageClass) -> frozenset[Layer]:
    if message_class is MessageClass.MARKETING:
        return frozenset()
    closed = set[Layer]()
    if message_class not in MAY_BYPASS_PROTECTION:
        closed.add(Layer.PROTECTION)
    if message_class not in MAY_BYPASS_CONSENT:
        closed.add(Layer.CONSENT)
    return BYPASSABLE - closed
