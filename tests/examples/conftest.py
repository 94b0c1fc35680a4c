"""Small hand-made sources in the published format of each example, and the real ones if available."""

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

DATA = Path(os.environ.get("NEXTBEST_TEST_DATA", Path(__file__).parents[2] / "../shared/data"))


@pytest.fixture
def public_data() -> Callable[[str], Path]:
    """Folder of a public data set; skips the test if it is not available."""

    def find(name: str) -> Path:
        if not (DATA / name).is_dir():
            pytest.skip(f"public data set {name} is not in {DATA}; set NEXTBEST_TEST_DATA to the folder that holds it")
        return DATA / name

    return find


@pytest.fixture
def rewards_source(tmp_path: Path) -> Path:
    """Two customers: one gets offers in waves 1 and 2, one gets none."""
    folder = tmp_path / "rewards-source"
    folder.mkdir()
    pl.DataFrame(
        [
            {"id": "o-bogo", "offer_type": "bogo", "difficulty": 10, "reward": 10, "duration": 7, "channels": ["web"]},
            {
                "id": "o-info",
                "offer_type": "informational",
                "difficulty": 0,
                "reward": 0,
                "duration": 3,
                "channels": [],
            },
        ]
    ).write_parquet(folder / "portfolio.parquet")
    pl.DataFrame(
        [
            {"id": "ada", "gender": "F", "age": 40, "income": 70000.0, "became_member_on": 20170101},
            {"id": "bob", "gender": None, "age": 118, "income": None, "became_member_on": 20180726},
        ]
    ).write_parquet(folder / "profile.parquet")
    rows = [
        ("ada", "offer received", 0, "o-bogo", None, None),
        ("ada", "offer viewed", 0, "o-bogo", None, None),
        ("ada", "transaction", 6, None, 12.34, None),
        ("ada", "offer completed", 6, "o-bogo", None, 10.0),
        ("ada", "offer completed", 6, "o-bogo", None, 10.0),
        ("bob", "transaction", 12, None, 1.5, None),
        ("bob", "transaction", 12, None, 2.5, None),
        ("ada", "offer received", 168, "o-bogo", None, None),
        ("ada", "transaction", 168, None, 20.0, None),
        ("ada", "offer viewed", 174, "o-bogo", None, None),
    ]
    columns = {
        "person": pl.String,
        "event": pl.String,
        "time": pl.Int64,
        "offer": pl.String,
        "amount": pl.Float64,
        "reward": pl.Float64,
    }
    pl.DataFrame(rows, schema=columns, orient="row").write_parquet(folder / "transcript.parquet")
    return folder


@pytest.fixture
def email_source(tmp_path: Path) -> Path:
    """Four customers as CSV, two of them identical."""
    folder = tmp_path / "email-source"
    folder.mkdir()
    (folder / "hillstrom.csv").write_text(
        "recency,history_segment,history,mens,womens,zip_code,newbie,channel,segment,visit,conversion,spend\n"
        "10,2) $100 - $200,142.44,1,0,Surburban,0,Phone,Womens E-Mail,0,0,0\n"
        "6,3) $200 - $350,329.08,1,1,Rural,1,Web,No E-Mail,1,1,29.99\n"
        "6,3) $200 - $350,329.08,1,1,Rural,1,Web,No E-Mail,1,1,29.99\n"
        "12,1) $0 - $100,29.99,0,1,Urban,1,Multichannel,Mens E-Mail,1,0,0\n",
        encoding="utf-8",
    )
    return folder


@pytest.fixture
def grocery_source(tmp_path: Path) -> Path:
    """Three households and two campaigns, the first before any purchase."""
    folder = tmp_path / "grocery-source"
    folder.mkdir()
    for stem, frame in _grocery_tables().items():
        frame.write_parquet(folder / f"{stem}.parquet")
    return folder


def _grocery_tables() -> dict[str, pl.DataFrame]:
    def at(month: int, day: int, hour: int = 0) -> datetime:
        return datetime(2017, month, day, hour)  # noqa: DTZ001 - as published

    items = [
        (1, 100, 10, 5.004, 0.0, at(1, 2, 9)),
        (1, 100, 11, 2.0, 0.5, at(1, 2, 9)),
        (1, 101, 10, 8.0, 1.25, at(3, 4, 20)),
        (2, 102, 11, 3.0, 0.0, at(1, 3, 9)),
        (3, 103, 10, 4.0, 0.0, at(2, 10, 9)),
        (3, 104, 10, 4.0, 0.0, at(12, 30, 9)),
    ]
    names = ["household_id", "basket_id", "product_id", "sales_value", "coupon_disc", "transaction_timestamp"]
    return {
        "transactions": pl.DataFrame(items, schema=names, orient="row").with_columns(store_id=pl.lit(7)),
        "products": pl.DataFrame(
            {"product_id": [10, 11], "department": ["GROCERY", "DRUG GM"], "product_category": ["CHEESE", "BABY FOODS"]}
        ),
        "demographics": pl.DataFrame(
            {
                "household_id": [1],
                "age": ["65+"],
                "income": ["Under 15K"],
                "home_ownership": ["Homeowner"],
                "household_size": ["5+"],
                "kids_count": ["3+"],
            }
        ),
        "campaigns": pl.DataFrame({"campaign_id": [8, 8, 9], "household_id": [1, 2, 1]}),
        "campaign_descriptions": pl.DataFrame(
            {
                "campaign_id": [8, 9],
                "campaign_type": ["Type A", "Type B"],
                "start_date": [at(1, 10), at(3, 3)],
                "end_date": [at(2, 20), at(4, 9)],
            }
        ),
        "coupons": pl.DataFrame({"coupon_upc": [1, 2], "product_id": [10, 11], "campaign_id": [8, 9]}),
        "coupon_redemptions": pl.DataFrame(
            {
                "household_id": [1, 1],
                "coupon_upc": [2, 2],
                "campaign_id": [9, 9],
                "redemption_date": [at(3, 4), at(3, 9)],
            }
        ),
    }
