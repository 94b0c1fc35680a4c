"""The rewards files become a randomised log with known action probabilities and the right order within each hour."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import orjson
import polars as pl
import pytest

from decisioning.errors import InvalidInputError
from examples.rewards.adapter import CustomerPart, convert
from features.catalogue import load_catalogue
from features.importing.folder import read_clean_folder

START = datetime(2018, 7, 27, tzinfo=UTC)


def test_a_wave_becomes_a_decision_with_its_probability_for_every_customer(
    rewards_source: Path, tmp_path: Path
) -> None:
    report = convert(rewards_source, tmp_path / "out")
    decisions = read_clean_folder(tmp_path / "out")["decisions"]
    assert report.rows["decisions"] == decisions.height == 2 * 6
    sent = decisions.filter(pl.col("offer_id").is_not_null())
    assert sent.select("customer_id", "offer_id", "channel", "creative_id", "action_probability").unique().rows() == [
        ("ada", "bogo-10-7d", "bundle", "plain", 0.075)
    ]
    assert sent["decided_at"].to_list() == [START, START + timedelta(hours=168)]
    silent = decisions.filter(pl.col("offer_id").is_null())
    assert silent.height == 10
    assert silent["action_probability"].unique().to_list() == [0.25]
    assert silent["channel"].null_count() == 10


def test_windows_end_where_the_next_wave_begins(rewards_source: Path, tmp_path: Path) -> None:
    convert(rewards_source, tmp_path / "out")
    decisions = read_clean_folder(tmp_path / "out")["decisions"].filter(pl.col("customer_id") == "ada")
    hours = [(end - START) / timedelta(hours=1) for end in decisions.sort("decided_at")["window_ends_at"]]
    assert hours == [168, 336, 408, 504, 576, 720]


def test_events_in_the_hour_of_a_wave_come_after_its_decision(rewards_source: Path, tmp_path: Path) -> None:
    convert(rewards_source, tmp_path / "out")
    tables = read_clean_folder(tmp_path / "out")
    second = START + timedelta(hours=168)
    bought = tables["events"].filter(pl.col("amount_minor") == 2000)["occurred_at"].item()
    assert second < bought < second + timedelta(hours=1)
    viewed = tables["outcomes"].filter(pl.col("type") == "viewed").sort("occurred_at")
    assert viewed["decision_id"].to_list() == ["ada-w1", "ada-w2"]
    assert START < viewed["occurred_at"][0] < START + timedelta(hours=1)


def test_a_completion_pays_once_and_belongs_to_its_decision(rewards_source: Path, tmp_path: Path) -> None:
    report = convert(rewards_source, tmp_path / "out")
    tables = read_clean_folder(tmp_path / "out")
    paid = tables["events"].filter(pl.col("type") == "reward_paid")
    accepted = tables["outcomes"].filter(pl.col("type") == "accepted")
    assert paid["amount_minor"].to_list() == [1000]
    assert accepted["decision_id"].to_list() == ["ada-w1"]
    assert orjson.loads(accepted["properties"].item()) == {"reward": 10.0}
    assert report.dropped == {"exact repeats in transcript": 1}


def test_two_purchases_in_one_hour_are_two_events(rewards_source: Path, tmp_path: Path) -> None:
    convert(rewards_source, tmp_path / "out")
    events = read_clean_folder(tmp_path / "out")["events"].filter(pl.col("customer_id") == "bob")
    assert sorted(events["amount_minor"]) == [150, 250]


def test_unknown_attributes_stay_missing(rewards_source: Path, tmp_path: Path) -> None:
    convert(rewards_source, tmp_path / "out")
    customers = read_clean_folder(tmp_path / "out")["customers"].sort("customer_id")
    attributes = [orjson.loads(text) for text in customers["attributes"]]
    assert attributes == [
        {"age": 40, "gender": "F", "income": 70000.0},
        {"age": None, "gender": None, "income": None},
    ]
    assert (customers["updated_at"] < START).all()


def test_a_customer_is_on_one_side_of_the_split(rewards_source: Path, tmp_path: Path) -> None:
    sides = {
        part: set(
            pl.read_parquet(_converted(rewards_source, tmp_path / part, part) / "customers.parquet")["customer_id"]
        )
        for part in (CustomerPart.TRAIN, CustomerPart.HELD_BACK)
        if not _is_empty(rewards_source, tmp_path / f"{part}-probe", part)
    }
    assert set().union(*sides.values()) == {"ada", "bob"}
    assert sum(map(len, sides.values())) == 2


def _converted(source: Path, out: Path, part: CustomerPart) -> Path:
    convert(source, out, part=part, held_back_rate=0.5)
    return out


def _is_empty(source: Path, out: Path, part: CustomerPart) -> bool:
    return convert(source, out, part=part, held_back_rate=0.5).rows["customers"] == 0


@pytest.mark.parametrize(
    ("stem", "change", "expected"),
    [
        ("portfolio", pl.lit(99).alias("difficulty"), "portfolio must hold the ten published offers"),
        ("transcript", pl.lit("offer seen").alias("event"), "event of transcript must be one of"),
        ("transcript", pl.lit(900).alias("time"), r"time of transcript must be in \[0, 720\) hours, got 900"),
        ("transcript", (pl.col("time") + 1).alias("time"), "offers must be received once per wave"),
        (
            "profile",
            pl.lit(20180230).alias("became_member_on"),
            "became_member_on of profile must be a day as yyyymmdd",
        ),
        ("profile", pl.lit("old").alias("age"), "column age of .* must be readable as Int64"),
    ],
)
def test_files_that_differ_from_the_published_ones_are_refused(
    rewards_source: Path, tmp_path: Path, stem: str, change: pl.Expr, expected: str
) -> None:
    path = rewards_source / f"{stem}.parquet"
    pl.read_parquet(path).with_columns(change).write_parquet(path)
    with pytest.raises(InvalidInputError, match=expected):
        convert(rewards_source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_options_out_of_range_are_refused(rewards_source: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"held-back rate must be in \(0, 1\), got 1.5"):
        convert(rewards_source, tmp_path / "out", part=CustomerPart.TRAIN, held_back_rate=1.5)
    with pytest.raises(InvalidInputError, match="part must be one of all, train, held-back, got 'some'"):
        convert(rewards_source, tmp_path / "out", part="some")
    with pytest.raises(InvalidInputError, match="starts-on must be after the last customer joined"):
        convert(rewards_source, tmp_path / "out", starts_on=date(2018, 7, 1))
    with pytest.raises(InvalidInputError, match="starts-on must be between 1980 and 2200"):
        convert(rewards_source, tmp_path / "out", starts_on=date(1, 1, 1))


@pytest.mark.data
def test_the_converted_log_has_the_published_randomisation_and_spend(
    public_data: Callable[[str], Path], tmp_path: Path
) -> None:
    report = convert(public_data("starbucks"), tmp_path / "out")
    assert report.rows == {"customers": 11_942, "events": 121_122, "decisions": 71_652, "outcomes": 117_477}
    assert report.dropped == {"exact repeats in transcript": 281}
    decisions, events = (pl.read_parquet(tmp_path / "out" / f"{name}.parquet") for name in ("decisions", "events"))
    shares = decisions.group_by("decided_at").agg(pl.col("offer_id").is_null().mean().alias("silence"))
    assert shares["silence"].is_between(0.235, 0.265).all()
    assert decisions["offer_id"].n_unique() == 11
    daily = _spend_per_day(decisions, events)
    assert daily[None] == pytest.approx(2.4, abs=0.1)
    assert max(daily.values()) == pytest.approx(5.2, abs=0.2)
    assert set(decisions["offer_id"].drop_nulls()) == set(load_catalogue(tmp_path / "out" / "catalogue").offers)


def _spend_per_day(decisions: pl.DataFrame, events: pl.DataFrame) -> dict[str | None, float]:
    bought = events.filter(pl.col("type") == "purchase").sort("occurred_at")
    spent = (
        bought.join_asof(
            decisions.sort("decided_at"),
            left_on="occurred_at",
            right_on="decided_at",
            by="customer_id",
            check_sortedness=False,
        )
        .group_by("decision_id")
        .agg(pl.col("amount_minor").sum())
    )
    days = (pl.col("window_ends_at") - pl.col("decided_at")).dt.total_seconds() / 86_400
    rows = decisions.join(spent, on="decision_id", how="left").group_by("offer_id")
    totals = rows.agg(pl.col("amount_minor").fill_null(0).sum() / 100 / days.sum())
    return dict(totals.rows())


@pytest.mark.data
def test_the_two_parts_of_the_customers_add_up_to_the_whole(public_data: Callable[[str], Path], tmp_path: Path) -> None:
    source = public_data("starbucks")
    parts = {
        part: set(pl.read_parquet(_part(source, tmp_path / part, part))["customer_id"])
        for part in (CustomerPart.TRAIN, CustomerPart.HELD_BACK)
    }
    assert not parts[CustomerPart.TRAIN] & parts[CustomerPart.HELD_BACK]
    assert len(parts[CustomerPart.TRAIN]) + len(parts[CustomerPart.HELD_BACK]) == 11_942
    assert len(parts[CustomerPart.HELD_BACK]) / 11_942 == pytest.approx(0.3, abs=0.015)


def _part(source: Path, out: Path, part: CustomerPart) -> Path:
    convert(source, out, part=part)
    return out / "customers.parquet"
