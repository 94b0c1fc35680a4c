"""What a drift report looks at: decisions of two periods, what was known and predicted, and what came of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from decisioning.arrays import FloatArray, IntArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.draw import unit_hash
from decisioning.errors import InvalidInputError
from features.catalogue.fairness_rules import Grouping
from features.computing.compute import compute_features
from features.computing.feature_set import feature_schema
from features.history import History
from features.log.contracts import DECISIONS
from features.log.event_log import EventLog
from features.log.identities import by_person, people
from features.models.logged_decisions import READ_COLUMNS, LoggedDecisions
from training.data.datasets import learning_of, matrix_of
from training.data.measures import decision_values
from training.fairness.groups import UNKNOWN, groups_of
from training.kpis.contacts import KpiPeriod

MOST_SAMPLED = 20_000
"""Decisions whose features and scores are looked at, of both periods together; all else looks at every decision."""

SILENT = "silence"
UNNAMED = "not named"
"""The stage or touchpoint of a decision whose log names none."""

_SALT = "drift sample"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReading:
    """The circumstances of a report.

    Attributes:
        as_of: End of the newer period; only what happened before counts (aware, UTC).
        days: Length of the newer period.
        before_days: Length of the older one, which ends where the newer one begins.
        command: What to type to get it again.
    """

    as_of: datetime
    days: float
    before_days: float
    computed_at: datetime
    command: str

    @property
    def split_at(self) -> datetime:
        """Where the newer period begins."""
        return self.as_of - timedelta(days=self.days)

    @property
    def from_at(self) -> datetime:
        """Where the older period begins."""
        return self.split_at - timedelta(days=self.before_days)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftSample:
    """Features and scores of sampled decisions, in the order of `rows`.

    Attributes:
        rows: `decision_id`, `who`, `is_now`, `channel`.
        features: shape (n, d), as the decision used them, or as of its moment where the log does not say.
        names: d names.
        scores: shape (n,) by name; NaN where no model was asked. Empty where no record says.
        models: Versions that scored, before and now.
    """

    rows: pl.DataFrame
    features: FloatArray
    names: tuple[str, ...]
    scores: Mapping[str, FloatArray]
    models: tuple[frozenset[str], frozenset[str]]


def decisions_between(history: History, from_at: datetime, split_at: datetime, as_of: datetime) -> pl.DataFrame:
    """Decisions of both periods, with who they are about as a number (`who`) and whether they are of the newer one.

    A decision that names no stage or touchpoint says so; one that sent nothing has the channel `silence`.
    """
    known = by_person(history.decisions, people(history.events))
    rows = known.filter(pl.col("decided_at").is_between(from_at, as_of, closed="left"))
    return rows.with_columns(
        who=pl.col("customer_id").rank("dense").cast(pl.Int64) - 1,
        is_now=pl.col("decided_at") >= split_at,
        stage=pl.col("stage").fill_null(UNNAMED),
        touchpoint=pl.col("touchpoint").fill_null(UNNAMED),
        is_sent=pl.col("offer_id").fill_null("") != "",
    ).with_columns(
        channel=pl.when("is_sent").then(pl.col("channel").fill_null(UNNAMED)).otherwise(pl.lit(SILENT)),
    )


def with_segments(decisions: pl.DataFrame, history: History, catalogue: Catalogue, period: KpiPeriod) -> pl.DataFrame:
    """Decisions with the group of their customer by each grouping, as of the beginning of the period."""
    for grouping in Grouping:
        groups = groups_of(history, catalogue, grouping.value, period).rename({"group": grouping.value})
        decisions = decisions.join(groups, on="customer_id", how="left", maintain_order="left")
    return decisions.with_columns(pl.col(one.value).fill_null(UNKNOWN) for one in Grouping)


def with_values(decisions: pl.DataFrame, history: History, catalogue: Catalogue) -> pl.DataFrame:
    """Decisions with what came of them in the window that the catalogue learns.

    Every decision has a window of the same length, whatever the log says of it: decisions with longer ones would be
    missing where the newer period ends, and predictions are for this window.
    """
    learning, measure = learning_of(catalogue)
    framed = decisions.with_columns(
        starts_at=pl.col("decided_at"), ends_at=pl.col("decided_at") + timedelta(days=learning.window_days)
    )
    asked = framed.select("decision_id", "customer_id", "starts_at", "ends_at")
    return framed.with_columns(decision_values(history, asked, measure, cap=True)["value"])


def sample_of(
    decisions: pl.DataFrame,
    history: History,
    catalogue: Catalogue,
    log: EventLog,
    logged: LoggedDecisions,
    *,
    has_features: bool = True,
) -> DriftSample:
    """Features and scores of as many customers' decisions as there is time for; customers are drawn by a hash."""
    rows = _drawn(decisions)
    read = log.collect(
        DECISIONS,
        log.scan(DECISIONS)
        .filter(pl.col("decision_id").is_in(rows["decision_id"].to_list()) & pl.col("record").is_not_null())
        .select(READ_COLUMNS),
    )
    places = {one: place for place, one in enumerate(rows["decision_id"].to_list())}
    names = feature_schema(catalogue).names if has_features else ()
    features, scores = _computed(rows, history, catalogue, names), _Scores.empty(rows.height)
    for row in read.iter_rows(named=True):
        scores.take_in(places[row["decision_id"]], row, logged, features, names)
    return DriftSample(
        rows=rows,
        features=features,
        names=names,
        scores=scores.by_name() if read.height else {},
        models=_models(rows),
    )


def _drawn(decisions: pl.DataFrame) -> pl.DataFrame:
    share = MOST_SAMPLED / max(decisions.height, 1)
    if share >= 1:
        return decisions
    kept = [one for one in decisions["customer_id"].unique().to_list() if unit_hash(_SALT, one) < share]
    return decisions.filter(pl.col("customer_id").is_in(kept))


def _computed(rows: pl.DataFrame, history: History, catalogue: Catalogue, names: tuple[str, ...]) -> FloatArray:
    if not names:
        return np.empty((rows.height, 0))
    anchors = rows.select("customer_id", at="decided_at")
    return matrix_of(compute_features(history, anchors, catalogue), names).copy()


def _models(rows: pl.DataFrame) -> tuple[frozenset[str], frozenset[str]]:
    versions = rows.select("is_now", "model_version").drop_nulls().unique()
    found = {is_now: versions.filter(pl.col("is_now") == is_now)["model_version"] for is_now in (False, True)}
    return frozenset(found[False].to_list()), frozenset(found[True].to_list())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scores:
    """What models said, decision by decision, each of shape (n,)."""

    chosen: FloatArray
    uplift: FloatArray
    best: FloatArray

    @classmethod
    def empty(cls, count: int) -> "_Scores":
        return cls(**{name: np.full(count, np.nan) for name in ("chosen", "uplift", "best")})

    def by_name(self) -> dict[str, FloatArray]:
        return {
            CHOSEN_VALUE: self.chosen,
            "uplift of the chosen message": self.uplift,
            "best uplift": self.best,
        }

    def take_in(
        self,
        place: int,
        row: Mapping[str, object],
        logged: LoggedDecisions,
        features: FloatArray,
        names: tuple[str, ...],
    ) -> None:
        """Take the scores of a record, and the features that it used, in place of those worked out again."""
        try:
            decision = logged.decision(row)
        except InvalidInputError:  # damaged, or its catalogue is gone: replay and verification say so
            return
        used = decision.inputs.features
        if used is not None and names:
            by_name = dict(zip(used.names, used.values.tolist(), strict=True))
            features[place] = [by_name.get(name, np.nan) for name in names]
        known = {one.message_key: one for one in decision.evaluated if one.expected_value_minor is not None}
        chosen = known.get(decision.message_key)
        if chosen is not None and chosen.expected_value_minor is not None:
            self.chosen[place] = chosen.expected_value_minor
            if chosen.uplift_minor is not None and decision.message_key != SILENT:
                self.uplift[place] = chosen.uplift_minor
        uplifts = [one.uplift_minor for one in known.values() if one.uplift_minor is not None]
        if uplifts:
            self.best[place] = max(uplifts)


CHOSEN_VALUE = "expected value of the choice"
"""The score that calibration compares with what came."""


def numbered(rows: pl.DataFrame) -> IntArray:
    """Whom rows are about, as numbers."""
    return rows["who"].to_numpy()
