"""From a dataset to a model: boosters, effects, and the numbers between them, all chosen by cross-validation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from decisioning.arrays import BoolArray, FloatArray, IntArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.measure import Measure
from decisioning.effects.group_slopes import GroupSlopes
from decisioning.effects.linear_basis import LinearBasis
from decisioning.effects.message_coding import MessageCoding, MessageNumbers
from decisioning.value_model import Calibrator, DesignLayout
from features.catalogue.version import measure_definition
from features.computing.feature_set import feature_schema as schema_of
from features.models.bundle import ModelBundle
from features.progress import OnProgress
from training.data.action_probabilities import LoggedChoice, logged_choice
from training.data.datasets import Dataset, learning_of
from training.data.missing import column_groups
from training.data.net_worth import NetWorth
from training.models.average_effects import levels_of
from training.models.boosting import (
    BoosterSettings,
    CrossFitted,
    cross_fit,
    customer_folds,
    message_table,
    raw_of,
    settings_for,
)
from training.models.effects import (
    EffectEvidence,
    MessageEffects,
    Mixture,
    Parts,
    believe,
    left_by_averages,
    mixture_of,
    with_baseline,
)
from training.models.few_decisions import FEW_DECISIONS, effects_of
from training.models.group_slopes import GROUPS_NOTE, CustomerGroups, GroupFinding, groupings_of, slopes_by_groups
from training.models.linear_fit import cross_fitted, fit_linear
from training.models.new_offers import number_ranges, prior_of
from training.models.validation import Validation, validate

MOST_SCORED = 24_000_000
"""Decisions times candidates that calibration looks at: more would take more than 200 MB a copy."""

MOST_AVERAGED = 5_000
"""Decisions that the final booster's mean effects are taken over."""

TOLD_NUMBERS = 3
"""Numbers by which a booster that was told effects tells messages apart."""

MOST_DIRECTIONS = 12
"""Numbers of a customer that linear effects are made of, at most."""

SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)
"""Shares of the particular part that are tried, boldest first."""

_NOTHING = 1e-9  # an effect that is rounding
_CAUTION = 0.5  # standard errors taken off a gain before shares are compared
_KEPT_SHARE = 0.5  # of a particular part that is there beyond doubt
_BEYOND_DOUBT = 4.0  # standard errors


@dataclass(frozen=True, slots=True, kw_only=True)
class StepChanges:
    """What m messages that were sent changed over their steps, beyond what was believed of them.

    Attributes:
        rows: shape (m,), which decisions sent them.
        messages: shape (m,), which message: i for message i - 1, as actions have it.
        left: shape (m,), by estimates that did not see the customer.
    """

    rows: IntArray
    messages: IntArray
    left: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """A model and what is known of it.

    Attributes:
        evidence: The decisions it was calibrated on.
        rows: Which of the dataset's they are.
        parts: What is believed of it; `values` of `evidence.raw` are what the model says of customers it did not see.
        specific_share: Share of the particular part that is used; see `SHARES`.
        groups: What came of asking journey stages and segments how much of what is personal proves right there.
        validation: What its free choice is worth on customers it did not see; None where the log has no probabilities.
        changes: What messages changed over their steps, where it learned by steps; None where it learned by windows.
    """

    bundle: ModelBundle
    dataset: Dataset
    evidence: EffectEvidence
    rows: BoolArray | IntArray
    choice: LoggedChoice
    fitted: CrossFitted
    effects: MessageEffects
    parts: Parts
    specific_share: float
    validation: Validation | None
    settings: BoosterSettings
    groups: tuple[GroupFinding, ...] = ()
    changes: StepChanges | None = None

    @property
    def best_constant(self) -> str:
        """The single action that is worth most on average: a message key, or `silence` where none beats it."""
        return self.dataset.keys[best_constant(self.effects, self.evidence.worth)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A dataset, and what a catalogue says of learning from it.

    Attributes:
        table: shape (k + 1, m), from `boosting.message_table`.
    """

    dataset: Dataset
    catalogue: Catalogue
    measure: Measure
    coding: MessageCoding
    layout: DesignLayout
    table: FloatArray
    choice: LoggedChoice

    @classmethod
    def of(cls, dataset: Dataset, catalogue: Catalogue, *, directions: int = 0, has_averages: bool = False) -> "Lesson":
        """Prepare a dataset.

        Args:
            dataset: n decisions.
            catalogue: Says what is learned.
            directions: Numbers of a customer that linear effects are made of.
            has_averages: Whether groups of customers may have slopes of their own.
        """
        coding = MessageCoding(
            offer_kinds=catalogue.offer_kinds,
            channels=tuple(sorted(catalogue.channels)),
            attributes=catalogue.offer_attributes,
            loadings=(MessageNumbers(),) * directions,
            averages=MessageNumbers() if has_averages else None,
        )
        return cls(
            dataset=dataset,
            catalogue=catalogue,
            measure=learning_of(catalogue)[1],
            coding=coding,
            layout=DesignLayout(customer=dataset.feature_names, message=coding.columns),
            table=message_table(coding, dataset),
            choice=logged_choice(dataset),
        )

    def evidence(self, rows: BoolArray | IntArray, raw: FloatArray) -> EffectEvidence:
        """Some decisions, with what boosters that did not see their customers say of them."""
        _, customers = np.unique(self.dataset.customers[rows], return_inverse=True)
        return EffectEvidence(
            raw=raw,
            actions=self.dataset.actions[rows],
            values=self.dataset.values[rows],
            customers=customers.astype(np.int64),
            choice=replace(self.choice, probabilities=self.choice.probabilities[rows]),
            levels=levels_of(self.dataset.messages),
            worth=self.worth,
        )

    def with_numbers(self, numbers: FloatArray) -> "Lesson":
        """The same, where the booster may look at numbers of the messages, shape (k, r), in place of loadings."""
        table = self.table.copy()
        table[1:, -numbers.shape[1] :] = numbers
        return replace(self, table=table)

    @property
    def worth(self) -> NetWorth:
        """What the dataset's messages cost and their outcomes count for."""
        return NetWorth.of(self.dataset.messages, self.measure.unit)

    def bundle(
        self,
        booster: str,
        parts: Parts,
        calibrator: Calibrator,
        effects: MessageEffects,
        linear: "LinearPart | None" = None,
        slopes: GroupSlopes | None = None,
        **notes: object,
    ) -> ModelBundle:
        """What decisions are made with, and what is noted of it."""
        learning, schema, keys = learning_of(self.catalogue)[0], schema_of(self.catalogue), self.dataset.keys
        return ModelBundle(
            booster=booster,
            layout=self.layout,
            coding=_coding_of(self, parts, linear),
            calibrator=calibrator,
            feature_schema=schema.fingerprint,
            catalogue_version=self.catalogue.version,
            measure_id=self.measure.measure_id,
            measure_definition=measure_definition(self.measure),
            window_days=learning.window_days,
            feature_meanings={
                name: schema.meaning_of[name] for name in self.layout.customer if name in schema.meaning_of
            },
            unit=self.measure.unit,
            basis=None if linear is None else linear.basis,
            group_slopes=slopes,
            notes={
                "best_constant": keys[best_constant(effects, self.worth)],
                "average_effects": dict(zip(keys[1:], effects.shrunk_averages.tolist(), strict=True)),
                "is_randomised": self.choice.is_randomised,
                "dataset_digest": self.dataset.digest,
                **notes,
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Retold:
    """Another account of effects in the form that is served.

    Attributes:
        fitted: A booster that says it, and what it says of customers that it was not learned from.
        numbers: shape (k, r), of the messages, by which the booster tells them apart: they stand where loadings do.
    """

    fitted: CrossFitted
    numbers: FloatArray


type Retell = Callable[[Lesson, EffectEvidence, CrossFitted, BoolArray, BoosterSettings], Retold]
"""Another account of effects, from the usual boosters', evidence with them, and the decisions that it is about."""


def learn(
    dataset: Dataset,
    catalogue: Catalogue,
    *,
    settings: BoosterSettings | None = None,
    retell: "Retell | None" = None,
    on_progress: OnProgress | None = None,
) -> Learned:
    """Train a model.

    Args:
        dataset: What is learned from.
        catalogue: Says what is learned.
        settings: Of boosters; None for the usual ones.
        retell: Puts another account of effects in the place of the boosters' and of the linear one.
        on_progress: Told how many rounds of boosting are done, of how many at most.
    """
    groupings = _groupings(dataset, catalogue)
    directions = _direction_count(dataset) if retell is None else min(TOLD_NUMBERS, len(dataset.messages))
    lesson = Lesson.of(dataset, catalogue, directions=directions, has_averages=bool(groupings))
    layout, choice = lesson.layout, lesson.choice
    settings = settings or settings_for(dataset, lesson.measure)
    rows = _calibrated_rows(dataset, settings.seed)
    groups = column_groups(dataset.feature_names, catalogue)
    fitted = cross_fit(dataset, lesson.table, layout, settings, groups=groups, rows=rows, on_progress=on_progress)
    told_by = None
    if retell is not None:
        told_by = retell(lesson, lesson.evidence(rows, fitted.raw * fitted.scale), fitted, rows, settings)
        fitted, lesson = told_by.fitted, lesson.with_numbers(told_by.numbers)
    evidence = lesson.evidence(rows, fitted.raw * fitted.scale)
    effects = effects_of(evidence)
    if told_by is None:
        evidence, linear = _with_linear(lesson, evidence, effects, dataset.features[rows], settings)
    else:
        linear = LinearPart(basis=_no_basis(dataset, directions), loadings=told_by.numbers)
    share = _specific_share(evidence, effects) if choice.is_randomised else 1.0
    mixture = _mixture(evidence, effects, share)
    believed = believe(effects, evidence.raw, specific_share=share, mixture=mixture)
    evidence, slopes, told = _with_group_slopes(lesson, evidence, effects, believed, rows, groupings)
    seen = with_baseline(believed, evidence)
    averaged = customers_at_random(dataset, MOST_AVERAGED / dataset.size, settings.seed + 2)
    final_raw = raw_of(fitted.text, layout, dataset, lesson.table, averaged) * fitted.scale
    final = replace(  # the baseline is estimated on customers that boosters did not see
        believe(effects, final_raw, specific_share=share, mixture=mixture),
        baseline_intercept=seen.baseline_intercept,
        baseline_slope=seen.baseline_slope,
        linear_share=seen.linear_share if told_by is None else 1.0,  # what a booster was told messages by stays
    )
    calibrator = _calibrator(final, lesson.table, fitted)
    notes = _group_notes(told) | ({} if fitted.likeness is None else {"likeness": fitted.likeness})
    return Learned(
        bundle=lesson.bundle(fitted.text, final, calibrator, effects, linear, slopes, **notes),
        dataset=dataset,
        evidence=evidence,
        rows=rows,
        choice=choice,
        fitted=fitted,
        effects=effects,
        parts=seen,
        specific_share=share,
        validation=validate(evidence, seen, best_constant(effects, evidence.worth)) if choice.is_randomised else None,
        settings=settings,
        groups=told,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearPart:
    """Linear effects as they are served.

    Attributes:
        loadings: shape (k, r), of the messages of the log.
    """

    basis: LinearBasis
    loadings: FloatArray


def _no_basis(dataset: Dataset, directions: int) -> LinearBasis:
    """Numbers of customers that are all 0: loadings are there for the booster alone."""
    d = len(dataset.feature_names)
    return LinearBasis(
        means=np.zeros(d), spreads=np.ones(d), directions=np.zeros((directions, d)), centres=np.zeros(directions)
    )


def _direction_count(dataset: Dataset) -> int:
    if dataset.size < FEW_DECISIONS:
        return 0
    return min(MOST_DIRECTIONS, len(dataset.messages), len(dataset.feature_names))


def _with_linear(
    lesson: Lesson,
    evidence: EffectEvidence,
    effects: MessageEffects,
    features: FloatArray,
    settings: BoosterSettings,
) -> tuple[EffectEvidence, LinearPart | None]:
    """Evidence with cross-fitted linear effects, and the effects that are served; as it was for a log too small."""
    if not lesson.coding.loadings:
        return evidence, None
    left = left_by_averages(evidence, effects)
    folds = customer_folds(evidence.customers, settings.fold_count, settings.seed)
    linear = cross_fitted(evidence, features, left, folds)
    basis, loadings = fit_linear(evidence, features, left).factors(len(lesson.coding.loadings))
    return replace(evidence, linear=linear), LinearPart(basis=basis, loadings=loadings)


def _groupings(dataset: Dataset, catalogue: Catalogue) -> tuple[CustomerGroups, ...]:
    """Groups that slopes are looked for in; none where no policy can be valued."""
    if dataset.size < FEW_DECISIONS or not dataset.is_randomised:
        return ()
    return groupings_of(catalogue, dataset.feature_names)


def _with_group_slopes(
    lesson: Lesson,
    evidence: EffectEvidence,
    effects: MessageEffects,
    believed: Parts,
    rows: BoolArray,
    groupings: Sequence[CustomerGroups],
) -> tuple[EffectEvidence, GroupSlopes | None, tuple[GroupFinding, ...]]:
    """Evidence with the slope of each decision's customer, and the slopes that are served."""
    if not groupings:
        return evidence, None, ()
    dataset = lesson.dataset
    slopes, of_rows, told = slopes_by_groups(
        evidence,
        with_baseline(believed, evidence),
        left_by_averages(evidence, effects),
        [dataset.features[rows, dataset.feature_names.index(one.feature)] for one in groupings],
        groupings,
        best_constant(effects, evidence.worth),
    )
    return replace(evidence, slopes=of_rows), slopes, told


def _group_notes(told: Sequence[GroupFinding]) -> dict[str, Any]:
    return {GROUPS_NOTE: [one.plain() for one in told]} if told else {}


def _mixture(evidence: EffectEvidence, effects: MessageEffects, specific_share: float) -> Mixture:
    boosted = believe(effects, evidence.raw, specific_share=specific_share)
    return mixture_of(evidence, effects, left_by_averages(evidence, effects), boosted)


def best_constant(effects: MessageEffects, worth: NetWorth | None = None) -> int:
    """The single action that is worth most on average, its contact paid: 0 for silence, i for message i - 1.

    Of messages that are believed to be worth the same, the one whose estimate is higher.
    """
    worth = worth or NetWorth.gross(len(effects.averages))
    averages, believed = (
        worth.weights[1:] * one - worth.costs[1:] for one in (effects.averages, effects.shrunk_averages)
    )
    best = int(np.lexsort((averages, believed))[-1])
    return best + 1 if believed[best] > _NOTHING else 0


def _specific_share(evidence: EffectEvidence, effects: MessageEffects) -> float:
    """The share with which free choice does best against the best single message, cross-validated and cautious.

    The highest of many estimates is too high even where each is right on average, so free choice wants less of the
    particular part than the best prediction does. Under limits it pays in full; where it is there beyond doubt, at
    least half is kept.
    """
    is_clear = effects.specific.value > _BEYOND_DOUBT * effects.specific.standard_error
    constant = best_constant(effects, evidence.worth)

    def worth(share: float) -> float:
        parts = with_baseline(believe(effects, evidence.raw, specific_share=share), evidence)
        gain = validate(evidence, parts, constant).gain_over_constant
        assert gain is not None  # noqa: S101 - `validate` values every constant
        return gain.value - _CAUTION * gain.standard_error

    return max((share for share in SHARES if not is_clear or share >= _KEPT_SHARE), key=worth)


def _calibrated_rows(dataset: Dataset, seed: int) -> BoolArray:
    """All decisions, or those of as many customers as calibration has time for: shape (n,)."""
    share = MOST_SCORED / (dataset.size * len(dataset.keys))
    return customers_at_random(dataset, share, seed + 1)


def customers_at_random(dataset: Dataset, share: float, seed: int) -> BoolArray:
    """Decisions of a share of customers, at least a hundred of them: shape (n,)."""
    if share >= 1:
        return np.ones(dataset.size, dtype=np.bool_)
    draws = np.random.default_rng(seed).random(int(dataset.customers.max()) + 1)
    return (draws <= max(share, float(np.sort(draws)[min(99, len(draws) - 1)])))[dataset.customers]


def _calibrator(parts: Parts, table: FloatArray, fitted: CrossFitted) -> Calibrator:
    """The numbers of a model, with the scale of the learned function in the slopes."""
    kept, scale = np.flatnonzero(parts.references), fitted.scale
    return Calibrator(
        baseline_intercept=parts.baseline_intercept,
        baseline_slope=parts.baseline_slope * scale / fitted.silence_weight,
        common_slope=parts.common_slope * scale,
        specific_slope=parts.specific_slope * scale,
        reference=table[kept + 1],
        reference_weights=parts.references[kept],
    )


def _coding_of(lesson: Lesson, parts: Parts, linear: LinearPart | None) -> MessageCoding:
    """The coding with what is known of each message, and what to expect of others."""
    offset, response = _numbers_of(lesson, parts.offsets), _numbers_of(lesson, parts.responses)
    averages = np.zeros_like(parts.offsets) if parts.averages is None else parts.averages
    loadings = np.empty((len(parts.offsets), 0)) if linear is None else parts.linear_share * linear.loadings
    return replace(
        lesson.coding,
        offsets=offset.by_message,
        offer_offsets=offset.by_offer,
        prior_offset=offset.prior,
        prior_slopes=offset.prior_slopes,
        responses=response.by_message,
        offer_responses=response.by_offer,
        prior_response=response.prior,
        response_slopes=response.prior_slopes,
        number_ranges=number_ranges(lesson.coding, lesson.table[1:], lesson.choice.shares[1:]),
        loadings=tuple(_numbers_of(lesson, column) for column in loadings.T),
        averages=None if lesson.coding.averages is None else _numbers_of(lesson, averages),
    )


def _numbers_of(lesson: Lesson, numbers: FloatArray) -> MessageNumbers:
    """Numbers of the log's messages, shape (k,), and what to expect of others."""
    dataset, shares = lesson.dataset, lesson.choice.shares[1:]
    expected = prior_of(lesson.coding, lesson.table[1:], numbers, shares)
    return MessageNumbers(
        by_message=dict(zip(dataset.keys[1:], numbers.tolist(), strict=True)),
        by_offer=_by_offer([message.offer.offer_id for message in dataset.messages], numbers, shares),
        prior=expected.start,
        prior_slopes=expected.slopes,
    )


def _by_offer(offers: Sequence[str], numbers: FloatArray, shares: FloatArray) -> dict[str, float]:
    """Mean over the messages of each offer, weighted by how often they were sent."""
    places = {offer: [place for place, one in enumerate(offers) if one == offer] for offer in offers}
    return {offer: float(np.average(numbers[at], weights=shares[at])) for offer, at in places.items()}
