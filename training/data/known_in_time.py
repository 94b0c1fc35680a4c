"""Refuse attributes that are known only after the decisions that are to be learned from.

An export stamps every customer with the moment of the export. Imported so, nothing that it says of a customer was known
at any decision before: a model would learn that the attribute does not matter, and be asked with it from then on.
"""

import numpy as np
import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InvalidInputError
from features.computing.compute import compute_features
from features.computing.definition import word
from features.history import History
from training.data.datasets import Dataset

_LOOKED_AT = 500  # customers


def refuse_known_only_later(dataset: Dataset, history: History, catalogue: Catalogue) -> None:
    """Check that attributes are known before decisions.

    An attribute of which no decision knew a value may be new: then these customers were known before, without it.

    Raises:
        InvalidInputError: An attribute has values, all of them in rows that became known after the decisions, of
            customers of whom no row is older.
    """
    unknown = _never_known(dataset, catalogue)
    if not unknown:
        return
    late = _known_only_later(dataset, history)
    if late is None:
        return
    anchors = late.select("customer_id", at=pl.col("known_at") + pl.duration(microseconds=1))
    values = compute_features(history, anchors, catalogue)
    refused = [attribute for name, attribute in unknown.items() if values[name].is_not_null().any()]
    if refused:
        at = dataset.decisions["decided_at"]
        raise InvalidInputError(
            f"attributes must be known before the decisions that are learned from, got {', '.join(refused)} known only"
            f" afterwards: customers from {late['first'].min()} on, decisions from {at.min()} to {at.max()};"
            " import customers with the updated_at at which a row became known, not that of the export, or take the"
            " attributes out of the catalogue"
        )


def _never_known(dataset: Dataset, catalogue: Catalogue) -> dict[str, str]:
    """Attributes by the name of their feature, of which no decision knew a value."""
    empty = {
        name
        for name, known in zip(dataset.feature_names, np.isfinite(dataset.features).any(axis=0), strict=True)
        if not known
    }
    named = {f"attribute_{word(one.name)}": one.name for one in catalogue.customer_attributes}
    return {feature: name for feature, name in named.items() if feature in empty}


def _known_only_later(dataset: Dataset, history: History) -> pl.DataFrame | None:
    """Some customers with `known_at` of their newest row; None where a row of anybody was known before a decision."""
    last = dataset.decisions.group_by("customer_id").agg(last=pl.col("decided_at").max())
    rows = history.customers.group_by("customer_id").agg(
        first=pl.col("updated_at").min(), known_at=pl.col("updated_at").max()
    )
    both = last.join(rows, on="customer_id")
    if both.is_empty() or (both["first"] < both["last"]).any():
        return None
    return both.sort("customer_id").head(_LOOKED_AT)
