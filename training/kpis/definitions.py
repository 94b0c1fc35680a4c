"""What every KPI counts: the one text behind the page, the JSON and the table."""

from collections.abc import Mapping

from features.reports.kpis import KpiDefinition, KpiUnit, Side
from training.kpis.contacts import ARRIVED, CLICKED, CONVERTED, UNWANTED, VIEWED, WANTED

AFTER_CONTACT_DAYS = 7
REPEAT_DAYS = 90
CONTACT_EVENTS = ("complaint", "service_ticket", "social_post", "call_note")
"""What a customer has to do to be heard."""

SURVEY = "survey_answer"
WILSON = "Wilson, with as many rows as are independent by customer"
STUDENT = "Student's t by customer"
RATIO = "ratio of sums by customer (delta method)"
NO_INTERVAL = "none: it is counted"
KAPLAN_MEIER = "Kaplan-Meier with cases still waiting, by inverting its band"
AFTER_CONTACT = (
    f"within {AFTER_CONTACT_DAYS} days after the last message that arrived before it (here: at this touchpoint or on "
    "this channel), or after a case was resolved (counted in the row of everything)"
)
BY_PEOPLE = " (what only a machine viewed or clicked counts as `engagement` says: for nothing by default)"
CASE_ROWS = (
    "everything: all cases opened in the period; a channel: those the customer opened on it; a touchpoint: those "
    "during which one of its messages reached the customer"
)


def _define(
    kpi_id: str, title: str, unit: KpiUnit, counts: str, interval: str, **types: tuple[str, ...]
) -> KpiDefinition:
    side = Side.CUSTOMER if kpi_id in _CUSTOMERS else Side.COMPANY
    return KpiDefinition(kpi_id=kpi_id, title=title, side=side, unit=unit, counts=counts, interval=interval, **types)


def _message_rate(kpi_id: str, title: str, outcomes: tuple[str, ...], but: str = "") -> KpiDefinition:
    counts = f"messages that arrived with any of these outcomes{but}, over messages that arrived"
    return _define(kpi_id, title, KpiUnit.RATE, counts, WILSON, outcomes=outcomes)


def _machine_share(kpi_id: str, title: str, outcomes: tuple[str, ...], done: str) -> KpiDefinition:
    counts = f"messages that only machines {done}, over messages that were {done}"
    return _define(kpi_id, title, KpiUnit.RATE, counts, WILSON, outcomes=outcomes)


def _waiting(kpi_id: str, title: str, done: str, share: str) -> KpiDefinition:
    counts = f"hours after which {share} are {done}; {CASE_ROWS}"
    return _define(kpi_id, title, KpiUnit.HOURS, counts, KAPLAN_MEIER)


def _survey(survey: str, title: str, unit: KpiUnit, score: str) -> KpiDefinition:
    counts = f"{score} of survey answers `{survey}`, {AFTER_CONTACT}"
    return _define(survey, title, unit, counts, STUDENT, events=(SURVEY,))


_CUSTOMERS = frozenset(
    {
        "wanted_rate", "unwanted_rate", "hours_to_answer_median", "hours_to_answer_p90", "hours_to_resolution_median",
        "hours_to_resolution_p90", "contacts_per_case", "effort", "csat", "nps", "repeat_purchase_rate",
        "referral_rate", "review_rate",
    }
)  # fmt: skip
_HALF, _NINE = "half of the cases", "nine in ten cases"

_ALL = (
    _message_rate("wanted_rate", "wanted", WANTED, BY_PEOPLE + " and no unwanted one"),
    _message_rate("unwanted_rate", "unwanted", UNWANTED),
    _waiting("hours_to_answer_median", "time to answer, median", "answered", _HALF),
    _waiting("hours_to_answer_p90", "time to answer, 90th", "answered", _NINE),
    _waiting("hours_to_resolution_median", "time to resolution, median", "resolved", _HALF),
    _waiting("hours_to_resolution_p90", "time to resolution, 90th", "resolved", _NINE),
    _define(
        "contacts_per_case",
        "contacts a case",
        KpiUnit.NUMBER,
        "events of these types by the customer while the case was open, counted as one at least: the one that opened "
        f"it; {CASE_ROWS}",
        STUDENT,
        events=CONTACT_EVENTS,
    ),
    _survey("effort", "effort (survey)", KpiUnit.NUMBER, "mean score"),
    _survey("csat", "satisfaction (CSAT)", KpiUnit.NUMBER, "mean score"),
    _survey("nps", "recommendation (NPS)", KpiUnit.POINTS, "share of 9 and 10 minus share of 0 to 6, in points,"),
    _define(
        "repeat_purchase_rate",
        "bought again",
        KpiUnit.RATE,
        f"customers whose first purchase fell into as many days as the period has, ending {REPEAT_DAYS} days before "
        f"its end, and who bought again on a later day within {REPEAT_DAYS} days; of a touchpoint or channel: whose "
        "first purchase followed a message of it within the learning window",
        WILSON,
        events=("purchase",),
    ),
    _message_rate("referral_rate", "referrals", ("referred",)),
    _message_rate("review_rate", "reviews", ("reviewed",)),
    _define("sent", "messages", KpiUnit.COUNT, "decisions of the period that sent", NO_INTERVAL),
    _define(
        "delivered_rate",
        "arrived",
        KpiUnit.RATE,
        "messages with any of these outcomes, over messages",
        WILSON,
        outcomes=ARRIVED,
    ),
    _message_rate("viewed_rate", "viewed", VIEWED, BY_PEOPLE),
    _message_rate("viewed_raw_rate", "viewed, machines included", VIEWED),
    _machine_share("machine_viewed_share", "views by machines", VIEWED, "viewed"),
    _message_rate("clicked_rate", "clicked", CLICKED, BY_PEOPLE),
    _message_rate("clicked_raw_rate", "clicked, machines included", CLICKED),
    _machine_share("machine_clicked_share", "clicks by machines", CLICKED, "clicked"),
    _message_rate("conversion_rate", "converted", CONVERTED),
    _define(
        "contribution",
        "contribution a message",
        KpiUnit.MONEY_MINOR,
        "the money measure of the catalogue, each amount credited to the last message that arrived before it within "
        "the learning window, over messages that arrived and whose window is over; attributed, not caused",
        RATIO,
    ),
    _define(
        "contribution_total", "contribution in all", KpiUnit.MONEY_MINOR, "the same, summed; rows add up", NO_INTERVAL
    ),
    _define(
        "incremental_contribution",
        "contribution because of messages",
        KpiUnit.MONEY_MINOR,
        "a decision: what it brought in its learning window beyond silence at that moment, where chance decided with "
        "known probabilities; everything: a customer, against the universal holdout, where there is one",
        RATIO,
    ),
    _define(
        "cost",
        "contact costs",
        KpiUnit.MONEY_MINOR,
        "cost of its channel for every message but those reported not sent, summed",
        NO_INTERVAL,
    ),
    _define(
        "roi",
        "return on contact costs",
        KpiUnit.RATIO,
        "(contribution - contact costs) / contact costs of the same customers and days: against the holdout, both from"
        " a customer's first decision of the engine in the period on; else both of the same decisions or messages;"
        " incremental where chance can say, else attributed",
        RATIO,
    ),
)

DEFINITIONS: Mapping[str, KpiDefinition] = {each.kpi_id: each for each in _ALL}
"""By name, the customer's first."""
