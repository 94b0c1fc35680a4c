"""What residuals on top of a model start from: noted in its bundle when it is trained."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from decisioning.residuals import NO_STAGE
from features.history import BULKY_COLUMN, History
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES, Table
from features.log.event_log import LogSnapshot
from training.data.datasets import Dataset, learning_of
from training.data.measures import longest_days
from training.models.learner import Learned, customers_at_random
from training.residuals import NOTE
from training.residuals.arrivals import Arrivals, arrivals_of
from training.residuals.prior import prior_of_residuals

MOST_DECISIONS = 20_000
"""Decisions that arrivals are learned from, of customers by chance."""


def with_residual_base(learned: Learned, log: LogSnapshot, catalogue: Catalogue, *, now: datetime) -> Learned:
    """A model whose bundle notes what residuals on top of it start from; the same where nothing can be learned.

    Args:
        learned: By `learn`.
        log: What it learned from.
        catalogue: Says what is learned.
        now: As of when it learned: from decisions whose window was over.

    Raises:
        LogUnavailableError: The log could not be read.
    """
    prior = prior_of_residuals(learned, _stages(learned.dataset, log))
    if prior is None:
        return learned
    note: Mapping[str, Any] = {
        "prior": prior.plain(),
        "arrivals": {name: list(curve) for name, curve in _arrivals(learned.dataset, log, catalogue).curves.items()},
        "learned_until": now.isoformat(),
    }
    bundle = replace(learned.bundle, notes={**learned.bundle.notes, NOTE: note})
    return replace(learned, bundle=bundle)


def _stages(dataset: Dataset, log: LogSnapshot) -> list[str]:
    """Journey stage of each decision, as it was logged."""
    logged = log.read(DECISIONS, columns=("decision_id", "stage"))
    ids = dataset.decisions.select("decision_id")
    return ids.join(logged, on="decision_id", how="left", maintain_order="left")["stage"].fill_null(NO_STAGE).to_list()


def _arrivals(dataset: Dataset, log: LogSnapshot, catalogue: Catalogue) -> Arrivals:
    rows = customers_at_random(dataset, MOST_DECISIONS / dataset.size, seed=0)
    days = pl.Series("days", dataset.contexts[:, 0])
    keys = pl.Series("message_key", [dataset.keys[action] for action in dataset.actions])
    decisions = (
        dataset.decisions.with_columns(keys, days)
        .filter(pl.Series(rows))
        .with_columns(
            starts_at=pl.col("decided_at"),
            ends_at=pl.col("decided_at") + pl.duration(microseconds=(pl.col("days") * 86_400e6).cast(pl.Int64)),
        )
    )
    own = decisions["customer_id"].unique().to_list()
    frames = {table.name: _of_customers(log, table, own) for table in (EVENTS, DECISIONS, OUTCOMES)}
    history = History.of(History(customers=pl.DataFrame(schema=CUSTOMERS.schema), **frames))
    learning, measure = learning_of(catalogue)
    span_days = longest_days(measure, learning.window_days)
    return arrivals_of(history, decisions, measure, span_days=span_days)


def _of_customers(log: LogSnapshot, table: Table, customer_ids: list[str]) -> pl.DataFrame:
    names = [name for name in table.schema if name != BULKY_COLUMN]
    own = pl.LazyFrame({"customer_id": customer_ids}, schema={"customer_id": pl.String})
    return log.log.collect(table, log.scan(table).select(names).join(own, on="customer_id", how="semi"))
