"""Two registered versions side by side: what changed, and what they would decide for the same held-back customers.

The paired part asks the twins, on what the log says now of customers whom neither learned from: free choice, net of
contact costs, without gates. A version without a twin is asked itself, which flatters it, and a note says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InvalidInputError, NextbestError
from decisioning.value_model import ValueModel
from features.catalogue import load_catalogue
from features.catalogue.fairness_rules import Grouping
from features.history import History
from features.log.event_log import LogSnapshot
from features.models.bundle import read_bundle
from features.models.registry import fetch_version
from features.settings import Settings
from training.data.datasets import Dataset, learning_of
from training.data.net_worth import NetWorth
from training.fairness.groups import members_of
from training.intervals import MIN_CUSTOMERS
from training.judgement.from_log import TrainingSet, constant_of, judge, load_training_set
from training.judgement.held_back import can_be_judged, held_back
from training.judgement.uplift import UpliftRivals, report_choices, report_kept
from training.registry.model_contest import STAGE, UNNAMED, ModelContest, choices_of, contest_of
from training.registry.model_facts import ModelFacts, show_model
from training.registry.tracking import tracking, twin_of
from training.registry.uplift_run import as_served


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChange:
    """Something that is not the same in both versions; None where a version has no such thing."""

    name: str
    one: str | float | None
    other: str | float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelComparison:
    """Two versions; what changed from `one` to `other`."""

    one: str
    other: str
    data: tuple[ModelChange, ...]
    features: tuple[ModelChange, ...]
    settings: tuple[ModelChange, ...]
    figures: tuple[ModelChange, ...]
    effects: tuple[ModelChange, ...]
    order: Mapping[str, str]
    contest: ModelContest | None
    notes: tuple[str, ...]


def compare_models(settings: Settings, one: str, other: str, *, now: datetime) -> ModelComparison:
    """Compare two registered versions.

    Raises:
        InvalidInputError: Both are the same.
        ModelUnavailableError: A version's files are damaged.
        UnknownNameError: No such version.
        UnavailableError: The registry is away.
    """
    if one == other:
        raise InvalidInputError(f"two different versions must be compared, got {one} twice; see `nextbest model list`")
    first, second = show_model(settings, one), show_model(settings, other)
    contest, notes = _contest(settings, first, second, now=now)
    return ModelComparison(
        one=one,
        other=other,
        data=_changes(first.data, second.data),
        features=_feature_changes(settings, one, other),
        settings=_changes(first.settings, second.settings),
        figures=_changes(first.figures, second.figures),
        effects=_changes(*({each.message_key: each.believed for each in facts.effects} for facts in (first, second))),
        order={one: first.order, other: second.order},
        contest=contest,
        notes=notes,
    )


def _changes(one: Mapping[str, str | float | None], other: Mapping[str, str | float | None]) -> tuple[ModelChange, ...]:
    names = sorted(one.keys() | other.keys())
    rows = (ModelChange(name=name, one=one.get(name), other=other.get(name)) for name in names)
    return tuple(row for row in rows if row.one != row.other)


def _feature_changes(settings: Settings, one: str, other: str) -> tuple[ModelChange, ...]:
    """Features that only one version has, or that mean something else; what a feature means is its fingerprint."""
    meanings = []
    for version in (one, other):
        bundle = read_bundle(fetch_version(settings, version).folder)
        meanings.append({name: bundle.feature_meanings.get(name, "") for name in bundle.layout.customer})
    return _changes(*meanings)


def _contest(
    settings: Settings, one: ModelFacts, other: ModelFacts, *, now: datetime
) -> tuple[ModelContest | None, tuple[str, ...]]:
    if (one.measure, one.window_days) != (other.measure, other.window_days):
        return None, ("the versions predict different measures or windows, so their decisions are not compared",)
    try:
        catalogue = load_catalogue(settings.catalogue_path)
        models, notes = _models(settings, catalogue, one, other)
        found = load_training_set(settings, catalogue, now=now)
        dataset = found.dataset
        held = held_back(dataset.decisions["customer_id"])
        if not dataset.is_randomised or not can_be_judged(dataset, held):
            reason = f"the log must hold action probabilities and {MIN_CUSTOMERS} held-back customers"
            return None, (f"their decisions are not compared: {reason}", *notes)
        return _judged(settings, catalogue, found, models), notes
    except NextbestError as error:
        return None, (f"their decisions are not compared: {error}",)


def _models(
    settings: Settings, catalogue: Catalogue, *facts: ModelFacts
) -> tuple[dict[str, ValueModel], tuple[str, ...]]:
    """Twins by version, the second version first, since a judgement is about the first that it is given."""
    models, notes = {}, []
    for each in reversed(facts):
        with tracking(settings) as client:
            twin = twin_of(client, each.run_id)
        if twin is None:
            notes.append(f"version {each.version} has no twin: it learned from these customers, which flatters it")
        bundle = twin or read_bundle(fetch_version(settings, each.version).folder)
        models[each.version] = as_served(settings, catalogue, bundle, each.version)
    return models, tuple(notes)


def _judged(
    settings: Settings, catalogue: Catalogue, found: TrainingSet, models: Mapping[str, ValueModel]
) -> ModelContest:
    dataset, steps = found.dataset, found.steps
    held = held_back(dataset.decisions["customer_id"])
    part = dataset.take(held)
    (other, newer), (_, older) = models.items()
    constant = constant_of(read_bundle(fetch_version(settings, other).folder), catalogue)
    judgement = judge(dataset, held, steps, catalogue, models, constant)
    unit, currency = learning_of(catalogue)[1].unit, catalogue.currency
    rivals = UpliftRivals(model=newer, incumbent=older, constant=constant)
    if steps is None:
        report = report_choices(part, rivals, unit, currency)
    else:
        report = report_kept(part, judgement.order, rivals, unit, currency)
    return contest_of(
        judgement,
        choices_of(judgement, part, models, NetWorth.of(part.messages, unit)),
        part.keys,
        _groups(found.log, catalogue, part),
        report.over_incumbent.get("qini"),
    )


def _groups(log: LogSnapshot, catalogue: Catalogue, part: Dataset) -> dict[str, list[str]]:
    """The group of each decision by grouping: its stage as logged, and its customer's segments as it began."""
    history = History.from_log(log)
    rows = part.decisions.join(history.decisions.select("decision_id", "stage"), on="decision_id", how="left")
    groups = members_of(history, catalogue, part.decisions, [one.value for one in Grouping])
    return {STAGE: rows["stage"].fill_null(UNNAMED).to_list(), **groups}
