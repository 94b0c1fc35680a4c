"""One training run: from the log to a registered model version."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from decisioning.arrays import FloatArray
from decisioning.catalogue.catalogue import Catalogue, LearningMethod
from decisioning.catalogue.measure import Unit
from features.catalogue import load_catalogue
from features.log.event_log import LogSnapshot
from features.progress import OnProgress
from features.settings import Settings
from training.data.datasets import Dataset, learning_of
from training.data.skew import skew_notes, write_skew
from training.foresight.learning import foresight_metrics, foresight_notes, with_foresight, write_foresight
from training.judgement.diagnostics import metrics_of, write_plots
from training.judgement.from_log import TrainingSet, Trial, contest, learn_by_method, load_training_set, search, try_out
from training.judgement.uplift_pictures import write_pictures, write_tables
from training.models.contest import USUAL, with_contest, write_contest
from training.models.few_decisions import FEW_DECISIONS
from training.models.learner import Learned
from training.models.settings_search import write_trials
from training.off_policy.estimators import MIN_CUSTOMERS
from training.registry.run_metrics import judged_metrics, surely_below, uplift_metrics
from training.registry.tracking import CATALOGUE_TAG, ModelRun, TrackedModel, TrainingData, find_trained, track_model
from training.registry.uplift_run import Incumbent, find_incumbent, report_of_trial
from training.residuals.base import with_residual_base

DATASET_TAG = "dataset_digest"
LOG_TAG = "log_version"

_EXAMPLE_ROWS = 4
_LITTLE = 0.5  # of the differences between customers


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """What a training run gave.

    Attributes:
        version: Registered version; it decides nothing until it is promoted.
        left_out: Decisions that could not be used, by reason.
        measure: What it predicts; money in minor units of `currency`.
        best_constant: The single action that is worth most on average.
    """

    version: str
    run_id: str
    decisions: int
    customers: int
    messages: int
    left_out: dict[str, int]
    measure: str
    window_days: float
    best_constant: str
    is_randomised: bool
    metrics: dict[str, float]
    notes: tuple[str, ...]


def train_model(
    settings: Settings,
    *,
    now: datetime,
    trials: int = 0,
    is_wide: bool = False,
    on_progress: OnProgress | None = None,
) -> TrainReport:
    """Train on the log, log the run to MLflow and register the model.

    Args:
        settings: Where everything is.
        now: The moment of the run.
        trials: Settings of boosters to try first; 0 for the usual ones.
        is_wide: Whether other learners take part in the contest.
        on_progress: Told how many settings or learners were tried, or else how many rounds of boosting are done.

    Raises:
        InvalidPolicyError: The catalogue does not say what to learn.
        InsufficientDataError: Too few decisions.
        FeatureUnavailableError: Features were not built.
        UnavailableError: The log or MLflow is away.
    """
    catalogue = load_catalogue(settings.catalogue_path)
    found = load_training_set(settings, catalogue, now=now)
    return _train(settings, catalogue, found, now=now, trials=trials, is_wide=is_wide, on_progress=on_progress)


def train_if_new(
    settings: Settings, *, now: datetime, on_progress: OnProgress | None = None
) -> TrainReport | TrackedModel:
    """Train as `train_model` does, unless a registered version learned from the very same decisions.

    Returns:
        What was trained; or the version that learned from the same data under the same catalogue: the champion if it
        did, else the newest.

    Raises:
        NextbestError: As `train_model`.
    """
    catalogue = load_catalogue(settings.catalogue_path)
    found = load_training_set(settings, catalogue, now=now)
    known = find_trained(settings, {DATASET_TAG: found.dataset.digest, CATALOGUE_TAG: catalogue.version})
    return known or _train(settings, catalogue, found, now=now, on_progress=on_progress)


def _train(
    settings: Settings,
    catalogue: Catalogue,
    found: TrainingSet,
    *,
    now: datetime,
    trials: int = 0,
    is_wide: bool = False,
    on_progress: OnProgress | None,
) -> TrainReport:
    dataset, steps = found.dataset, found.steps
    tried = search(dataset, steps, catalogue, trials=trials, on_progress=on_progress) if trials else None
    chosen = tried.chosen if tried else None
    held = contest(dataset, steps, catalogue, chosen, on_progress) if is_wide else None
    learner = held.chosen if held else USUAL
    tell = None if tried or held else on_progress
    learned = learn_by_method(dataset, steps, catalogue, settings=chosen, learner=learner, on_progress=tell)
    if held:
        learned = replace(learned, bundle=with_contest(learned.bundle, held))
    learned = with_residual_base(learned, found.log, catalogue, now=now)
    learned = replace(learned, bundle=with_foresight(learned, found.log, catalogue))
    trial = try_out(dataset, steps, catalogue, chosen, learner)
    incumbent = find_incumbent(settings, catalogue) if trial else Incumbent()
    uplift = report_of_trial(dataset, trial, catalogue, incumbent) if trial else None
    skew = found.skew
    judged = (judged_metrics(trial) if trial else {}) | (uplift_metrics(uplift) if uplift else {})
    metrics = metrics_of(learned) | judged | skew.metrics | foresight_metrics(learned.bundle)
    with TemporaryDirectory(prefix="nextbest-plots-") as name:
        folder = Path(name)
        run = ModelRun(
            parameters=_parameters(learned, by_steps=steps is not None) | {"learner": learner},
            metrics=metrics,
            data=_training_data(found),
            tags=_tags(learned, found),
            input_example=_input_example(learned),
            plots=(*write_plots(learned, folder), *(write_pictures(uplift, folder) if uplift else ())),
            tables=(
                *(write_tables(uplift, folder) if uplift else ()),
                *write_skew(skew, folder),
                *(write_trials(tried, folder) if tried else ()),
                *(write_contest(held, folder) if held else ()),
                *write_foresight(learned.bundle, folder),
            ),
            twin=trial.twin if trial else None,
        )
        tracked = track_model(settings, learned.bundle, run)
    return TrainReport(
        version=tracked.version,
        run_id=tracked.run_id,
        decisions=dataset.size,
        customers=int(dataset.customers.max()) + 1,
        messages=len(dataset.messages),
        left_out=dict(dataset.left_out),
        measure=learned.bundle.measure_id,
        window_days=learned.bundle.window_days,
        best_constant=learned.best_constant,
        is_randomised=learned.choice.is_randomised,
        metrics=metrics,
        notes=(
            *notes_of(learned, trial, metrics, catalogue),
            *found.notes,
            *skew_notes(skew),
            *([one.note for one in (tried, held) if one]),
            *foresight_notes(learned.bundle),
            *([incumbent.note] if incumbent.note else []),
        ),
    )


def notes_of(
    learned: Learned, trial: Trial | None, metrics: Mapping[str, float], catalogue: Catalogue
) -> tuple[str, ...]:
    """What a reader of the numbers must know, in plain words."""
    notes: list[str] = []
    if not learned.choice.is_randomised:
        notes.append(
            "the log does not say how probable its choices were: they were estimated, so whatever else made a customer"
            " be chosen may be mistaken for an effect, and no value can be stated; let the engine explore to know more"
        )
    if learned.dataset.size < FEW_DECISIONS:
        notes.append(
            f"learned from {learned.dataset.size} decisions: only the average effect of each message is believed,"
            f" shrunk hard towards nothing; from {FEW_DECISIONS} on customers are told apart"
        )
    notes.extend(_group_notes(learned))
    if trial is not None:
        notes.extend(_judged_notes(learned, trial, metrics))
    elif learned.choice.is_randomised:
        notes.append(
            f"the model was compared with nothing: that takes {MIN_CUSTOMERS} customers who are held back, with silence"
            " and messages among the others; log more"
        )
    _, measure = learning_of(catalogue)
    if measure.unit is Unit.RATE:
        notes.append("the model learns a rate: arbitration values it at each offer's declared value")
    return tuple(notes)


def _group_notes(learned: Learned) -> list[str]:
    little = [one for one in learned.groups if one.believed < _LITTLE]
    return [
        f"{one.by} {one.group}: what customers differ in is believed to {one.believed:.0%}, as it did not prove right"
        " there; otherwise they get what is best for all"
        for one in little
    ]


def _judged_notes(learned: Learned, trial: Trial, metrics: Mapping[str, float]) -> list[str]:
    notes: list[str] = []
    below = surely_below(metrics)
    if below is not None:
        notes.append(f"the model is worth less than {below} on held-back customers: do not promote it")
    validation = learned.validation
    if validation is not None and validation.gain_over_constant is not None:
        if validation.gain_over_constant.lower <= 0:
            notes.append(
                f"no gain over sending everybody {learned.best_constant!r} is proven where everything is free; choosing"
                " by customer pays where messages are limited"
            )
    elif validation is not None and validation.gain_over_silence.lower <= 0:
        notes.append("no gain over silence is proven")
    curve = trial.curve
    if not curve.beats_chance:
        notes.append(
            "the model orders held-back customers no better than chance: area between gain curve and chance"
            f" {curve.area:+,.4g} [{curve.area_lower:+,.4g}, {curve.area_upper:+,.4g}]; where messages are limited it"
            " does not know whom to contact first"
        )
    return notes


def _parameters(learned: Learned, *, by_steps: bool) -> dict[str, str | float | int]:
    chosen = learned.settings.parameters() | {"rounds": learned.fitted.rounds, "folds": learned.settings.fold_count}
    believed = learned.bundle.calibrator
    return chosen | {
        "method": (LearningMethod.STEPS if by_steps else LearningMethod.WINDOWS).value,
        "scale": learned.fitted.scale,
        "specific_share": learned.specific_share,
        "linear_share": learned.parts.linear_share,
        "baseline_slope": believed.baseline_slope,
        "common_slope": believed.common_slope,
        "specific_slope": believed.specific_slope,
        "best_constant": learned.best_constant,
        "is_randomised": str(learned.choice.is_randomised),
    }


def _training_data(found: TrainingSet) -> TrainingData:
    dataset, rows = found.dataset, found.rows
    first, last = _span(dataset)
    description = {
        "decisions": str(dataset.size),
        "customers": str(int(dataset.customers.max()) + 1),
        "messages": str(len(dataset.messages)),
        "first": first,
        "last": last,
        "own_decisions": f"{rows.own} of {rows.own_logged} in the log",
        "imported_decisions": f"{rows.imported} of {rows.imported_logged} in the log",
        "features_as_logged": f"of {rows.as_logged} own decisions, and of {rows.partly_logged} in part",
        "features_computed": f"of {dataset.size - rows.as_logged - rows.partly_logged} decisions",
        **{f"left out: {reason}": str(count) for reason, count in dataset.left_out.items() if count},
        LOG_TAG: log_version(found.log),
    }
    return TrainingData(name="decision log", digest=dataset.digest, description=description)


def _tags(learned: Learned, found: TrainingSet) -> dict[str, str]:
    first, last = _span(learned.dataset)
    return {
        LOG_TAG: log_version(found.log),
        "train_window": f"{first}/{last}",
        DATASET_TAG: learned.dataset.digest,
        "best_constant": learned.best_constant,
        "is_randomised": str(learned.choice.is_randomised).lower(),
    }


def log_version(log: LogSnapshot) -> str:
    """The Delta version of every table: `customers@3, decisions@5, ...`."""
    known = ((name, version) for name, version in sorted(log.versions.items()) if version is not None)
    return ", ".join(f"{name}@{version}" for name, version in known)


def _span(dataset: Dataset) -> tuple[str, str]:
    at = dataset.decisions.select(first=pl.col("decided_at").min(), last=pl.col("decided_at").max()).row(0)
    return at[0].isoformat(), at[1].isoformat()


def _input_example(learned: Learned) -> FloatArray:
    """Rows of a made-up customer, the middle of all: silence and the first messages."""
    dataset, coding = learned.dataset, learned.bundle.coding
    known = np.isfinite(dataset.features).any(axis=0)
    middle = np.full(len(dataset.feature_names), np.nan)
    middle[known] = np.round(np.nanmedian(dataset.features[:, known], axis=0), 2)
    from decisioning.effects.message_coding import message_matrix
    from decisioning.value_model import design_matrix

    messages = message_matrix(coding, dataset.messages[: _EXAMPLE_ROWS - 1])
    return design_matrix(middle, messages, np.median(dataset.contexts, axis=0))
