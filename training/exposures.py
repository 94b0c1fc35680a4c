"""Who was in which arm of an experiment, and since when it can have made a difference to them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import orjson
import polars as pl

from decisioning.experiment import Exposure
from features.assignment_ledger import HELD_OUT, MESSAGED


class Logged(Protocol):
    """The canonical tables that an experiment is read from."""

    @property
    def decisions(self) -> pl.DataFrame:
        """What was chosen; `decision_id`, `customer_id`, `decided_at`, `arms` and `is_held_out` are read."""
        ...

    @property
    def events(self) -> pl.DataFrame:
        """What customers did."""
        ...

    @property
    def outcomes(self) -> pl.DataFrame:
        """What became of decisions."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposures:
    """The customers of an experiment.

    Attributes:
        customers: One row per customer with `customer_id`, `arm`, `decision_id` and `exposed_at` of the first exposure
            (null where there was none) and `exposure_count`; sorted by customer.
        decisions: One row per decision of those customers in the experiment: `decision_id`, `customer_id`.
        crossed_count: Customers left out because the log has them in more than one arm.
    """

    customers: pl.DataFrame
    decisions: pl.DataFrame
    crossed_count: int


def experiment_decisions(decisions: pl.DataFrame, experiment_id: str, *, as_of: datetime) -> pl.DataFrame:
    """One row per decision of an experiment: `decision_id`, `customer_id`, `decided_at`, `arm`.

    Args:
        decisions: Canonical decisions.
        experiment_id: Name of the experiment.
        as_of: Decisions before this moment.
    """
    arm = pl.col("arms").str.json_path_match(f"$[{orjson.dumps(experiment_id).decode()}]")
    return _assigned(decisions.filter(pl.col("arms").is_not_null()), arm, as_of)


def holdout_decisions(decisions: pl.DataFrame, *, as_of: datetime) -> pl.DataFrame:
    """The same for the universal holdout: arm `held-out` or `messaged`; decisions the engine did not make are no part.

    Args:
        decisions: Decisions with `is_held_out`; null where the engine did not make them.
        as_of: Decisions before this moment.
    """
    arm = pl.when("is_held_out").then(pl.lit(HELD_OUT)).otherwise(pl.lit(MESSAGED))
    return _assigned(decisions.filter(pl.col("is_held_out").is_not_null()), arm, as_of)


def _assigned(decisions: pl.DataFrame, arm: pl.Expr, as_of: datetime) -> pl.DataFrame:
    rows = decisions.filter(pl.col("decided_at") < as_of).select("decision_id", "customer_id", "decided_at", arm=arm)
    return rows.filter(pl.col("arm").is_not_null())


def find_exposures(assigned: pl.DataFrame, outcomes: pl.DataFrame, exposure: Exposure, *, as_of: datetime) -> Exposures:
    """Find every customer's first exposure.

    Args:
        assigned: Decisions with their arm, from `experiment_decisions` or `holdout_decisions`.
        outcomes: Canonical outcomes.
        exposure: `delivered` counts outcomes `delivered` of those decisions, `decided` the decisions themselves.
        as_of: Exposures before this moment.
    """
    arms = assigned.group_by("customer_id").agg(pl.col("arm").first(), arm_count=pl.col("arm").n_unique())
    one_arm = arms.filter(pl.col("arm_count") == 1).select("customer_id", "arm")
    decisions = assigned.join(one_arm.select("customer_id"), on="customer_id", how="semi")
    firsts = _moments(decisions, outcomes, exposure, as_of).sort("exposed_at", "decision_id")
    found = firsts.group_by("customer_id").agg(
        pl.col("decision_id").first(), pl.col("exposed_at").first(), exposure_count=pl.len().cast(pl.Int64)
    )
    customers = one_arm.join(found, on="customer_id", how="left").with_columns(pl.col("exposure_count").fill_null(0))
    return Exposures(
        customers=customers.sort("customer_id"),
        decisions=decisions.select("decision_id", "customer_id"),
        crossed_count=arms.height - one_arm.height,
    )


def _moments(decisions: pl.DataFrame, outcomes: pl.DataFrame, exposure: Exposure, as_of: datetime) -> pl.DataFrame:
    """Every exposure: `customer_id`, `decision_id`, `exposed_at`."""
    if exposure is Exposure.DECIDED:
        return decisions.select("customer_id", "decision_id", exposed_at="decided_at")
    delivered = outcomes.filter((pl.col("type") == "delivered") & (pl.col("occurred_at") < as_of))
    found = decisions.select("customer_id", "decision_id").join(
        delivered.select("decision_id", exposed_at="occurred_at"), on="decision_id", how="inner"
    )
    return found.select("customer_id", "decision_id", "exposed_at")
