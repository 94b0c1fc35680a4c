"""The search that proves an erasure: every file below a folder, packed tables included."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from features.privacy.spellings import spellings, standing_alone

_PARQUET = b"PAR1"
_CHUNK_BYTES = 8_000_000
_WIDEST_ESCAPE = len(r"\u0000")
_SKIPPED = frozenset({"start.lock", "users.lock", "server.lock", "redis.sock"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A place where something was found.

    Attributes:
        column: Column of a Parquet file; None where the bytes of the file say it.
    """

    path: str
    column: str | None = None


def traces_below(folder: Path, words: Sequence[str], *, skip: Iterable[Path] = ()) -> list[Trace]:
    """Files that hold one of some words, as plain bytes or in a column of a Parquet file.

    Each word counts where it stands by itself, however it is escaped; every file is read but those to skip.
    """
    skipped = {path.resolve() for path in skip}
    found: list[Trace] = []
    for path in _files(folder):
        if path.resolve() in skipped:
            continue
        name = str(path.relative_to(folder))
        if _holds(path, words):
            found.append(Trace(path=name))
        found += [Trace(path=name, column=column) for column in _columns_holding(path, words)]
    return found


def _files(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = Path(here) / name
            if name not in _SKIPPED and path.is_file():
                yield path


def _pattern(words: Sequence[str]) -> bytes:
    return "|".join(map(standing_alone, words)).encode()


def _holds(path: Path, words: Sequence[str]) -> bool:
    """Whether the bytes have a word; pieces overlap, so that none is cut in two unseen."""
    wanted = re.compile(_pattern(words))
    overlap = max(len(spelt.encode()) for word in words for spelt in spellings(word)) + _WIDEST_ESCAPE
    rest = b""
    try:
        with path.open("rb") as file:
            while piece := file.read(_CHUNK_BYTES):
                if wanted.search(rest + piece):
                    return True
                rest = piece[-overlap:]
    except FileNotFoundError:  # gone meanwhile, as temporary files of others are
        return False
    return False


def _columns_holding(path: Path, words: Sequence[str]) -> list[str]:
    try:
        with path.open("rb") as file:
            if file.read(4) != _PARQUET:
                return []
        rows = pl.scan_parquet(path)
        texts = [name for name, dtype in rows.collect_schema().items() if not dtype.is_numeric()]
        if not texts:
            return []
        spelt = [one for word in words for one in spellings(word)]
        as_text = pl.col(texts).cast(pl.String, strict=False).str.contains_any(spelt).any()
        suspects = [name for name, flag in rows.select(as_text).collect().to_dicts()[0].items() if flag]
    except FileNotFoundError:
        return []
    except pl.exceptions.PolarsError:  # nested columns have no text form: look at their values
        return _columns_holding_slowly(path, words)
    return [name for name in suspects if _column_holds(path, name, words)]


def _column_holds(path: Path, column: str, words: Sequence[str]) -> bool:
    wanted = re.compile(_pattern(words))
    values = pl.read_parquet(path, columns=[column])[column].unique().to_list()
    return any(wanted.search(str(value).encode()) for value in values)


def _columns_holding_slowly(path: Path, words: Sequence[str]) -> list[str]:
    names = pl.scan_parquet(path).collect_schema().names()
    return [name for name in names if _column_holds(path, name, words)]
