"""`nextbest kpi` and `nextbest fairness` on a real home: computed once, stored, and shown again unchanged."""

import shutil
from pathlib import Path

import orjson
import polars as pl
import pytest
from typer.testing import CliRunner

from decisioning.errors import InvalidInputError, UnknownNameError
from features.log.contracts import OUTCOMES, TABLES
from features.log.event_log import EventLog
from features.settings import Settings
from pipelines import cli
from serving.metrics import Metrics

SHOP = Path(__file__).parents[1] / "catalogues" / "shop"
AS_OF = ("--as-of", "2026-11-10")


@pytest.fixture
def shop_home(tmp_path: Path, shop) -> Settings:
    settings = Settings(home=tmp_path / "home")
    shutil.copytree(SHOP, settings.catalogue_path)
    for table in TABLES.values():
        EventLog(settings.log_path).append(table, getattr(shop, table.name))
    return settings


@pytest.fixture(autouse=True)
def nouns() -> None:
    if not cli.app.registered_groups:
        cli.register_nouns()


def run(settings: Settings, *words: str):
    return CliRunner().invoke(cli.app, [*words, "--home", str(settings.home)])


def test_kpis_are_computed_stored_and_shown_unchanged(shop_home: Settings):
    computed = run(shop_home, "kpi", "compute", "--days", "60", *AS_OF, "--json")
    assert computed.exit_code == 0, computed.output
    assert run(shop_home, "kpi", "--json").stdout == computed.stdout
    assert run(shop_home, "kpi", "show", "--json").stdout == computed.stdout
    report = orjson.loads(computed.stdout)
    assert report["command"] == "nextbest kpi compute --days 60 --as-of 2026-11-10T00:00:00"
    assert [(row["touchpoint"], row["channel"]) for row in report["rows"]] == [
        (None, None), (None, "email"), ("weekly-mail", None), ("weekly-mail", "email"),
    ]  # fmt: skip
    sent = next(each for each in report["rows"][1]["figures"] if each["kpi_id"] == "sent")
    assert sent["value"] == sent["sample_size"] > 1_000


def test_the_table_shows_numbers_intervals_and_where_data_are_insufficient(shop_home: Settings):
    shown = run(shop_home, "kpi", "compute", *AS_OF).stdout
    for part in (
        "2026-08-12 00:00 to 2026-11-10",
        "For the customer: everything",
        "clicked",
        "not enough data",
        "(incr.)",
    ):
        assert part in shown
    details = run(shop_home, "kpi", "show", "--channel", "email").stdout
    assert "For the company: email" in details
    assert "by touchpoint and channel" not in details
    unknown = run(shop_home, "kpi", "show", "--channel", "emial")
    assert isinstance(unknown.exception, UnknownNameError)


def test_what_machines_clicked_is_shown_by_week_and_on_the_metrics_page(shop_home: Settings, shop):
    assert "Views and clicks by machines" not in run(shop_home, "kpi", "compute", *AS_OF).stdout
    clicked = shop.outcomes.filter(pl.col("type") == "clicked").head(30)
    again = clicked.with_columns(outcome_id=pl.format("again-{}", "outcome_id"), properties=pl.lit('{"bot": true}'))
    EventLog(shop_home.log_path).append(OUTCOMES, again)
    report = orjson.loads(run(shop_home, "kpi", "compute", *AS_OF, "--json").stdout)
    clicks, by_machines = (sum(week[name] for week in report["machines"]) for name in ("clicks", "machine_clicks"))
    assert by_machines == 30
    shown = run(shop_home, "kpi").stdout
    assert "Views and clicks by machines" in shown
    assert "Machines on email: 30 of" in shown
    assert "Views and clicks by machines" in run(shop_home, "kpi", "show", "--channel", "email").stdout
    told = Metrics(kpis=shop_home.kpis_path).exposition().decode()
    assert f'nextbest_machine_engagement_ratio{{channel="email",type="clicked"}} {by_machines / clicks}' in told
    assert 'type="viewed"' not in told  # nobody reported any
    assert "nextbest_kpi_as_of_seconds 1.794" in told


def test_without_stored_kpis_nothing_is_shown(shop_home: Settings):
    for noun in ("kpi", "fairness"):
        result = run(shop_home, noun, "show")
        assert isinstance(result.exception, InvalidInputError)
        assert f"run `nextbest {noun} {'compute' if noun == 'kpi' else 'read'}`" in str(result.exception)
    later = run(shop_home, "kpi", "compute", "--as-of", "2999-01-01")
    assert "--as-of must not be later than now" in str(later.exception)


def test_the_latest_moment_is_shown_and_earlier_ones_are_kept(shop_home: Settings):
    run(shop_home, "kpi", "compute", *AS_OF)
    run(shop_home, "kpi", "compute", "--as-of", "2026-11-05")
    assert orjson.loads(run(shop_home, "kpi", "--json").stdout)["as_of"] == "2026-11-10T00:00:00Z"
    assert len(list(shop_home.kpis_path.iterdir())) == 2


def test_fairness_exits_with_4_if_a_guardrail_is_not_clearly_met(shop_home: Settings):
    plain = run(shop_home, "fairness", "read", *AS_OF)
    assert plain.exit_code == 0
    assert "The catalogue declares no guardrail" in plain.stdout
    rail = "{measure: contact_burden, groups: customer.region, tolerance: 2}"
    rails = f"fairness: {{period_days: 60, guardrails: {{burden: {rail}}}}}"
    section = shop_home.catalogue_path / "fairness.yaml"
    section.write_text(rails)
    kept = run(shop_home, "fairness", "read", *AS_OF)
    assert kept.exit_code == 0
    assert "guardrail: fair: burden (contact_burden by customer.region)" in kept.stdout
    assert "2026-09-11 00:00 to 2026-11-10" in kept.stdout
    section.write_text(rails.replace("contact_burden", "answered_in_time").replace("tolerance: 2", "tolerance: 0.1"))
    unknown = run(shop_home, "fairness", "read", *AS_OF)
    assert unknown.exit_code == 4
    assert "guardrail: unknown: burden (answered_in_time by customer.region): nobody can tell yet" in unknown.stdout
    assert run(shop_home, "fairness", "show").stdout == unknown.stdout
    assert "worse by" in run(shop_home, "fairness", "show", "--details").stdout
    assert orjson.loads(run(shop_home, "fairness", "show", "--json").stdout)["comparisons"][0]["is_guardrail"]
