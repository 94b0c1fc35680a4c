"""The steps of a log: from one decision about a customer to the next."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from decisioning.arrays import BoolArray, FloatArray, IntArray
from decisioning.catalogue.catalogue import Catalogue
from features.history import History
from features.log.outcome_types import OutcomeType
from training.data.datasets import Dataset, learning_of
from training.data.measures import UNTIL, decision_values

NOTHING_FOLLOWS = -1
"""Place of the next decision where there is none within the window."""

UNKNOWN_STAGE = -1

_UNSEEN = frozenset({OutcomeType.DELIVERED, OutcomeType.NOT_SENT, OutcomeType.BOUNCED, OutcomeType.RETURNED})
SEEN = frozenset(one.value for one in OutcomeType if one not in _UNSEEN)
"""Outcomes that imply that the customer saw the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Steps of a dataset's n decisions.

    Attributes:
        following: shape (n,), place of the customer's next decision within the window, or `NOTHING_FOLLOWS`.
        early: shape (n,), what came before it; all of the window's worth where nothing follows.
        stages: shape (n,), place of the journey stage that the log names, or `UNKNOWN_STAGE`. It may know more than
            features do, and whoever decided may have looked at it.
        is_seen: shape (n,), the message was seen.
    """

    following: IntArray
    early: FloatArray
    stages: IntArray
    is_seen: BoolArray

    @property
    def has_next(self) -> BoolArray:
        """Where a decision follows, shape (n,)."""
        return self.following != NOTHING_FOLLOWS


def steps_of(dataset: Dataset, history: History, catalogue: Catalogue) -> Steps:
    """Find the steps of a dataset in the history that it was made from."""
    _, measure = learning_of(catalogue)
    rows = dataset.decisions.with_row_index("row").with_columns(
        ends_at=pl.col("decided_at") + pl.Series([timedelta(days=days) for days in dataset.contexts[:, 0].tolist()])
    )
    ordered = rows.sort("decided_at", "row").with_columns(
        pl.col("row", "decided_at").shift(-1).over("customer_id").name.prefix("next_")
    )
    follows = (pl.col("next_decided_at") < pl.col("ends_at")).fill_null(value=False)
    found = ordered.sort("row").with_columns(follows=follows)
    windows = found.select(
        "decision_id",
        "customer_id",
        "ends_at",
        pl.when("follows").then("next_decided_at").alias(UNTIL),
        starts_at="decided_at",
    )
    early = decision_values(history, windows, measure, cap=True)
    return Steps(
        following=found.select(pl.when("follows").then(pl.col("next_row").cast(pl.Int64)).otherwise(NOTHING_FOLLOWS))
        .to_series()
        .to_numpy(),
        early=early["value"].to_numpy(),
        stages=_stages(dataset, history, catalogue),
        is_seen=_is_seen(dataset, history),
    )


def _stages(dataset: Dataset, history: History, catalogue: Catalogue) -> IntArray:
    places = {stage.stage_id: place for place, stage in enumerate(catalogue.stages)}
    logged = dataset.decisions.join(
        history.decisions.select("decision_id", "stage"), on="decision_id", how="left", maintain_order="left"
    )["stage"]
    return logged.replace_strict(places, default=UNKNOWN_STAGE, return_dtype=pl.Int64).to_numpy()


def _is_seen(dataset: Dataset, history: History) -> BoolArray:
    seen = history.outcomes.filter(pl.col("type").is_in(sorted(SEEN)))["decision_id"].unique()
    return dataset.decisions["decision_id"].is_in(seen.implode()).to_numpy()


def stage_codes(stages: IntArray) -> FloatArray:
    """One column per stage that occurs, shape (n, s): what a booster splits on most easily."""
    return (stages[:, np.newaxis] == np.unique(stages)).astype(np.float64)
