"""Feature skew: what the engine's own decisions looked at, against what the features say now of the same moments.

Features of a decision are as old as the last materialisation, and the log may have learned since of what happened
before. A model learns from both: from what was logged of own decisions, and from what is computed now of imported ones.
Where they differ much, it learns of customers of another kind than it is asked about.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl

from decisioning.arrays import FloatArray

MOST_SAMPLED = 20_000
"""Decisions that are looked at."""

MOST_DIFFERENCE = 0.1
"""Standard deviations by which the means of a feature may differ before a training run says so."""

MOST_MISSING = 0.05
"""Share of decisions in which a feature may be missing on one side only before a training run says so."""

UNLIKE = np.inf
"""Stands for a value that was logged under another meaning of its feature."""

SKEW_FILE = "feature_skew.csv"

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


def skew_report(names: Sequence[str], logged: FloatArray, computed: FloatArray, *, from_later: int = 0) -> SkewReport:
    """Compare logged with computed features of some of the engine's own decisions.

    Args:
        names: d features.
        logged: shape (s, d), NaN where missing, infinite where a feature meant something else when it was logged.
        computed: shape (s, d), of the same decisions.
        from_later: Decisions that were left out.
    """
    skews = (
        _skew(name, logged[rows, place], computed[rows, place])
        for place, name in enumerate(names)
        if (rows := logged[:, place] != UNLIKE).any()
    )
    ordered = sorted(skews, key=lambda one: (-one.size, one.equal, one.feature))
    return SkewReport(features=tuple(ordered), decisions=len(logged), from_later=from_later)


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
