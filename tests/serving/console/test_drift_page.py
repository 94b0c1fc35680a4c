"""The drift page and the drift numbers of /metrics: what is stored, and nothing else."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from features.reports.drift import DRIFT_FILES, DriftFinding, DriftKind, DriftReport, DriftVerdict
from features.settings import Settings
from serving.console.routes import console_routes
from serving.metrics import Metrics

AS_OF = datetime(2026, 11, 1, tzinfo=UTC)


def finding(kind: DriftKind, name: str, verdict: DriftVerdict, **fields: object) -> DriftFinding:
    whole = {"group": "all", "before_count": 400, "now_count": 200, "before": 1.5, "now": 3.25, "p_value": 0.0004}
    return DriftFinding(kind=kind, name=name, verdict=verdict, sentence=f"{name} {verdict.value}", **whole | fields)


FINDINGS = (
    finding(DriftKind.FEATURE, "purchase_count_90d", DriftVerdict.ALARM, psi=0.41),
    finding(DriftKind.REWARD, "net_revenue", DriftVerdict.WATCH, change=-0.15, group="stage: <b>, channel: email"),
    finding(DriftKind.SILENT_ZERO, "channel: sms", DriftVerdict.ALARM, before=0.2, now=0.0, now_count=0),
    finding(DriftKind.SCORE, "best uplift", DriftVerdict.STEADY, psi=0.02),
)


def report_of(*findings: DriftFinding, as_of: datetime = AS_OF) -> DriftReport:
    return DriftReport(
        from_at=datetime(2026, 9, 27, tzinfo=UTC),
        split_at=datetime(2026, 10, 25, tzinfo=UTC),
        as_of=as_of,
        computed_at=as_of,
        catalogue_version="c1",
        currency="EUR",
        measure_id="net_revenue",
        window_days=7.0,
        findings=findings,
        notes=("the model changed (before: 1; now: 2)",),
        command="nextbest drift read --days 7",
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def visitor(settings: Settings) -> TestClient:
    app = FastAPI()
    app.include_router(console_routes(settings))
    return TestClient(app)


def test_before_the_first_report_the_page_says_what_to_run(visitor: TestClient):
    page = visitor.get("/console/drift")
    assert page.status_code == 200
    assert "Drift has not been read yet" in page.text
    assert "nextbest drift read" in page.text


def test_the_page_shows_every_stored_number_worst_first(visitor: TestClient, settings: Settings):
    DRIFT_FILES.write(settings.drift_path, report_of(*FINDINGS))
    page = visitor.get("/console/drift").text
    assert "2 things have changed so much that somebody must look; 1 thing has changed and should be watched." in page
    for shown in ("PSI 0.41", "purchase_count_90d", "400 / 200", "3.25", "20.0 %", "nextbest drift read --days 7"):
        assert shown in page
    assert page.index("Look now") < page.index("Watch")
    assert "stage: &lt;b&gt;, channel: email" in page
    assert 'href="/console/drift" aria-current="page"' in page
    assert "nextbest experiment read" not in page


def test_a_newer_report_takes_the_place_of_an_older_one(visitor: TestClient, settings: Settings):
    DRIFT_FILES.write(settings.drift_path, report_of(*FINDINGS))
    DRIFT_FILES.write(settings.drift_path, report_of(FINDINGS[3], as_of=datetime(2026, 11, 2, tzinfo=UTC)))
    assert "Nothing has changed that matters." in visitor.get("/console/drift").text


def test_what_gave_no_answer_is_never_called_unchanged(visitor: TestClient, settings: Settings):
    unknown = finding(DriftKind.REWARD, "net_revenue", DriftVerdict.UNKNOWN, p_value=None)
    DRIFT_FILES.write(settings.drift_path, report_of(FINDINGS[3], unknown, unknown))
    page = visitor.get("/console/drift").text
    headline = "Nothing is known to have changed. 2 of 3 comparisons gave no answer: too few customers or values."
    assert headline in page
    assert page.index("Not known") < page.index(headline)  # the badge beside the title
    DRIFT_FILES.write(settings.drift_path, report_of(FINDINGS[0], unknown, as_of=datetime(2026, 11, 2, tzinfo=UTC)))
    page = visitor.get("/console/drift").text
    assert "1 thing has changed so much that somebody must look. 1 of 2 comparisons gave no answer" in page


def test_a_damaged_report_is_an_error_that_says_what_to_do(visitor: TestClient, settings: Settings):
    settings.drift_path.mkdir()
    (settings.drift_path / "2026-11-01T000000Z.json").write_text("{")
    page = visitor.get("/console/drift")
    assert page.status_code == 500
    assert "nextbest drift read" in page.text


def test_metrics_tell_the_newest_report_and_follow_it(settings: Settings):
    metrics = Metrics(drift=settings.drift_path)
    assert b"nextbest_drift" not in metrics.exposition()
    DRIFT_FILES.write(settings.drift_path, report_of(*FINDINGS))
    told = metrics.exposition().decode()
    assert 'nextbest_drift_findings{kind="silent_zero",verdict="alarm"} 1.0' in told
    assert 'nextbest_drift_findings{kind="silent_zero",verdict="watch"} 0.0' in told
    assert 'nextbest_drift_psi{kind="feature",name="purchase_count_90d"} 0.41' in told
    assert "nextbest_drift_as_of_seconds 1.7934912e+09" in told
    DRIFT_FILES.write(settings.drift_path, report_of(FINDINGS[3], as_of=datetime(2026, 11, 2, tzinfo=UTC)))
    assert 'nextbest_drift_findings{kind="silent_zero",verdict="alarm"} 0.0' in metrics.exposition().decode()


def test_metrics_of_several_processes_tell_drift_once(settings: Settings, tmp_path: Path):
    DRIFT_FILES.write(settings.drift_path, report_of(*FINDINGS))
    (tmp_path / "shared").mkdir()
    told = Metrics(tmp_path / "shared", settings.drift_path).exposition().decode()
    assert told.count('nextbest_drift_findings{kind="feature",verdict="alarm"}') == 1


def test_a_damaged_report_leaves_the_other_metrics_alone(settings: Settings):
    settings.drift_path.mkdir()
    (settings.drift_path / "2026-11-01T000000Z.json").write_text("{")
    told = Metrics(drift=settings.drift_path).exposition()
    assert b"nextbest_conflicts" in told
    assert b"nextbest_drift" not in told
