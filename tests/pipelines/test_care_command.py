"""`nextbest care list`: overdue first, for people, programs and schedulers."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from features.clock import set_clock
from features.log.contracts import EVENTS
from features.log.event_log import EventLog
from features.settings import Settings
from pipelines.commands import care

SHOP = Path(__file__).parents[1] / "catalogues" / "shop"
T = datetime(2026, 5, 1, 12, tzinfo=UTC)
CASES = """
care:
  cases:
    complaint: {opened_by: [complaint], resolved_by: [case_resolved], owner: customer relations, answer_within_hours: 24}
    lost_item: {opened_by: [case_opened], resolved_by: [case_resolved]}
"""  # noqa: E501 - as people write it


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.add_typer(care.app)
    return app


@pytest.fixture
def home(tmp_path: Path) -> Path:
    settings = Settings(home=tmp_path / "home")
    shutil.copytree(SHOP, settings.catalogue_path)
    (settings.catalogue_path / "care.yaml").write_text(CASES)
    events = [
        ("C-1", "complaint", 20, {"case_id": "late"}),
        ("C-2", "complaint", 40, {"case_id": "later"}),
        ("C-3", "complaint", 1, {"case_id": "fresh"}),
        ("C-4", "case_opened", 90, {"case_id": "bag", "kind": "lost_item"}),
        ("C-5", "complaint", 50, {"case_id": "done"}),
        ("C-5", "case_resolved", 45, {"case_id": "done"}),
        ("C-6", "complaint", 60, {"case_id": "answered"}),
        ("C-6", "case_answered", 50, {"case_id": "answered"}),
    ]
    rows = [
        {"event_id": f"e{place}", "customer_id": who, "type": kind, "occurred_at": T - timedelta(hours=hours),
         "properties": orjson.dumps(properties).decode()}
        for place, (who, kind, hours, properties) in enumerate(events)
    ]  # fmt: skip
    EventLog(settings.log_path).append(EVENTS, pl.DataFrame(rows, schema=EVENTS.schema))
    return settings.home


def run(app: typer.Typer, home: Path, *options: str, expected: int = 0) -> str:
    result = CliRunner().invoke(app, ["care", "list", "--home", str(home), *options])
    assert result.exit_code == expected, result.output
    return result.stdout


AS_OF = ("--as-of", (T + timedelta(hours=10)).isoformat())


def test_open_cases_are_listed_overdue_first_then_by_the_time_an_answer_is_due(app: typer.Typer, home: Path) -> None:
    told = orjson.loads(run(app, home, "--json", *AS_OF))
    assert (told["open"], told["overdue"]) == (5, 2)
    assert [one["case_id"] for one in told["cases"]] == ["later", "late", "answered", "fresh", "bag"]
    everything = orjson.loads(run(app, home, "--json", "--all", *AS_OF))
    assert [one["case_id"] for one in everything["cases"]][-1] == "done"
    limited = orjson.loads(run(app, home, "--json", "--limit", "1", *AS_OF))
    assert (len(limited["cases"]), limited["overdue"]) == (1, 2)


def test_the_list_shows_the_owner_and_how_long_a_customer_waits(app: typer.Typer, home: Path) -> None:
    text = run(app, home, "--all", *AS_OF)
    assert "5 open, 2 overdue" in text
    for words in ("customer", "overdue for", "due in", "after", "nobody"):
        assert words in text


def test_an_owner_sees_only_their_own_cases(app: typer.Typer, home: Path) -> None:
    told = orjson.loads(run(app, home, "--json", "--owner", "customer relations", *AS_OF))
    assert (told["open"], {one["kind"] for one in told["cases"]}) == (4, {"complaint"})


def test_an_overdue_case_sets_the_exit_code(
    app: typer.Typer, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(app, home, "--alarm", *AS_OF, expected=4)
    run(app, home, "--alarm", "--limit", "1", "--json", *AS_OF, expected=4)
    run(app, home, "--alarm", "--as-of", (T - timedelta(hours=39)).isoformat())
    set_clock(tmp_path / "clock", T + timedelta(hours=10))  # the rehearsal clock is used
    monkeypatch.setenv("NEXTBEST_REHEARSAL_CLOCK", str(tmp_path / "clock"))
    run(app, home, "--alarm", expected=4)
