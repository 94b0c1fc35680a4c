"""Money, currencies and missing values as exports write them: accepted if unambiguous, otherwise refused and named."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from decisioning.errors import InvalidInputError
from features.importing.folder import ImportReport, import_folder
from features.log.contracts import EVENTS
from features.log.event_log import EventLog
from features.settings import Settings

NOW = datetime(2026, 11, 20, tzinfo=UTC)
SHOP = Path(__file__).parents[2] / "catalogues" / "shop"
HEADER = "event_id,customer_id,type,occurred_at,amount_minor,currency\n"


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def imported(home: Settings, text: str | bytes, *, with_catalogue: bool = True) -> ImportReport:
    folder = home.home.parent / "in"
    folder.mkdir(exist_ok=True)
    (folder / "events.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    if with_catalogue and not (folder / "catalogue").exists():
        shutil.copytree(SHOP, folder / "catalogue")
    return import_folder(folder, home, now=NOW, most_unmatched=1.0)


def amounts(home: Settings) -> dict[str, tuple[int | None, str | None]]:
    rows = EventLog(home.log_path).read(EVENTS)
    return {row["event_id"]: (row["amount_minor"], row["currency"]) for row in rows.to_dicts()}


def purchase(number: int, amount: str, currency: str = "EUR", delimiter: str = ",") -> str:
    return delimiter.join((f"e{number}", "C-1", "purchase", "2026-01-31T09:30:00Z", amount, currency)) + "\n"


def test_amounts_are_whole_minor_units_however_they_are_written(home: Settings) -> None:
    written = ["4990.0", '"1,234,500"', "9.0E7", "-1500", "18360.000000000002"]
    report = imported(home, HEADER + "".join(purchase(n, amount) for n, amount in enumerate(written)))
    assert report.rejected == 0
    assert [amounts(home)[f"e{n}"][0] for n in range(5)] == [4990, 1234500, 90_000_000, -1500, 18360]


@pytest.mark.parametrize("amount", ["49.90", '"49,90"', '"1.234,50"', '"1,234"', "183.60000000000002", "ten"])
def test_an_amount_that_is_not_a_whole_number_is_refused_with_its_row_and_value(home: Settings, amount: str) -> None:
    report = imported(home, HEADER + purchase(1, "1000") + purchase(2, amount))
    [broken] = report.broken_rules
    assert report.rejected == 1
    assert str(broken).startswith("events.csv row 2: amount_minor must be a whole number, such as 4990 for 49.90")
    assert str(broken).endswith(f"got {amount.strip(chr(34))!r}")


@pytest.mark.parametrize("amount", ["", r"\N", "NA", "NaN", "NULL", " "])
def test_a_purchase_without_an_amount_is_refused_and_other_events_need_none(home: Settings, amount: str) -> None:
    other = purchase(2, amount).replace("purchase", "browse")
    report = imported(home, HEADER + purchase(1, amount) + other)
    [broken] = report.broken_rules
    assert str(broken).startswith("events.csv row 1: amount_minor must be given for a purchase, in whole minor units")
    assert amounts(home) == {"e2": (None, "EUR")}


def test_a_misnamed_amount_column_never_makes_purchases_worth_0(home: Settings) -> None:
    report = imported(home, HEADER.replace("amount_minor", "revenue") + purchase(1, "49.90"))
    assert (report.rejected, amounts(home)) == (1, {})


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_money_in_major_units_is_counted_in_minor_units_of_the_catalogue(home: Settings, delimiter: str) -> None:
    written = ["49.90", "183.60000000000002", "7", '"1.234,50"', "9.999"]
    header = HEADER.replace("amount_minor", "amount").replace(",", delimiter)
    report = imported(home, header + "".join(purchase(n, each, "", delimiter) for n, each in enumerate(written)))
    assert amounts(home) == {"e0": (4990, "EUR"), "e1": (18360, "EUR"), "e2": (700, "EUR"), "e3": (123450, "EUR")}
    [broken] = report.broken_rules
    assert (broken.column, broken.first_row, broken.value) == ("amount_minor", 5, "9.999")


def test_money_in_major_units_is_refused_without_a_catalogue_that_names_the_currency(home: Settings) -> None:
    text = HEADER.replace("amount_minor", "amount") + purchase(1, "49.90")
    with pytest.raises(InvalidInputError, match="amount must be amount_minor, in whole minor units"):
        imported(home, text, with_catalogue=False)


def test_of_two_money_columns_the_minor_units_are_used_and_the_other_is_named(home: Settings) -> None:
    text = HEADER.replace("currency", "currency,amount") + purchase(1, "4990", "EUR,1.00")
    report = imported(home, text)
    assert amounts(home) == {"e1": (4990, "EUR")}
    assert any("column amount is not canonical" in one for one in report.warnings)


def test_currencies_are_written_in_capitals_and_the_catalogues_own_may_be_left_out(home: Settings) -> None:
    report = imported(home, HEADER + purchase(1, "1000", "eur") + purchase(2, "1000", "") + purchase(3, "1000", "USD"))
    assert amounts(home) == {"e1": (1000, "EUR"), "e2": (1000, "EUR")}
    assert [str(one) for one in report.broken_rules] == [
        "events.csv row 3: currency must be the catalogue's currency, EUR, got 'USD'"
    ]


def test_a_windows_file_with_semicolons_and_capitalised_headers_is_accepted_and_reported(home: Settings) -> None:
    text = "Event ID;Customer_ID;Type;occurred_at;Channel\ne1;José;browse;2026-01-31T09:30:00Z;email\n;;;;\n"
    report = imported(home, text.encode("cp1252"))
    assert EventLog(home.log_path).read(EVENTS)["customer_id"].to_list() == ["José"]
    assert report.warnings == ("events.csv was read as Windows-1252, since it is no UTF-8; look at names with accents",)


def test_major_units_in_parquet_are_accepted_too(home: Settings) -> None:
    folder = home.home.parent / "in"
    shutil.copytree(SHOP, folder / "catalogue")
    row = {"event_id": ["e1"], "customer_id": ["C-1"], "type": ["purchase"], "occurred_at": [NOW], "amount": [49.9]}
    pl.DataFrame(row).write_parquet(folder / "events.parquet")
    assert import_folder(folder, home, now=NOW, most_unmatched=1.0).rejected == 0
    assert amounts(home) == {"e1": (4990, "EUR")}
