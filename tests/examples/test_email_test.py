"""The e-mail experiment becomes one randomised decision per customer, with visits and purchases for all three arms."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import orjson
import polars as pl
import pytest

from decisioning.errors import InvalidInputError
from examples.email_test.adapter import convert
from features.importing.folder import read_clean_folder

SENT_AT = datetime(2008, 3, 3, 9, tzinfo=UTC)


def test_every_row_is_a_customer_with_one_decision(email_source: Path, tmp_path: Path) -> None:
    report = convert(email_source, tmp_path / "out")
    tables = read_clean_folder(tmp_path / "out")
    assert report.rows["customers"] == report.rows["decisions"] == 4
    assert tables["decisions"].sort("customer_id")["offer_id"].to_list() == ["womens-email", None, None, "mens-email"]
    assert tables["decisions"]["action_probability"].unique().to_list() == [pytest.approx(1 / 3)]
    assert tables["outcomes"]["type"].to_list() == ["delivered"] * 2


def test_visits_and_purchases_fall_in_the_window_and_history_before_it(email_source: Path, tmp_path: Path) -> None:
    convert(email_source, tmp_path / "out")
    events = read_clean_folder(tmp_path / "out")["events"]
    inside = events.filter(pl.col("occurred_at") > SENT_AT)
    assert inside["occurred_at"].max() < SENT_AT + timedelta(days=14)
    assert sorted(inside["type"]) == ["browse"] * 3 + ["purchase"] * 2
    assert inside["amount_minor"].drop_nulls().to_list() == [2999, 2999]
    earlier = events.filter(pl.col("customer_id") == "H-00004", pl.col("occurred_at") < SENT_AT)
    assert earlier["amount_minor"].to_list() == [2999]
    assert earlier["occurred_at"].item() == SENT_AT - timedelta(days=360)


def test_the_other_columns_become_attributes(email_source: Path, tmp_path: Path) -> None:
    convert(email_source, tmp_path / "out", starts_on=date(2009, 1, 5))
    customers = read_clean_folder(tmp_path / "out")["customers"].sort("customer_id")
    assert orjson.loads(customers["attributes"][0]) == {
        "bought_mens": True,
        "bought_womens": False,
        "is_new": False,
        "area": "suburban",
        "bought_via": "phone",
    }
    assert (customers["updated_at"] < datetime(2009, 1, 5, tzinfo=UTC)).all()


def test_an_unknown_segment_is_refused(email_source: Path, tmp_path: Path) -> None:
    path = email_source / "hillstrom.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("Womens E-Mail", "Kids E-Mail"), encoding="utf-8")
    with pytest.raises(
        InvalidInputError, match=r"segment of hillstrom must be one of Mens E-Mail, .* got 'Kids E-Mail'"
    ):
        convert(email_source, tmp_path / "out")


@pytest.mark.data
def test_the_converted_experiment_has_the_published_rates(public_data: Callable[[str], Path], tmp_path: Path) -> None:
    report = convert(public_data("hillstrom"), tmp_path / "out")
    assert report.rows["customers"] == 44_785
    decisions, events = (pl.read_parquet(tmp_path / "out" / f"{name}.parquet") for name in ("decisions", "events"))
    after = events.join(decisions.select("customer_id", "decided_at"), on="customer_id").filter(
        pl.col("occurred_at") > pl.col("decided_at")
    )
    visited = after.filter(pl.col("type") == "browse").select("customer_id", visit=1)
    spent = after.filter(pl.col("type") == "purchase").select("customer_id", spend=pl.col("amount_minor") / 100)
    arms = (
        decisions.join(visited, on="customer_id", how="left")
        .join(spent, on="customer_id", how="left")
        .group_by("offer_id")
        .agg(pl.col("visit").fill_null(0).mean(), pl.col("spend").fill_null(0.0).mean())
    )
    found = {offer: (visit, spend) for offer, visit, spend in arms.rows()}
    assert found["mens-email"] == (pytest.approx(0.183, abs=0.006), pytest.approx(1.42, abs=0.25))
    assert found["womens-email"] == (pytest.approx(0.151, abs=0.006), pytest.approx(1.08, abs=0.25))
    assert found[None] == (pytest.approx(0.106, abs=0.006), pytest.approx(0.65, abs=0.25))
