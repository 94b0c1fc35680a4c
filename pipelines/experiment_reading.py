"""Reading an experiment: log and catalogue in, a stored readout out."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from features.catalogue import load_catalogue
from features.contracts import DECISIONS, EVENTS, OUTCOMES
from features.log import EventLog
from features.readouts import Readout, write_readout
from features.settings import Settings
from training.readouts import Reading, read_experiment
from training.table_readouts import TableDesign, read_table

_TIMES = ("occurred_at", "recorded_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentLog:
    """The canonical tables that a readout needs, without what it does not."""

    decisions: pl.DataFrame
    events: pl.DataFrame
    outcomes: pl.DataFrame


def read_logged_experiment(settings: Settings, name: str, reading: Reading) -> Readout:
    """Compute the readout of an experiment of the catalogue in force, and store it.

    Raises:
        UnknownNameError: The catalogue declares no such experiment.
        InvalidPolicyError: The catalogue is broken, or names no window or measure for it.
        LogUnavailableError: The log could not be read.
    """
    catalogue = load_catalogue(settings.catalogue_path)
    log = _experiment_log(EventLog(settings.log_path))
    readout = read_experiment(log, catalogue, name, reading)
    write_readout(settings.readouts_path, readout)
    return readout


def read_table_experiment(settings: Settings, path: Path, design: TableDesign, reading: Reading) -> Readout:
    """Compute the readout of a Parquet or CSV file, and store it.

    Raises:
        InvalidInputError: The file or what is asked of it is wrong.
    """
    readout = read_table(path, design, reading)
    write_readout(settings.readouts_path, readout)
    return readout


def _experiment_log(log: EventLog) -> ExperimentLog:
    return ExperimentLog(
        decisions=log.read(DECISIONS, columns=["decision_id", "customer_id", "decided_at", "arms", "is_held_out"]),
        events=log.read(EVENTS, columns=["customer_id", "type", *_TIMES, "amount_minor"]),
        outcomes=log.read(OUTCOMES, columns=["decision_id", "customer_id", "type", *_TIMES, "amount_minor"]),
    )
