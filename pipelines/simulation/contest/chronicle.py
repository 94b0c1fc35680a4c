"""The history of one run as it grows, and what its features are on a Monday."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from decisioning.policy import Policy
from decisioning.rules.fact_names import is_feature
from decisioning.rules.predicate import facts_of
from examples.conversion import canonical
from features.computing.compute import compute_features, evaluate
from features.computing.feature_set import STAGE_AGE_DAYS, STAGE_INDEX, definitions, feature_schema
from features.computing.sources import sources_of
from features.history import History
from features.log.contracts import TABLES, UTC_TIME
from pipelines.simulation.policies.policies import Features


@dataclass(slots=True, kw_only=True)
class Chronicle:
    """Everything that is known of n customers, week after week.

    Attributes:
        customer_ids: n of them, in the order of every matrix.
        known: Canonical tables of what is known so far.
    """

    catalogue: Catalogue
    customer_ids: tuple[str, ...]
    known: History
    _news: list[History] = field(default_factory=list[History])

    def add(self, week: History) -> None:
        """Add a week's canonical rows."""
        self._news.append(week)

    def features(self, now: datetime, names: Iterable[str] | None = None) -> Features:
        """Features as of a moment (aware, UTC), from rows known strictly before it; `names` None for all."""
        if self._news:
            self.known = together([self.known, *self._news])
            self._news.clear()
        schema = feature_schema(self.catalogue)
        wanted = schema.names if names is None else tuple(name for name in schema.names if name in frozenset(names))
        anchors = pl.DataFrame({"customer_id": self.customer_ids}).with_columns(at=pl.lit(now).cast(UTC_TIME))
        if names is None or {STAGE_INDEX, STAGE_AGE_DAYS} & {*wanted}:
            rows = compute_features(self.known, anchors, self.catalogue)
        else:
            rows = self._some(anchors, wanted)
        matrix = rows.select(pl.col(name).fill_null(np.nan) for name in wanted).to_numpy()
        return Features(names=wanted, values=np.ascontiguousarray(matrix, dtype=np.float64), schema=schema.fingerprint)

    def _some(self, anchors: pl.DataFrame, names: tuple[str, ...]) -> pl.DataFrame:
        """A few features, without the nine look-backs that the age of a stage needs."""
        moments = anchors.select("customer_id", at_us=pl.col("at").dt.epoch("us"))
        defined = [one for one in definitions(self.catalogue) if one.name in names]
        rows = evaluate(moments, sources_of(self.known, self.catalogue), defined)
        return anchors.join(rows, on="customer_id", how="left", maintain_order="left")


def together(parts: Sequence[History]) -> History:
    """Histories of the same customers, one after the other."""
    return History(**{name: pl.concat([canonical(name, getattr(one, name)) for one in parts]) for name in TABLES})


def rule_features(policy: Policy, touchpoint_id: str) -> frozenset[str]:
    """Features that rules look at: those of stages, offers and creatives of a touchpoint."""
    candidates = policy.compiled_candidates(touchpoint_id)
    rules = [stage.entry for stage in policy.catalogue.stages]
    rules += [rule.predicate for one in candidates for rule in (*one.eligibility, *one.applicability, *one.suitability)]
    rules += [lever.when for lever in policy.catalogue.levers]
    return frozenset(fact for rule in rules for fact in facts_of(rule) if is_feature(fact))
