"""Simulated history: known probabilities, every rule kept, reproducible bytes, and an import that accepts every row."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InvalidInputError
from features.catalogue import load_catalogue
from features.importing.folder import import_folder
from features.log.contracts import TABLES
from features.settings import Settings
from pipelines.commands import world as world_command
from pipelines.simulation.events.frames import frames_of
from pipelines.simulation.history import LivedHistory, first_monday, live_history, scale_catalogue, write_history
from pipelines.simulation.policies.logging_policy import LoggingPolicy

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def small_limits(airline: Catalogue) -> Catalogue:
    """The airline's catalogue with capacities that are scarce even for a few customers."""
    return replace(airline, limits=tuple(replace(limit, amount=8) for limit in airline.limits))


@pytest.fixture(scope="module")
def lived(make_world: Callable, small_limits: Catalogue) -> LivedHistory:
    return live_history(make_world(4_000, 11), small_limits, 14)


@pytest.fixture(scope="module")
def sent(lived: LivedHistory) -> pl.DataFrame:
    return lived.tables.decisions.filter(pl.col("offer_id").is_not_null())


def _most_within(rows: pl.DataFrame, days: int, *keys: str) -> int:
    """The most contacts of any customer in any window that ends with a contact."""
    seconds = pl.col("decided_at").dt.epoch("s")
    pairs = rows.join(rows, on=["customer_id", *keys], suffix="_before").filter(
        (seconds - pl.col("decided_at_before").dt.epoch("s")).is_between(0, days * 86_400, closed="left")
    )
    return pairs.group_by("customer_id", "decided_at", *keys).len()["len"].max()


def test_caps_are_kept(sent: pl.DataFrame) -> None:
    assert _most_within(sent, 27) == 3
    assert _most_within(sent.filter(pl.col("channel") == "sms"), 27, "channel") <= 2
    assert _most_within(sent.filter(pl.col("offer_id") == "tell-us"), 85, "offer_id") == 1


def test_capacities_are_kept_every_week_and_used(sent: pl.DataFrame, small_limits: Catalogue) -> None:
    weekly = sent.group_by("channel", "decided_at").len()
    for limit in small_limits.limits:
        used = weekly.filter(pl.col("channel") == limit.of)["len"]
        assert used.max() <= limit.amount
    assert weekly.filter(pl.col("channel") == "direct_mail")["len"].max() > 0


def test_no_message_is_sent_without_consent(lived: LivedHistory, sent: pl.DataFrame) -> None:
    people = lived.world.population
    agreed = pl.DataFrame(
        [(people.ids[row], people.channels[place]) for row, place in np.argwhere(people.agrees)],
        schema=["customer_id", "channel"],
        orient="row",
    )
    assert sent.join(agreed, on=["customer_id", "channel"], how="anti").is_empty()
    left = lived.tables.events.filter(pl.col("type") == "consent_withdrawn").select("customer_id", "occurred_at")
    after = sent.join(left, on="customer_id").filter(pl.col("decided_at") > pl.col("occurred_at"))
    assert left.height > 20
    assert after.is_empty()


def test_messages_fit_the_stage_and_the_purposes_of_the_channel(sent: pl.DataFrame, airline: Catalogue) -> None:
    for offer_id, channel, stage in sent.select("offer_id", "channel", "stage").unique().iter_rows():
        offer, purposes = airline.offers[offer_id], airline.channels[channel].purposes
        assert stage in offer.stages
        assert purposes is None or offer.goal_id in purposes[stage]


def test_declined_and_recently_seen_messages_are_respected(
    lived: LivedHistory, sent: pl.DataFrame, airline: Catalogue
) -> None:
    named = lived.tables.outcomes.join(sent.select("decision_id", "offer_id"), on="decision_id")
    seen_days = airline.conversation.seen_seconds / 86_400 if airline.conversation else 0
    for kind, days in (("declined", 28), ("viewed", seen_days)):
        told = named.filter(pl.col("type") == kind).select("customer_id", "offer_id", "occurred_at")
        age = pl.col("decided_at") - pl.col("occurred_at")
        again = sent.join(told, on=["customer_id", "offer_id"])
        assert again.filter(age.is_between(timedelta(0), timedelta(days=days), closed="left")).is_empty()
        assert again.filter(age > timedelta(days=days)).height > 0


def test_logged_action_probabilities_are_those_of_the_draw(make_world: Callable, airline: Catalogue) -> None:
    """In the first week the permitted messages are known: each is chosen as often as its probabilities say."""
    world = make_world(20_000)
    policy = LoggingPolicy(world, replace(airline, limits=(), conversation=None))
    permitted, choice = world.permitted(), policy.choose()
    count = permitted.sum(axis=1)
    spoken = choice.actions >= 0
    assert permitted[np.flatnonzero(spoken), choice.actions[spoken]].all()
    assert choice.probability[spoken] == pytest.approx(0.7 / count[spoken])
    assert choice.probability[~spoken] == pytest.approx(np.where(count == 0, 1.0, 0.3)[~spoken])
    assert np.mean(~spoken[count > 0]) == pytest.approx(0.3, abs=0.015)
    each = 0.7 * permitted / np.maximum(count, 1)[:, None]
    chosen = np.bincount(choice.actions[spoken], minlength=len(world.messages))
    error = np.sqrt((each * (1 - each)).sum(axis=0))
    assert (np.abs(chosen - each.sum(axis=0)) <= 4.5 * error + 1e-9).all()


def test_every_customer_gets_one_decision_a_week_with_its_window_and_stage(lived: LivedHistory) -> None:
    rows = lived.tables.decisions
    assert rows.height == 4_000 * 14
    assert rows["decision_id"].is_unique().all()
    assert ((rows["window_ends_at"] - rows["decided_at"]) == timedelta(days=28)).all()
    assert rows["action_probability"].is_between(0, 1, closed="right").all()
    assert set(rows["stage"]) <= {"dream", "plan", "book", "prepare", "travel", "recover", "return", "lapse"}
    assert lived.tables.outcomes.join(rows, on=["decision_id", "customer_id"], how="anti").is_empty()


def test_the_world_can_be_simulated_further(lived: LivedHistory) -> None:
    world = lived.world.copy()
    assert world.week == 14
    before = lived.tables.events["occurred_at"].max()
    assert before < world.now
    assert frames_of(world.run_week(np.full(4_000, -1))).events["occurred_at"].min() >= world.now - timedelta(weeks=1)


def test_the_same_seed_writes_the_same_bytes_and_an_import_accepts_every_row(tmp_path: Path) -> None:
    for name in ("one", "two"):
        report = write_history(tmp_path / name, customers=300, days=40, seed=5, ends_on=date(2026, 11, 1))
    for table in TABLES:
        one, two = ((tmp_path / name / f"{table}.parquet").read_bytes() for name in ("one", "two"))
        assert one == two
    last = pl.read_parquet(tmp_path / "one" / "events.parquet")["occurred_at"].max()
    assert date(2026, 10, 25) <= last.date() <= date(2026, 11, 1)
    imported = import_folder(tmp_path / "one", Settings(home=tmp_path / "home"), now=last + DAY)
    assert {each.table: (each.inserted, each.rejected) for each in imported.tables} == {
        table: (rows, 0) for table, rows in report.rows.items()
    }


def test_capacities_are_scaled_to_the_number_of_customers(airline_folder: Path, tmp_path: Path) -> None:
    scale_catalogue(airline_folder, tmp_path / "catalogue", 0.1)
    whole, small = load_catalogue(airline_folder), load_catalogue(tmp_path / "catalogue")
    assert {one.limit_id: one.amount for one in small.limits} == {
        one.limit_id: max(round(one.amount * 0.1), 1) for one in whole.limits
    }
    assert small.contact_policy == whole.contact_policy
    assert small.offers == whole.offers


@pytest.mark.parametrize(
    ("ends_on", "days", "begins"),
    [
        (date(2026, 11, 22), 7, date(2026, 11, 9)),
        (date(2026, 11, 23), 7, date(2026, 11, 16)),
        (date(2026, 11, 22), 8, date(2026, 11, 2)),
    ],
)
def test_a_history_is_whole_weeks_that_end_by_its_last_day(ends_on: date, days: int, begins: date) -> None:
    assert first_monday(ends_on, days).date() == begins


@pytest.mark.parametrize(
    ("name", "change"),
    [("customers", {"customers": 0}), ("days", {"days": 0}), ("ends_on", {"ends_on": date(1900, 1, 1)})],
)
def test_invalid_histories_are_refused(name: str, change: dict, tmp_path: Path) -> None:
    given = {"customers": 10, "days": 7, "seed": 1, "ends_on": date(2026, 11, 1), **change}
    with pytest.raises(InvalidInputError, match=f"{name} must be"):
        write_history(tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_the_command_writes_a_history(tmp_path: Path) -> None:
    app = typer.Typer()
    app.add_typer(world_command.app)
    app.callback()(lambda: None)
    order = ["world", "write", str(tmp_path / "out"), "--customers", "40", "--days", "14", "--json"]
    result = CliRunner().invoke(app, order)
    assert result.exit_code == 0, result.output
    assert '"customers": 40' in result.stdout
    assert '"decisions": 80' in result.stdout
    assert (tmp_path / "out" / "catalogue" / "catalogue.yaml").is_file()
