"""Units of a table: several rows of one unit are not independent, so they are detected and combined."""

import re
from collections.abc import Sequence

import polars as pl

from decisioning.errors import InvalidInputError
from training.experiments.tables.table_files import MetricTable
from training.experiments.tables.whole import Whole

_PERSON = r"customer|user|client|kunden?|household|haushalt|account|member|person|visitor|subscriber|player|patient"
_ID_NAME = re.compile(rf"(.*[_ .-])?((({_PERSON})[_ .-]?(id|nr|no|number|key|hash|uuid)?)|id|uuid|guid)", re.IGNORECASE)
_FEWEST_IDS = 6
"""Fewer different values are kinds of something, not ids."""

_MOST_KINDS = 40
_MIN_REPEATED = 30
_ONE_ARM = 0.99
_MOST_BY_CHANCE = 0.9


def check_repeats(file: MetricTable, arms: pl.Series, others: Sequence[str]) -> None:
    """Refuse a table in which ids repeat, unless somebody says whose the rows are.

    A column repeats ids where it is named like one; or where hardly any value that repeats is in two arms, though
    chance alone would have put many into two: then arms were drawn by it.

    Args:
        file: The table.
        arms: Arm of every row.
        others: Columns that are no ids: the arm and the metrics.

    Raises:
        InvalidInputError: Ids repeat.
    """
    candidates = [name for name, kind in file.columns.items() if name not in others and _may_be_id(kind)]
    for name in sorted(candidates, key=lambda name: not _is_id_name(name)):
        ids = file.take([name])[name]
        count, distinct = ids.len() - ids.null_count(), ids.drop_nulls().n_unique()
        if distinct == count or distinct < (_FEWEST_IDS if _is_id_name(name) else _MOST_KINDS):
            continue
        if _is_id_name(name) or _was_drawn_by(ids, arms):
            raise InvalidInputError(
                f"unit must be named where rows repeat, got {count:,} rows of {distinct:,} different {name}; add "
                f"--unit-column {name} to make one of each, or --each-row-a-unit where the rows were drawn one by one"
            )


def _may_be_id(kind: pl.DataType) -> bool:
    return kind == pl.String or kind.is_integer()


def _is_id_name(name: str) -> bool:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)  # userId
    return _ID_NAME.fullmatch(spaced.strip()) is not None


def _was_drawn_by(ids: pl.Series, arms: pl.Series) -> bool:
    rows = pl.DataFrame({"id": ids, "arm": arms}).drop_nulls()
    shares = (rows["arm"].value_counts(normalize=True))["proportion"].to_list()
    groups = rows.group_by("id").agg(rows=pl.len(), arms=pl.col("arm").n_unique()).filter(pl.col("rows") > 1)
    if groups.height < _MIN_REPEATED:
        return False
    by_chance = groups.select(pl.sum_horizontal(pl.lit(share).pow(pl.col("rows")) for share in shares).mean()).item()
    in_one = int((groups["arms"] == 1).sum()) / groups.height
    return by_chance <= _MOST_BY_CHANCE and in_one >= _ONE_ARM


def made_whole(rows: pl.DataFrame, metrics: Sequence[str], whole: Whole | None) -> tuple[pl.DataFrame, int]:
    """One row per unit, and how many units were left out because they are in more than one arm.

    Args:
        rows: `unit`, `arm` and the metrics (Float64), units known.
        metrics: Columns to make one of; null where no row of a unit has a value.
        whole: How; None adds up numbers, and takes what holds in any row of flags.
    """
    arms = rows.group_by("unit").agg(pl.col("arm").drop_nulls().n_unique())
    one_arm = rows.join(arms.filter(pl.col("arm") <= 1).select("unit"), on="unit", how="semi")
    units = one_arm.group_by("unit").agg(
        pl.col("arm").drop_nulls().first(), *(_whole(name, whole or usual(rows[name])) for name in metrics)
    )
    return units.sort("unit"), arms.filter(pl.col("arm") > 1).height


def usual(values: pl.Series) -> Whole:
    """How rows usually become one: flags hold where they hold in any row, numbers are added up."""
    return Whole.ANY if values.drop_nulls().is_in([0.0, 1.0]).all() else Whole.SUM


def _whole(name: str, whole: Whole) -> pl.Expr:
    column = pl.col(name)
    if whole is Whole.ANY:
        return column.max()
    if whole is Whole.MEAN:
        return column.mean()
    return pl.when(column.is_not_null().any()).then(column.sum()).otherwise(None).alias(name)
