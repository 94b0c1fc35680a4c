"""What to look for in customers' texts: topics, sentiments and scores that indicate a problem.

Declared here with everything else that marketers declare; `features.listening` does the reading.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from decisioning.errors import InvalidPolicyError

SCALES: Mapping[str, tuple[float, float]] = {"nps": (0.0, 10.0), "csat": (1.0, 5.0), "effort": (1.0, 7.0)}
"""Lowest and highest score of each survey; a high score is always good, so `effort` asks how easy it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """Something that texts are about.

    Attributes:
        words: Words and phrases, in any language, that name it; a `*` at the end stands for any ending.
        opens: Kind of case that a text about it opens, whatever its mood; None where it opens none.
    """

    words: tuple[str, ...]
    opens: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """What is heard in texts and survey answers.

    Attributes:
        topics: By name.
        negative_below: A mood below this, in [-1, 1], is negative.
        positive_above: A mood above this is positive.
        opens: Kind of case that a negative text or a low score opens; None where they open none.
        low_scores: Per survey the highest score that counts as low.
    """

    topics: Mapping[str, Topic] = field(default_factory=dict[str, Topic])
    negative_below: float = -0.3
    positive_above: float = 0.3
    opens: str | None = None
    low_scores: Mapping[str, float] = field(default_factory=lambda: {"nps": 3.0, "csat": 2.0, "effort": 2.0})


def check_listening(listening: Listening) -> None:
    """Refuse what cannot be heard.

    Raises:
        InvalidPolicyError: Moods outside of [-1, 1] or in the wrong order, or a low score of an unknown survey or
            outside of its scale.

    Example:
        >>> check_listening(Listening())
    """
    if not -1 <= listening.negative_below <= listening.positive_above <= 1:
        raise InvalidPolicyError(
            "negative_below and positive_above must be in [-1, 1] and in this order, "
            f"got {listening.negative_below:g} and {listening.positive_above:g}"
        )
    for survey, score in listening.low_scores.items():
        lowest, highest = SCALES.get(survey, (1.0, 0.0))
        if not lowest <= score <= highest:
            known = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in SCALES.items())
            raise InvalidPolicyError(f"low_scores must be on the scale of a survey ({known}), got {survey} {score:g}")
