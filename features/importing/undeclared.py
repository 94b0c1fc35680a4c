"""Accepted values that the catalogue does not know, counted for the report."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from features.declared import Declared
from features.importing.staged import Staged, staged_rows
from features.log.contracts import CUSTOMERS, EVENTS
from features.log.declared_events import AS_SENT
from features.log.event_types import StateEventType

_NAME = r'(?:^\{|,)"((?:[^"\\]|\\.)*)":'


@dataclass(frozen=True, slots=True, kw_only=True)
class Undeclared:
    """An attribute of customers that no catalogue declares: it is kept, and templates may print it."""

    name: str
    rows: int

    def __str__(self) -> str:
        return f"{self.name} in {self.rows:,} rows"


def find_undeclared(staged: Sequence[Staged], catalogue: Catalogue | None) -> tuple[Undeclared, ...]:
    """Attributes that the catalogue does not declare and that no channel needs, those of most rows first."""
    rows = staged_rows(staged, CUSTOMERS)
    if rows is None or catalogue is None:
        return ()
    declared = Declared(catalogue)
    name = pl.col("attributes").str.extract_all(_NAME)
    named = rows.select(name.alias("name")).explode("name").drop_nulls()
    counted = named.select(pl.col("name").str.extract(_NAME)).group_by("name").len("rows").collect()
    found = [Undeclared(name=orjson.loads(f'"{text}"'), rows=count) for text, count in counted.iter_rows()]
    strangers = [one for one in found if one.name not in declared.attributes and one.name not in declared.free]
    return tuple(sorted(strangers, key=lambda one: (-one.rows, one.name)))


def count_widened(staged: Sequence[Staged]) -> int:
    """Withdrawals that count for every channel or purpose, since nobody knows the one that they name."""
    rows = staged_rows(staged, EVENTS)
    if rows is None:
        return 0
    is_withdrawal = pl.col("type") == StateEventType.CONSENT_WITHDRAWN.value
    is_widened = pl.col("properties").str.json_path_match(f"$.{AS_SENT}").is_not_null()
    return rows.filter(is_withdrawal & is_widened).select(pl.len()).collect().item()
