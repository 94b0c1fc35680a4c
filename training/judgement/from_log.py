"""From the log to a dataset, to a model, and to a judgement of models, as the catalogue says."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from decisioning.arrays import BoolArray
from decisioning.catalogue.catalogue import Catalogue, LearningMethod
from decisioning.catalogue.message import SILENCE
from decisioning.errors import InvalidInputError
from decisioning.value_model import ValueModel
from features.history import History
from features.log.event_log import EventLog, LogSnapshot
from features.models.bundle import ModelBundle, value_model
from features.progress import OnProgress
from features.settings import Settings
from features.store.point_in_time import training_rows
from training.data.datasets import Dataset, dataset_of, learnable, learning_of, messages_of
from training.data.known_in_time import refuse_known_only_later
from training.data.measures import return_words
from training.data.net_worth import NetWorth, net_effects
from training.data.own_vectors import training_features
from training.data.reach import method_of
from training.data.skew import SkewReport
from training.data.sources import RowsBySource, rows_by_source
from training.data.steps import Steps, steps_of
from training.judgement.comparison import Judgement, judge_choices, judge_kept
from training.judgement.gain_curve import GainCurve
from training.judgement.held_back import can_be_judged, held_back, learned_from, steps_among
from training.models.boosting import BoosterSettings, settings_for
from training.models.contest import USUAL, Contest, hold_contest, retell_by
from training.models.learner import Learned, learn
from training.models.settings_search import SettingsSearch, search_settings
from training.models.step_effects import expected_without
from training.models.stepwise_learner import learn_steps, own_columns

_NOTHING = 1e-9  # an effect that is rounding

TWIN = "the model"
"""What a model is called in its own judgement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How a model does on customers that its twin never learned from.

    Attributes:
        twin: Trained as the model was, without the held-back customers.
        judgement: Of the twin, which it calls `TWIN`.
    """

    twin: ModelBundle
    judgement: Judgement
    curve: GainCurve


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet:
    """What a model learns from, and where it comes from.

    Attributes:
        steps: Of the dataset, where the catalogue learns by them.
        log: The log as of which it was read.
        rows: Decisions by source.
        skew: Logged features against computed ones.
        notes: What a reader of the values must know.
    """

    dataset: Dataset
    steps: Steps | None
    log: LogSnapshot
    rows: RowsBySource
    skew: SkewReport
    notes: tuple[str, ...] = ()


def load_training_set(settings: Settings, catalogue: Catalogue, *, now: datetime) -> TrainingSet:
    """What can be learned from: logged decisions with features as of each, joined by Feast, and what came of them.

    The log is read as of one moment: what is committed meanwhile is in no part of the training set.

    Raises:
        NextbestError: As `train_model`.
    """
    log = LogSnapshot.of(EventLog(settings.log_path))
    history = History.from_log(log)
    window = learnable(history, catalogue, as_of=now)
    found = training_features(
        settings,
        catalogue,
        log,
        window.decisions.select("decision_id", "customer_id", "decided_at"),
        rows_by_source(log, window.decisions),
        lambda entities: training_rows(settings, catalogue, entities),
    )
    dataset = dataset_of(window, found.names, found.matrix, history, catalogue)
    refuse_known_only_later(dataset, history, catalogue)
    by_steps = method_of(dataset, catalogue) is LearningMethod.STEPS
    return TrainingSet(
        dataset=dataset,
        steps=steps_of(dataset, history, catalogue) if by_steps else None,
        log=log,
        rows=found.rows,
        skew=found.skew,
        notes=return_words(history, learning_of(catalogue)[1]),
    )


def load_dataset(settings: Settings, catalogue: Catalogue, *, now: datetime) -> Dataset:
    """The dataset of a training set alone."""
    return load_training_set(settings, catalogue, now=now).dataset


def learn_by_method(
    dataset: Dataset,
    steps: Steps | None,
    catalogue: Catalogue,
    *,
    settings: BoosterSettings | None = None,
    learner: str = USUAL,
    on_progress: OnProgress | None = None,
) -> Learned:
    """Learn from a dataset, by its steps where it has some; settings and learner are for learning by windows."""
    if steps is None:
        return learn(dataset, catalogue, settings=settings, retell=retell_by(learner), on_progress=on_progress)
    return learn_steps(dataset, steps, catalogue, on_progress=on_progress)


def search(
    dataset: Dataset, steps: Steps | None, catalogue: Catalogue, *, trials: int, on_progress: OnProgress | None = None
) -> SettingsSearch:
    """Try settings on all but the held-back customers.

    Raises:
        InvalidInputError: The log is learned from by steps, or does not say how probable its choices were.
    """
    others = _without_held_back(dataset, steps, option="--trials")
    return search_settings(others, catalogue, trials=trials, on_progress=on_progress)


def contest(
    dataset: Dataset,
    steps: Steps | None,
    catalogue: Catalogue,
    settings: BoosterSettings | None,
    on_progress: OnProgress | None = None,
) -> Contest:
    """Let other learners learn from all but the held-back customers, too.

    Raises:
        InvalidInputError: As `search`.
    """
    others = _without_held_back(dataset, steps, option="--contest")
    return hold_contest(others, catalogue, settings=settings, on_progress=on_progress)


def _without_held_back(dataset: Dataset, steps: Steps | None, *, option: str) -> Dataset:
    if steps is not None:
        raise InvalidInputError(
            "settings and learners can only be tried where whole windows are compared, and this log is learned from by"
            f" steps; leave {option} out"
        )
    return learned_from(dataset, ~held_back(dataset.decisions["customer_id"]))


def try_out(
    dataset: Dataset,
    steps: Steps | None,
    catalogue: Catalogue,
    settings: BoosterSettings | None = None,
    learner: str = USUAL,
) -> Trial | None:
    """Train a twin without the held-back customers and judge it on them.

    Returns:
        None where the log does not say how probable its choices were, or holds too few customers.
    """
    held = held_back(dataset.decisions["customer_id"])
    if not dataset.is_randomised or not can_be_judged(dataset, held):
        return None
    others = None if steps is None else steps_among(steps, ~held)
    part = learned_from(dataset, ~held)
    twin = learn_by_method(part, others, catalogue, settings=settings, learner=learner).bundle
    models = {TWIN: value_model(twin, version=TWIN)}
    judgement = judge(dataset, held, steps, catalogue, models, constant_of(twin, catalogue))
    return Trial(twin=twin, judgement=judgement, curve=judgement.order.curve())


def constant_of(bundle: ModelBundle, catalogue: Catalogue) -> str:
    """The best single action as a model found it, net of what its contact costs: a message key, or `silence`."""
    found = str(bundle.notes.get("best_constant", SILENCE))
    effects: dict[str, float] = dict(bundle.notes.get("average_effects") or {})
    if not effects:
        return found
    net = net_effects(effects, messages_of(catalogue), bundle.unit)
    best = max(net, key=lambda key: (net[key], key == found))  # of equal ones that which the learner preferred
    return best if net[best] > _NOTHING else SILENCE


def judge(
    dataset: Dataset,
    held: BoolArray,
    steps: Steps | None,
    catalogue: Catalogue,
    models: Mapping[str, ValueModel],
    constant: str,
) -> Judgement:
    """Judge models on the decisions that were held back from them.

    Args:
        dataset: All n decisions.
        held: shape (n,), the held-back ones.
        steps: Of all decisions, where the catalogue learns by steps.
        catalogue: Says what is learned.
        models: By name, the one that the judgement is about first.
        constant: The best single action, found on other customers.
    """
    part, (_, measure) = dataset.take(held), learning_of(catalogue)
    worth = NetWorth.of(part.messages, measure.unit)
    if steps is None:
        return judge_choices(part, models, constant, worth)
    seed = settings_for(dataset, measure).seed
    found = expected_without(dataset, steps, own_columns(dataset, catalogue), seed)
    return judge_kept(part, models, found.target[held], found.silence[held], worth)
