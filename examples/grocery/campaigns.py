"""The coupon campaigns as decisions: who was mailed which offer, and who was left alone at the same time."""

from datetime import datetime, timedelta

import polars as pl

from examples.conversion import unit_hashes
from examples.grocery.source import GroceryFiles

WINDOW = timedelta(days=28)
HISTORY = timedelta(days=28)
"""Purchases must have been recorded for so long before a decision is kept."""

SHORTEST_WINDOW = timedelta(days=21)
SENT_AT = timedelta(hours=12)
"""Time of day of a mailing: morning in the United States; the files give the day."""

QUIET_RATE = 0.2
"""Share of the households that a campaign could have reached and did not, taken as decisions for silence."""

_BABY = "BABY|DIAPER|INFANT"
_HOUSEHOLD = ["DRUG GM", "COSMETICS"]
_MAIL = {"touchpoint": "weekly-mail", "channel": "mail", "creative_id": "leaflet"}


def campaign_offers(files: GroceryFiles) -> pl.DataFrame:
    """One row per campaign: `campaign_id`, `offer_id`, `start_date`, `end_date`.

    Type A campaigns chose coupons for each household; type B sent the same coupons of one theme to all, which is read
    off the products: baby goods, household and beauty, or pantry and fridge; type C promoted few brands.
    """
    themes = (
        files.coupons.join(files.products, on="product_id", how="left")
        .group_by("campaign_id")
        .agg(
            pl.col("product_category").str.contains(_BABY).mean().alias("baby"),
            pl.col("department").is_in(_HOUSEHOLD).mean().alias("household"),
        )
    )
    kind = pl.col("campaign_type")
    offer = (
        pl.when(kind == "Type A")
        .then(pl.lit("coupons-for-you"))
        .when(kind == "Type C")
        .then(pl.lit("brand-coupons"))
        .when(pl.col("baby") > 1 / 2)
        .then(pl.lit("baby-coupons"))
        .when(pl.col("household") > 1 / 2)
        .then(pl.lit("household-coupons"))
        .otherwise(pl.lit("pantry-coupons"))
    )
    described = files.campaign_descriptions.join(themes, on="campaign_id", how="left")
    return described.select("campaign_id", offer.alias("offer_id"), "start_date", "end_date").sort("campaign_id")


def decisions_of(files: GroceryFiles, offers: pl.DataFrame, recorded: tuple[datetime, datetime]) -> pl.DataFrame:
    """Canonical decisions with their `campaign_id`, times naive: the mailings, and silence for comparison.

    Args:
        files: The source.
        offers: Campaigns, as `campaign_offers` gives them.
        recorded: First and last moment of recorded purchases. A campaign before which no four weeks of purchases are
            known is left out; a window is cut at the last purchase where three weeks remain.
    """
    first, last = recorded
    kept = offers.filter(pl.col("start_date") >= first + HISTORY)
    mailed = files.campaigns.join(kept, on="campaign_id").with_columns(
        **{name: pl.lit(value) for name, value in _MAIL.items()}
    )
    both = pl.concat([mailed, _quiet(files, kept)], how="diagonal")
    end = pl.col("decided_at") + WINDOW
    is_cut = (end > last) & (pl.col("decided_at") + SHORTEST_WINDOW <= last)
    name = pl.when(pl.col("offer_id").is_null()).then(pl.lit("quiet")).otherwise(pl.lit("mail"))
    return both.with_columns((pl.col("start_date") + SENT_AT).alias("decided_at")).with_columns(
        pl.format("{}-{}-{}", name, "campaign_id", "household_id").alias("decision_id"),
        pl.when(is_cut).then(pl.lit(last)).otherwise(end).alias("window_ends_at"),
    )


def _quiet(files: GroceryFiles, kept: pl.DataFrame) -> pl.DataFrame:
    """Households that had shopped before a campaign began, and got no mail then nor in the four weeks before."""
    since = files.transactions.group_by("household_id").agg(pl.col("transaction_timestamp").min().alias("since"))
    mailed = files.campaigns.join(kept.select("campaign_id", mailed_on="start_date"), on="campaign_id")
    pairs = kept.join(since, how="cross").filter(pl.col("since") + HISTORY <= pl.col("start_date"))
    recent = (
        pairs.select("campaign_id", "household_id", "start_date")
        .join(mailed.select("household_id", "mailed_on"), on="household_id")
        .filter(pl.col("mailed_on").is_between(pl.col("start_date") - HISTORY, pl.col("start_date")))
    )
    quiet = pairs.join(recent, on=["campaign_id", "household_id"], how="anti")
    drawn = unit_hashes(quiet.select(pl.format("{}-{}", "campaign_id", "household_id")).to_series(), "grocery-quiet")
    return quiet.filter(drawn < QUIET_RATE).select(
        "campaign_id",
        "household_id",
        "start_date",
        pl.lit(None, dtype=pl.String).alias("offer_id"),
        pl.lit(_MAIL["touchpoint"]).alias("touchpoint"),
    )
