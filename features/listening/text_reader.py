"""Reading one text: its language, sentiment and topic."""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from decisioning.catalogue.listening import Listening
from features.listening.keyboard import as_keyboards_type
from features.listening.language import ENGLISH, language_of

if TYPE_CHECKING:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

MOST_CHARACTERS = 2_000
"""Only the beginning of a longer text is read: the time that reading takes grows with the square of its length."""

GIVEN = "given"
"""Reader of a mood that came with the event."""

_DIGITS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardText:
    """What was read in a text.

    Attributes:
        language: Of two or three letters, or `unknown`.
        sentiment: Mood in [-1, 1]; None where nobody could read it.
        label: `negative`, `neutral` or `positive`; None likewise.
        topic: The declared topic that it names; None where it names none.
        reader: Who read the mood: `vader-` and its version, or `given`; None where nobody did.
    """

    language: str
    sentiment: float | None
    label: str | None
    topic: str | None
    reader: str | None


def read_text(text: str, listening: Listening, *, language: object = None, sentiment: object = None) -> HeardText:
    """Read a text.

    Args:
        text: The customer's words.
        listening: Declares topics, and from where on a mood is negative or positive.
        language: A language tag that somebody gave; it stands.
        sentiment: A mood in [-1, 1] that somebody gave; it stands, too.

    Returns:
        What was read. The mood of a text that is not surely English, or given as such, is missing and not guessed.
    """
    read = as_keyboards_type(text[:MOST_CHARACTERS])[:MOST_CHARACTERS]
    found = language_of(read, language)
    mood, reader = _mood(read, found, sentiment)
    return HeardText(
        language=found, sentiment=mood, label=label_of(mood, listening), topic=topic_of(read, listening), reader=reader
    )


def label_of(sentiment: float | None, listening: Listening) -> str | None:
    """The label of a sentiment; None for none.

    Example:
        >>> label_of(-0.8, Listening()), label_of(0.1, Listening()), label_of(None, Listening())
        ('negative', 'neutral', None)
    """
    if sentiment is None:
        return None
    if sentiment < listening.negative_below:
        return "negative"
    return "positive" if sentiment > listening.positive_above else "neutral"


def topic_of(text: str, listening: Listening) -> str | None:
    """The topic that a text names: one that opens a case before others, then the one with most words in it.

    Example:
        >>> from decisioning.catalogue.listening import Topic
        >>> topic_of("My suitcases are gone", Listening(topics={"baggage": Topic(words=("suitcase*",))}))
        'baggage'
    """
    typed = as_keyboards_type(text)
    ranks = {
        name: (topic.opens is not None, found)
        for name, topic in listening.topics.items()
        if (found := len(_pattern(topic.words).findall(typed)))
    }
    return max(sorted(ranks), key=lambda name: ranks[name], default=None)


def is_number_in(value: object, scale: Sequence[float]) -> bool:
    """True for a number, and no flag, from the first to the last of a scale."""
    return isinstance(value, int | float) and not isinstance(value, bool) and scale[0] <= value <= scale[-1]


def low_score(properties: Mapping[str, object], listening: Listening) -> bool:
    """True where a survey answer has a score that counts as low."""
    score, most = properties.get("score"), listening.low_scores.get(str(properties.get("survey")))
    return most is not None and is_number_in(score, (float("-inf"), most))


def _mood(text: str, language: str, given: object) -> tuple[float | None, str | None]:
    if isinstance(given, int | float) and is_number_in(given, (-1, 1)):
        return float(given), GIVEN
    if language != ENGLISH:
        return None, None
    return _vader_mood(text), _vader_name()


@lru_cache(maxsize=4_096)
def _vader_mood(text: str) -> float:
    return round(float(_vader().polarity_scores(text)["compound"]), _DIGITS)


@cache
def _vader() -> "SentimentIntensityAnalyzer":
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # its lexicon is read when it is needed

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it opens its files with codecs.open
        return SentimentIntensityAnalyzer()


@cache
def _vader_name() -> str:
    return f"vader-{version('vaderSentiment')}"


@lru_cache(maxsize=1_024)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    """Any of the words, whole and in any case; `*` at the end stands for any ending."""
    parts = [
        r"\s+".join(map(re.escape, as_keyboards_type(word.removesuffix("*")).split()))
        + (r"\w*" if word.endswith("*") else "")
        for word in sorted(words, key=len, reverse=True)
    ]
    return re.compile(rf"(?<!\w)(?:{'|'.join(parts)})(?!\w)", re.IGNORECASE)
