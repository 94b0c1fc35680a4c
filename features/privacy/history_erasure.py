"""Rows out of the feature history: every Parquet file of every generation that has them is written anew."""

import shutil
from pathlib import Path
from uuid import uuid4

import polars as pl

from decisioning.errors import UnavailableError
from features.durability import make_durable
from features.locks import held
from features.settings import Settings
from features.store.feature_history import KNOWN_ROWS, history_path

_WAIT_SECONDS = 600.0


def erase_from_history(settings: Settings, customer_id: str) -> int:
    """Take every row of a customer out of all generations, while no build runs; how many. It may be repeated.

    Raises:
        UnavailableError: A build ran for ten minutes, or a file could not be rewritten.
    """
    return keep_in_history(settings, pl.col("customer_id") != customer_id, with_known_rows=True)


def keep_in_history(settings: Settings, kept: pl.Expr, *, with_known_rows: bool = False) -> int:
    """Keep only such rows in all generations, while no build runs; how many went.

    Raises:
        UnavailableError: A build ran for ten minutes, or a file could not be rewritten.
    """
    folder = history_path(settings)
    if not folder.is_dir():
        return 0
    busy = UnavailableError("feature build must end before rows can be erased; try again")
    with held(settings.features_path / "build.lock", busy, wait_seconds=_WAIT_SECONDS):
        for abandoned in folder.glob("draft-*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        names = ("*.parquet", KNOWN_ROWS) if with_known_rows else ("*.parquet",)
        files = sorted(path for name in names for path in folder.glob(f"g-*/{name}"))
        return sum(rewrite_parquet(path, kept) for path in files)


def history_rows(settings: Settings, customer_id: str) -> int:
    """How many rows of a customer the generations hold together."""
    files = sorted(history_path(settings).glob("g-*/*.parquet"))
    mine = (pl.scan_parquet(path).filter(pl.col("customer_id") == customer_id).select(pl.len()) for path in files)
    return sum(frame.collect().item() for frame in mine)


def rewrite_parquet(path: Path, kept: pl.Expr) -> int:
    """Write a Parquet file anew without some rows, in one step for readers; how many rows went.

    A file that is shared by several names is written once for each, since a name stands for its own file afterwards.

    Raises:
        UnavailableError: It could not be rewritten.
    """
    fresh = path.with_name(f"{path.name}.{uuid4().hex}.tmp")
    try:
        rows = pl.scan_parquet(path)
        gone = rows.filter(~kept).select(pl.len()).collect().item()
        if gone:
            rows.filter(kept).sink_parquet(fresh, compression="zstd")
            make_durable(fresh)
            fresh.replace(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UnavailableError(f"{path.name} must be rewritable, got {type(error).__name__}; try again") from error
    finally:
        fresh.unlink(missing_ok=True)
    return gone
