"""Rows that an import rejects: the reason for each, and files to correct them in."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from features.log.contracts import Table

REASONS_SCHEMA = pl.Schema(
    {"file": pl.String(), "row": pl.UInt64(), "column": pl.String(), "rule": pl.String(), "value": pl.String()}
)
"""One line per broken rule; `row` counts a file's data rows from 1."""

REASONS_FILE = "reasons.csv"
TOLD_COLUMNS = frozenset({"amount_minor", "currency", "action_probability"})
"""Columns whose values may be named in a message: they tell of no person."""

_MOST_SHOWN = 40
_ISO = "%Y-%m-%dT%H:%M:%S%.6f+00:00"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenRule:
    """A rule that rows of a file break, summed up.

    Attributes:
        value: What the first such row holds; None where it might tell of a person, or holds nothing.
    """

    file: str
    column: str
    rule: str
    first_row: int
    rows: int
    value: str | None = None

    def __str__(self) -> str:
        got = "" if self.value is None else f", got {self.value!r}"
        more = f" (and {self.rows - 1:,} more rows)" if self.rows > 1 else ""
        return f"{self.file} row {self.first_row}: {self.column} must be {self.rule}{got}{more}"


@dataclass(slots=True)
class Refusals:
    """Collects refused rows below a folder, which is made with the first of them.

    `reasons.csv` has one line per broken rule (file, row, column, rule, value). Beside it, a file per table holds the
    rejected rows as they were read, in a form that can be imported once corrected.
    """

    folder: Path
    _broken: dict[tuple[str, str, str], tuple[int, int, str | None]] = field(default_factory=dict)

    def add(self, table: Table, reasons: pl.DataFrame, rows: pl.DataFrame) -> None:
        """Keep refused rows.

        Args:
            table: Their table.
            reasons: REASONS_SCHEMA, one row per broken rule.
            rows: The refused rows as read, one each; may have fewer columns than the table.
        """
        if reasons.is_empty():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        _append_csv(self.folder / REASONS_FILE, reasons.select(REASONS_SCHEMA.names()))
        if not rows.is_empty():
            _append_csv(self.folder / f"{table.name}.csv", rows_as_text(table, rows))
        value = pl.col("value").sort_by("row").first()
        summary = reasons.group_by("file", "column", "rule").agg(pl.col("row").min(), pl.len(), value)
        for file, column, rule, first, count, held in summary.iter_rows():
            shown = held[:_MOST_SHOWN] if held is not None and column in TOLD_COLUMNS else None
            known = self._broken.get((file, column, rule), (first, 0, shown))
            shown = shown if first < known[0] else known[2]
            self._broken[file, column, rule] = (min(first, known[0]), known[1] + count, shown)

    def broken_rules(self) -> tuple[BrokenRule, ...]:
        """Every rule that was broken, by file and first row."""
        found = [
            BrokenRule(file=file, column=column, rule=rule, first_row=first, rows=count, value=value)
            for (file, column, rule), (first, count, value) in self._broken.items()
        ]
        return tuple(sorted(found, key=lambda broken: (broken.file, broken.first_row, broken.column, broken.rule)))


def rows_as_text(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """All columns of the table as CSV text; one that the rows lack is empty."""
    columns = []
    for name in table.schema:
        dtype = rows.schema.get(name)
        if dtype is None:
            columns.append(pl.lit(None, dtype=pl.String).alias(name))
        elif isinstance(dtype, pl.Datetime):
            columns.append(pl.col(name).dt.convert_time_zone("UTC").dt.to_string(_ISO))
        else:
            columns.append(pl.col(name).cast(pl.String))
    return rows.select(columns)


def final_folder(rejects_path: Path, now: datetime) -> Path:
    """Where the refused rows of an import that ran at `now` go; never a folder that is there already."""
    name = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    folder, count = rejects_path / name, 1
    while folder.exists():
        count += 1
        folder = rejects_path / f"{name}-{count}"
    return folder


def _append_csv(path: Path, frame: pl.DataFrame) -> None:
    with path.open("ab") as file:
        frame.write_csv(file, include_header=file.tell() == 0)
