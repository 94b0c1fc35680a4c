"""Reading an experiment: log and catalogue in, a stored readout out."""

from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from decisioning.arrays import FloatArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import FeatureUnavailableError
from features.catalogue import load_catalogue
from features.catalogue.assignment.settlement import ledger_in_force
from features.history import History
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES
from features.log.event_log import EventLog
from features.log.event_types import StateEventType
from features.models.policy_archive import PolicyArchive
from features.reports.readouts import Readout, write_readout
from features.settings import Settings
from training.experiments.designs import Kept
from training.experiments.readouts import ReadoutInputs, read_experiment
from training.experiments.tables.table_readouts import TableDesign, read_table

_TIMES = ("occurred_at", "recorded_at")

_OF_DECISIONS = ["decision_id", "customer_id", "decided_at", "channel", "arms", "is_held_out", "policy_version"]

_OF_OUTCOMES = ["outcome_id", "decision_id", "customer_id", "type", *_TIMES, "amount_minor", "properties"]


def read_logged_experiment(settings: Settings, name: str, reading: ReadoutInputs) -> Readout:
    """Compute the readout of an experiment of the catalogue in force, and store it.

    Raises:
        UnknownNameError: The catalogue declares no such experiment.
        InvalidPolicyError: The catalogue is broken, or names no window or measure for it.
        LogUnavailableError: The log could not be read.
    """
    catalogue = load_catalogue(settings.catalogue_path)
    log = _experiment_log(EventLog(settings.log_path), catalogue)
    kept = kept_in(settings, log.decisions, now=reading.computed_at)
    readout = read_experiment(log, catalogue, name, reading, kept, partial(_features_before, settings, catalogue))
    write_readout(settings.readouts_path, readout)
    return readout


def _features_before(settings: Settings, catalogue: Catalogue, moments: pl.DataFrame) -> FloatArray | None:
    """What was known of customers, by the feature history; None where none was built for this catalogue."""
    from features.store.point_in_time import training_rows

    try:
        rows = training_rows(settings, catalogue, moments)
    except FeatureUnavailableError:
        return None
    return rows.drop("customer_id", "event_timestamp").to_numpy().astype(np.float64)


def kept_in(settings: Settings, decisions: pl.DataFrame, *, now: datetime) -> Kept:
    """The assignment ledgers that a home kept: beside its catalogue, and with every policy that decided.

    Raises:
        InvalidPolicyError: The ledger is damaged.
    """
    archive = PolicyArchive(settings.catalogues_path)
    ledgers = {version: archive.ledger(version) for version in decisions["policy_version"].unique().drop_nulls()}
    return Kept(
        ledger=ledger_in_force(settings.catalogue_path, now),
        by_policy={version: ledger for version, ledger in ledgers.items() if ledger is not None},
    )


def read_table_experiment(settings: Settings, path: Path, design: TableDesign, reading: ReadoutInputs) -> Readout:
    """Compute the readout of a Parquet or CSV file, and store it.

    Raises:
        InvalidInputError: The file or what is asked of it is wrong.
    """
    readout = read_table(path, design, reading)
    write_readout(settings.readouts_path, readout)
    return readout


def _experiment_log(log: EventLog, catalogue: Catalogue) -> History:
    """What a readout needs of the log, without the columns that it does not; of most events that is their moment."""
    telling = {StateEventType.IDENTIFIED.value}
    for measure, _ in (plain for one in catalogue.measures.values() for plain in one.plain):
        telling |= measure.added_events | (measure.returns.events if measure.returns else frozenset())
    said = pl.when(pl.col("type").is_in(sorted(telling))).then("properties").alias("properties")
    return History(
        decisions=log.read(DECISIONS, columns=_OF_DECISIONS),
        events=log.collect(
            EVENTS, log.scan(EVENTS).select("event_id", "customer_id", "type", *_TIMES, "amount_minor", said)
        ),
        outcomes=log.read(OUTCOMES, columns=_OF_OUTCOMES),
        customers=log.read(CUSTOMERS, columns=["customer_id", "updated_at", "household"]),
    )
