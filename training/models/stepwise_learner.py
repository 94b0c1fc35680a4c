"""From a dataset and its steps to a model: effects by `step_effects`, handed to one booster that can be served.

What is estimated is a sum of several boosters and a table. Serving scores one booster with one row per candidate, so
one is trained to say the same: on targets that hold no noise, it can come as close as it is given trees. Its baseline
is scaled down so that it spends them on effects, and scaled up again by the calibrator.
"""

from dataclasses import dataclass, replace

import numpy as np

from decisioning.arrays import BoolArray, FloatArray, IntArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InsufficientDataError
from decisioning.value_model import Calibrator, DesignLayout
from features.computing.definition import Group
from features.computing.feature_set import feature_schema as schema_of
from features.progress import OnProgress
from training.data.action_probabilities import LoggedChoice
from training.data.datasets import Dataset
from training.data.missing import column_groups
from training.data.net_worth import NetWorth
from training.data.steps import Steps
from training.models.boosting import CrossFitted, designs, importance_of, settings_for, tell
from training.models.effects import EffectEstimate, MessageEffects, Parts, reference_weights
from training.models.few_decisions import FEW_DECISIONS
from training.models.learner import Learned, Lesson, StepChanges, customers_at_random
from training.models.step_effects import (
    Ingredients,
    Theta,
    estimate_theta,
    mix_ingredients,
    shrink_to_zero,
    told_stages,
)
from training.models.validation import Validation
from training.off_policy.estimators import difference, mean_estimate

MOST_TOLD = 20_000
"""Decisions that the served booster is trained on."""

TOLD_MESSAGES = 6
"""Messages per decision that it is trained on, drawn at random."""

MOST_CHECKED = 20_000
"""Decisions that diagnostics look at."""

_UNLIKELY = 0.2  # weight of a message in a stage in which nobody got it
_OWN_GROUPS = frozenset({Group.PROFILE, Group.PURCHASE, Group.ACTIVITY, Group.SERVICE, Group.JOURNEY})
_STEPS_TO_TELL = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Course:
    """What is learned from, and what was estimated.

    Attributes:
        offers: shape (k,), place of each message's offer.
        own_stages: shape (n,), place of the stage as features tell it, since serving knows no other; see `Ingredients`.
        seen: P(seen) of the decisions that sent something.
        thetas: By fold, estimated without it; the last from everybody.
    """

    dataset: Dataset
    ingredients: Ingredients
    table: FloatArray
    offers: IntArray
    own_stages: IntArray
    seen: FloatArray
    thetas: tuple[Theta, ...]

    @property
    def changes(self) -> FloatArray:
        """D of decisions that sent something."""
        return (self.ingredients.target - self.ingredients.silence)[self.dataset.actions > 0]

    @property
    def sent_messages(self) -> IntArray:
        """Places of the messages that were sent."""
        return self.dataset.actions[self.dataset.actions > 0] - 1

    def believed_of_own(self) -> FloatArray:
        """What is believed of each message that was sent, by estimates that did not see the customer."""
        sent = self.dataset.actions > 0
        believed = np.stack([theta.believed for theta in self.thetas])
        folds, stages = self.ingredients.folds[sent], self.own_stages[sent]
        return self.seen * believed[folds, self.offers[self.sent_messages], stages]

    def effects(self, rows: IntArray) -> FloatArray:
        """What each message changes for some decisions, by estimates that did not see the customer: (rows, k)."""
        found = [self._effect(message, rows, self.ingredients.folds[rows]) for message in range(len(self.offers))]
        return np.column_stack(found)

    def told_effects(self, rows: IntArray, places: IntArray, messages: IntArray) -> FloatArray:
        """What messages change for the decisions at some places of rows, by estimates from everybody: (places,)."""
        found, everybody = np.empty(len(places)), len(self.thetas) - 1
        for message in range(len(self.offers)):
            told = np.flatnonzero(messages == message)
            if told.size:
                found[told] = self._effect(message, rows[places[told]], np.full(told.size, everybody))
        return found

    def _effect(self, message: int, rows: IntArray, thetas: IntArray) -> FloatArray:
        """What a message changes for decisions, each by the theta named beside it."""
        design = designs(_rows(self.dataset, rows), self.table, message + 1)
        seen = self.ingredients.seen_probability(design, self.ingredients.folds[rows])
        believed = np.stack([theta.believed[self.offers[message]] for theta in self.thetas])
        return seen * believed[thetas, self.own_stages[rows]]


def learn_steps(
    dataset: Dataset, steps: Steps, catalogue: Catalogue, *, on_progress: OnProgress | None = None
) -> Learned:
    """Train a model on steps.

    Raises:
        InsufficientDataError: Fewer than `FEW_DECISIONS` decisions, or hardly any silence among them.
    """
    if dataset.size < FEW_DECISIONS:
        raise InsufficientDataError(
            f"training by steps needs at least {FEW_DECISIONS} decisions whose window is over, got {dataset.size}; log"
            " more, or let learning.method be windows, which needs fewer"
        )
    tell = on_progress or (lambda _done, _total: None)
    lesson = Lesson.of(dataset, catalogue)
    settings, choice = settings_for(dataset, lesson.measure), lesson.choice
    ingredients = mix_ingredients(dataset, steps, lesson.table, own_columns(dataset, catalogue), settings.seed)
    tell(1, _STEPS_TO_TELL)
    course = _course(dataset, ingredients, lesson.table, stage_count=len(catalogue.stages) + 1)
    effects, parts = _effects(course, choice), _parts(choice)
    tell(2, _STEPS_TO_TELL)
    rows = _some(dataset, MOST_CHECKED, settings.seed + 1)
    silence = ingredients.silence[rows][:, np.newaxis]
    evidence = lesson.evidence(rows, np.hstack([silence, silence + course.effects(rows)]))
    tell(3, _STEPS_TO_TELL)
    served = _served(course, lesson.layout, parts, column_groups(dataset.feature_names, catalogue), settings.seed)
    tell(_STEPS_TO_TELL, _STEPS_TO_TELL)
    told = replace(parts, offsets=served.offsets)
    return Learned(
        bundle=lesson.bundle(served.text, told, served.calibrator, effects, likeness=served.likeness),
        dataset=dataset,
        evidence=evidence,
        rows=rows,
        choice=choice,
        fitted=served.fitted(evidence.raw, ingredients),
        effects=effects,
        parts=parts,
        specific_share=1.0,
        validation=_validate(course, lesson.worth) if choice.is_randomised else None,
        settings=settings,
        changes=StepChanges(
            rows=np.flatnonzero(dataset.actions > 0),
            messages=course.sent_messages + 1,
            left=course.changes - course.believed_of_own(),
        ),
    )


def own_columns(dataset: Dataset, catalogue: Catalogue) -> BoolArray:
    """Features of what customers are and do, which nothing that we send changes by itself: shape (d,)."""
    groups = schema_of(catalogue).groups
    own = {name for group in groups if group.name in _OWN_GROUPS for name in group.features}
    known = {name for group in groups for name in group.features}
    return np.array([name in own or name not in known for name in dataset.feature_names])


def _course(dataset: Dataset, ingredients: Ingredients, table: FloatArray, *, stage_count: int) -> _Course:
    names = [message.offer.offer_id for message in dataset.messages]
    offers = np.unique(names, return_inverse=True)[1].astype(np.int64)
    sent = dataset.actions > 0
    effects = (ingredients.target - ingredients.silence)[sent]
    seen = ingredients.seen_probability(designs(dataset, table, dataset.actions)[sent], ingredients.folds[sent])
    own, stages, folds = offers[dataset.actions[sent] - 1], ingredients.stages[sent], ingredients.folds[sent]
    shape = (int(offers.max()) + 1, stage_count)
    apart = [folds != fold for fold in range(int(ingredients.folds.max()) + 1)]
    return _Course(
        dataset=dataset,
        ingredients=ingredients,
        table=table,
        offers=offers,
        own_stages=told_stages(dataset),
        seen=seen,
        thetas=tuple(
            estimate_theta(effects[rows], seen[rows], own[rows], stages[rows], shape)
            for rows in (*apart, np.ones(len(own), dtype=np.bool_))
        ),
    )


def _parts(choice: LoggedChoice) -> Parts:
    """Effects are handed through: they were shrunk before they were handed to the booster."""
    count = len(choice.shares) - 1
    return Parts(
        common_slope=1.0,
        specific_slope=1.0,
        offsets=np.zeros(count),
        responses=np.ones(count),
        references=reference_weights(choice.shares[1:]),
    )


def _effects(course: _Course, choice: LoggedChoice) -> MessageEffects:
    """Mean effect of each message where it was possible, and how what is believed compares with what came."""
    changes, messages = course.changes, course.sent_messages
    counts = np.bincount(messages, minlength=len(course.offers))
    averages = np.bincount(messages, weights=changes, minlength=len(course.offers)) / counts
    squares = np.bincount(messages, weights=(changes - averages[messages]) ** 2, minlength=len(course.offers))
    errors = np.sqrt(np.maximum(squares, 1e-12)) / counts
    references = reference_weights(choice.shares[1:])
    slope = _slope(course.believed_of_own(), changes)
    return MessageEffects(
        averages=averages,
        standard_errors=errors,
        shrunk_averages=shrink_to_zero(averages, errors),
        responses=np.ones(len(course.offers)),
        common=slope,
        specific=slope,
        reference_weights=references,
        mean_effect=EffectEstimate(
            value=float(averages @ references), standard_error=float(np.sqrt((errors**2) @ (references**2)))
        ),
    )


def _slope(believed: FloatArray, changes: FloatArray) -> EffectEstimate:
    """What came per unit of what was believed of customers that the estimate did not see: 1 where it is right."""
    total = float((believed**2).sum())
    if total == 0:
        return EffectEstimate(value=0.0, standard_error=0.0)
    value = float(believed @ changes) / total
    error = float(np.sqrt((believed**2 * (changes - value * believed) ** 2).sum())) / total
    return EffectEstimate(value=value, standard_error=error)


def _some(dataset: Dataset, most: int, seed: int) -> IntArray:
    """Places of some decisions, those of customers drawn at random."""
    return np.flatnonzero(customers_at_random(dataset, most / dataset.size, seed))


def _rows(dataset: Dataset, rows: IntArray) -> Dataset:
    kept = np.zeros(dataset.size, dtype=np.bool_)
    kept[rows] = True
    return dataset.take(kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Served:
    """The booster that says what was estimated.

    Attributes:
        likeness: Share of the variance of effects that it says.
    """

    text: str
    calibrator: Calibrator
    offsets: FloatArray
    likeness: float
    scale: float
    importance: dict[str, float]

    def fitted(self, raw: FloatArray, ingredients: Ingredients) -> CrossFitted:
        """As diagnostics look at it; the curve is that of the baseline, whose targets hold noise."""
        return CrossFitted(
            text=self.text,
            scale=self.scale,
            rounds=int(ingredients.loss.argmin()) + 1,
            raw=raw,
            curve=ingredients.loss,
            importance=self.importance,
        )


def _served(course: _Course, layout: DesignLayout, parts: Parts, groups: IntArray, seed: int) -> _Served:
    """Train the booster that serves on what was estimated, and see how well it says it."""
    rows = _some(course.dataset, MOST_TOLD, seed + 2)
    places, messages = _told_pairs(course, rows, seed)
    silence, changes = course.ingredients.silence[rows], course.told_effects(rows, places, messages)
    part = _rows(course.dataset, rows)
    told = tell(part, course.table, silence, (places, messages), changes, groups=groups, seed=seed)
    offsets = _means(changes - told.changes, messages, len(course.offers))
    left = changes - told.changes - offsets[messages]
    return _Served(
        text=told.booster.model_to_string(),
        calibrator=Calibrator(
            baseline_intercept=0.0,
            baseline_slope=told.scale / told.silence_weight,
            common_slope=told.scale,
            specific_slope=told.scale,
            reference=course.table[np.flatnonzero(parts.references) + 1],
            reference_weights=parts.references[parts.references > 0],
        ),
        offsets=offsets,
        likeness=1.0 - float(left.var()) / float(changes.var()) if changes.var() else 1.0,
        scale=told.scale,
        importance=importance_of(told.booster, layout.columns),
    )


def _told_pairs(course: _Course, rows: IntArray, seed: int) -> tuple[IntArray, IntArray]:
    """Which messages of which decisions the booster is trained on: rarely those that the stage never gets."""
    rng, count = np.random.default_rng(seed + 4), len(course.offers)
    is_known = np.isfinite(course.thetas[-1].values)[course.offers][:, course.own_stages[rows]].T
    order = rng.random(is_known.shape) ** (1.0 / np.where(is_known, 1.0, _UNLIKELY))
    drawn = np.argsort(-order, axis=1, kind="stable")[:, : min(TOLD_MESSAGES, count)]
    return np.repeat(np.arange(len(rows)), drawn.shape[1]), drawn.ravel().astype(np.int64)


def _means(terms: FloatArray, messages: IntArray, count: int) -> FloatArray:
    """Mean of the terms of each message, 0 where there is none: shape (k,)."""
    counts = np.bincount(messages, minlength=count)
    return np.bincount(messages, weights=terms, minlength=count) / np.maximum(counts, 1)


def _validate(course: _Course, worth: NetWorth) -> Validation:
    """What it is worth to keep what was sent where it is believed to pay for its contact, and to be silent elsewhere.

    Nobody knows what else was possible, so nothing is said of messages that were not sent, and no single message for
    everybody can be valued.
    """
    dataset, ingredients = course.dataset, course.ingredients
    sent, nothing = dataset.actions > 0, np.zeros(dataset.size)
    left = worth.of_logged(ingredients.target - ingredients.silence, dataset.actions, nothing)
    believed = np.zeros(dataset.size)
    believed[sent] = course.believed_of_own()
    believed = np.where(sent, worth.of_logged(believed, dataset.actions, nothing), 0.0)
    silent = mean_estimate(ingredients.silence + np.where(sent, 0.0, left), dataset.customers)
    kept = mean_estimate(ingredients.silence + np.where(sent & (believed <= 0), 0.0, left), dataset.customers)
    gain = difference(kept, silent, dataset.customers)
    predicted = np.maximum(believed, 0.0)
    return Validation(
        value=kept,
        constant=None,
        silence=silent,
        logged=float(worth.of_logged(dataset.values, dataset.actions, ingredients.silence).mean()),
        gain_over_silence=gain,
        gain_over_constant=None,
        predicted_over_realised=float((ingredients.silence + predicted).mean()) / kept.value if kept.value else np.nan,
        predicted_gain_over_realised=float(predicted.mean()) / gain.value if gain.value else np.nan,
        deviation_share=float((believed > 0).mean()),
    )
