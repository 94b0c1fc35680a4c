"""The interface to a model that values messages, and the matrix it reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from decisioning.arrays import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureVector:
    """The features of one customer.

    Attributes:
        names: d feature names.
        values: shape (d,), float64; NaN where missing.
        ages_seconds: Age of each feature group at decision time, by group name; None where it was never written.
        schema: Fingerprint of names and order.
    """

    names: tuple[str, ...]
    values: FloatArray
    ages_seconds: Mapping[str, float | None]
    schema: str


class Scorer(Protocol):
    """What a message is worth to a customer."""

    @property
    def version(self) -> str:
        """Model version that goes into the record."""
        ...

    def expected_values(self, matrix: FloatArray) -> FloatArray:
        """Expected measure per row of the design matrix: shape (k, p) in, shape (k,) out, row 0 is silence."""
        ...
