"""Starbucks rewards files to canonical tables: a randomised log of offers and silence in six waves.

The files (`portfolio`, `profile`, `transcript`, as Parquet or CSV) count time in hours since the first wave. In each
wave every customer independently got silence with probability 0.25, or one of ten offers with 0.075 each, so the
action probabilities are known exactly.

Choices made here:
- A wave's decision is at the exact hour of the wave; deliveries, views, transactions and completions of that hour
  follow minutes later. So a decision's features see earlier hours only, and what happens in the hour is in its window.
- A decision's window ends where the next wave begins, the last one's at hour 720. Windows differ in length (three to
  seven days) and offers live three to ten days, so effects carry over into the next window.
- Views and completions belong to the customer's latest decision for that offer. A completion pays its reward whether
  or not the offer was seen: it is outcome `accepted` of its decision, and event `reward_paid`, which net revenue
  subtracts in the window it falls in.
- Exact repeats in the transcript are left out and counted.
- An offer always travels on its own set of channels, so there is one channel, `bundle`, and the set is described by
  the attributes `uses_*`. All customers are members of the app and count as having agreed to its offers.
- Age 118 is how the files say that age, gender and income are unknown.
"""

from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path

import polars as pl

from decisioning.errors import InvalidInputError
from examples.conversion import (
    ConvertReport,
    ExampleTables,
    check_day,
    check_source,
    json_of,
    json_text,
    read_table,
    unit_hashes,
    write_world,
)
from features.catalogue import load_catalogue
from features.log.contracts import UTC_TIME

CATALOGUE = Path(__file__).parent / "catalogue"
STARTS_ON = date(2018, 7, 27)
"""Day of hour 0: the first after the last customer of the published files joined."""

WAVE_HOURS = (0, 168, 336, 408, 504, 576)
END_HOUR = 720
SILENCE_PROBABILITY = 0.25
OFFER_PROBABILITY = 0.075

_UNKNOWN_AGE = 118
_ORIGIN = (
    "the files portfolio, profile and transcript come from the Starbucks rewards app data of Udacity's data science "
    "course and are published on several data sites; save each as Parquet or CSV"
)
_FILES = ("portfolio", "profile", "transcript")
_PORTFOLIO = {
    "id": pl.String,
    "offer_type": pl.String,
    "difficulty": pl.Int64,
    "reward": pl.Float64,
    "duration": pl.Int64,
}
_PROFILE = {
    "id": pl.String,
    "gender": pl.String,
    "age": pl.Int64,
    "income": pl.Float64,
    "became_member_on": pl.Int64,
}
_TRANSCRIPT = {
    "person": pl.String,
    "event": pl.String,
    "time": pl.Int64,
    "offer": pl.String,
    "amount": pl.Float64,
    "reward": pl.Float64,
}
_SHORT_KINDS = {"informational": "info"}
_MINUTES = {"offer received": 1, "offer viewed": 10, "transaction": 20, "offer completed": 21}


class CustomerPart(StrEnum):
    """Which customers to write: a share can be held back for evaluation."""

    ALL = "all"
    TRAIN = "train"
    HELD_BACK = "held-back"


def convert(
    source: Path | None,
    out: Path,
    *,
    part: CustomerPart | str = CustomerPart.ALL,
    held_back_rate: float = 0.3,
    starts_on: date = STARTS_ON,
) -> ConvertReport:
    """Write the rewards data as canonical tables.

    Args:
        source: Folder with the three files.
        out: Folder to write.
        part: All customers, or one side of a split by salted hash of the customer's id.
        held_back_rate: Share of customers held back, in (0, 1).
        starts_on: Day of hour 0.

    Raises:
        InvalidInputError: A file is missing or not what it should be.
    """
    if part not in list(CustomerPart):
        raise InvalidInputError(f"part must be one of {', '.join(CustomerPart)}, got {part!r}")
    folder = check_source(source, _FILES, origin=_ORIGIN)
    check_day("starts-on", starts_on)
    offers = _offers(folder)
    profile = _kept(read_table(folder, "profile", _PROFILE, origin=_ORIGIN), CustomerPart(part), held_back_rate)
    transcript = read_table(folder, "transcript", _TRANSCRIPT, origin=_ORIGIN)
    transcript = transcript.filter(pl.col("person").is_in(profile["id"].implode()))
    unique = transcript.unique(maintain_order=True)
    timed = _timed(unique, starts_on)
    decisions = _decisions(offers, profile, timed, starts_on)
    world = ExampleTables(
        customers=_customers(profile, starts_on),
        events=_events(timed),
        decisions=decisions.drop("offer", "time"),
        outcomes=_outcomes(_reactions(timed, decisions)),
        dropped={"exact repeats in transcript": transcript.height - unique.height},
        notes=("every customer is taken to have agreed to the app's offers: the files do not say",),
    )
    return write_world("rewards", world, CATALOGUE, out)


def _kept(profile: pl.DataFrame, part: CustomerPart, held_back_rate: float) -> pl.DataFrame:
    if not 0 < held_back_rate < 1:
        raise InvalidInputError(f"held-back rate must be in (0, 1), got {held_back_rate}")
    if part is CustomerPart.ALL:
        return profile
    is_held_back = unit_hashes(profile["id"], "rewards-held-back") < held_back_rate
    return profile.filter(is_held_back if part is CustomerPart.HELD_BACK else ~is_held_back)


def _offers(folder: Path) -> pl.DataFrame:
    """Source id (`offer`) to readable id (`offer_id`), duration and reward."""
    portfolio = read_table(folder, "portfolio", _PORTFOLIO, origin=_ORIGIN)
    kind = pl.col("offer_type").replace(_SHORT_KINDS)
    spend = pl.when(pl.col("difficulty") > 0).then(pl.format("-{}", "difficulty")).otherwise(pl.lit(""))
    offers = portfolio.select(
        pl.col("id").alias("offer"), pl.concat_str(kind, spend, pl.format("-{}d", "duration")).alias("offer_id")
    )
    known = load_catalogue(CATALOGUE).offers
    strange = [offer_id for offer_id in offers["offer_id"] if offer_id not in known]
    if strange or offers["offer_id"].is_duplicated().any():
        raise InvalidInputError(f"portfolio must hold the ten published offers, got {strange or 'one of them twice'}")
    return offers


def _timed(transcript: pl.DataFrame, starts_on: date) -> pl.DataFrame:
    """Add `occurred_at`: the hour, and minutes that keep what happens in one hour in order."""
    strange = set(transcript["event"].unique()) - set(_MINUTES)
    if strange:
        raise InvalidInputError(f"event of transcript must be one of {', '.join(_MINUTES)}, got {min(strange)!r}")
    if not transcript["time"].is_between(0, END_HOUR - 1).all():
        raise InvalidInputError(f"time of transcript must be in [0, {END_HOUR}) hours, got {transcript['time'].max()}")
    start = _start(starts_on)
    minutes = pl.col("event").replace_strict(_MINUTES, return_dtype=pl.Int64)
    return transcript.with_columns(
        (pl.lit(start).cast(UTC_TIME) + pl.duration(hours="time", minutes=minutes)).alias("occurred_at")
    )


def _start(starts_on: date) -> datetime:
    return datetime(starts_on.year, starts_on.month, starts_on.day, tzinfo=UTC)


def _customers(profile: pl.DataFrame, starts_on: date) -> pl.DataFrame:
    joined = pl.col("became_member_on").cast(pl.String).str.to_datetime("%Y%m%d", time_unit="us", strict=False)
    is_known = pl.col("age") != _UNKNOWN_AGE
    customers = profile.select(
        pl.col("id").alias("customer_id"),
        joined.dt.replace_time_zone("UTC").alias("joined_at"),
        pl.lit(json_text(["bundle"])).alias("channels"),
        pl.lit(
            json_text([{"channel": "bundle", "purpose": "marketing", "granted": True, "source": "app membership"}])
        ).alias("consents"),
        json_of(
            age=pl.when(is_known).then("age"), gender=pl.when(is_known).then("gender"), income=pl.col("income")
        ).alias("attributes"),
    ).with_columns(pl.col("joined_at").alias("updated_at"))
    if customers["joined_at"].has_nulls():
        raise InvalidInputError("became_member_on of profile must be a day as yyyymmdd, got something else")
    latest = customers["joined_at"].max()
    if not isinstance(latest, datetime) or latest >= _start(starts_on):
        raise InvalidInputError(
            f"starts-on must be after the last customer joined, got {starts_on}; they joined {latest}"
        )
    return customers


def _decisions(offers: pl.DataFrame, profile: pl.DataFrame, transcript: pl.DataFrame, starts_on: date) -> pl.DataFrame:
    """One decision per customer and wave, with the source's `offer` and `time` for joins."""
    received = transcript.filter(pl.col("event") == "offer received").select("person", "time", "offer")
    if not received["time"].is_in(WAVE_HOURS).all() or received.select("person", "time").is_duplicated().any():
        raise InvalidInputError(f"offers must be received once per wave, at hours {WAVE_HOURS}, got other hours or two")
    start = pl.lit(_start(starts_on)).cast(UTC_TIME)
    ends = (*WAVE_HOURS[1:], END_HOUR)
    waves = pl.DataFrame({"time": WAVE_HOURS, "end": ends, "wave": range(1, len(ends) + 1)})
    sent = pl.col("offer_id").is_not_null()
    return (
        profile.select(pl.col("id").alias("customer_id"))
        .join(waves, how="cross")
        .join(received.rename({"person": "customer_id"}), on=["customer_id", "time"], how="left")
        .join(offers, on="offer", how="left")
        .select(
            pl.format("{}-w{}", "customer_id", "wave").alias("decision_id"),
            "customer_id",
            (start + pl.duration(hours="time")).alias("decided_at"),
            pl.lit("wave").alias("touchpoint"),
            "offer_id",
            pl.when(sent).then(pl.lit("bundle")).alias("channel"),
            pl.when(sent).then(pl.lit("plain")).alias("creative_id"),
            pl.when(sent).then(OFFER_PROBABILITY).otherwise(SILENCE_PROBABILITY).alias("action_probability"),
            (start + pl.duration(hours="end")).alias("window_ends_at"),
            pl.lit("rewards-random").alias("policy_version"),
            "offer",
            pl.col("time").cast(pl.Int64),
        )
    )


def _reactions(transcript: pl.DataFrame, decisions: pl.DataFrame) -> pl.DataFrame:
    """Deliveries, views and completions, each with the customer's latest decision for that offer (`decision_id`)."""
    sent = decisions.filter(pl.col("offer").is_not_null()).select(
        pl.col("customer_id").alias("person"), "offer", "time", "decision_id"
    )
    reactions = transcript.filter(pl.col("event") != "transaction").sort("time", maintain_order=True)
    joined = reactions.join_asof(sent.sort("time"), on="time", by=["person", "offer"], check_sortedness=False)
    if joined["decision_id"].has_nulls():
        count = joined["decision_id"].null_count()
        raise InvalidInputError(
            f"views and completions must follow a reception of their offer, got {count} that do not"
        )
    return joined


def _events(transcript: pl.DataFrame) -> pl.DataFrame:
    types = {"transaction": "purchase", "offer completed": "reward_paid"}
    money = pl.when(pl.col("event") == "transaction").then("amount").otherwise("reward")
    number = pl.int_range(pl.len()).over("person", "time", "type")
    return (
        transcript.filter(pl.col("event").is_in(list(types)))
        .with_columns(pl.col("event").replace(types).alias("type"))
        .select(
            pl.format("{}-h{}-{}-{}", "person", "time", "type", number).alias("event_id"),
            pl.col("person").alias("customer_id"),
            "type",
            "occurred_at",
            (money * 100).round().cast(pl.Int64).alias("amount_minor"),
            pl.lit("USD").alias("currency"),
        )
    )


def _outcomes(reactions: pl.DataFrame) -> pl.DataFrame:
    types = {"offer received": "delivered", "offer viewed": "viewed", "offer completed": "accepted"}
    number = pl.int_range(pl.len()).over("decision_id", "type")
    reward = pl.when(pl.col("type") == "accepted").then(json_of(reward=pl.col("reward")))
    return reactions.with_columns(pl.col("event").replace(types).alias("type")).select(
        pl.format("{}-{}-{}", "decision_id", "type", number).alias("outcome_id"),
        "decision_id",
        pl.col("person").alias("customer_id"),
        "type",
        "occurred_at",
        reward.alias("properties"),
    )
