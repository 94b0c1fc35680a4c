"""Feature skew: what the engine's own decisions looked at, against what the features say now of the same moments.

Features of a decision are as old as the last materialisation, and the log may have learned since of what happened
before. A model is trained on what is computed now, so where both differ much, it is asked about customers of a kind
that it never saw.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl

from decisioning.arrays import FloatArray, IndexArray
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
from training.data.datasets import Dataset
from training.data.sources import RowsBySource

MOST_SAMPLED = 20_000
"""Decisions that are looked at."""

MOST_DIFFERENCE = 0.1
"""Standard deviations by which the means of a feature may differ before a training run says so."""

MOST_MISSING = 0.05
"""Share of decisions in which a feature may be missing on one side only before a training run says so."""

CLOCKS_DIFFER_SECONDS = 60.0
"""How much later than a decision its features may be stamped: clocks of two machines differ."""

SKEW_FILE = "feature_skew.csv"

_SALT = "skew sample"
_BATCH = 5_000
_FEWEST = 10  # values on both sides, for a difference of means
_TOLD = 3
_ROUNDING = 1e-9
_TABLE = {
    "feature": pl.String,
    "decisions": pl.Int64,
    "equal": pl.Float64,
    "only_logged": pl.Float64,
    "only_computed": pl.Float64,
    "difference": pl.Float64,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSkew:
    """A feature as logged and as computed now.

    Attributes:
        decisions: Looked at.
        equal: Share with the same value on both sides, or with none on either.
        only_logged: Share with a value in the log alone.
        only_computed: Share with a value computed now alone.
        difference: Mean as logged less mean as computed, where both are known, in standard deviations; None where too
            few are known.
    """

    feature: str
    decisions: int
    equal: float
    only_logged: float
    only_computed: float
    difference: float | None

    @property
    def is_large(self) -> bool:
        """Whether a reader of the model must know."""
        return abs(self.difference or 0.0) > MOST_DIFFERENCE or self.missing > MOST_MISSING

    @property
    def size(self) -> float:
        """How bad it is, for an order."""
        return abs(self.difference or 0.0) + self.missing

    @property
    def missing(self) -> float:
        """Share of decisions in which it is missing on one side only."""
        return self.only_logged + self.only_computed


@dataclass(frozen=True, slots=True, kw_only=True)
class SkewReport:
    """All features, the worst first.

    Attributes:
        decisions: The engine's own that were looked at.
        from_later: Those left out, because what they looked at is stamped later than they are.
    """

    features: tuple[FeatureSkew, ...] = ()
    decisions: int = 0
    from_later: int = 0

    @property
    def large(self) -> tuple[FeatureSkew, ...]:
        """Features of which a reader of the model must know."""
        return tuple(one for one in self.features if one.is_large)

    @property
    def metrics(self) -> dict[str, float]:
        """What a run measures of it; nothing where the engine has made no decision."""
        if not self.decisions:
            return {}
        return {
            "skew_decisions": float(self.decisions),
            "skew_features": float(len(self.large)),
            "skew_equal_share": float(np.mean([one.equal for one in self.features])) if self.features else 1.0,
        }


def skew_report(
    settings: Settings, catalogue: Catalogue, dataset: Dataset, log: LogSnapshot, rows: RowsBySource
) -> SkewReport:
    """Compare logged with computed features of the engine's own decisions.

    A feature that meant something else when it was logged is not compared, nor is a record that cannot be read.

    Raises:
        LogUnavailableError: The log could not be read.
    """
    found = dict(_vectors(settings, dataset, log, rows))
    timely = {place: vector for place, vector in found.items() if not _is_from_later(vector)}
    if not timely:
        return SkewReport(from_later=len(found))
    shared = _SharedColumns(settings, catalogue, dataset.feature_names)
    computed = dataset.features[list(timely)]
    logged, is_compared = np.full_like(computed, np.nan), np.zeros(computed.shape, dtype=bool)
    for row, vector in enumerate(timely.values()):
        columns, places = shared.of(vector.schema)
        logged[row, columns], is_compared[row, columns] = vector.values[places], True
    skews = (
        _skew(name, logged[is_compared[:, place], place], computed[is_compared[:, place], place])
        for place, name in enumerate(dataset.feature_names)
        if is_compared[:, place].any()
    )
    ordered = sorted(skews, key=lambda one: (-one.size, one.equal, one.feature))
    return SkewReport(features=tuple(ordered), decisions=len(timely), from_later=len(found) - len(timely))


def _vectors(
    settings: Settings, dataset: Dataset, log: LogSnapshot, rows: RowsBySource
) -> Iterator[tuple[int, FeatureVector]]:
    """Logged feature vectors with the place of their decision in the dataset; decisions are drawn by a hash."""
    share = MOST_SAMPLED / max(rows.own, 1)
    drawn = [one for one in rows.own_ids.to_list() if share >= 1 or unit_hash(_SALT, one) < share]
    places = {one: place for place, one in enumerate(dataset.decisions["decision_id"].to_list())}
    logged = LoggedDecisions(settings)
    asked = log.scan(DECISIONS).filter(pl.col("decision_id").is_in(drawn)).select(READ_COLUMNS)
    for part in log.log.batches(DECISIONS, asked, size=_BATCH):
        for row in part.iter_rows(named=True):
            try:
                vector = logged.decision(row).inputs.features
            except (InvalidInputError, KeyError):  # damaged, or its catalogue is gone: replay says so
                continue
            if vector is not None:
                yield places[row["decision_id"]], vector


def _is_from_later(vector: FeatureVector) -> bool:
    return any(age is not None and age < -CLOCKS_DIFFER_SECONDS for age in vector.ages_seconds.values())


def _skew(name: str, logged: FloatArray, computed: FloatArray) -> FeatureSkew:
    """Compare a feature in two arrays of shape (n,), NaN where missing."""
    has_logged, has_computed = np.isfinite(logged), np.isfinite(computed)
    both = has_logged & has_computed
    is_equal = np.isclose(logged, computed, rtol=_ROUNDING, atol=_ROUNDING, equal_nan=True)
    return FeatureSkew(
        feature=name,
        decisions=len(logged),
        equal=float(is_equal.mean()),
        only_logged=float((has_logged & ~has_computed).mean()),
        only_computed=float((has_computed & ~has_logged).mean()),
        difference=_difference(logged[both], computed[both]),
    )


def _difference(logged: FloatArray, computed: FloatArray) -> float | None:
    if len(logged) < _FEWEST:
        return None
    spread = float(np.sqrt((np.var(logged) + np.var(computed)) / 2))
    apart = float(np.mean(logged) - np.mean(computed))
    if spread > 0:
        return apart / spread
    return None if apart else 0.0


class _SharedColumns:
    """Which places of logged vectors mean what the columns of a dataset mean."""

    def __init__(self, settings: Settings, catalogue: Catalogue, names: tuple[str, ...]) -> None:
        schema = feature_schema(catalogue)
        self._wanted = [(name, schema.meaning_of.get(name)) for name in names]
        self._schemas = {**known_schemas(settings), schema.fingerprint: schema}
        self._found: dict[str, tuple[IndexArray, IndexArray]] = {}

    def of(self, fingerprint: str) -> tuple[IndexArray, IndexArray]:
        """Columns of the dataset, and the places of the same in vectors of this schema; none of an unknown one."""
        if fingerprint not in self._found:
            schema = self._schemas.get(fingerprint)
            means = schema.meaning_of if schema else {}
            places = {name: place for place, name in enumerate(schema.names)} if schema else {}
            columns = [place for place, (name, meaning) in enumerate(self._wanted) if means.get(name, "") == meaning]
            found = [places[self._wanted[place][0]] for place in columns]
            self._found[fingerprint] = np.array(columns, dtype=np.intp), np.array(found, dtype=np.intp)
        return self._found[fingerprint]


def write_skew(report: SkewReport, folder: Path) -> tuple[Path, ...]:
    """Write the table of all features; gives the file, or none where nothing was compared."""
    if not report.features:
        return ()
    path = folder / SKEW_FILE
    pl.DataFrame([asdict(one) for one in report.features], schema=_TABLE).write_csv(path)
    return (path,)


def skew_notes(report: SkewReport) -> tuple[str, ...]:
    """What a reader must know, in plain words; nothing where the skew is small."""
    notes = []
    if report.from_later:
        notes.append(
            f"{report.from_later} of the engine's own decisions looked at features stamped later than the decision:"
            " check the clocks and the --as-of of materialisations; they are left out of the comparison of features"
        )
    if report.large:
        told = "; ".join(map(_told, report.large[:_TOLD]))
        notes.append(
            f"{len(report.large)} of {len(report.features)} features were something else when the engine decided than"
            f" what is computed now for the same customers and moments ({report.decisions} own decisions looked at):"
            f" {told}; materialise more often or import sooner; tables/{SKEW_FILE} in MLflow has every feature"
        )
    return tuple(notes)


def _told(skew: FeatureSkew) -> str:
    parts: list[str] = []
    if abs(skew.difference or 0.0) > MOST_DIFFERENCE:
        parts.append(f"{skew.difference:+.2f} standard deviations off")
    if skew.missing > MOST_MISSING:
        parts.append(f"missing in {skew.missing:.0%} on one side only")
    return f"{skew.feature} {' and '.join(parts)}"
