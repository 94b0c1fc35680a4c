"""What offers do to customers who see them, estimated from steps, for logs that rules have shaped.

Where rules say who may get what, no weights make a log as if everybody could have got everything. And over a window of
weeks, what one message does drowns in what happens anyway. So a message is compared with silence to customers alike,
and only over the step that it can have changed::

    target  S = value before the next decision + V(where the customer stands then)
    effect  D = S - E[S | x, silence]                          for decisions that sent something
    D         = P(seen | x, message) x theta(offer, stage) + noise

V is what was to come in the rest of the window, by what customers do: nothing that we send is among its columns, or
having been sent something would count as a reason to buy. E[S | x, silence] is learned where silence was drawn though
something else was possible; the stage that the log names is among its columns, since whoever decided may have looked at
it. Both are predicted by boosters that did not see the customer. A message that is not seen changes nothing, so effects
grow with the chance of being seen, which reactions tell far better than money does. Theta is shrunk towards zero by its
own evidence (empirical Bayes): what is not known to work is not believed to.

The target is as good as what customers do tells where they stand. What a message changes beyond that is not seen.

Reference:
    Athey, Chetty, Imbens and Kang (2019), The surrogate index: combining short-term proxies to estimate long-term
    treatment effects more rapidly and precisely, eq. 3; Kunzel, Sekhon, Bickel and Yu (2019), Metalearners for
    estimating heterogeneous treatment effects, section 2 (imputed effects on the treated); Morris (1983), Parametric
    empirical Bayes inference.
"""

from dataclasses import dataclass

import numpy as np

from decisioning.arrays import BoolArray, FloatArray, IntArray
from features.computing.feature_set import STAGE_INDEX
from training.data.datasets import Dataset
from training.data.steps import UNKNOWN_STAGE, Steps, stage_codes
from training.models.boosting import customer_folds, designs
from training.models.cross_predictions import CrossPredictor, IngredientSettings, cross_predictor

FOLDS = 2
"""Folds of customers: each ingredient is trained this often."""

CERTAIN = 0.999
"""Silence with a greater probability was no choice: nothing else was possible."""

_PASSES = 100
_LEAST_VARIANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What came of n decisions, and what was to be expected of silence.

    Attributes:
        folds: shape (n,), fold of each decision's customer.
        target: shape (n,), S.
        silence: shape (n,), E[S | x, silence] by boosters that did not see the customer.
        loss: Held-out loss of the booster of `silence`, by round.
    """

    folds: IntArray
    target: FloatArray
    silence: FloatArray
    loss: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingredients(Expected):
    """What effects are estimated from, for n decisions.

    Attributes:
        seen: P(seen | x, message), by designs of customer and message; None where no log says what was seen.
        stages: shape (n,), what theta is grouped by besides the offer: place of the logged stage, from 1; where the
            log names none, that of the stage that features tell; 0 for none.
    """

    seen: CrossPredictor | None
    stages: IntArray

    def seen_probability(self, design: FloatArray, folds: IntArray) -> FloatArray:
        """P(seen) of design rows, shape (n,); 1 where nothing says so."""
        return np.ones(len(design)) if self.seen is None else self.seen.predict(design, folds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Theta:
    """What being seen changes, by offer and stage.

    Attributes:
        believed: shape (offers, stages), shrunk; 0 where nothing is known.
        values: shape (offers, stages), as estimated; NaN where never sent.
        standard_errors: shape (offers, stages).
    """

    believed: FloatArray
    values: FloatArray
    standard_errors: FloatArray


def mix_ingredients(
    dataset: Dataset, steps: Steps, table: FloatArray, own_columns: BoolArray, seed: int
) -> Ingredients:
    """Train the boosters behind the estimates.

    Args:
        dataset: n decisions.
        steps: Of them.
        table: shape (k + 1, m), message columns of silence and messages.
        own_columns: shape (d,), features that what we send does not change.
        seed: Of folds and boosters.
    """
    found = expected_without(dataset, steps, own_columns, seed)
    return Ingredients(
        folds=found.folds,
        target=found.target,
        silence=found.silence,
        seen=_seen(dataset, steps, table, found.folds, _settings(dataset, seed)),
        stages=np.where(steps.stages == UNKNOWN_STAGE, told_stages(dataset), steps.stages + 1),
        loss=found.loss,
    )


def expected_without(dataset: Dataset, steps: Steps, own_columns: BoolArray, seed: int) -> Expected:
    """S and E[S | x, silence] of every decision; arguments as of `mix_ingredients`."""
    folds = customer_folds(dataset.customers, FOLDS, seed)
    settings = _settings(dataset, seed)
    target = _targets(dataset, steps, own_columns, folds, settings)
    baseline = np.hstack([dataset.features, dataset.contexts, stage_codes(steps.stages)])
    silence = cross_predictor(baseline, target, chose_silence(dataset), folds, settings)
    return Expected(folds=folds, target=target, silence=silence.predict(baseline, folds), loss=silence.loss)


def _settings(dataset: Dataset, seed: int) -> IngredientSettings:
    return IngredientSettings(smallest_leaf=int(np.clip(dataset.size / 3_000, 20, 200)), seed=seed)


def told_stages(dataset: Dataset) -> IntArray:
    """Place of the stage that features tell, from 1; 0 for none: shape (n,)."""
    if STAGE_INDEX not in dataset.feature_names:
        return np.zeros(dataset.size, dtype=np.int64)
    column = dataset.features[:, dataset.feature_names.index(STAGE_INDEX)]
    return np.where(np.isfinite(column), column + 1, 0).astype(np.int64)


def chose_silence(dataset: Dataset) -> BoolArray:
    """Silence where something else was possible, shape (n,); a probability that nobody logged counts as possible."""
    return (dataset.actions == 0) & ~(dataset.probabilities > CERTAIN)


def _targets(
    dataset: Dataset, steps: Steps, own_columns: BoolArray, folds: IntArray, settings: IngredientSettings
) -> FloatArray:
    """S: early worth and what is to be expected from where the customer stands next."""
    later, has_next = steps.following[steps.has_next], steps.has_next
    if not has_next.any():  # everybody was decided about once in a window: all of it is early
        return steps.early.copy()
    rest = np.zeros(dataset.size)
    rest[later] = (dataset.values - steps.early)[has_next]
    is_later = np.zeros(dataset.size, dtype=np.bool_)
    is_later[later] = True
    own = np.ascontiguousarray(dataset.features[:, own_columns])
    worth = cross_predictor(own, rest, is_later, folds, settings).predict(own, folds)
    target = steps.early.copy()
    target[has_next] += worth[later]
    return target


def _seen(
    dataset: Dataset, steps: Steps, table: FloatArray, folds: IntArray, settings: IngredientSettings
) -> CrossPredictor | None:
    sent = dataset.actions > 0
    if not (steps.is_seen & sent).any():
        return None
    asked = IngredientSettings(objective="binary", smallest_leaf=settings.smallest_leaf, seed=settings.seed)
    design = designs(dataset, table, dataset.actions)
    return cross_predictor(design, steps.is_seen.astype(np.float64), sent, folds, asked)


def estimate_theta(
    effects: FloatArray, seen: FloatArray, offers: IntArray, stages: IntArray, shape: tuple[int, int]
) -> Theta:
    """Regress effects on the chance of being seen, per offer and stage, and shrink.

    Args:
        effects: shape (n,), D of decisions that sent something.
        seen: shape (n,), their P(seen).
        offers: shape (n,), place of the offer.
        stages: shape (n,), place of the stage.
        shape: Offers and stages that there are.
    """
    cells = offers * shape[1] + stages
    size = shape[0] * shape[1]
    squares = np.bincount(cells, weights=seen**2, minlength=size)
    is_known = squares > 0
    safe = np.where(is_known, squares, 1.0)
    values = np.bincount(cells, weights=seen * effects, minlength=size) / safe
    residuals = seen * (effects - values[cells] * seen)
    errors = np.sqrt(np.bincount(cells, weights=residuals**2, minlength=size)) / safe
    believed = np.zeros(size)
    believed[is_known] = shrink_to_zero(values[is_known], errors[is_known])
    return Theta(
        believed=believed.reshape(shape),
        values=np.where(is_known, values, np.nan).reshape(shape),
        standard_errors=np.where(is_known, errors, np.nan).reshape(shape),
    )


def shrink_to_zero(values: FloatArray, errors: FloatArray) -> FloatArray:
    """Empirical Bayes under a normal prior around zero, whose spread is found by expectation and maximisation.

    Args:
        values: shape (c,), estimates.
        errors: shape (c,), their standard errors.

    Returns:
        Shape (c,): each value times spread / (spread + its error squared).
    """
    noise = np.maximum(errors**2, _LEAST_VARIANCE)
    spread = max(float(np.mean(values**2)), _LEAST_VARIANCE)
    for _ in range(_PASSES):
        kept = spread / (spread + noise)
        spread = max(float(np.mean((kept * values) ** 2 + kept * noise)), _LEAST_VARIANCE)
    return values * spread / (spread + noise)
