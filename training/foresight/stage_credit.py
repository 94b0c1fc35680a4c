"""What messages add beyond the window, by where they leave customers: from stage values to credit by offer and stage.

A window later a customer stands at stage s'. What is still to come until the horizon is worth V(s'), which the window
has not counted. So a message's credit is the difference it makes to V(s'), against silence to customers alike::

    D = V(s') - E[V(s') | x, silence]          for decisions that sent something
    credit(offer, stage) = mean of D, shrunk towards 0 by its own error

E[V(s') | x, silence] is learned where silence was chosen though something else was possible, by a booster that did not
see the customer; the stage that the log names is among its columns, since whoever decided may have looked at it. The
credit is believed as far as it proves right for other customers: what comes of half of them per unit of what the other
half predicts is its slope, at most 1, and 0 where that is not above 0 beyond noise.

V is what came under whatever was sent in the log. Customers without a decision soon after the window are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from decisioning.arrays import BoolArray, FloatArray, IntArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InsufficientDataError
from decisioning.foresight.stages import StageCredit
from features.computing.feature_set import STAGE_INDEX
from training.data.datasets import Dataset
from training.data.steps import UNKNOWN_STAGE, Steps, stage_codes
from training.foresight.stage_values import StageMoves, StageValues, stage_values
from training.models.boosting import customer_folds
from training.models.cross_predictions import IngredientSettings, cross_predictor
from training.models.step_effects import chose_silence, shrink_to_zero, told_stages
from training.off_policy.estimators import clustered_error

MOST_ROWS = 60_000
"""Decisions that credit is learned from, those of customers drawn at random."""

_LATEST = 1.5  # windows after a decision until which the next stage is looked for
_FEWEST = 200
_FOLDS = 2
_SURE = 1.96
_SEED = 13


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditReport:
    """What came of looking beyond the window.

    Attributes:
        stages: Names, in journey order.
        values: Worth of standing at each until the horizon, a window included.
        slope: What came for other customers per unit of credit; None where it could not be asked.
        slope_error: Its standard error.
        strength: How much of the credit is believed, in [0, 1].
    """

    stages: tuple[str, ...]
    horizon_days: float
    values: StageValues
    slope: float | None
    slope_error: float | None
    strength: float

    def plain(self) -> dict[str, Any]:
        """As a bundle's notes keep it; what is not known is None."""
        known = [bool(one) for one in np.isfinite(self.values.values)]
        return {
            "horizon_days": self.horizon_days,
            "stages": list(self.stages),
            "values": [
                value if is_in else None for value, is_in in zip(self.values.values.tolist(), known, strict=True)
            ],
            "standard_errors": [
                error if is_in else None
                for error, is_in in zip(self.values.standard_errors.tolist(), known, strict=True)
            ],
            "customers": self.values.customers.tolist(),
            "slope": self.slope,
            "slope_error": self.slope_error,
            "strength": self.strength,
        }


def credit_stages(
    dataset: Dataset, steps: Steps | None, catalogue: Catalogue
) -> tuple[StageCredit | None, CreditReport | None]:
    """Credit by offer and stage, None where none is believed, and what came of asking; None where stages say nothing.

    Args:
        dataset: What a model learned from.
        steps: Of it, where the catalogue learns by them; they know the stages that the log names.
        catalogue: Says which stages there are and how far ahead is looked.
    """
    learning, stages = catalogue.learning, tuple(stage.stage_id for stage in catalogue.stages)
    windows = 0.0 if learning is None else learning.horizon_days / learning.window_days
    told = told_stages(dataset) - 1
    stood = told if steps is None else np.where(steps.stages == UNKNOWN_STAGE, told, steps.stages)
    followed, later = followed_rows(dataset, stood)
    if len(stages) < 2 or windows <= 1 or followed.sum() < _FEWEST:  # noqa: PLR2004 - nowhere to move to
        return None, None
    part = dataset.take(followed)
    journeys = StageMoves(customers=part.customers, stages=stood[followed], later=later[followed], values=part.values)
    whole = stage_values(journeys, len(stages), windows)
    beyond = stage_values(journeys, len(stages), windows - 1).filled
    report = CreditReport(
        stages=stages,
        horizon_days=0.0 if learning is None else learning.horizon_days,
        values=whole,
        slope=None,
        slope_error=None,
        strength=0.0,
    )
    if learning is None or not learning.stage_credit:
        return None, report
    try:
        effects = _Effects.of(part, beyond[journeys.later], journeys.stages, len(stages))
    except InsufficientDataError:
        return None, report
    slope, error = effects.slope()
    strength = float(np.clip(slope, 0.0, 1.0)) if slope > _SURE * error > 0 else 0.0
    report = replace(report, slope=slope, slope_error=error, strength=strength)
    if not strength:
        return None, report
    return StageCredit(feature=STAGE_INDEX, by_offer=effects.by_offer(strength)), report


def followed_rows(dataset: Dataset, stages: IntArray) -> tuple[BoolArray, IntArray]:
    """Decisions at a known stage that another at one follows soon after the window, and its stage: shapes (n,).

    Args:
        dataset: n decisions.
        stages: shape (n,), place of each one's stage; negative where it is not known.
    """
    seconds = dataset.decisions["decided_at"].dt.epoch("us").to_numpy() / 1e6
    windows = dataset.contexts[:, 0] * 86_400.0
    order = np.lexsort((seconds, dataset.customers))
    span = seconds.max(initial=0.0) - seconds.min(initial=0.0) + _LATEST * windows.max(initial=0.0) + 1.0
    line = dataset.customers * 2 * span + seconds - seconds.min(initial=0.0)
    found = np.searchsorted(line[order], line + windows)
    is_in = found < dataset.size
    next_row = order[np.minimum(found, dataset.size - 1)]
    soon = is_in & (line[next_row] <= line + _LATEST * windows)
    later = np.where(soon, stages[next_row], -1)
    return soon & (stages >= 0) & (later >= 0), later


@dataclass(frozen=True, slots=True, kw_only=True)
class _Effects:
    """D of decisions that sent something.

    Attributes:
        offers: Names by place.
        changes: shape (m,), D.
        cells: shape (m,), offer and stage.
        folds: shape (m,).
        customers: shape (m,).
        stage_count: s.
    """

    offers: Sequence[str]
    changes: FloatArray
    cells: IntArray
    folds: IntArray
    customers: IntArray
    stage_count: int

    @classmethod
    def of(cls, dataset: Dataset, target: FloatArray, stages: IntArray, stage_count: int) -> "_Effects":
        """Compare with silence to customers alike.

        Raises:
            InsufficientDataError: Hardly any silence.
        """
        drawn = np.random.default_rng(_SEED).random(int(dataset.customers.max()) + 1)
        kept = (drawn < MOST_ROWS / dataset.size)[dataset.customers]
        part, target, stages = dataset.take(kept), target[kept], stages[kept]
        folds = customer_folds(part.customers, _FOLDS, _SEED)
        settings = IngredientSettings(smallest_leaf=int(np.clip(part.size / 3_000, 20, 200)), seed=_SEED)
        design = np.hstack([part.features, part.contexts, stage_codes(stages)])
        usual = cross_predictor(design, target, chose_silence(part), folds, settings).predict(design, folds)
        sent = part.actions > 0
        names = [message.offer.offer_id for message in part.messages]
        offers, places = np.unique(names, return_inverse=True)
        return cls(
            offers=offers.tolist(),
            changes=(target - usual)[sent],
            cells=places[part.actions[sent] - 1] * stage_count + stages[sent],
            folds=folds[sent],
            customers=part.customers[sent],
            stage_count=stage_count,
        )

    def believed(self, rows: BoolArray) -> FloatArray:
        """Mean of D per cell of some rows, shrunk: shape (offers x stages,)."""
        size = len(self.offers) * self.stage_count
        cells, changes = self.cells[rows], self.changes[rows]
        counts = np.bincount(cells, minlength=size)
        means = np.bincount(cells, weights=changes, minlength=size) / np.maximum(counts, 1)
        squares = np.bincount(cells, weights=(changes - means[cells]) ** 2, minlength=size)
        is_known = counts > 1
        errors = np.sqrt(squares[is_known] / (counts[is_known] - 1) / counts[is_known])
        found = np.zeros(size)
        if is_known.any():
            found[is_known] = shrink_to_zero(means[is_known], errors)
        return found

    def slope(self) -> tuple[float, float]:
        """What came per unit of what was believed by the other half of customers, and its standard error."""
        predicted = np.zeros(len(self.changes))
        for fold in range(_FOLDS):
            own = self.folds == fold
            predicted[own] = self.believed(~own)[self.cells[own]]
        total = float((predicted**2).sum())
        if total == 0 or np.unique(self.customers).size < 2:  # noqa: PLR2004 - a spread takes two
            return 0.0, 0.0
        slope = float(predicted @ self.changes) / total
        influence = predicted * (self.changes - slope * predicted)
        return slope, clustered_error(influence, self.customers) * len(predicted) / total

    def by_offer(self, strength: float) -> dict[str, tuple[float, ...]]:
        """Credit by offer and stage."""
        table = strength * self.believed(np.ones(len(self.cells), dtype=np.bool_)).reshape(-1, self.stage_count)
        return {offer: tuple(row) for offer, row in zip(self.offers, table.tolist(), strict=True) if any(row)}
