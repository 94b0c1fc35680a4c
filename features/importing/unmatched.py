"""Unknown references: rows about customers, decisions, touchpoints, offers and creatives that do not exist.

Every such row is good by itself, so it is counted and shown. An import of which too much names nothing is refused: an
id is spelt in two ways, or what it names has not been imported.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InvalidInputError, nearest_names
from features.importing.staged import Staged
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES, Table
from features.log.event_log import EventLog
from features.log.event_types import StateEventType
from features.log.identities import by_person, people

MOST_UNMATCHED = 0.05
"""Largest share of what a column names that may be unknown."""

_SHOWN_NAMES = 3
_ROWS = "rows"
_FLOAT_END = r"\.0+$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmatched:
    """Rows of a file that name something unknown.

    Attributes:
        named: Rows that name anything in this column.
        hint: What may be wrong; empty where nothing comes to mind. Holds names of the catalogue, never ids of people.
    """

    file: str
    column: str
    must_name: str
    rows: int
    named: int
    hint: str = ""

    @property
    def share(self) -> float:
        """Share of the rows that name anything, in (0, 1]."""
        return self.rows / self.named

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return (
            f"{self.file}: {self.column} must name {self.must_name}, and {self.rows:,} of {self.named:,} do not{hint}"
        )


def find_unmatched(log: EventLog, staged: Sequence[Staged], catalogue: Catalogue | None) -> tuple[Unmatched, ...]:
    """What the files' good rows name, and neither files nor log nor catalogue (unchecked where there is none) know.

    Raises:
        LogUnavailableError: The log could not be read.
    """
    persons = _persons(log, staged)
    known = _known(log, staged, CUSTOMERS, ["customer_id"])
    theirs = persons.join(known, left_on="person", right_on="customer_id", how="semi")
    customers = pl.concat([known, theirs.select("customer_id")]).unique()
    found: list[Unmatched] = []
    for part in staged:
        if not part.parts or part.file.table is CUSTOMERS:
            continue
        found.append(_unknown_ids(part, "customer_id", "a known customer", customers))
        if part.file.table is OUTCOMES:
            decisions = _known(log, staged, DECISIONS, ["decision_id", "customer_id"])
            found += _about_decisions(part, decisions, persons)
        if part.file.table is DECISIONS and catalogue is not None:
            found += _names_of_the_catalogue(part, catalogue)
    return tuple(one for one in found if one.rows)


def check_unmatched(found: Sequence[Unmatched], most: float) -> None:
    """Refuse an import of which a larger share than `most`, in [0, 1], names nothing.

    Raises:
        InvalidInputError: A column's share is larger.
    """
    broken = [one for one in found if one.share > most]
    if not broken:
        return
    lines = "\n".join(f"  {one}" for one in broken)
    raise InvalidInputError(
        f"at most {most:.0%} of what a column names may be unknown, got more:\n{lines}\nnothing was imported; correct "
        "the names, or import what they refer to first or in the same folder, or allow it with "
        f"--max-unknown {_in_hundredths(max(one.share for one in broken))}"
    )


def _in_hundredths(share: float) -> float:
    """A share that is not smaller, with two digits."""
    return min(1.0, (int(share * 100) + 1) / 100)


def _known(log: EventLog, staged: Sequence[Staged], table: Table, columns: list[str]) -> pl.DataFrame:
    """Distinct ids of a table, in the log and in the files; the first column identifies."""
    frames = [log.scan(table).select(columns)]
    frames += [pl.scan_parquet(one.parts).select(columns) for one in staged if one.file.table is table and one.parts]
    return log.collect(table, pl.concat(frames).unique(subset=columns[0]))


def _persons(log: EventLog, staged: Sequence[Staged]) -> pl.DataFrame:
    """Whom visitors turned out to be, as `people` tells, in the log and in the files."""
    columns = ["customer_id", "type", "occurred_at", "recorded_at", "properties"]
    frames = [log.scan(EVENTS)]
    frames += [pl.scan_parquet(one.parts) for one in staged if one.file.table is EVENTS and one.parts]
    is_told = pl.col("type") == StateEventType.IDENTIFIED.value
    return people(log.collect(EVENTS, pl.concat([frame.select(columns).filter(is_told) for frame in frames])))


def _about_decisions(outcomes: Staged, decisions: pl.DataFrame, persons: pl.DataFrame) -> Iterator[Unmatched]:
    """Outcomes of decisions that nobody made, and of decisions about somebody else."""
    yield _unknown_ids(outcomes, "decision_id", "a known decision", decisions)
    owners = by_person(decisions, persons).rename({"customer_id": "owner"})
    told = by_person(pl.scan_parquet(outcomes.parts).select("decision_id", "customer_id").collect(), persons)
    is_other = told.join(owners, on="decision_id").select(pl.col("customer_id") != pl.col("owner")).to_series()
    yield _unmatched(outcomes, "customer_id", "the customer of its decision", int(is_other.sum()), is_other.len())


def _unknown_ids(part: Staged, column: str, must_name: str, known: pl.DataFrame) -> Unmatched:
    counted = _counted(pl.scan_parquet(part.parts), column)
    unknown = counted.join(known, on=column, how="anti")
    hint = "none is known yet" if known.is_empty() else _hint_of_spelling(unknown, known, column)
    return _unmatched(part, column, must_name, _total(unknown), _total(counted), hint)


def _hint_of_spelling(unknown: pl.DataFrame, known: pl.DataFrame, column: str) -> str:
    """How many of the ids are known in another spelling."""
    lower = pl.col(column).str.to_lowercase()
    respelt = unknown.with_columns(lower.str.replace(_FLOAT_END, ""))
    rows = _total(respelt.join(known.select(lower), on=column, how="semi"))
    return f"{rows:,} would without `.0` at the end or with other capitals" if rows else ""


def _names_of_the_catalogue(decisions: Staged, catalogue: Catalogue) -> Iterator[Unmatched]:
    """Touchpoints, offers, channels, stages and wordings that it does not declare."""
    rows = pl.scan_parquet(decisions.parts)
    for column, kind, names in (
        ("touchpoint", "a touchpoint", catalogue.touchpoints),
        ("offer_id", "an offer", catalogue.offers),
        ("channel", "a channel", catalogue.channels),
        ("stage", "a stage", [stage.stage_id for stage in catalogue.stages]),
    ):
        counted = _counted(rows, column)
        yield _unknown_names(
            decisions, counted, column, f"{kind} of the catalogue", pl.DataFrame({column: list(names)})
        )
    of_known_offers = rows.filter(pl.col("offer_id").is_in(list(catalogue.offers)))
    creatives = pl.DataFrame({name: [getattr(one, name) for one in catalogue.creatives] for name in _CREATIVE})
    counted = _counted(of_known_offers, *_CREATIVE)
    yield _unknown_names(decisions, counted, "creative_id", "a creative of its offer", creatives)


_CREATIVE = ("offer_id", "creative_id")


def _unknown_names(
    part: Staged, counted: pl.DataFrame, column: str, must_name: str, declared: pl.DataFrame
) -> Unmatched:
    declared = declared.cast(pl.String)
    unknown = counted.join(declared, on=declared.columns, how="anti").sort(_ROWS, column, descending=[True, False])
    hint = _nearest(unknown[column].unique(maintain_order=True).to_list(), declared[column].unique().to_list())
    return _unmatched(part, column, must_name, _total(unknown), _total(counted), hint)


def _nearest(unknown: Sequence[str], known: Sequence[str]) -> str:
    """The unknown names that most rows have, with the nearest known ones."""
    words = []
    for name in unknown[:_SHOWN_NAMES]:
        near = nearest_names(name, known, limit=1)
        words.append(f"{name!r}, did you mean {near[0]!r}?" if near else repr(name))
    more = [f"{len(unknown) - _SHOWN_NAMES} more names"] if len(unknown) > _SHOWN_NAMES else []
    return "; ".join([*words, *more])


def _counted(rows: pl.LazyFrame, *columns: str) -> pl.DataFrame:
    """Rows by the names in some columns."""
    return rows.drop_nulls(columns).group_by(columns).agg(pl.len().alias(_ROWS)).collect()


def _total(counted: pl.DataFrame) -> int:
    return int(counted[_ROWS].sum())


def _unmatched(part: Staged, column: str, must_name: str, rows: int, named: int, hint: str = "") -> Unmatched:
    return Unmatched(file=part.file.path.name, column=column, must_name=must_name, rows=rows, named=named, hint=hint)
