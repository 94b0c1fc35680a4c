"""Drift on logs of the engine's own decisions: nothing found where nothing changed, and every planted change found."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from decisioning.catalogue.catalogue import Catalogue
from decisioning.decision import Inputs
from decisioning.errors import InsufficientDataError
from features.computing.feature_set import feature_schema
from features.log.contracts import DECISIONS, EVENTS
from features.log.event_log import EventLog
from features.models.logged_decisions import LoggedDecisions
from features.reports.drift import DRIFT_FILES, DriftFinding, DriftKind, DriftReport, DriftVerdict
from pipelines.commands import drift
from pipelines.exit_codes import EXIT_ALARM
from training.drift.drift_report import read_drift
from training.drift.evidence import DriftReading

AS_OF = datetime(2026, 11, 1, tzinfo=UTC)
COUNT, WEEKS = 1400, 7
FIRST_NEW = COUNT - COUNT // WEEKS
"""Decisions from here on are of the last week; those of the week before it are read for rewards."""

READING = DriftReading(as_of=AS_OF, days=7, before_days=28, computed_at=AS_OF, command="nextbest drift read")


def times_of(count: int) -> list[datetime]:
    """Moments that lie evenly over the weeks before `AS_OF`."""
    step = timedelta(weeks=WEEKS) / count
    return [AS_OF - timedelta(weeks=WEEKS) + (number + 0.5) * step for number in range(count)]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftHome:
    """A home whose decisions lie evenly over seven weeks, each about a customer of their own."""

    decided: object

    def write(
        self,
        change: Callable[[Inputs, int], Inputs] = lambda inputs, _number: inputs,
        spent: Callable[[int], float] = lambda _number: 1.0,
    ) -> None:
        """Decide and log, with purchases after each decision; `spent` scales them."""
        times = times_of(COUNT)

        def changed(inputs: Inputs) -> Inputs:
            number = int(inputs.request.customer_id.removeprefix("C-"))
            return change(replace(inputs, now=times[number], live=replace(inputs.live, contacts=())), number)

        self.decided.decide(range(COUNT), change_inputs=changed)
        rng = np.random.default_rng(1)
        rows = [
            {
                "event_id": f"E-{number}",
                "customer_id": f"C-{number}",
                "type": "purchase",
                "occurred_at": times[number] + timedelta(days=1),
                "amount_minor": int(spent(number) * rng.gamma(4.0, 250.0)),
                "currency": "EUR",
            }
            for number in range(COUNT)
        ]
        self.decided.log.append(EVENTS, pl.DataFrame(rows, schema=EVENTS.schema))

    def read(
        self, log: EventLog | None = None, reading: DriftReading = READING, catalogue: Catalogue | None = None
    ) -> DriftReport:
        log, catalogue = log or EventLog(self.decided.settings.log_path), catalogue or self.decided.policy.catalogue
        return read_drift(log, LoggedDecisions(self.decided.settings), catalogue, reading)


@pytest.fixture
def drift_home(decided_home) -> DriftHome:
    return DriftHome(decided=decided_home)


def alarms(report: DriftReport, kind: DriftKind) -> list[DriftFinding]:
    return [one for one in report.having(DriftVerdict.ALARM) if one.kind is kind]


def test_nothing_is_found_where_nothing_changed_as_often_as_promised(drift_home: DriftHome, tmp_path: Path):
    """The same decisions in a new random order of time, twelve times: one report in twenty may cry wolf."""
    drift_home.write()
    log = EventLog(drift_home.decided.settings.log_path)
    decisions, events = log.read(DECISIONS), log.read(EVENTS)
    cried = 0
    for seed in range(12):
        order = np.random.default_rng(seed).permutation(COUNT)
        times = pl.DataFrame({"customer_id": [f"C-{one}" for one in order], "moved_at": times_of(COUNT)})
        moved = decisions.join(times.cast({"moved_at": DECISIONS.schema["decided_at"]}), on="customer_id")
        moved = moved.with_columns(decided_at="moved_at").select(DECISIONS.schema.keys())
        bought = moved.select("customer_id", occurred_at=pl.col("decided_at") + timedelta(days=1))
        other = EventLog(tmp_path / f"log-{seed}")
        other.append(DECISIONS, moved)
        other.append(EVENTS, events.drop("occurred_at").join(bought, on="customer_id").select(EVENTS.schema.keys()))
        report = drift_home.read(other)
        assert len(report.findings) > 20
        cried += any(one.p_value is not None and one.p_value < 0.05 for one in report.findings)
    assert cried <= 2


def test_a_feature_that_shifted_and_one_that_went_missing_are_found(drift_home: DriftHome):
    def change(inputs: Inputs, number: int) -> Inputs:
        if number < FIRST_NEW or inputs.features is None:
            return inputs
        values = inputs.features.values.copy()
        values[0], values[1] = values[0] * 2.5, np.nan
        return replace(inputs, features=replace(inputs.features, values=values))

    drift_home.write(change)
    found = {one.name for one in alarms(drift_home.read(), DriftKind.FEATURE)}
    schema = feature_schema(drift_home.decided.policy.catalogue).names
    assert found == {schema[0], schema[1]}


def test_scores_that_shifted_are_found_and_a_new_model_is_named(drift_home: DriftHome):
    def change(inputs: Inputs, number: int) -> Inputs:
        if number < FIRST_NEW or inputs.expected_values is None:
            return inputs
        return replace(inputs, expected_values=inputs.expected_values + 200, model_version="8")

    drift_home.write(change)
    report = drift_home.read()
    assert "expected value of the choice" in {one.name for one in alarms(report, DriftKind.SCORE)}
    assert any("before: 7; now: 8" in note for note in report.notes)


def test_rewards_that_fell_are_found_by_reward_and_calibration(drift_home: DriftHome):
    """What came of decisions of the week before the last fell by half; predictions did not."""
    drift_home.write(spent=lambda number: 0.5 if number >= FIRST_NEW - COUNT // WEEKS else 1.0)
    report = drift_home.read()
    reward = next(one for one in alarms(report, DriftKind.REWARD) if one.group == "all")
    assert reward.change == pytest.approx(-0.5, abs=0.1)
    calibration = next(one for one in alarms(report, DriftKind.CALIBRATION) if one.group == "all")
    assert calibration.now - calibration.before == pytest.approx(-500, abs=100)
    assert not alarms(report, DriftKind.FEATURE)


def only_push_from_the_last_week_on(inputs: Inputs, number: int) -> Inputs:
    request = replace(inputs.request, channels=frozenset({"push"}))
    return replace(inputs, request=request) if number >= FIRST_NEW else inputs


def test_a_channel_and_messages_that_suddenly_get_nothing_are_found(drift_home: DriftHome):
    drift_home.write(only_push_from_the_last_week_on)
    found = alarms(drift_home.read(), DriftKind.SILENT_ZERO)
    assert ("channel: email", "all") in {(one.name, one.group) for one in found}
    assert any(one.name.endswith("/email/plain") for one in found)
    assert all(one.now == 0.0 and one.before > 0 for one in found)
    assert any(one.sentence.startswith("nobody gets anything by email any more, which") for one in found)
    assert not any("push" in one.name for one in found)


def test_a_message_whose_offer_ended_is_no_silent_zero(drift_home: DriftHome):
    def change(inputs: Inputs, number: int) -> Inputs:
        return (
            replace(inputs, request=replace(inputs.request, channels=frozenset({"push"})))
            if number >= FIRST_NEW
            else inputs
        )

    drift_home.write(change)
    catalogue = drift_home.decided.policy.catalogue
    ended = replace(
        catalogue,
        offers={name: replace(one, valid_until=AS_OF - timedelta(days=7)) for name, one in catalogue.offers.items()},
    )
    report = drift_home.read(catalogue=ended)
    assert not any(one.name.endswith("/email/plain") for one in alarms(report, DriftKind.SILENT_ZERO))


def test_too_few_customers_give_no_verdict_and_no_decisions_no_report(drift_home: DriftHome):
    drift_home.write()
    settings = drift_home.decided.settings
    short = replace(READING, days=1.0)
    report = read_drift(
        EventLog(settings.log_path), LoggedDecisions(settings), drift_home.decided.policy.catalogue, short
    )
    features = [one for one in report.findings if one.kind is DriftKind.FEATURE]
    assert {one.verdict for one in features} == {DriftVerdict.UNKNOWN}
    assert "it takes 100 customers" in features[0].sentence
    later = replace(READING, as_of=AS_OF + timedelta(days=365))
    with pytest.raises(InsufficientDataError, match="decisions on both sides"):
        drift_home.read(reading=later)


def test_a_log_that_began_after_the_older_period_is_read_without_a_warning(drift_home: DriftHome):
    drift_home.write()
    window = drift_home.decided.policy.catalogue.learning.window_days
    began_at = AS_OF - timedelta(weeks=WEEKS)
    early = replace(READING, as_of=began_at + timedelta(days=window + 3), days=window)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = drift_home.read(reading=early)
    rewards = [one for one in report.findings if one.kind is DriftKind.REWARD]
    assert {(one.before_count, one.verdict) for one in rewards} == {(0, DriftVerdict.UNKNOWN)}


def test_the_command_stores_what_it_prints_and_alarms_by_its_exit_code(drift_home: DriftHome):
    drift_home.write(spent=lambda number: 0.5 if number >= FIRST_NEW - COUNT // WEEKS else 1.0)
    home = drift_home.decided.settings.home
    read = nextbest("read", "--as-of", "2026-11-01", home=home)
    assert read.exit_code == EXIT_ALARM
    assert "alarm: reward net_revenue has changed much" in read.stdout
    stored = DRIFT_FILES.newest(drift_home.decided.settings.drift_path)
    assert stored.having(DriftVerdict.ALARM)
    again = nextbest("show", home=home)
    assert (again.exit_code, again.stdout) == (0, read.stdout)
    assert DRIFT_FILES.from_json(nextbest("show", "--json", home=home).stdout.encode()) == stored
    assert "verdict" in nextbest("show", "--details", home=home).stdout
    assert f"{len(stored.having(DriftVerdict.UNKNOWN))} of {len(stored.findings)} comparisons gave no" in read.stdout


def nextbest(*words: str, home: Path):
    app = typer.Typer()
    app.add_typer(drift.app)
    return CliRunner().invoke(app, ["drift", *words, "--home", str(home)])
