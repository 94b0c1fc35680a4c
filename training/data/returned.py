"""What comes back: returns, each put to the purchase that it takes back.

A return names its purchase (`purchase_id`) or its order (`order_id`) in its properties, as the purchase does; one that
names neither takes back the customer's latest purchase within the window that brought as much, else the latest. Without
an amount it takes back all. No purchase is taken back more than whole, and what is reported both as an event and as an
outcome `returned` counts once.
"""

from dataclasses import dataclass

import polars as pl

from decisioning.catalogue.measure import Measure, Returns
from features.computing.sources import Tables
from features.log.identities import by_person, people
from features.log.outcome_types import OutcomeType

_ALL = 10**15  # minor units; a return without an amount is of everything
_KEY = ("source", "row_id", "whose")
_EVENT, _OUTCOME = "event", "outcome"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnCounts:
    """Returns of a log, as a measure takes them.

    Attributes:
        reversing: Those that take a purchase back.
        too_late: Those of a purchase that is longer ago than the measure's window.
        without_purchase: Those whose purchase the log does not have.
    """

    reversing: int = 0
    too_late: int = 0
    without_purchase: int = 0

    @property
    def words(self) -> tuple[str, ...]:
        """A sentence for each kind of which there is any."""
        told = (
            (self.reversing, "take back what they brought at the moment of the purchase"),
            (self.too_late, "came after the window of `returns` and take nothing back"),
            (self.without_purchase, "are of no purchase that the log has, and take nothing back"),
        )
        return tuple(f"{count:,} returns {what}." for count, what in told if count)


def taken_back(history: Tables, measure: Measure, bought: pl.DataFrame) -> pl.DataFrame:
    """How much of each purchase came back.

    Args:
        history: Canonical tables.
        measure: Without parts, with `returns`.
        bought: From `bought_rows`.

    Returns:
        `source`, `row_id`, `whose` (the key of a purchase) and `back` (Int64, minor units, at most its amount).
    """
    purchases = _purchases(history, bought)
    matched = _matched(_returns(history, _rules(measure)), purchases, _rules(measure))
    totals = matched.filter("is_timely").group_by("customer_id", "lot", "return_source")
    sums = totals.agg(pl.col("amount").sum()).group_by("customer_id", "lot").agg(pl.col("amount").max())
    rows = purchases.join(sums, on=["customer_id", "lot"], how="inner").sort("bought_at", *_KEY)
    before = (pl.col("worth").cum_sum() - pl.col("worth")).over("customer_id", "lot")
    back = (pl.col("amount") - before).clip(lower_bound=0)
    return rows.select(*_KEY, back=pl.min_horizontal(back, "worth"))


def return_counts(history: Tables, measure: Measure, bought: pl.DataFrame) -> ReturnCounts:
    """Count the returns of a log; arguments as `taken_back`."""
    returns = _returns(history, _rules(measure))
    matched = _matched(returns, _purchases(history, bought), _rules(measure))
    timely = matched.filter("is_timely").height
    return ReturnCounts(
        reversing=timely, too_late=matched.height - timely, without_purchase=returns.height - matched.height
    )


def bought_rows(events: pl.DataFrame, outcomes: pl.DataFrame) -> pl.DataFrame:
    """Purchases from events and outcomes that add money, each with its worth in `worth` (Int64)."""
    return pl.concat([_rows(events, "event_id", _EVENT, "worth"), _rows(outcomes, "outcome_id", _OUTCOME, "worth")])


def _rules(measure: Measure) -> Returns:
    return measure.returns or Returns(window_days=0.0)


def _rows(frame: pl.DataFrame, name: str, source: str, amount: str) -> pl.DataFrame:
    return frame.select(
        pl.lit(source).alias("source"),
        pl.col(name).alias("row_id"),
        pl.col("customer_id").alias("whose"),
        "customer_id",
        "occurred_at",
        pl.col(amount).cast(pl.Int64),
        _property("order_id"),
        _property("purchase_id"),
    )


def _property(name: str) -> pl.Expr:
    return pl.col("properties").str.json_path_match(f"$.{name}").alias(name)


def _purchases(history: Tables, bought: pl.DataFrame) -> pl.DataFrame:
    """Purchases with the lot that comes back as one: their order, or themselves."""
    lot = pl.coalesce(pl.lit("order:") + pl.col("order_id"), pl.col("source") + pl.lit(":") + pl.col("row_id"))
    rows = by_person(bought.filter(pl.col("worth") > 0), people(history.events))
    return rows.select(*_KEY, "customer_id", "order_id", "worth", lot=lot, bought_at="occurred_at")


def _returns(history: Tables, rules: Returns) -> pl.DataFrame:
    events = history.events.filter(pl.col("type").is_in(sorted(rules.events)))
    outcomes = history.outcomes.filter(pl.col("type") == OutcomeType.RETURNED.value)
    both = [_rows(events, "event_id", _EVENT, "amount_minor"), _rows(outcomes, "outcome_id", _OUTCOME, "amount_minor")]
    rows = by_person(pl.concat(both), people(history.events))
    return rows.select(
        "customer_id",
        "order_id",
        "purchase_id",
        return_source="source",
        return_id="row_id",
        returned_at="occurred_at",
        amount=pl.col("amount_minor").abs().fill_null(_ALL),
    )


def _matched(returns: pl.DataFrame, purchases: pl.DataFrame, rules: Returns) -> pl.DataFrame:
    """Returns whose purchase is known, with its `lot` and whether they came in time."""
    by_id = returns.filter(pl.col("purchase_id").is_not_null()).join(
        purchases, left_on=["customer_id", "purchase_id"], right_on=["customer_id", "row_id"], how="inner"
    )
    others = returns.join(by_id, on=["customer_id", "return_source", "return_id"], how="anti")
    by_order = others.join(purchases, on=["customer_id", "order_id"], how="inner")
    open_ended = returns.filter(pl.col("purchase_id").is_null() & pl.col("order_id").is_null())
    by_time = open_ended.join(purchases, on="customer_id", how="inner")
    names = ["customer_id", "lot", "return_source", "return_id", "returned_at", "amount", "bought_at", "worth"]
    found = pl.concat([one.select(names) for one in (by_id, by_order, by_time)])
    waited = pl.col("returned_at") - pl.col("bought_at")
    within = waited <= pl.duration(microseconds=round(rules.window_days * 86_400e6))
    fits = pl.col("worth") >= pl.col("amount")
    ranked = found.filter(waited >= pl.duration(microseconds=0)).with_columns(is_timely=within, fits=fits)
    ordered = ranked.sort(
        "is_timely", "fits", "bought_at", "lot", descending=[True, True, True, False], maintain_order=True
    )
    return ordered.unique(["customer_id", "return_source", "return_id"], keep="first", maintain_order=True)
