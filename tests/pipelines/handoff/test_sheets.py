"""Sheets in the form that spreadsheets write and read."""

import csv
import io
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.errors import InvalidInputError
from pipelines.handoff.handoff_sheet import table_bytes
from pipelines.handoff.returns import read_rows


def test_parquet_holds_the_same_rows_and_no_text_in_a_sheet_is_a_formula(house: Any) -> None:
    house.know("C-1", city="+49 221 5")
    house.know("C-2", city="@SUM(A1)")
    house.decide("C-1", "C-2")
    house.decide("C-3")  # unknown customer: silence
    report = house.hand_over("letters.parquet")
    assert report.out is not None
    frame = pl.read_parquet(report.out).sort("customer_id")
    assert frame["address_city"].to_list() == ["+49 221 5", "@SUM(A1)"]
    assert frame["hand_over_on"].to_list() == [date(2026, 11, 2)] * 2
    sheet = table_bytes(frame, ".csv").decode("utf-8-sig")
    assert [row["address_city"] for row in csv.DictReader(io.StringIO(sheet))] == ["+49 221 5", "'@SUM(A1)"]


def test_a_number_in_an_address_is_written_the_way_people_write_it(house: Any) -> None:
    house.know("C-1", city=50667.0)
    house.decide("C-1")
    report = house.hand_over("letters.csv")
    assert report.out is not None
    assert [row["address_city"] for row in csv.DictReader(Path(report.out).read_text("utf-8-sig").splitlines())] == [
        "50667"
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.csv", None, "FILE must be a file that ends in .csv or .parquet"),
        ("back.txt", b"type\n", "FILE must be a file that ends in"),
        ("back.csv", b"decision_id\nd\n", "FILE must have a column `type`"),
        ("back.csv", b"", "must start with a line of column names"),
        ("back.csv", b"type;value\nviewed;1;2\n", "row 1 must be 2 values between semicolons.*got 3 values"),
        ("back.parquet", b"no parquet", "FILE must be whole"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=message):
        read_rows(path)


cells = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(notes=st.lists(cells, min_size=1, max_size=5), suffix=st.sampled_from([".csv", ".parquet"]))
def test_a_sheet_is_read_back_unchanged(
    tmp_path_factory: pytest.TempPathFactory, notes: Sequence[str], suffix: str
) -> None:
    path = tmp_path_factory.mktemp("sheets") / f"sheet{suffix}"
    frame = pl.DataFrame({"type": ["call_note"] * len(notes), "note": [f"x{note}" for note in notes]})
    path.write_bytes(table_bytes(frame, suffix))
    assert [row["note"] for row in read_rows(path)] == [f"x{note}" for note in notes]
    frame = frame.with_columns(pl.Series("note", [f"{mark}{note}" for mark, note in zip("=@+-=", notes, strict=False)]))
    path.write_bytes(table_bytes(frame, suffix))
    assert [row["note"] for row in read_rows(path)] == frame["note"].to_list()
