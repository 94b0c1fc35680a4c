"""Fairness of a home: log and catalogue in, a stored report out."""

from decisioning.catalogue.catalogue import Catalogue
from features.catalogue import load_catalogue, load_fairness
from features.history import History
from features.log.event_log import EventLog
from features.reports.fairness import FAIRNESS_FILES, FairnessReport
from features.settings import Settings
from pipelines.batch.fairness_floor import with_floor_prices
from training.fairness.fairness_report import read_fairness
from training.kpis.kpi_report import KpiReading


def read_and_store(settings: Settings, reading: KpiReading) -> FairnessReport:
    """Compare groups over the log, price the repair of gaps, and store it all.

    Raises:
        InvalidPolicyError: The catalogue is broken.
        LogUnavailableError: The log could not be read.
    """
    catalogue: Catalogue = load_catalogue(settings.catalogue_path)
    rules, log = load_fairness(settings.catalogue_path), EventLog(settings.log_path)
    history = History.from_log(log)
    report = with_floor_prices(read_fairness(history, catalogue, rules, reading), log, history, catalogue)
    FAIRNESS_FILES.write(settings.fairness_path, report)
    return report


def period_days(settings: Settings) -> float:
    """Days that a report looks back, as the catalogue declares them.

    Raises:
        InvalidPolicyError: The section is wrong.
    """
    return load_fairness(settings.catalogue_path).period_days


def stored_fairness(settings: Settings) -> FairnessReport:
    """The newest stored report.

    Raises:
        InvalidInputError: None is stored, or it is damaged.
    """
    return FAIRNESS_FILES.newest(settings.fairness_path)
