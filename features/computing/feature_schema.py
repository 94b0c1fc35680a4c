"""Names, order, groups and greatest ages of features, with the fingerprint that every stored row and record carries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureGroup:
    """Features that are written together and age together.

    Attributes:
        name: Group name, which is also the name of its Feast feature view.
        max_age_days: Values older than this count as missing.
    """

    name: str
    features: tuple[str, ...]
    max_age_days: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSchema:
    """What a feature vector holds.

    Attributes:
        names: All d feature names: those of the groups, one group after the other.
        fingerprint: 16 hexadecimal digits over names, order, ages and meaning. Two schemas with one fingerprint give
            the same numbers for the same history.
        meanings: Fingerprint of what each of the d features means, in their order: one name with one meaning gives
            the same numbers in two schemas. Empty where nobody wrote them down.
    """

    names: tuple[str, ...]
    groups: tuple[FeatureGroup, ...]
    fingerprint: str
    meanings: tuple[str, ...] = ()

    @property
    def meaning_of(self) -> Mapping[str, str]:
        """Meaning of each feature, by name."""
        return dict(zip(self.names, self.meanings, strict=bool(self.meanings)))


def fingerprint_of(parts: Sequence[object]) -> str:
    """A fingerprint of plain values, 16 hexadecimal digits, stable across processes and releases of Python.

    Args:
        parts: Values whose `repr` says all there is to know of them: text, numbers, tuples and our frozen dataclasses.

    Example:
        >>> fingerprint_of(["a", 1])
        '721881a05e6a94a3'
    """
    return blake2b("\n".join(map(repr, parts)).encode(), digest_size=8).hexdigest()
