"""The arm of each customer in an experiment, and the moment of first exposure."""

from dataclasses import dataclass
from datetime import datetime

import orjson
import polars as pl

from decisioning.catalogue.experiment import AssignedUnit, Exposure
from features.catalogue.assignment.ledger import HELD_OUT, MESSAGED
from features.log.identities import by_person


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposures:
    """The units of an experiment: customers, or households and the customers who have none.

    Attributes:
        units: One row per unit with `unit`, `arm`, `decision_id` and `exposed_at` of the first exposure (null where
            there was none) and `exposure_count`; sorted by unit.
        decisions: One row per decision of those units in the experiment: `decision_id`, `customer_id`, `unit`.
        crossed_count: Units left out because the log has them, or one of their customers, in more than one arm.
        alone_count: Customers without a household among households; 0 where customers are the units.
    """

    units: pl.DataFrame
    decisions: pl.DataFrame
    crossed_count: int
    alone_count: int = 0


def experiment_decisions(decisions: pl.DataFrame, experiment_id: str, *, as_of: datetime) -> pl.DataFrame:
    """One row per decision of an experiment before a moment: `decision_id`, `customer_id`, `decided_at`, `arm`."""
    arm = pl.col("arms").str.json_path_match(f"$[{orjson.dumps(experiment_id).decode()}]")
    return _assigned(decisions.filter(pl.col("arms").is_not_null()), arm, as_of)


def holdout_decisions(decisions: pl.DataFrame, *, as_of: datetime) -> pl.DataFrame:
    """The same for the universal holdout: `held-out` or `messaged`; what the engine did not decide is no part of it."""
    arm = pl.when("is_held_out").then(pl.lit(HELD_OUT)).otherwise(pl.lit(MESSAGED))
    return _assigned(decisions.filter(pl.col("is_held_out").is_not_null()), arm, as_of)


def _assigned(decisions: pl.DataFrame, arm: pl.Expr, as_of: datetime) -> pl.DataFrame:
    rows = decisions.filter(pl.col("decided_at") < as_of)
    named = rows.select("decision_id", "customer_id", "decided_at", "policy_version", arm=arm)
    return named.filter(pl.col("arm").is_not_null())


def as_people(assigned: pl.DataFrame, known: pl.DataFrame, unit: AssignedUnit) -> pl.DataFrame:
    """Decisions about visitors as ones about the customers whom they turned out to be: the pair is one unit.

    It is in the arm of its first decision, whatever the other id got before we heard who they are; a household keeps
    its own arm.

    Args:
        assigned: From `experiment_decisions` or `holdout_decisions`.
        known: Who is who, from `identities.people`.
        unit: What was assigned.
    """
    rows = by_person(assigned, known)
    if known.is_empty() or unit is AssignedUnit.HOUSEHOLD:
        return rows
    first = pl.col("arm").sort_by("decided_at", "decision_id").first().over("customer_id")
    return rows.with_columns(
        arm=pl.when(pl.col("customer_id").is_in(known["person"].to_list())).then(first).otherwise("arm")
    )


def with_units(assigned: pl.DataFrame, customers: pl.DataFrame, unit: AssignedUnit) -> pl.DataFrame:
    """Decisions with the `unit` that was assigned: the household that was known at that moment, or the customer.

    Args:
        assigned: From `experiment_decisions` or `holdout_decisions`.
        customers: Canonical customers.
        unit: What was assigned.
    """
    if unit is AssignedUnit.CUSTOMER:
        return assigned.with_columns(unit="customer_id")
    known = customers.select("customer_id", "updated_at", "household").sort("updated_at")
    rows = assigned.sort("decided_at")
    by_then = rows.join_asof(
        known, left_on="decided_at", right_on="updated_at", by="customer_id", check_sortedness=False
    )
    first = known.group_by("customer_id", maintain_order=True).agg(first=pl.col("household").first())
    # a customer whom the log knows only from later on had the household that it knows then
    household = pl.when(pl.col("updated_at").is_null()).then("first").otherwise("household")
    units = pl.when(household.fill_null("") == "").then("customer_id").otherwise("household\0" + household)
    return by_then.join(first, on="customer_id", how="left").with_columns(unit=units).drop("household", "first")


def find_exposures(assigned: pl.DataFrame, outcomes: pl.DataFrame, exposure: Exposure, *, as_of: datetime) -> Exposures:
    """Find every unit's first exposure.

    Args:
        assigned: Decisions with their arm and unit, from `with_units`.
        outcomes: Canonical outcomes.
        exposure: `delivered` counts outcomes `delivered` of those decisions, `decided` the decisions themselves.
        as_of: Exposures before this moment.
    """
    crossed = pl.concat([_crossed(assigned, "customer_id"), _crossed(assigned, "unit")]).unique()
    decisions = assigned.join(crossed, on="unit", how="anti")
    arms = decisions.group_by("unit").agg(pl.col("arm").first())
    firsts = _moments(decisions, outcomes, exposure, as_of).sort("exposed_at", "decision_id")
    found = firsts.group_by("unit").agg(
        pl.col("decision_id").first(), pl.col("exposed_at").first(), exposure_count=pl.len().cast(pl.Int64)
    )
    units = arms.join(found, on="unit", how="left").with_columns(pl.col("exposure_count").fill_null(0))
    return Exposures(
        units=units.sort("unit"),
        decisions=decisions.select("decision_id", "customer_id", "unit"),
        crossed_count=crossed.height,
        alone_count=decisions.filter(pl.col("unit") == pl.col("customer_id"))["unit"].n_unique(),
    )


def _crossed(assigned: pl.DataFrame, who: str) -> pl.DataFrame:
    """The units that were in more than one arm."""
    return assigned.filter(pl.col("arm").n_unique().over(who) > 1).select("unit")


def _moments(decisions: pl.DataFrame, outcomes: pl.DataFrame, exposure: Exposure, as_of: datetime) -> pl.DataFrame:
    """Every exposure: `unit`, `decision_id`, `exposed_at`."""
    if exposure is Exposure.DECIDED:
        return decisions.select("unit", "decision_id", exposed_at="decided_at")
    delivered = outcomes.filter((pl.col("type") == "delivered") & (pl.col("occurred_at") < as_of))
    found = decisions.select("unit", "decision_id").join(
        delivered.select("decision_id", exposed_at="occurred_at"), on="decision_id", how="inner"
    )
    return found.select("unit", "decision_id", "exposed_at")
