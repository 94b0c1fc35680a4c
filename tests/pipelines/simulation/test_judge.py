"""The judge finds each broken rule from the log alone, and nothing if all rules were kept."""

from datetime import UTC, datetime, timedelta

import orjson
import polars as pl
import pytest

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InvalidInputError
from examples.conversion import canonical
from features.history import History
from pipelines.simulation.contest.judge import RULES, Recount, judge

MONDAY = datetime(2026, 6, 1, 15, tzinfo=UTC)
WEEK = timedelta(weeks=1)
SIGNED_UP = "2026-01-01T00:00:00+00:00"


class Log:
    """Canonical rows of one customer in the dream stage; tests break one rule at a time."""

    def __init__(self) -> None:
        self.channels, self.zone, self.is_profiled = (
            ["email", "sms", "display", "in_app", "call"],
            "America/New_York",
            True,
        )
        self.refused: set[str] = set()
        self.events: list[dict[str, object]] = []
        self.decisions: list[dict[str, object]] = []
        self.outcomes: list[dict[str, object]] = []
        self.customers = ["C"]
        self.event("browse", MONDAY - timedelta(days=3))

    def event(self, kind: str, at: datetime, who: str = "C", **properties: str) -> None:
        text = orjson.dumps(properties).decode()
        row = {"event_id": f"e{len(self.events)}", "customer_id": who, "type": kind, "occurred_at": at}
        self.events.append({**row, "properties": text})

    def sent(self, message: str, at: datetime, who: str = "C") -> str:
        offer, channel, creative = message.split("/")
        decision_id = f"d{len(self.decisions)}"
        row = {"decision_id": decision_id, "customer_id": who, "decided_at": at, "offer_id": offer}
        self.decisions.append({**row, "channel": channel, "creative_id": creative})
        return decision_id

    def outcome(self, decision_id: str, kind: str, at: datetime) -> None:
        row = {"outcome_id": f"o{len(self.outcomes)}", "decision_id": decision_id, "customer_id": "C", "type": kind}
        self.outcomes.append({**row, "occurred_at": at})

    def history(self) -> History:
        consents = [
            {"channel": one, "purpose": "marketing", "granted": one not in self.refused, "recorded_at": SIGNED_UP}
            for one in self.channels
        ]
        if not self.is_profiled:
            consents.append({"channel": "email", "purpose": "profiling", "granted": False, "recorded_at": SIGNED_UP})
        common = {
            "updated_at": datetime(2026, 1, 1, tzinfo=UTC),
            "time_zone": self.zone,
            "channels": orjson.dumps(self.channels).decode(),
            "consents": orjson.dumps(consents).decode(),
        }
        frames = {
            "customers": [{"customer_id": one, **common} for one in self.customers],
            "events": self.events,
            "decisions": self.decisions,
            "outcomes": self.outcomes,
        }
        return History(**{name: canonical(name, pl.DataFrame(rows)) for name, rows in frames.items()})


@pytest.fixture
def log() -> Log:
    return Log()


def found(airline: Catalogue, log: Log) -> Recount:
    return judge(airline, log.history(), since=MONDAY - 8 * WEEK)


def broken(verdict: Recount) -> dict[str, int]:
    return {rule: count for rule, count in verdict.violations.items() if count}


STORY = "dream-destinations/email/story"


def test_nothing_is_found_if_all_rules_were_kept(airline: Catalogue, log: Log):
    log.sent(STORY, MONDAY)
    verdict = found(airline, log)
    assert (verdict.contacts, verdict.total, set(verdict.violations)) == (1, 0, set(RULES))


def test_a_message_without_consent_is_found(airline: Catalogue, log: Log):
    log.refused = {"email"}
    log.sent(STORY, MONDAY)
    assert broken(found(airline, log)) == {"consent": 1}


@pytest.mark.parametrize("channel", ["email", None])
def test_a_message_after_consent_was_withdrawn_is_found_and_one_before_is_not(
    airline: Catalogue, log: Log, channel: str | None
):
    log.sent(STORY, MONDAY - 5 * WEEK)
    log.event("browse", MONDAY - 5 * WEEK - timedelta(days=1))
    log.event("consent_withdrawn", MONDAY - WEEK, **({"channel": channel} if channel else {}))
    log.sent(STORY, MONDAY)
    assert broken(found(airline, log)) == {"consent": 1}


def test_a_message_on_an_unsubscribed_or_unreachable_channel_is_found(airline: Catalogue, log: Log):
    left = log.sent(STORY, MONDAY - 5 * WEEK)
    log.event("browse", MONDAY - 5 * WEEK - timedelta(days=1))
    log.outcome(left, "unsubscribed", MONDAY - 5 * WEEK + timedelta(hours=1))
    log.sent(STORY, MONDAY)
    log.channels.remove("in_app")
    log.sent("dream-destinations/in_app/tile", MONDAY + 5 * WEEK)
    log.event("browse", MONDAY + 5 * WEEK - timedelta(days=1))
    assert broken(found(airline, log)) == {"consent": 2, "reach": 1, "suppression": 1}


@pytest.mark.parametrize("spoil", ["the stage of events", "no profile, no stage"])
def test_a_message_in_another_stage_is_found(airline: Catalogue, log: Log, spoil: str):
    if spoil == "the stage of events":
        log.event("search", MONDAY - timedelta(days=1))
    else:
        log.is_profiled = False
    log.sent(STORY, MONDAY)
    assert broken(found(airline, log)) == {"stage": 1}


@pytest.mark.parametrize(("solved_days_ago", "is_broken"), [(None, True), (3, True), (8, False)])
def test_marketing_while_a_case_is_open_or_cooling_down_is_found(
    airline: Catalogue, log: Log, solved_days_ago: int | None, is_broken: bool
):
    log.event("bag_lost", MONDAY - timedelta(days=20), case_id="bag-1")
    if solved_days_ago is not None:
        log.event("bag_found", MONDAY - timedelta(days=solved_days_ago), case_id="bag-1")
    log.sent(STORY, MONDAY)
    assert broken(found(airline, log)) == ({"case": 1} if is_broken else {})


def test_the_contact_that_exceeds_a_cap_is_found(airline: Catalogue, log: Log):
    for week in range(-3, 1):
        log.event("browse", MONDAY + week * WEEK - timedelta(days=1))
        log.sent(STORY, MONDAY + week * WEEK)
    verdict = found(airline, log)
    assert broken(verdict) == {"cap": 1}
    assert judge(airline, log.history(), since=MONDAY + WEEK).contacts == 0


def test_an_offer_repeated_too_soon_after_being_declined_is_found(airline: Catalogue, log: Log):
    declined = log.sent(STORY, MONDAY - 3 * WEEK)
    log.event("browse", MONDAY - 3 * WEEK - timedelta(days=1))
    log.outcome(declined, "declined", MONDAY - 3 * WEEK + timedelta(hours=1))
    log.sent("dream-destinations/display/banner", MONDAY)
    assert broken(found(airline, log)) == {"suppression": 1}


def test_a_text_message_at_night_is_found(airline: Catalogue, log: Log):
    log.event("search", MONDAY - timedelta(days=1))
    log.sent("flash-fare/sms/text", MONDAY + timedelta(hours=12))
    assert broken(found(airline, log)) == {"quiet hours": 1}


def test_contacts_beyond_a_weeks_capacity_are_found(airline: Catalogue, log: Log):
    calls = next(limit for limit in airline.limits if limit.of == "call")
    log.customers = [f"C{one}" for one in range(int(calls.amount) + 2)]
    log.events.clear()
    for one in log.customers:
        log.sent("come-back/call/script", MONDAY, one)
    log.event("ad_seen", MONDAY - timedelta(days=90), "C0")
    assert broken(found(airline, log)) == {"capacity": 2}


def test_rules_that_cannot_be_recounted_are_refused_and_not_skipped(airline: Catalogue, log: Log):
    from dataclasses import replace

    from decisioning.catalogue.limits import Period
    from decisioning.catalogue.quiet_hours import QuietRule

    log.sent(STORY, MONDAY)
    monthly = replace(airline, limits=tuple(replace(one, period=Period.MONTH) for one in airline.limits))
    with pytest.raises(InvalidInputError, match="per week or day"):
        judge(monthly, log.history(), since=MONDAY)
    holidays = replace(airline, quiet_hours=replace(airline.quiet_hours, rules=(QuietRule(only_holidays=True),)))
    with pytest.raises(InvalidInputError, match="every day"):
        judge(holidays, log.history(), since=MONDAY)
