"""From a trained model and its log to what lies ahead, kept in the model's bundle."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from decisioning.catalogue.catalogue import Catalogue
from decisioning.foresight.slots import Foresight
from decisioning.record.foresight_document import foresight_to_plain
from features.history import History
from features.log.event_log import LogSnapshot
from features.models.bundle import ModelBundle, value_model
from training.data.datasets import Dataset
from training.data.steps import steps_of
from training.foresight.hour_effects import learn_hours
from training.foresight.hour_log import hour_log, longest_wait_hours
from training.foresight.rooms import price_rooms, priced_caps
from training.foresight.stage_credit import credit_stages
from training.models.learner import Learned

ROOMS, STAGES, BETTER_HOURS = "rooms", "stage_values", "better_hours"
"""Under which a bundle's notes keep what came of pricing caps, what stages are worth, and what hours are."""

FORESIGHT_FILE = "foresight.json"

_STAGE_COLUMNS = ("stages", "values", "standard_errors")


def with_foresight(learned: Learned, log: LogSnapshot, catalogue: Catalogue) -> ModelBundle:
    """A model's bundle with what lies ahead of its decisions.

    Args:
        learned: A trained model.
        log: The log as of which what it learned from was read.
        catalogue: Says what is capped, how far ahead is looked, and how long messages may wait.
    """
    bundle = _with_hours(learned, log, catalogue)
    if catalogue.learning is None or not catalogue.learning.horizon_days:
        return bundle
    dataset = learned.dataset
    asks = catalogue.learning.stage_credit
    steps = steps_of(dataset, History.from_log(log), catalogue) if asks else None
    credit, stages = credit_stages(dataset, steps, catalogue)
    if stages is not None:
        bundle = replace(bundle, credit=credit, notes={**bundle.notes, STAGES: stages.plain()})
    return _with_rooms(bundle, dataset, log, catalogue) if priced_caps(catalogue) else bundle


def _with_rooms(bundle: ModelBundle, dataset: Dataset, log: LogSnapshot, catalogue: Catalogue) -> ModelBundle:
    model = value_model(bundle, version="the model")
    slots, reports = price_rooms(dataset, History.from_log(log), catalogue, model)
    notes = {**bundle.notes, ROOMS: [one.plain() for one in reports]}
    hours = bundle.foresight.hours if bundle.foresight else None
    foresight = Foresight(slots=slots, hours=hours) if slots or hours else None
    return replace(bundle, foresight=foresight, notes=notes)


def _with_hours(learned: Learned, log: LogSnapshot, catalogue: Catalogue) -> ModelBundle:
    """The bundle with what hours add, where messages may wait for a better one and chance chose them."""
    wait_hours = longest_wait_hours(catalogue)
    if not wait_hours or not learned.choice.is_randomised:
        return learned.bundle
    found = hour_log(learned, History.from_log(log), catalogue)
    if found is None:
        return learned.bundle
    hours, report = learn_hours(found, wait_hours)
    notes = {**learned.bundle.notes, BETTER_HOURS: report.plain()}
    return replace(learned.bundle, foresight=Foresight(hours=hours) if hours else None, notes=notes)


def foresight_metrics(bundle: ModelBundle) -> dict[str, float]:
    """What lies ahead as numbers of a run."""
    found: dict[str, float] = {}
    for room in rooms_of(bundle):
        name = f"room.{room['cap_id']}" + (f".{room['of']}" if room["of"] else "")
        found[f"{name}.strength"] = room["strength"]
        if room["gain_minor"] is not None:
            found[f"{name}.gain"] = room["gain_minor"]
            found[f"{name}.gain_error"] = room["standard_error_minor"]
    stages = stages_of(bundle)
    for stage, value, error in zip(*(stages.get(name, ()) for name in _STAGE_COLUMNS), strict=True):
        if value is not None:
            found |= {f"stage.{stage}.value": value, f"stage.{stage}.value_error": error}
    if stages.get("slope") is not None:
        found |= {"stage_credit.slope": stages["slope"], "stage_credit.strength": stages["strength"]}
    hours = hours_of(bundle)
    if hours.get("gain") is not None:
        found |= {f"hours.{name}": hours[name] for name in ("strength", "gain", "standard_error")}
    return found


def foresight_notes(bundle: ModelBundle) -> tuple[str, ...]:
    """What a reader of the numbers must know."""
    rooms = (
        f"contacts under cap {room['cap_id']} wait for better moments: on other customers of the log that adds"
        f" {room['gain_minor'] / room['without_minor']:.1%} to what they are estimated to bring"
        for room in rooms_of(bundle)
        if room["strength"]
    )
    hours = hours_of(bundle)
    return (*rooms, f"{hours['words']}{_gain_words(hours)}") if hours else tuple(rooms)


def _gain_words(hours: Mapping[str, Any]) -> str:
    if hours["gain"] is None:
        return ""
    return (
        f": on other customers of the log, choosing the hour within {hours['wait_hours']:g} hours adds"
        f" {hours['gain']:+.4g} \u00b1 {hours['standard_error']:.2g} per contact, in the measure's unit"
    )


def write_foresight(bundle: ModelBundle, folder: Path) -> tuple[Path, ...]:
    """Tables of prices as a file for people; none where there are none."""
    if bundle.foresight is None:
        return ()
    path = folder / FORESIGHT_FILE
    path.write_bytes(orjson.dumps(foresight_to_plain(bundle.foresight), option=orjson.OPT_INDENT_2))
    return (path,)


def rooms_of(bundle: ModelBundle) -> tuple[Mapping[str, Any], ...]:
    """What came of pricing caps."""
    return tuple(bundle.notes.get(ROOMS) or ())


def hours_of(bundle: ModelBundle) -> Mapping[str, Any]:
    """What came of asking whether hours matter; empty where nothing may wait."""
    return bundle.notes.get(BETTER_HOURS) or {}


def stages_of(bundle: ModelBundle) -> Mapping[str, Any]:
    """What stages are worth; empty where the run did not ask."""
    return bundle.notes.get(STAGES) or {}
