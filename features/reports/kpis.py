"""Stored KPIs of touchpoints and channels, for the customer and for the company, as JSON.

`training` computes them, the command stores them, whoever shows them computes nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import TypeAdapter

from features.reports.files import ReportFiles

FORMAT_VERSION = 1
COMPUTE = "nextbest kpi compute"


class Side(StrEnum):
    """Whose figure it is."""

    CUSTOMER = "customer"
    COMPANY = "company"


class KpiUnit(StrEnum):
    """Unit of a figure."""

    COUNT = "count"
    RATE = "rate"  # in [0, 1]
    MONEY_MINOR = "money_minor"
    HOURS = "hours"
    NUMBER = "number"
    POINTS = "points"  # net promoter score, in [-100, 100]
    RATIO = "ratio"  # 0.5 is half as much again as was spent


class Basis(StrEnum):
    """What a figure may be taken for."""

    COUNTED = "counted"  # it happened
    ATTRIBUTED = "attributed"  # it happened after a message, because of it or not
    INCREMENTAL = "incremental"  # it happened because of messages: chance decided who got one


@dataclass(frozen=True, slots=True, kw_only=True)
class KpiDefinition:
    """What a figure counts.

    Attributes:
        counts: In words: what over what, in which window.
        interval: How its 95 % interval is made.
    """

    kpi_id: str
    title: str
    side: Side
    unit: KpiUnit
    events: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    counts: str
    interval: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number, or the reason why there is none.

    Attributes:
        value: None where there is not enough data.
        lower: Lower end of the 95 % interval; None where it has none (a count) or is open.
        upper: Upper end.
        sample_size: What it rests on: deliveries, cases, answers or customers, as its definition says.
        reason: Why there is no number, or a caution; None where there is nothing to say.
    """

    kpi_id: str
    value: float | None
    lower: float | None = None
    upper: float | None = None
    sample_size: int
    customer_count: int
    basis: Basis = Basis.COUNTED
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KpiRow:
    """Figures of a touchpoint, a channel, both together, or everything where both are None."""

    touchpoint: str | None
    channel: str | None
    figures: tuple[Figure, ...]

    def figure(self, kpi_id: str) -> Figure | None:
        """The figure of a name; None where it means nothing for this row."""
        return next((figure for figure in self.figures if figure.kpi_id == kpi_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineWeek:
    """Reports of views and clicks of the messages that were decided for a channel in a week, and of these machines'."""

    channel: str
    from_at: datetime
    until_at: datetime
    views: int
    machine_views: int
    clicks: int
    machine_clicks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KpiReport:
    """All figures of a period.

    Attributes:
        from_at: Decisions from this moment on count.
        as_of: Only what happened before counts.
        measure_id: The money measure behind contribution and ROI; None where the catalogue declares none.
        rows: Everything first, then channels, then touchpoints, each followed by its channels.
        command: What to type to get it again.
        machines: What machines viewed and clicked, by channel and week.
    """

    from_at: datetime
    as_of: datetime
    computed_at: datetime
    currency: str
    measure_id: str | None
    window_days: float
    catalogue_version: str
    definitions: tuple[KpiDefinition, ...]
    rows: tuple[KpiRow, ...]
    notes: tuple[str, ...]
    command: str
    confidence_level: float = 0.95
    format_version: int = FORMAT_VERSION
    machines: tuple[MachineWeek, ...] = ()

    def definition(self, kpi_id: str) -> KpiDefinition:
        """What a figure counts."""
        return next(each for each in self.definitions if each.kpi_id == kpi_id)

    def row(self, touchpoint: str | None, channel: str | None) -> KpiRow | None:
        """The row of a touchpoint and channel; None where nothing was sent there."""
        return next((row for row in self.rows if (row.touchpoint, row.channel) == (touchpoint, channel)), None)


KPI_FILES = ReportFiles(TypeAdapter(KpiReport), name="KPI report", command=COMPUTE, format_version=FORMAT_VERSION)
"""KPI reports as they are stored."""
