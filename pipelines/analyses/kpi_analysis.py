"""KPIs of a home: log and catalogue in, a stored report out."""

from features.catalogue import load_catalogue
from features.history import History
from features.log.event_log import EventLog
from features.reports.kpis import KPI_FILES, KpiReport
from features.settings import Settings
from training.kpis.kpi_report import KpiReading, compute_kpis


def compute_and_store(settings: Settings, reading: KpiReading) -> KpiReport:
    """Compute the KPIs of the log, and store them.

    Raises:
        InvalidPolicyError: The catalogue is broken.
        LogUnavailableError: The log could not be read.
    """
    catalogue = load_catalogue(settings.catalogue_path)
    report = compute_kpis(History.from_log(EventLog(settings.log_path)), catalogue, reading)
    KPI_FILES.write(settings.kpis_path, report)
    return report


def stored_kpis(settings: Settings) -> KpiReport:
    """The newest stored report.

    Raises:
        InvalidInputError: None is stored, or it is damaged.
    """
    return KPI_FILES.newest(settings.kpis_path)
