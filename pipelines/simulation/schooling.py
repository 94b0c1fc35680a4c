"""What the compared policies know: models from a history, and the one message that is worth most to everybody."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from decisioning.catalogue import Catalogue, Learning
from decisioning.measure import Measure, Unit
from decisioning.message import SILENCE
from decisioning.value_model import ValueModel
from features.catalogue import load_catalogue
from features.computing.definitions import feature_schema
from features.importing.folder import import_folder
from features.model_bundle import load_value_model, value_model
from features.model_registry import fetch_champion
from features.settings import Settings
from features.store.building import build_features
from pipelines.simulation.population import BoolArray
from pipelines.simulation.world import World
from training.learning import learn
from training.promotion import promote
from training.train_model import TrainReport, load_dataset, train_model

type OnProgress = Callable[[str], None]

ACCEPTED = Measure(measure_id="accepted", unit=Unit.RATE, outcomes=frozenset({"accepted", "converted"}))
"""What a policy that looks at propensity alone predicts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schooled:
    """What was learned from a history.

    Attributes:
        engine: The champion, as a server would load it.
        propensity: P(accepted | customer, message) of the same learner on the same decisions.
        report: Of the champion's training.
    """

    engine: ValueModel
    propensity: ValueModel
    report: TrainReport


def school(folder: Path, home: Path, *, now: datetime, on_progress: OnProgress = print) -> Schooled:
    """Learn from a folder of canonical tables as anybody would: import, features, training, promotion.

    Args:
        folder: What `nextbest world write` wrote.
        home: A new folder for log, features and models.
        now: The moment up to which things are known (aware, UTC).
        on_progress: Told what begins.

    Raises:
        InsufficientDataError: Too little history.
    """
    settings = Settings(home=home, mlruns=home / "mlruns")
    on_progress("import")
    import_folder(folder, settings, now=now)
    catalogue = load_catalogue(settings.catalogue_path)
    on_progress("features")
    build_features(settings, catalogue, now)
    on_progress("training")
    report = train_model(settings, now=now)
    promote(settings, now=now, by="world")
    champion = fetch_champion(settings)
    on_progress("propensity")
    return Schooled(
        engine=load_value_model(champion.folder, version=champion.version),
        propensity=_propensity(settings, catalogue, now),
        report=report,
    )


def _propensity(settings: Settings, catalogue: Catalogue, now: datetime) -> ValueModel:
    """The same learner on the same decisions, for acceptance in the place of worth."""
    assert catalogue.learning is not None  # noqa: S101 - a champion was just trained
    asking = replace(
        catalogue,
        measures={**catalogue.measures, ACCEPTED.measure_id: ACCEPTED},
        learning=Learning(measure_id=ACCEPTED.measure_id, window_days=catalogue.learning.window_days),
    )
    learned = learn(
        load_dataset(settings, asking, now=now), asking, feature_schema=feature_schema(catalogue).fingerprint
    )
    return value_model(learned.bundle, version="propensity")


def best_constant(others: World, weeks: int, capacities: Mapping[str, int] | None = None) -> str:
    """The one message that is worth most when everybody gets it who may, found on other customers; or silence.

    Args:
        others: A world whose customers are not those of the comparison.
        weeks: How long each is tried.
        capacities: Most of each channel in a week; channels that are not named are free.
    """
    worths = {SILENCE: _worth(others, weeks, None, {})}
    for place, message in enumerate(others.messages):
        worths[message.key] = _worth(others, weeks, place, capacities or {})
    return max(worths, key=lambda key: worths[key])


def _worth(others: World, weeks: int, place: int | None, capacities: Mapping[str, int]) -> float:
    """Contribution less cost over some weeks in which everybody who may gets one message."""
    world, total = others.copy(), 0.0
    for _ in range(weeks):
        actions = np.full(world.population.size, -1)
        if place is not None:
            most = capacities.get(world.messages[place].channel.channel_id)
            actions[_first(world.permitted()[:, place], most)] = place
        week = world.run_week(actions)
        total += float((week.contribution_minor - week.cost_minor).sum())
    return total


def _first(may: BoolArray, most: int | None) -> BoolArray:
    """The same with at most so many, shape (n,)."""
    return may if most is None else may & (np.cumsum(may) <= most)
