"""Features of a training set: of own decisions as they were logged, of all else as they are computed of then.

What a decision looked at is what a model is asked about: as old as the last materialisation was, with what was missing
then. So the engine's own decisions are learned from with the vectors in their records, feature by feature where it
means the same now. Whatever else there is, imported decisions above all, is computed point-in-time through Feast.
Decisions whose features are stamped later than they were made are computed, too.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from decisioning.arrays import BoolArray, FloatArray, IndexArray, IntArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.draw import unit_hash
from decisioning.errors import InvalidInputError
from decisioning.scoring import FeatureVector
from features.computing.feature_set import feature_schema
from features.log.contracts import DECISIONS
from features.log.event_log import LogSnapshot
from features.models.logged_decisions import READ_COLUMNS, LoggedDecisions
from features.models.schema_archive import known_schemas
from features.settings import Settings
from training.data.datasets import matrix_of
from training.data.skew import MOST_SAMPLED, UNLIKE, SkewReport, skew_report
from training.data.sources import RowsBySource

CLOCKS_DIFFER_SECONDS = 60.0
"""How much later than a decision its features may be stamped: clocks of two machines differ."""

_SALT = "skew sample"
_BATCH = 5_000
_NO_VECTOR = -1

type Join = Callable[[pl.DataFrame], pl.DataFrame]
"""Computes features of `customer_id` at `event_timestamp`, in the order asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFeatures:
    """Features of n decisions.

    Attributes:
        matrix: shape (n, d), NaN where missing.
        names: d names.
        rows: By source, with how many are as they were logged.
        skew: Of a sample of own decisions.
    """

    matrix: FloatArray
    names: tuple[str, ...]
    rows: RowsBySource
    skew: SkewReport


def training_features(
    settings: Settings,
    catalogue: Catalogue,
    log: LogSnapshot,
    decisions: pl.DataFrame,
    rows: RowsBySource,
    join: Join,
) -> TrainingFeatures:
    """Features of decisions, logged where they can be, else computed; a sample of own ones both, to compare.

    Args:
        settings: Where schemas and catalogues of old are archived.
        catalogue: Says what features mean now.
        log: Where records are.
        decisions: n rows of `decision_id`, `customer_id`, `decided_at`.
        rows: Which of them are the engine's own.
        join: Asked once, for the rest and for the sample.

    Raises:
        NextbestError: As `join`; or the log could not be read.
    """
    logged = _Logged.read(settings, catalogue, log, decisions, rows)
    sampled = logged.has_vector & _sampled(decisions, rows)
    asked = np.flatnonzero(sampled | ~logged.is_whole)
    entities = decisions[asked].select("customer_id", pl.col("decided_at").alias("event_timestamp"))
    computed = matrix_of(join(entities), logged.names)
    places = np.flatnonzero(sampled)
    skew = skew_report(
        logged.names,
        logged.as_compared(places),
        computed[np.searchsorted(asked, places)],
        from_later=logged.from_later,
    )
    logged.fill(asked, computed)
    whole, some = int(logged.is_whole.sum()), int(logged.is_some.sum())
    counted = replace(rows, as_logged=whole, partly_logged=some - whole)
    return TrainingFeatures(matrix=logged.matrix, names=logged.names, rows=counted, skew=skew)


def _sampled(decisions: pl.DataFrame, rows: RowsBySource) -> BoolArray:
    """Decisions that are compared, if they are own ones with a vector; drawn by a hash."""
    share = MOST_SAMPLED / max(rows.own, 1)
    if share >= 1:
        return np.ones(decisions.height, dtype=np.bool_)
    return np.array([unit_hash(_SALT, one) < share for one in decisions["decision_id"].to_list()], dtype=np.bool_)


@dataclass(slots=True, kw_only=True)
class _Logged:
    """What was logged of n decisions.

    Attributes:
        matrix: shape (n, d), NaN where nothing was logged.
        meaning: shape (n,), which of `known` says what a row's features meant; `_NO_VECTOR` for none.
        known: By schema, the columns that mean the same now.
        from_later: Vectors that are stamped later than their decision.
    """

    matrix: FloatArray
    names: tuple[str, ...]
    meaning: IntArray
    known: list[IndexArray]
    from_later: int = 0

    @classmethod
    def read(
        cls, settings: Settings, catalogue: Catalogue, log: LogSnapshot, decisions: pl.DataFrame, rows: RowsBySource
    ) -> "_Logged":
        """Read every vector of own decisions that can be used."""
        shared = _SharedColumns(settings, catalogue)
        n, names = decisions.height, feature_schema(catalogue).names
        found = cls(
            matrix=np.full((n, len(names)), np.nan),
            names=names,
            meaning=np.full(n, _NO_VECTOR, dtype=np.int64),
            known=[],
        )
        places: dict[str, int] = {}
        for place, vector in _vectors(settings, log, decisions, rows):
            if _is_from_later(vector):
                found.from_later += 1
                continue
            columns, of_vector = shared.of(vector.schema)
            if vector.schema not in places:
                places[vector.schema] = len(found.known)
                found.known.append(columns)
            found.meaning[place] = places[vector.schema]
            found.matrix[place, columns] = vector.values[of_vector]
        return found

    @property
    def has_vector(self) -> BoolArray:
        """Own decisions whose vector is used, as far as it goes: shape (n,)."""
        return self.meaning != _NO_VECTOR

    @property
    def is_whole(self) -> BoolArray:
        """Decisions of which every feature was logged: shape (n,)."""
        whole = np.array([len(one) == len(self.names) for one in self.known] + [False])
        return whole[self.meaning]

    @property
    def is_some(self) -> BoolArray:
        """Decisions of which at least one feature was logged that means the same now: shape (n,)."""
        return np.array([len(one) > 0 for one in self.known] + [False])[self.meaning]

    def as_compared(self, places: IndexArray) -> FloatArray:
        """Logged features of some decisions, `UNLIKE` where they meant something else."""
        compared = self.matrix[places]
        for number, columns in enumerate(self.known):
            others = np.setdiff1d(np.arange(len(self.names)), columns)
            compared[np.ix_(self.meaning[places] == number, others)] = UNLIKE
        return compared

    def fill(self, places: IndexArray, computed: FloatArray) -> None:
        """Put computed features where none were logged."""
        none = self.meaning[places] == _NO_VECTOR
        self.matrix[places[none]] = computed[none]
        for number, columns in enumerate(self.known):
            others = np.setdiff1d(np.arange(len(self.names)), columns)
            rows = self.meaning[places] == number
            if len(others) and rows.any():
                self.matrix[np.ix_(places[rows], others)] = computed[np.ix_(rows, others)]


def _vectors(
    settings: Settings, log: LogSnapshot, decisions: pl.DataFrame, rows: RowsBySource
) -> Iterator[tuple[int, FeatureVector]]:
    """Vectors in the records of own decisions, each with the place of its decision."""
    if not rows.own:
        return
    logged, own = LoggedDecisions(settings), rows.own_ids.to_frame("decision_id")
    places = decisions.select("decision_id").with_row_index("place").join(own, on="decision_id", how="semi")
    asked = log.scan(DECISIONS).filter(pl.col("record").is_not_null()).select(READ_COLUMNS)
    for part in log.log.batches(DECISIONS, asked, size=_BATCH):
        for row in part.join(places, on="decision_id", how="inner").iter_rows(named=True):
            try:
                vector = logged.vector(row)
            except (InvalidInputError, KeyError):  # damaged, or its catalogue is gone: replay says so
                continue
            if vector is not None:
                yield row["place"], vector


def _is_from_later(vector: FeatureVector) -> bool:
    return any(age is not None and age < -CLOCKS_DIFFER_SECONDS for age in vector.ages_seconds.values())


class _SharedColumns:
    """Which places of logged vectors mean what features mean now."""

    def __init__(self, settings: Settings, catalogue: Catalogue) -> None:
        schema = feature_schema(catalogue)
        self._wanted = list(schema.meaning_of.items())
        self._schemas = {**known_schemas(settings), schema.fingerprint: schema}
        self._found: dict[str, tuple[IndexArray, IndexArray]] = {}

    def of(self, fingerprint: str) -> tuple[IndexArray, IndexArray]:
        """Columns of the training set, and the places of the same in vectors of this schema; none of an unknown one."""
        if fingerprint not in self._found:
            schema = self._schemas.get(fingerprint)
            means = schema.meaning_of if schema else {}
            places = {name: place for place, name in enumerate(schema.names)} if schema else {}
            columns = [place for place, (name, meaning) in enumerate(self._wanted) if means.get(name, "") == meaning]
            found = [places[self._wanted[place][0]] for place in columns]
            self._found[fingerprint] = np.array(columns, dtype=np.intp), np.array(found, dtype=np.intp)
        return self._found[fingerprint]
