"""What a compact record does not repeat: names of the catalogue and of the features, by their place."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import Touch, touch_words

DIGEST_BYTES = 4

_COMMON_WORDS = (
    "in", "stage", "serves", "nothing", "the", "offer's", "creative's", "rule", "on", "no", "answer", "refused",
    "source", "of", "per", "cap", "days", "day", "hours", "rests", "for", "limit", "messages", "never", "with", "until",
    "from",
)  # fmt: skip
"""Words of what gates say. Part of the format, like all that a vocabulary collects: another list is another version."""


class FeatureNames(NamedTuple):
    """What a feature schema is called: its features, and its groups, which have ages."""

    features: tuple[str, ...]
    groups: tuple[str, ...]


class NameList:
    """Some names in a fixed order, with the place of each."""

    __slots__ = ("all", "place_of")

    def __init__(self, names: Iterable[str]) -> None:
        """Keep the order."""
        self.all = tuple(names)
        self.place_of: Mapping[str, int] = {name: place for place, name in enumerate(self.all)}


class Vocabulary:
    """The names that records of one touchpoint, made with one catalogue, refer to by place.

    Attributes:
        keys: Message keys of the touchpoint's k candidates, in their order.
        channels: Of the whole catalogue, like all below.
        touches: What each message touches.
        words: What texts in records are often made of.
        packed: What came up in records so far, packed; filled by those who pack.
        features: Names by the fingerprint of a feature schema; those that are missing are written out.
        digest: Of all but the features: a reader with another catalogue notices.
    """

    __slots__ = (
        "channels",
        "consent_of",
        "consents",
        "digest",
        "features",
        "keys",
        "offers",
        "packed",
        "touch_of",
        "touches",
        "words",
    )

    def __init__(self, catalogue: Catalogue, touchpoint_id: str, features: Mapping[str, FeatureNames]) -> None:
        """Collect the names.

        Raises:
            KeyError: No such touchpoint.
        """
        channels = catalogue.touchpoints[touchpoint_id].channels
        creatives = sorted(catalogue.creatives, key=lambda one: one.message_key)
        self.keys = NameList(one.message_key for one in creatives if one.channel_id in channels)
        self.channels = NameList(sorted(catalogue.channels))
        self.offers = NameList(sorted(catalogue.offers))
        self.touches = tuple(catalogue.touch(one.parts) for one in creatives)
        self.touch_of: Mapping[Touch, int] = {touch: place for place, touch in enumerate(self.touches)}
        purposes = sorted({offer.purpose for offer in catalogue.offers.values() if offer.purpose is not None})
        self.consents = tuple((channel, purpose) for channel in self.channels.all for purpose in purposes)
        self.consent_of: Mapping[tuple[str, str], int] = {pair: place for place, pair in enumerate(self.consents)}
        self.words = NameList(dict.fromkeys((*_COMMON_WORDS, *_words(catalogue), *purposes)))
        self.packed: dict[str | bytes, bytes] = {}
        self.features = features
        touched = [word for touch in self.touches for word in touch_words(touch)]
        self.digest = _digest(self.keys.all, self.offers.all, self.channels.all, self.words.all, touched)


def _words(catalogue: Catalogue) -> Iterator[str]:
    """Names that gates speak of, also as they stand before a colon or in a list, and zones that many live in."""
    for channel in sorted(catalogue.channels):
        yield from (channel, f"{channel}:")
    for goal in sorted(catalogue.goals):
        yield from (goal, f"{goal},")
    yield from (stage.stage_id for stage in catalogue.stages)
    for limit in catalogue.limits:
        yield from (limit.limit_id, f"{limit.limit_id}:")
    yield from (f"{cap.cap_id}:" for cap in catalogue.contact_policy.caps)
    yield from catalogue.quiet_hours.unknown_zones


def _digest(*lists: Sequence[str]) -> bytes:
    names = "\x00\x00".join("\x00".join(one) for one in lists)
    return blake2b(names.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()
