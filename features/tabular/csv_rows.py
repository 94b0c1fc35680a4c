"""Rows of a CSV file as text, with the number of every row that cannot be told apart into columns."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

import polars as pl

from decisioning.errors import InvalidInputError
from features.tabular.csv_form import CsvForm, csv_form

_BROKEN_RECORD: list[str] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed:
    """A row that does not have the columns of the first line.

    Attributes:
        row: Counts data rows from 1.
        rule: What it must be, in words that complete 'must be'.
        values: How many values it has; 0 where its quotes are wrong.
        text: The row as it stands in the file.
    """

    row: int
    rule: str
    values: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvPart:
    """Some rows: columns of text without space at their ends, null where empty; `numbers` counts data rows from 1."""

    rows: pl.DataFrame
    numbers: pl.Series
    malformed: tuple[Malformed, ...]


def read_csv(path: Path) -> tuple[pl.DataFrame, CsvForm]:
    """A whole CSV file as text, null where a cell is empty, and how it is written.

    Raises:
        InvalidInputError: It cannot be read, or a row has not as many values as the first line.
    """
    form = csv_form(path)
    with form.open(path) as file:
        part = CsvReader(path, file, form).take(None)
    if part.malformed:
        first = part.malformed[0]
        got = f"{first.values} values" if first.values else "quotes that do not close"
        more = f" (and {len(part.malformed) - 1:,} more rows)" if len(part.malformed) > 1 else ""
        raise InvalidInputError(f"{path.name} row {first.row} must be {first.rule}, got {got}{more}")
    return part.rows, form


class CsvReader:
    """Rows of a CSV file with their numbers; the standard library's reader tells exactly which row is malformed."""

    def __init__(self, path: Path, file: TextIO, form: CsvForm) -> None:
        self._path = path
        self._form = form
        self._row = 0
        self._lines: list[str] = []
        self._records = csv.reader(self._remembered(file), delimiter=form.delimiter, strict=True)
        header = self._next_record()
        if not header:
            raise InvalidInputError(f"{path} must start with a line of column names, got an empty line")
        self.header = [name.strip() for name in header]
        if len(set(self.header)) < len(self.header):
            raise InvalidInputError(f"{path} must name each column once, got {', '.join(self.header)}")

    def take(self, count: int | None) -> CsvPart:
        """The next rows; None for all that are left."""
        numbers: list[int] = []
        records: list[list[str]] = []
        malformed: list[Malformed] = []
        for number, record in islice(self._well_formed(malformed), count):
            numbers.append(number)
            records.append(record)
        columns = zip(*records, strict=True) if records else ([] for _ in self.header)
        text = {name: pl.Series(values, dtype=pl.String) for name, values in zip(self.header, columns, strict=True)}
        rows = pl.DataFrame(text).with_columns(pl.all().str.strip_chars().replace("", None))
        return CsvPart(rows=rows, numbers=pl.Series(numbers, dtype=pl.UInt64), malformed=tuple(malformed))

    def _well_formed(self, malformed: list[Malformed]) -> Iterator[tuple[int, list[str]]]:
        """Numbered records with a value for each column; the others are noted. A line without any value is no row."""
        rule = f"{len(self.header)} values between {self._form.separation}, with closed quotes, as the first line is"
        while (record := self._next_record()) is not None:
            if record is not _BROKEN_RECORD and not any(map(str.strip, record)):
                continue
            self._row += 1
            if len(record) == len(self.header):
                yield self._row, record
            else:
                text = "".join(self._lines).rstrip("\r\n")
                malformed.append(Malformed(row=self._row, rule=rule, values=len(record), text=text))

    def _next_record(self) -> list[str] | None:
        """The next record; None at the end."""
        self._lines.clear()
        try:
            return next(self._records, None)
        except UnicodeDecodeError as error:
            raise InvalidInputError(f"{self._path} must be text, got bytes that are none; save it as UTF-8") from error
        except csv.Error as error:
            if "unexpected end" not in str(error) and "field limit" not in str(error):
                return _BROKEN_RECORD
            raise InvalidInputError(
                f"{self._path} row {self._row + 1} must close every quote within {csv.field_size_limit()} characters, "
                f"got {error}"
            ) from error

    def _remembered(self, file: TextIO) -> Iterator[str]:
        for line in file:
            self._lines.append(line)
            yield line
