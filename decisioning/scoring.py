"""What is known of a customer in numbers, as a model reads it."""

from collections.abc import Mapping

from decisioning.arrays import FloatArray
from decisioning.value_class import value_class


@value_class
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
