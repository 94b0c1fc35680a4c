"""The journey stage of a customer at a moment, and how long they have been in it.

A stage is a rule over features and attributes as of a moment, so it can be known for any moment of the past without
having been recorded, and never depends on when anyone asked before. Time in a stage is found by evaluating the rules a
week back, two weeks back, and so on: a resolution of `STEP_DAYS`, capped at `STEP_DAYS * STEPS` days.
"""

from collections.abc import Iterable

import narwhals as nw
import polars as pl

from decisioning.catalogue.catalogue import AttributeKind, Catalogue
from decisioning.rules.fact_names import CUSTOMER_PREFIX
from decisioning.rules.predicate import facts_of
from features.computing.definition import DAY_US
from features.computing.feature_set import STAGE_AGE_DAYS, STAGE_INDEX
from features.computing.rule_expressions import Kind, rule_expression

STEP_DAYS = 7
STEPS = 8

KINDS: dict[AttributeKind, Kind] = {
    AttributeKind.NUMBER: float,
    AttributeKind.CATEGORY: str,
    AttributeKind.FLAG: bool,
}


def stage_facts(catalogue: Catalogue) -> frozenset[str]:
    """Names of the facts that any stage's rule looks at."""
    return frozenset[str]().union(*(facts_of(stage.entry) for stage in catalogue.stages))


def stage_expression(catalogue: Catalogue, feature_names: Iterable[str]) -> nw.Expr:
    """Place of the first stage whose rule holds, from 0, as a float; null where none does.

    Raises:
        InvalidPolicyError: A rule names an unknown fact.
    """
    kinds: dict[str, Kind] = dict.fromkeys(feature_names, float)
    declared = {f"{CUSTOMER_PREFIX}{one.name}": KINDS[one.kind] for one in catalogue.customer_attributes}
    kinds |= declared
    places = [
        nw.when(rule_expression(stage.entry, kinds, declared)).then(nw.lit(float(place)))
        for place, stage in enumerate(catalogue.stages)
    ]
    return nw.coalesce(*places) if places else nw.lit(None, dtype=nw.Float64)  # side by side, not one in another


def look_backs(anchors: pl.DataFrame) -> pl.DataFrame:
    """The moments at which a stage is evaluated for each anchor: `customer_id`, `at_us`, each pair once."""
    steps = pl.DataFrame({"back_us": [step * STEP_DAYS * DAY_US for step in range(STEPS + 1)]})
    return (
        anchors.select("customer_id", "at_us")
        .join(steps, how="cross")
        .select("customer_id", pl.col("at_us") - pl.col("back_us"))
        .unique()
    )


def stage_features(anchors: pl.DataFrame, stages: pl.DataFrame) -> pl.DataFrame:
    """Add `stage_index` and `stage_age_days` to anchors.

    Args:
        anchors: `customer_id`, `at_us` and anything else.
        stages: `customer_id`, `at_us`, `stage` for every look-back of the anchors.

    Returns:
        The anchors in their order with two more columns; both null where the customer is in no stage.
    """
    indexed = anchors.with_row_index("row")
    for step in range(STEPS + 1):
        indexed = indexed.join(
            stages.select(
                "customer_id",
                (pl.col("at_us") + step * STEP_DAYS * DAY_US).alias("at_us"),
                pl.col("stage").alias(f"back_{step}"),
            ),
            on=["customer_id", "at_us"],
            how="left",
        )
    same = [(pl.col(f"back_{step}") == pl.col("back_0")).fill_null(value=False) for step in range(1, STEPS + 1)]
    unbroken = [pl.all_horizontal(same[: step + 1]).cast(pl.Float64) for step in range(STEPS)]
    return (
        indexed.sort("row")
        .with_columns(
            pl.col("back_0").alias(STAGE_INDEX),
            pl.when(pl.col("back_0").is_not_null()).then(pl.sum_horizontal(unbroken) * STEP_DAYS).alias(STAGE_AGE_DAYS),
        )
        .select(*anchors.columns, STAGE_INDEX, STAGE_AGE_DAYS)
    )
