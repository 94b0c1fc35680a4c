"""Tables of experiments run elsewhere, Parquet or CSV: arms, units and metrics as they stand in the file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from decisioning.errors import InvalidInputError, UnknownNameError
from features.ids import whole_id
from features.tabular.cells import flags, numbers, unread, without_missing
from features.tabular.csv_rows import read_csv


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricTable:
    """A table whose columns are known, and whose rows are read as they are asked for.

    Attributes:
        frame: Its rows; columns of text where it is CSV.
        delimiter: What separates values in CSV; empty for Parquet.
        separation: The same in words.
    """

    name: str
    frame: pl.LazyFrame
    columns: pl.Schema
    delimiter: str = ""
    separation: str = ""

    def check_name(self, column: str) -> None:
        """Refuse a column that is not there.

        Raises:
            UnknownNameError: With the nearest that is.
        """
        if column not in self.columns:
            raise UnknownNameError("column", column, self.columns.names())

    def take(self, columns: Sequence[str]) -> pl.DataFrame:
        """Some columns.

        Raises:
            InvalidInputError: The file is broken.
        """
        try:
            return self.frame.select(columns).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise InvalidInputError(unreadable(self.name, error)) from error

    def names_in(self, column: str) -> pl.Series:
        """A column as names: text, null where the file holds none."""
        text = self.take([column]).select(pl.col(column).cast(pl.String).str.strip_chars())
        return text.select(without_missing(pl.col(column), is_number=False)).to_series()

    def ids_in(self, column: str) -> pl.Series:
        """A column as ids: 17850.0 is 17850, as tables with gaps write whole numbers."""
        names = self.names_in(column)
        known = names.unique().drop_nulls().to_list()
        return names.replace_strict(known, [whole_id(one) for one in known], default=None, return_dtype=pl.String)

    def values_in(self, column: str) -> pl.Series:
        """A column as Float64, null where it holds no finite number; flags are ones and zeros.

        Raises:
            InvalidInputError: It is a column of something else.
        """
        rows = self.take([column])
        kind = rows.schema[column]
        if kind == pl.String:
            values = self._numbers(rows[column])
        elif kind.is_numeric() or kind in (pl.Boolean, pl.Null):
            values = rows[column].cast(pl.Float64)
        else:
            raise InvalidInputError(f"metric {column!r} must be a column of numbers or flags, got {kind}")
        return pl.DataFrame({column: values}).select(pl.when(pl.col(column).is_finite()).then(column)).to_series()

    def _numbers(self, text: pl.Series) -> pl.Series:
        values = numbers(text, delimiter=self.delimiter or ",")
        odd = unread(text, values)
        if odd.is_empty():
            return values
        words = pl.DataFrame({text.name: text}).select(flags(pl.col(text.name)).cast(pl.Float64)).to_series()
        if unread(text, words).is_empty():
            return words
        row = int(odd[0])
        where = f" (values are separated by {self.separation})" if self.separation else ""
        raise InvalidInputError(
            f"metric {text.name!r} must be a column of numbers or flags, got {text[row]!r} in row {row + 1:,} and "
            f"{len(odd):,} such values in all{where}"
        )


def open_table(path: Path) -> MetricTable:
    """Find out what is in a Parquet or CSV file.

    Raises:
        InvalidInputError: It is not there, holds nothing, or cannot be read.
    """
    if not path.is_file():
        raise InvalidInputError(f"table must be a file, got {str(path)!r}, which is not there or not a file")
    if path.stat().st_size == 0:
        raise InvalidInputError(f"table must hold rows, got the empty file {path.name!r}")
    if path.suffix.lower() == ".csv":
        rows, form = read_csv(path)
        return MetricTable(
            name=path.name, frame=rows.lazy(), columns=rows.schema, delimiter=form.delimiter, separation=form.separation
        )
    if path.suffix.lower() != ".parquet":
        raise InvalidInputError(f"table must be a .parquet or .csv file, got {path.name!r}")
    try:
        frame = pl.scan_parquet(path)
        return MetricTable(name=path.name, frame=frame, columns=frame.collect_schema())
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InvalidInputError(unreadable(path.name, error)) from error


def unreadable(name: str, error: Exception) -> str:
    """Our own words: the library's would quote rows of the file."""
    return f"table must be a complete Parquet file, got {name!r}, which cannot be read ({type(error).__name__})"
