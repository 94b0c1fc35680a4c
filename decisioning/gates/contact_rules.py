"""A contact policy and the matrix of classes, with everything worked out once that no book of contacts changes."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from operator import attrgetter

from decisioning.catalogue.contact_policy import Cap, CapUnit, ContactPolicy, Suppression, SuppressionScope, Touch
from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.message_classes import CapScope, ClassRules
from decisioning.rules.number_words import number_words

type ValueOf = Callable[[Touch], str]

_DAY, _HOUR, _MINUTE = 86_400.0, 3_600.0, 60.0


def _everything(_: Touch) -> str:
    return ""


TOUCH_SIDES: Mapping[str, ValueOf] = {
    "everything": _everything,
    "department": attrgetter("department"),
    "goal": attrgetter("goal_id"),
    "class": attrgetter("message_class"),
    "channel": attrgetter("channel_id"),
    "offer": attrgetter("offer_id"),
    "creative": attrgetter("message_key"),  # creatives of different offers may bear one name
    "creative_name": attrgetter("creative_id"),
}
"""The sides of a message that caps and suppressions look at."""


class CapRule:
    """A cap.

    Attributes:
        side: Of `TOUCH_SIDES`, what it looks at.
        length: Of its window.
        words: Its limit and its window in words.
    """

    __slots__ = ("cap", "length", "side", "words")

    def __init__(self, cap: Cap) -> None:
        """Take a checked cap, see `contact_policy.check_contact_policy`."""
        is_name = cap.scope is CapScope.CREATIVE and cap.of is not None and "/" not in cap.of
        household = " per household" if cap.unit is CapUnit.HOUSEHOLD else ""
        self.cap = cap
        self.side = "creative_name" if is_name else cap.scope.value
        self.length = timedelta(seconds=cap.window_seconds)
        self.words = f"{cap.limit} in {span_words(cap.window_seconds)}{household}"


class SuppressionRule:
    """A suppression.

    Attributes:
        value_of: The side of a message that it looks at.
        cooldown: How long it lasts; None for ever.
        words: What it says.
    """

    __slots__ = ("after", "cooldown", "scope", "value_of", "words")

    def __init__(self, rule: Suppression) -> None:
        """Take a checked suppression."""
        seconds = rule.cooldown_seconds
        span = "for ever" if seconds is None else f"for {span_words(seconds)}"
        self.after = rule.after
        self.scope: SuppressionScope = rule.scope
        self.value_of = TOUCH_SIDES[rule.scope]
        self.cooldown = None if seconds is None else timedelta(seconds=seconds)
        self.words = f"{rule.after}: {rule.scope} rests {span}"


class _Weights(dict[tuple[MessageClass, str], float]):
    """What messages weigh by class and channel, each worked out when first asked for; 0 for some classes."""

    __slots__ = ("_policy", "_weightless")

    def __init__(self, policy: ContactPolicy, weightless: frozenset[MessageClass]) -> None:
        super().__init__()
        self._policy, self._weightless = policy, weightless

    def __missing__(self, key: tuple[MessageClass, str]) -> float:
        message_class, channel_id = key
        self[key] = 0.0 if message_class in self._weightless else self._weight(message_class, channel_id)
        return self[key]

    def _weight(self, message_class: MessageClass, channel_id: str) -> float:
        pressure = self._policy.pressure
        if pressure is None:
            return 1.0
        return pressure.class_weights.get(message_class, 1.0) * pressure.channel_weights.get(channel_id, 1.0)


class ContactRules:
    """What a contact policy says of messages, whoever they are for.

    Attributes:
        policy: As declared.
        look_ahead: How far ahead of plans a message keeps away.
        pressure_length: Of the window of pressure; 0 where none is counted.
        pressing: What contacts weigh where pressure is counted, by class and channel; 0 for what does not count.
        uncounted: Classes by scope that do not count towards it; one that is not in the matrix counts towards all.
    """

    __slots__ = (
        "_classes",
        "_weights",
        "caps",
        "look_ahead",
        "policy",
        "pressing",
        "pressure_length",
        "suppressions",
        "uncounted",
    )

    def __init__(self, policy: ContactPolicy, classes: Mapping[MessageClass, ClassRules]) -> None:
        """Work out what can be.

        Args:
            policy: Checked by `contact_policy.check_contact_policy`.
            classes: The matrix; a class that is not in it bypasses nothing and counts towards everything.
        """
        self.policy = policy
        self.look_ahead = timedelta(seconds=policy.look_ahead_seconds)
        self.pressure_length = timedelta(seconds=0 if policy.pressure is None else policy.pressure.window_seconds)
        self.caps = tuple(map(CapRule, policy.caps))
        self.suppressions = tuple(map(SuppressionRule, policy.suppressions))
        self.uncounted: Mapping[CapScope, frozenset[MessageClass]] = {
            scope: frozenset(name for name, rules in classes.items() if scope not in rules.counts_towards)
            for scope in CapScope
        }
        self._classes = classes
        self.pressing = _Weights(policy, self.uncounted[CapScope.PRESSURE])
        self._weights = _Weights(policy, frozenset())

    def counts(self, touch: Touch, scope: CapScope) -> bool:
        """Whether a contact uses up what a scope counts."""
        return touch.message_class not in self.uncounted[scope]

    def weight(self, touch: Touch) -> float:
        """What a message weighs where pressure is counted."""
        return self._weights[touch.message_class, touch.channel_id]

    def rank(self, touch: Touch) -> tuple[bool, float]:
        """How heavy a message is: a class with precedence before all others, then by weight."""
        rules = self._classes.get(touch.message_class)
        return (rules is not None and rules.has_precedence, self.weight(touch))


def span_words(seconds: float) -> str:
    """A length of time in the largest unit that fits it wholly.

    Example:
        >>> span_words(604_800), span_words(86_400), span_words(129_600), span_words(90)
        ('7 days', '1 day', '36 hours', '90 seconds')
    """
    for unit, length in (("day", _DAY), ("hour", _HOUR), ("minute", _MINUTE)):
        if seconds >= length and seconds % length == 0:
            return f"{number_words(seconds / length)} {unit}{'' if seconds == length else 's'}"
    return f"{number_words(seconds)} second{'' if seconds == 1 else 's'}"
