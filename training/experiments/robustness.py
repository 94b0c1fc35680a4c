"""Does a result rest on few customers? The same difference with the largest amounts capped, beside the plain one."""

from collections.abc import Sequence

import polars as pl

from decisioning.catalogue.experiment import Inference
from features.reports.readouts import CappedEffect
from training.experiments.estimates import difference_of, sample_of

CAPPED_ABOVE = 0.99
"""Amounts are capped at this quantile of all amounts that are not zero, of all arms together."""

LARGE_SHARE = 0.1
"""One unit with this share of an arm's variance is one on which the result may rest."""

_VALUE = "value"


def largest_share(values: pl.Series) -> float:
    """The largest part that one value has in the sum of squared distances from the mean, in [0, 1]."""
    known = values.drop_nulls()
    squares = (known - known.mean()) ** 2
    total = squares.sum()
    return float(squares.max() / total) if total else 0.0  # pyright: ignore[reportArgumentType, reportOptionalOperand, reportOperatorIssue]


def capped_effects(
    rows: pl.DataFrame, control: str, arms: Sequence[str], inference: Inference
) -> dict[str, CappedEffect]:
    """The difference of each arm with winsorised values; nothing where capping leaves them as they are.

    Args:
        rows: One row per unit with `arm`, `value` and perhaps `covariate`, as for `estimates.sample_of`.
        control: The control arm.
        arms: The others that have a number.
        inference: How intervals are meant to hold.
    """
    value = pl.col(_VALUE)
    amounts = rows[_VALUE].drop_nulls()
    top = amounts.filter(amounts > 0).quantile(CAPPED_ABOVE, "higher")
    bottom = amounts.filter(amounts < 0).quantile(1 - CAPPED_ABOVE, "lower")
    capped = rows.with_columns(value.clip(bottom, top))
    if capped[_VALUE].equals(rows[_VALUE]) or not arms:
        return {}
    base, sides = sample_of(capped, control), [sample_of(capped, arm) for arm in arms]
    found = {
        side.arm_id: difference_of(base, side, inference, is_rate=False)
        for side in sides
        if base.spread or side.spread  # where only the largest differ, nothing is left to compare
    }
    return {
        arm: CappedEffect(above=top, below=bottom, difference=effect.difference, lower=effect.lower, upper=effect.upper)
        for arm, effect in found.items()
    }
