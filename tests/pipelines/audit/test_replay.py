"""Replaying the log gives the same decisions bit for bit; every difference is reported by field."""

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import polars as pl
import pytest
import typer
from deltalake import write_deltalake
from typer.testing import CliRunner

from decisioning.errors import InvalidInputError, LogUnavailableError, UnknownNameError
from decisioning.policy import Policy
from features.catalogue import load_catalogue
from features.catalogue.assignment.settlement import settle
from features.log.contracts import DECISIONS
from features.log.event_log import EventLog
from features.models import policy_archive
from features.models.logged_decisions import LoggedDecisions
from features.models.policy_archive import POLICIES, Absence, PolicyArchive
from pipelines.audit.replay import ReplayPlan, ReplayReport, replay_log
from pipelines.commands import log as log_command
from pipelines.commands import replay as replay_command


def replayed(home, plan: ReplayPlan = ReplayPlan()) -> ReplayReport:  # noqa: B008 - frozen
    return replay_log(home.log, LoggedDecisions(home.settings), plan)


def rewrite(log: EventLog, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Change rows as somebody with access to the files could."""
    write_deltalake(log.path / DECISIONS.name, change(log.read(DECISIONS)), mode="overwrite")


def altered(decision_id: str, column: str, value: object) -> Callable[[pl.DataFrame], pl.DataFrame]:
    changed = pl.when(pl.col("decision_id") == decision_id).then(pl.lit(value)).otherwise(pl.col(column))
    return lambda rows: rows.with_columns(changed.alias(column))


@pytest.fixture
def run(decided_home) -> Callable[..., tuple[int, str]]:
    app = typer.Typer()
    app.add_typer(replay_command.app)
    app.add_typer(log_command.app)

    def call(*arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(app, [*map(str, arguments), "--home", str(decided_home.settings.home)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout

    return call


def test_logged_decisions_replay_bit_for_bit(decided_home) -> None:
    decisions = decided_home.decide(range(60))
    report = replayed(decided_home)
    assert (report.same, report.changed, report.absent) == (60, [], {})
    assert report.positions == sum(len(one.further) for one in decisions) > 0


def test_an_imported_log_is_counted_and_skipped(decided_home, shop) -> None:
    decided_home.decide(range(3))
    decided_home.log.append(DECISIONS, shop.decisions.head(9))
    report = replayed(decided_home)
    assert (report.same, report.imported) == (3, 9)


@pytest.mark.parametrize(
    ("tamper", "field"),
    [
        (lambda record: record["evaluated"][0].update(probability=0.5), "evaluated[0].probability"),
        (lambda record: record.update(reason="RULES"), "reason"),
        (lambda record: record["inputs"].update(uniform=0.5), None),
        (lambda record: record.pop("arms"), "record"),
        (lambda record: record["inputs"]["customer"].update(consents=[]), "excluded"),
        (lambda record: record["inputs"].update(expected_values=[0.0]), "record"),
    ],
)
def test_a_tampered_record_is_reported(decided_home, tamper, field: str | None) -> None:
    decided_home.decide(range(6))
    row = decided_home.log.read(DECISIONS).row(by_predicate=pl.col("decision_id") == "dec_0000004", named=True)
    record = orjson.loads(row["record"])
    tamper(record)
    rewrite(decided_home.log, altered("dec_0000004", "record", orjson.dumps(record).decode()))
    report = replayed(decided_home)
    assert report.same + len(report.changed) == 6
    if field is not None:  # another draw may choose the same message
        (changed,) = report.changed
        assert changed.decision_id == "dec_0000004"
        assert any(one.field.startswith(field) for one in changed.differences)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("action_probability", 0.123), ("offer_id", "other"), ("is_held_out", True), ("stage", "nowhere"),
        ("arms", '{"test": "a"}'), ("decided_at", datetime(2020, 1, 1, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_a_column_that_contradicts_the_record_is_reported(decided_home, column: str, value: object) -> None:
    decided_home.decide(range(6))
    rewrite(decided_home.log, altered("dec_0000003", column, value))
    (changed,) = replayed(decided_home).changed
    assert [one.field for one in changed.differences] == [f"column {column}"]


def test_a_position_that_contradicts_the_slate_is_reported(decided_home) -> None:
    decided_home.decide(range(6))
    rewrite(decided_home.log, altered("dec_0000003-2", "action_probability", 0.77))
    report = replayed(decided_home)
    assert [(one.decision_id, one.differences[0].field) for one in report.changed] == [("dec_0000003-2", "[1]")]
    assert report.positions == 2


def test_an_engine_that_decides_differently_now_fails(decided_home, monkeypatch: pytest.MonkeyPatch, run) -> None:
    decided_home.decide(range(20))
    monkeypatch.setattr("decisioning.choice.position.best_of", lambda _: 0)  # a release that always prefers silence
    report = replayed(decided_home)
    assert report.changed
    assert {"reason", "message_key"} & {one.field for changed in report.changed for one in changed.differences}
    code, said = run("replay", "--json")
    assert (code, orjson.loads(said)["is_same"]) == (1, False)


def test_old_decisions_replay_with_the_policy_of_their_time(decided_home) -> None:
    decided_home.decide(range(10))
    path = next(decided_home.settings.catalogue_path.glob("*.yaml"))
    path.write_text(path.read_text().replace("cost: 0.01", "cost: 0.02"))
    newer = Policy(load_catalogue(decided_home.settings.catalogue_path), decided_home.settings.policy_seed)
    assert newer.version != decided_home.policy.version
    assert replayed(decided_home).same == 10  # the catalogue in force now does not matter
    later = replace(decided_home, policy=newer)
    later.decide(range(10, 15))
    report = replayed(decided_home)
    assert (report.same, report.absent) == (10, {"never_kept": 5})
    decided_home.archive.keep(decided_home.settings.catalogue_path, newer)
    assert replayed(decided_home).same == 15


def test_decisions_replay_under_the_ranges_of_their_time(decided_home) -> None:
    """The files alone would assign the arms afresh; the ledger beside them, and its copy, keep the assignment."""
    folder = decided_home.settings.catalogue_path
    settle(folder, datetime(2026, 11, 1, tzinfo=UTC))
    path = folder / "catalogue.yaml"
    path.write_text(path.read_text().replace("engine: {share: 0.5}", "engine: {share: 0.4}\n      a: {share: 0.1}"))
    settle(folder, datetime(2026, 11, 1, tzinfo=UTC))
    moved = replace(decided_home, policy=Policy(load_catalogue(folder), decided_home.settings.policy_seed))
    assert moved.policy.catalogue.experiments[0].arms[-1].spans is not None
    decided_home.archive.keep(folder, moved.policy)
    assert {arm for one in moved.decide(range(40)) for arm in one.arms.values()} == {"a", "engine", "random"}
    assert (replayed(decided_home).same, replayed(decided_home).changed) == (40, [])
    (decided_home.settings.catalogues_path / moved.policy.catalogue.version / "assignment.json").unlink()
    assert replayed(decided_home).absent == {"damaged": 40}


def test_a_missing_policy_is_named_and_counted(decided_home, run) -> None:
    decided_home.decide(range(4))
    copy = decided_home.settings.catalogues_path / decided_home.policy.catalogue.version
    path = next(copy.glob("*.yaml"))
    path.write_text(path.read_text().replace("cost: 0.01", "cost: 0.02"))
    assert replayed(decided_home).absent == {"damaged": 4}
    shutil.rmtree(decided_home.settings.catalogues_path)
    assert replayed(decided_home).absent == {"never_kept": 4}
    code, said = run("replay")
    assert code == 0
    assert "without its policy: never kept" in said


def test_each_release_replays_its_own_records(decided_home, monkeypatch: pytest.MonkeyPatch) -> None:
    decided_home.decide(range(4))
    monkeypatch.setattr(policy_archive, "BEHAVIOUR_VERSION", "another")
    assert replayed(decided_home).absent == {Absence.OTHER_BEHAVIOUR.value: 4}


def test_decisions_of_an_earlier_behaviour_version_are_counted_and_never_reported_as_changed(decided_home) -> None:
    """A different decision by this release does not mean that somebody changed the record."""
    decided_home.decide(range(4))
    note = decided_home.settings.catalogues_path / POLICIES / f"{decided_home.policy.version}.json"
    note.write_bytes(orjson.dumps(orjson.loads(note.read_bytes()) | {"behaviour": "3"}))
    rewrite(decided_home.log, altered("dec_0000002", "action_probability", 0.123))
    report = replayed(decided_home)
    assert (report.absent, report.same, report.changed) == ({Absence.OTHER_BEHAVIOUR.value: 4}, 0, [])


def test_one_decision_or_a_sample_can_be_replayed(decided_home) -> None:
    decided_home.decide(range(12))
    moment = decided_home.log.read(DECISIONS)["decided_at"].max()
    assert isinstance(moment, datetime)
    assert replayed(decided_home, ReplayPlan(decision_id="dec_0000007")).same == 1
    assert replayed(decided_home, ReplayPlan(limit=5)).same == 5
    assert replayed(decided_home, ReplayPlan(since=moment - timedelta(seconds=2))).same == 3
    with pytest.raises(UnknownNameError, match="decision must be a known name"):
        replayed(decided_home, ReplayPlan(decision_id="dec_9"))


def test_the_command_reports_as_text_and_json(decided_home, run) -> None:
    decided_home.decide(range(8))
    code, said = run("replay", "--json")
    found = orjson.loads(said)
    assert (code, found["replayed"], found["same"], found["changed"], found["is_same"]) == (0, 8, 8, [], True)
    rewrite(decided_home.log, altered("dec_0000003", "action_probability", 0.123))
    code, said = run("replay")
    assert code == 1
    assert "dec_0000003 comes out differently:" in said
    assert "column action_probability: logged 0.123, now" in said
    with pytest.raises(InvalidInputError, match="--since must be ISO 8601 with an offset"):
        run("replay", "--since", "2026-01-01")
    with pytest.raises(InvalidInputError, match="--since must be ISO 8601 with an offset"):
        run("replay", "--since", "yesterday")


def test_thousands_are_replayed_in_seconds(audited_home) -> None:
    started = time.process_time()  # time of this process only; others may be busy
    report = replay_log(audited_home.log, LoggedDecisions(audited_home.settings), ReplayPlan())
    rate = report.replayed / (time.process_time() - started)
    assert report.same == 1_000
    assert rate > 100, f"{rate:.0f} decisions a second"


def test_a_policy_is_archived_once_and_unchanged(decided_home, tmp_path: Path) -> None:
    archive, folder = decided_home.archive, decided_home.settings.catalogue_path
    before = sorted(path.name for path in archive.path.iterdir())
    assert before == sorted([decided_home.policy.catalogue.version, "policies"])
    archive.keep(folder, decided_home.policy)
    assert sorted(path.name for path in archive.path.iterdir()) == before
    other = PolicyArchive(tmp_path / "other")
    path = next(folder.glob("*.yaml"))
    path.write_text(path.read_text().replace("cost: 0.01", "cost: 0.02"))
    other.keep(folder, decided_home.policy)  # the files have changed since: a wrong copy is worse than none
    assert other.policy(decided_home.policy.version) is Absence.NEVER_KEPT
    path.write_text("offers: [")
    other.keep(folder, decided_home.policy)
    assert other.policy(decided_home.policy.version) is Absence.NEVER_KEPT


def test_a_full_disk_is_reported(decided_home, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LogUnavailableError, match="catalogue copies must be writable"):
        PolicyArchive(tmp_path / "file").keep(decided_home.settings.catalogue_path, decided_home.policy)


def test_the_log_is_verified_from_the_command_line(decided_home, run, tmp_path: Path) -> None:
    decided_home.decide(range(8))
    code, said = run("log", "verify", "--json")
    heads = tmp_path / "heads.json"
    heads.write_text(said)
    found = orjson.loads(said)
    assert (code, found["is_sound"], found["faults"]) == (0, True, [])
    assert run("log", "verify", "--head", heads)[0] == 0
    rewrite(decided_home.log, altered("dec_0000003", "action_probability", 0.123))
    code, said = run("log", "verify")
    assert code == 1
    assert "a decision was altered after it was logged: dec_0000003" in said
    for wrong in ("{}", "no json", '{"heads": {"a": 1}}'):
        heads.write_text(wrong)
        with pytest.raises(InvalidInputError, match="--head must be the JSON"):
            run("log", "verify", "--head", heads)
    with pytest.raises(InvalidInputError, match="--head must be readable"):
        run("log", "verify", "--head", tmp_path / "none.json")


def test_noted_heads_reveal_a_truncated_chain(decided_home, run, tmp_path: Path) -> None:
    decided_home.decide(range(8))
    heads = tmp_path / "heads.json"
    assert run("log", "verify", "--note", heads)[0] == 0
    assert run("log", "verify", "--head", heads)[0] == 0
    for table in ("decisions", "audit_chain"):
        shutil.rmtree(decided_home.log.path / table)
    decided_home.decide(range(8))  # the same decisions chained again: a valid chain, but a different one
    assert run("log", "verify")[0] == 0
    code, said = run("log", "verify", "--head", heads)
    assert code == 1
    assert "the chain does not reach the head that was noted" in said
    with pytest.raises(InvalidInputError, match="--note must be writable"):
        run("log", "verify", "--note", tmp_path / "none" / "heads.json")
