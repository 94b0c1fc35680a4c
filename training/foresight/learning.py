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
from training.foresight.rooms import price_rooms, priced_caps
from training.foresight.stage_credit import credit_stages

ROOMS, STAGES = "rooms", "stage_values"
"""Under which a bundle's notes keep what came of pricing caps, and what stages are worth."""

FORESIGHT_FILE = "foresight.json"

_STAGE_COLUMNS = ("stages", "values", "standard_errors")


def with_foresight(bundle: ModelBundle, dataset: Dataset, log: LogSnapshot, catalogue: Catalogue) -> ModelBundle:
    """A bundle with what lies ahead of its decisions.

    Args:
        bundle: A trained model.
        dataset: What it learned from.
        log: The log as of which that was read.
        catalogue: Says what is capped, and how far ahead is looked.
    """
    if catalogue.learning is None or not catalogue.learning.horizon_days:
        return bundle
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
    return replace(bundle, foresight=Foresight(slots=slots) if slots else None, notes=notes)


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
    return found


def foresight_notes(bundle: ModelBundle) -> tuple[str, ...]:
    """What a reader of the numbers must know."""
    return tuple(
        f"contacts under cap {room['cap_id']} wait for better moments: on other customers of the log that adds"
        f" {room['gain_minor'] / room['without_minor']:.1%} to what they are estimated to bring"
        for room in rooms_of(bundle)
        if room["strength"]
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


def stages_of(bundle: ModelBundle) -> Mapping[str, Any]:
    """What stages are worth; empty where the run did not ask."""
    return bundle.notes.get(STAGES) or {}
