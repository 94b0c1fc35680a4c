"""Residuals on top of a model, worked out from the log as it is now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from decisioning.arrays import FloatArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message import SILENCE
from decisioning.policy import Policy
from features.computing.feature_schema import FeatureSchema
from features.history import BULKY_COLUMN, History
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES, UTC_TIME, Table
from features.log.event_log import EventLog, LogSnapshot
from features.log.identities import by_person, people
from features.models.bundle import ModelBundle, value_model
from features.models.fit import fit_model
from features.models.logged_decisions import LoggedDecisions
from features.online.residuals import Evidence, ResidualPriors, ResidualSnapshot
from training.data.datasets import learning_of
from training.data.measures import UNTIL, decision_values, longest_days
from training.residuals import NOTE
from training.residuals.arrivals import Arrivals, channel_of
from training.residuals.draws import DrawBook, LoggedDraw
from training.residuals.posterior import Draws, measure

_AGED = ("decision_id", "customer_id", "starts_at", "ends_at", UNTIL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What a model's bundle says of residuals on top of it.

    Attributes:
        learned_until: The model learned from decisions whose window was over by then, and from no other.
        noise: See `posterior.measure`.
    """

    priors: ResidualPriors
    arrivals: Arrivals
    learned_until: datetime
    noise: float

    @classmethod
    def of(cls, bundle: ModelBundle) -> "Base | None":
        """Read it; None for a model that was trained before there were residuals, or whose outcomes never differed."""
        note: Mapping[str, Any] | None = bundle.notes.get(NOTE)
        if not note:
            return None
        priors = note["prior"]
        return cls(
            priors=ResidualPriors(
                usual=priors["usual"],
                of_new=priors["of_new"],
                by_stage=priors["by_stage"],
                known=frozenset(bundle.coding.offsets),
            ),
            arrivals=Arrivals(curves={channel: tuple(curve) for channel, curve in note["arrivals"].items()}),
            learned_until=datetime.fromisoformat(note["learned_until"]),
            noise=priors["noise"],
        )


@dataclass(slots=True, kw_only=True)
class ResidualLearner:
    """Learns residuals on top of one model under one catalogue; what it has read it need not read again.

    Attributes:
        base: What it starts from.
        book: The draws.
    """

    catalogue: Catalogue
    version: str
    base: Base
    book: DrawBook
    window_days: float

    @classmethod
    def on(
        cls,
        bundle: ModelBundle,
        version: str,
        *,
        catalogue: Catalogue,
        seed: str,
        logged: LoggedDecisions,
        known: Mapping[str, FeatureSchema],
    ) -> "ResidualLearner | None":
        """Start; None where nothing can be learned on top of this model.

        Raises:
            InvalidInputError: The model does not fit the catalogue.
        """
        base = Base.of(bundle)
        if base is None or catalogue.learning is None:
            return None
        policy = Policy(catalogue, seed)
        fit = fit_model(value_model(bundle, version=version), policy, known)
        if not fit.predicts_what_is_learned:
            return None
        book = DrawBook(logged=logged, fit=fit, policy=policy)
        return cls(catalogue=catalogue, version=version, base=base, book=book, window_days=bundle.window_days)

    @property
    def _span_days(self) -> float:
        """Days after a decision until nothing changes what it is worth."""
        return longest_days(learning_of(self.catalogue)[1], self.window_days)

    def learn(self, log: EventLog, now: datetime) -> ResidualSnapshot:
        """Residuals as of now.

        Decisions count whose window was not over when the model was trained: it learned from the others, and from none
        of these.

        Raises:
            LogUnavailableError: The log could not be read.
        """
        since = self.base.learned_until - timedelta(days=self._span_days)
        snapshot = LogSnapshot.of(log)
        draws = self.book.renew(snapshot, since, now)
        history = _history_since(snapshot, since)
        found = _by_person(draws, history)
        evidence = self._evidence(found, [draws[place][0] for place in found["place"]], history, now)
        return ResidualSnapshot(
            model_version=self.version,
            computed_at=now,
            decisions=found.height,
            priors=self.base.priors,
            evidence=evidence,
            slates=self.book.slates,
        )

    def _evidence(
        self, found: pl.DataFrame, draws: Sequence[LoggedDraw], history: History, now: datetime
    ) -> dict[str, dict[str, Evidence]]:
        if found.is_empty():
            return {}
        aged = found.with_columns(
            pl.lit(now).cast(UTC_TIME).alias(UNTIL),
            starts_at=pl.col("decided_at"),
            ends_at=pl.col("decided_at") + timedelta(days=self.window_days),
        )
        values = decision_values(history, aged.select(_AGED), learning_of(self.catalogue)[1], cap=True)[
            "value"
        ].to_numpy()
        elapsed = (aged[UNTIL] - aged["starts_at"]).dt.total_microseconds().to_numpy() / 86_400e6
        ages = np.clip(elapsed / self._span_days, 0.0, 1.0)
        shares = self._shares(draws, ages)
        left = values - shares * np.array([one.expected for one in draws])
        customers = found["customer_id"].rank("dense").cast(pl.Int64).to_numpy() - 1
        stages = np.array([one.stage for one in draws])
        evidence: dict[str, dict[str, Evidence]] = {}
        for stage in np.unique(stages).tolist():
            rows = np.flatnonzero((stages == stage) & (shares > 0))
            some = [draws[row] for row in rows.tolist()]
            told = self._at_stage(stage, some, customers[rows], shares[rows], left[rows])
            if told:
                evidence[stage] = told
        return evidence

    def _shares(self, draws: Sequence[LoggedDraw], ages: FloatArray) -> FloatArray:
        """Share of each decision's outcomes that usually has arrived by now: shape (n,)."""
        channels = np.array([channel_of(one.action) for one in draws])
        shares = np.zeros(len(draws))
        for channel in np.unique(channels).tolist():
            rows = channels == channel
            shares[rows] = self.base.arrivals.share(channel, ages[rows])
        return shares

    def _at_stage(
        self, stage: str, draws: Sequence[LoggedDraw], customers: Any, shares: FloatArray, left: FloatArray
    ) -> dict[str, Evidence]:
        keys = sorted({key for one in draws for key in one.keys} - {SILENCE})
        prior = np.array([self.base.priors.of(key, stage) for key in keys])
        if not keys or not (prior > 0).all():
            return {}
        measured = measure(
            Draws(
                customers=customers,
                actions=np.array([_place(keys, one.action) for one in draws], dtype=np.int64),
                chances=_chances(draws, keys),
                shares=shares,
                left=left,
            ),
            prior,
            self.base.noise,
        )
        columns = zip(
            keys, measured.estimate.tolist(), measured.standard_error.tolist(), measured.customers.tolist(), strict=True
        )
        return {
            key: Evidence(estimate=estimate, standard_error=error, customers=count)
            for key, estimate, error, count in columns
            if np.isfinite(error)
        }


def _place(keys: Sequence[str], action: str) -> int:
    return 0 if action == SILENCE else keys.index(action) + 1


def _chances(draws: Sequence[LoggedDraw], keys: Sequence[str]) -> Any:
    """Action probabilities as a sparse matrix: shape (n, k + 1)."""
    from scipy import sparse

    place_of = {SILENCE: 0, **{key: place for place, key in enumerate(keys, start=1)}}
    rows = np.repeat(np.arange(len(draws)), [len(one.keys) for one in draws])
    columns = np.array([place_of[key] for one in draws for key in one.keys], dtype=np.int64)
    chances = np.array([chance for one in draws for chance in one.chances])
    return sparse.csr_array((chances, (rows, columns)), shape=(len(draws), len(keys) + 1))


def _by_person(draws: Sequence[tuple[LoggedDraw, datetime, str]], history: History) -> pl.DataFrame:
    """Places of draws with their person, without people who opted out of profiling: as training has them."""
    frame = pl.DataFrame(
        {
            "decision_id": [draw.decision_id for draw, _, _ in draws],
            "customer_id": [who for _, _, who in draws],
            "decided_at": pl.Series([moment for _, moment, _ in draws], dtype=UTC_TIME),
            "place": range(len(draws)),
        },
        schema_overrides={"decision_id": pl.String, "customer_id": pl.String, "place": pl.Int64},
    )
    kept = frame.filter(~pl.col("customer_id").is_in(sorted(history.not_profiled())))
    return by_person(kept, people(history.events))


def _history_since(log: LogSnapshot, since: datetime) -> History:
    """Customers, and what happened since a moment."""
    frames = {table.name: _since(log, table, since) for table in (EVENTS, DECISIONS, OUTCOMES)}
    return History.of(History(customers=log.read(CUSTOMERS), **frames))


def _since(log: LogSnapshot, table: Table, since: datetime) -> pl.DataFrame:
    names = [name for name in table.schema if name != BULKY_COLUMN]
    moment = pl.col(table.time_column) > pl.lit(since).cast(UTC_TIME)
    return log.log.collect(table, log.scan(table).filter(moment).select(names))
