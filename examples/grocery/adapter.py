"""The Complete Journey to canonical tables: a year of groceries, and the coupon campaigns that households were sent.

Choices made here:
- A basket is one purchase; its amount is what the retailer received for it (`sales_value`). What manufacturers' coupons
  took off it is event `coupon_discount`: net revenue subtracts it, so it is what households themselves paid.
- A household that a campaign was mailed to is a decision for that campaign's offer on channel `mail`, at noon UTC of
  the campaign's first day, on which the leaflets arrive; it counts as accepted at its first redemption.
- Silence is not in the data. For comparison, a fixed fifth of the households that a campaign could have reached, and
  that got no mail in the four weeks up to it, count as a decision for silence at that moment.
- Campaigns were **targeted, not randomised**: households that were mailed shop more anyway, and action probabilities
  are unknown, so they are empty. What a model learns here is an association with everything that features hold
  constant, and nothing more; the experiment in the catalogue is there to find out what is true.
- Campaigns before the fifth week of purchases are left out, since nothing was known of households by then.
- The data has no consents and no channels but mail. Which households can be reached by e-mail and app, and what they
  agreed to, is **invented**, drawn by a hash of the household: some said no, some were never asked.
- The relation of a household began at its first basket; one that shopped in the first four weeks began before the
  data does, so when is unknown.
- All times move by whole weeks, so that the last purchase falls in the week before `ends_on`. Purchases keep their
  weekday and hour. Times are read as UTC, which puts most shopping between morning and evening in the United States.
"""

from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from decisioning.draw import unit_hash
from decisioning.errors import InvalidInputError
from examples.conversion import ConvertReport, ExampleTables, check_day, json_of, json_text, write_world
from examples.grocery.campaigns import HISTORY, campaign_offers, decisions_of
from examples.grocery.source import GroceryFiles, read_files
from features.log.contracts import UTC_TIME

CATALOGUE = Path(__file__).parent / "catalogue"

_REACHABLE = {"mail": 1.0, "receipt": 1.0, "email": 0.7, "app": 0.45}
"""Share of households that each channel reaches; invented."""

_AGREED = {"mail": 0.9, "receipt": 0.97, "email": 0.8, "app": 0.85}
"""Share of those who agreed to marketing; of the rest, half said no and half were never asked. Invented."""

_ARRIVAL = timedelta(hours=1)
_REDEEMED_AT = timedelta(hours=18)

_OF_DECISION = ("decision_id", "decided_at", "touchpoint", "offer_id", "channel", "creative_id", "window_ends_at")
_NOTES = (
    "campaigns were targeted, not randomised: action probabilities are unknown and left empty",
    "consents and the channels email, app and receipt are invented: the data has mail campaigns only",
)


def convert(source: Path | None, out: Path, *, ends_on: date) -> ConvertReport:
    """Write the grocery data as canonical tables.

    Args:
        source: Folder of the data's files; None for those of the installed package.
        out: Folder to write.
        ends_on: Times move by whole weeks, so that the last purchase falls in the week before this day.

    Raises:
        InvalidInputError: The package is not installed, or a file is missing or not what it should be.
    """
    check_day("ends-on", ends_on)
    files = read_files(source)
    baskets = _baskets(files)
    recorded = _recorded(baskets)
    offers = campaign_offers(files)
    decisions = decisions_of(files, offers, recorded)
    mailings = decisions.filter(pl.col("offer_id").is_not_null())
    world = ExampleTables(
        customers=_customers(files, baskets, recorded[0]),
        events=pl.concat([_purchases(baskets), _discounts(baskets), _redemptions(files)], how="diagonal"),
        decisions=decisions.select(*_OF_DECISION, _household(), pl.lit("retailer-targeting").alias("policy_version")),
        outcomes=pl.concat([_deliveries(mailings), _acceptances(files, mailings)]),
        dropped={"mailings before purchases were known": files.campaigns.height - mailings.height},
        notes=_NOTES,
    )
    return write_world("grocery", _shifted(world, recorded[1], ends_on), CATALOGUE, out)


def _baskets(files: GroceryFiles) -> pl.DataFrame:
    """One row per basket, with the department that most of its money went to."""
    items = files.transactions.join(files.products, on="product_id", how="left")
    main = (
        items.group_by("basket_id", "department")
        .agg(pl.col("sales_value").sum())
        .sort("basket_id", "sales_value", "department", descending=[False, True, False])
        .group_by("basket_id", maintain_order=True)
        .agg(pl.col("department").first().str.to_lowercase().alias("main_department"))
    )
    baskets = items.group_by("basket_id").agg(
        pl.col("household_id", "store_id").first(),
        pl.col("transaction_timestamp").min().alias("occurred_at"),
        pl.len().alias("items"),
        (pl.col("sales_value").sum() * 100).round().cast(pl.Int64).alias("amount_minor"),
        (pl.col("coupon_disc").sum() * 100).round().cast(pl.Int64).alias("discount_minor"),
    )
    return baskets.join(main, on="basket_id")


def _recorded(baskets: pl.DataFrame) -> tuple[datetime, datetime]:
    first, last = baskets["occurred_at"].min(), baskets["occurred_at"].max()
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        raise InvalidInputError("transaction_timestamp of transactions must be times, got none")
    return first.replace(hour=0, minute=0, second=0, microsecond=0), last


def _household() -> pl.Expr:
    return pl.format("HH-{}", pl.col("household_id").cast(pl.String).str.zfill(4)).alias("customer_id")


def _customers(files: GroceryFiles, baskets: pl.DataFrame, first: datetime) -> pl.DataFrame:
    """A row per household, known from the day before it first appears."""
    mailed = files.campaigns.join(files.campaign_descriptions, on="campaign_id").select("household_id", at="start_date")
    appeared = pl.concat([mailed, baskets.select("household_id", at="occurred_at")])
    since = appeared.group_by("household_id").agg(pl.col("at").min().dt.truncate("1d"))
    bought = baskets.group_by("household_id").agg(pl.col("occurred_at").min().alias("bought"))
    households = since.join(bought, on="household_id", how="left").join(
        files.demographics, on="household_id", how="left"
    )
    contact = _contact_answers(households["household_id"], files)
    return households.join(contact, on="household_id").select(
        _household(),
        (pl.col("at") - pl.duration(days=1)).alias("updated_at"),
        pl.when(pl.col("bought") >= first + HISTORY).then("bought").alias("joined_at"),
        pl.lit("en-US").alias("locale"),
        "channels",
        "consents",
        json_of(
            age=pl.col("age"),
            income=pl.col("income").str.to_lowercase(),
            home=pl.col("home_ownership").str.to_lowercase(),
            household_size=pl.col("household_size").str.replace("+", "", literal=True).cast(pl.Int64),
            kids=pl.col("kids_count").str.replace("+", "", literal=True).cast(pl.Int64),
        ).alias("attributes"),
    )


def _contact_answers(ids: pl.Series, files: GroceryFiles) -> pl.DataFrame:
    """Invented reachability and consents; a household that was ever mailed a campaign has agreed to mail."""
    mailed = set(files.campaigns["household_id"])
    rows = [_contact_row(household, is_mailed=household in mailed) for household in ids.sort().to_list()]
    schema = {"household_id": pl.Int64, "channels": pl.String, "consents": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _contact_row(household: int, *, is_mailed: bool) -> tuple[int, str, str]:
    key = str(household)
    channels = [name for name, share in _REACHABLE.items() if unit_hash("grocery-reach", name, key) < share]
    consents = []
    for name in channels:
        agreed = 1.0 if is_mailed and name == "mail" else _AGREED[name]
        answer = unit_hash("grocery-consent", name, key)
        if answer < (1 + agreed) / 2:  # beyond: never asked
            consents.append(_consent(name, "marketing", is_granted=answer < agreed))
        consents.append(_consent(name, "service", is_granted=True))
    return household, json_text(channels), json_text(consents)


def _consent(channel: str, purpose: str, *, is_granted: bool) -> dict[str, str | bool]:
    return {"channel": channel, "purpose": purpose, "granted": is_granted, "source": "invented"}


def _purchases(baskets: pl.DataFrame) -> pl.DataFrame:
    return baskets.select(
        pl.format("basket-{}", "basket_id").alias("event_id"),
        _household(),
        pl.lit("purchase").alias("type"),
        "occurred_at",
        pl.lit("store").alias("channel"),
        "amount_minor",
        pl.lit("USD").alias("currency"),
        json_of(items=pl.col("items"), main_department=pl.col("main_department"), store_id=pl.col("store_id")).alias(
            "properties"
        ),
    )


def _discounts(baskets: pl.DataFrame) -> pl.DataFrame:
    return baskets.filter(pl.col("discount_minor") > 0).select(
        pl.format("discount-{}", "basket_id").alias("event_id"),
        _household(),
        pl.lit("coupon_discount").alias("type"),
        "occurred_at",
        pl.lit("store").alias("channel"),
        pl.col("discount_minor").alias("amount_minor"),
        pl.lit("USD").alias("currency"),
    )


def _redemptions(files: GroceryFiles) -> pl.DataFrame:
    """The files give the day of a redemption; it is put at 18:00 UTC, midday in the United States."""
    number = pl.int_range(pl.len()).over("household_id", "coupon_upc", "redemption_date")
    return files.coupon_redemptions.select(
        pl.format(
            "redeemed-{}-{}-{}-{}",
            "household_id",
            "coupon_upc",
            pl.col("redemption_date").dt.strftime("%j"),
            number,
        ).alias("event_id"),
        _household(),
        pl.lit("coupon_redeemed").alias("type"),
        (pl.col("redemption_date") + _REDEEMED_AT).alias("occurred_at"),
        pl.lit("store").alias("channel"),
        json_of(campaign=pl.col("campaign_id"), coupon=pl.col("coupon_upc")).alias("properties"),
    )


def _deliveries(mailings: pl.DataFrame) -> pl.DataFrame:
    return mailings.select(
        pl.format("{}-delivered", "decision_id").alias("outcome_id"),
        "decision_id",
        _household(),
        pl.lit("delivered").alias("type"),
        (pl.col("decided_at") + _ARRIVAL).alias("occurred_at"),
    )


def _acceptances(files: GroceryFiles, mailings: pl.DataFrame) -> pl.DataFrame:
    """The first redemption of each mailing."""
    first = files.coupon_redemptions.group_by("household_id", "campaign_id").agg(pl.col("redemption_date").min())
    return mailings.join(first, on=["household_id", "campaign_id"]).select(
        pl.format("{}-accepted", "decision_id").alias("outcome_id"),
        "decision_id",
        _household(),
        pl.lit("accepted").alias("type"),
        (pl.col("redemption_date") + _REDEEMED_AT).alias("occurred_at"),
    )


def _shifted(world: ExampleTables, last: datetime, ends_on: date) -> ExampleTables:
    """Every time moved by the same whole weeks and read as UTC."""
    weeks = (datetime(ends_on.year, ends_on.month, ends_on.day) - last) // timedelta(weeks=1)  # noqa: DTZ001 - as `last`
    moved = {
        name: getattr(world, name).with_columns(
            (pl.col(pl.Datetime) + pl.duration(weeks=weeks)).dt.replace_time_zone("UTC").cast(UTC_TIME)
        )
        for name in ("customers", "events", "decisions", "outcomes")
    }
    return ExampleTables(**moved, dropped=world.dropped, notes=world.notes)
