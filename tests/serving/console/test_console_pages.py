"""The console's responses without a browser: statuses, headers, escaping, and no other origins."""

import re
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest
from fastapi import Depends, FastAPI, HTTPException
from starlette.testclient import TestClient

from features.settings import Settings
from serving.console.routes import console_routes
from tests.serving.console.conftest import make_app, make_table, store

STATIC = Path(__file__).parents[3] / "serving" / "console" / "static"


@pytest.fixture
def visitor(stored_app: FastAPI) -> TestClient:
    return TestClient(stored_app)


@pytest.fixture
def empty_visitor(tmp_path: Path) -> TestClient:
    app = FastAPI()
    app.include_router(console_routes(Settings(home=tmp_path)))
    return TestClient(app)


PAGES = ("", "/drift", "/experiments", "/experiments/mail-test", "/experiments/broken-split", "/experiments/nothing")


@pytest.mark.parametrize("path", PAGES)
def test_every_page_forbids_other_origins_and_links_to_none(visitor: TestClient, path: str):
    answer = visitor.get(f"/console{path}")
    assert answer.headers["content-security-policy"].startswith("default-src 'self';")
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    loaded = re.findall(r"(?:href|src|action|srcset|data)=\"([^\"]*)\"", answer.text)
    assert loaded
    assert [address for address in loaded if not address.startswith(("/console", "#"))] == []
    assert not re.search(r"<script|style=|javascript:|\son\w+=|https?://", answer.text)


def test_the_style_sheet_loads_only_the_vendored_font():
    text = (STATIC / "console.css").read_text(encoding="utf-8")
    assert re.findall(r"url\(\"?([^\")]*)", text) == ["inter-5.3.0.woff2"]
    assert "@import" not in text
    assert (STATIC / "inter-LICENSE.txt").read_text(encoding="utf-8").find("SIL Open Font License") > 0


def test_the_vendored_font_is_the_published_one():
    table = (STATIC / "README.md").read_text(encoding="utf-8")
    assert sha256((STATIC / "inter-5.3.0.woff2").read_bytes()).hexdigest() in table


def test_assets_are_cached_by_digest_and_nothing_else_is_served(visitor: TestClient):
    page = visitor.get("/console").text
    [address] = re.findall(r"rel=\"stylesheet\" href=\"([^\"]*)\"", page)
    answer = visitor.get(address)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert "immutable" in answer.headers["cache-control"]
    assert visitor.get("/console/static/inter-5.3.0.woff2").headers["content-type"] == "font/woff2"
    for name in ("inter-LICENSE.txt", "README.md", "..%2froutes.py", "%2e%2e/routes.py", "nothing.css"):
        assert visitor.get(f"/console/static/{name}").status_code == 404


def test_names_that_look_like_markup_are_text(visitor: TestClient):
    page = visitor.get("/console/experiments/odd%2Fname%20%3Cscript%3Ealert(1)%3C%2Fscript%3E")
    assert page.status_code == 200
    assert "<script" not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    assert "<b>old" not in page.text
    missing = visitor.get("/console/experiments/%3Cscript%3E")
    assert missing.status_code == 404
    assert "<script" not in missing.text


def test_an_unknown_name_is_not_found_and_the_nearest_is_suggested(visitor: TestClient):
    answer = visitor.get("/console/experiments/mail-tset")
    assert answer.status_code == 404
    assert '<a href="/console/experiments/mail-test">mail-test</a>' in answer.text
    assert visitor.get("/console/experiments/" + "x" * 500).status_code == 404
    assert visitor.get("/console/experiments/..%2F..%2Fetc%2Fpasswd").status_code == 404


def test_a_damaged_readout_has_its_own_page_and_hides_no_other(tmp_path: Path):
    settings = Settings(home=tmp_path)
    settings.readouts_path.mkdir()
    (settings.readouts_path / "torn.json").write_text('{"readout_id": "to')
    app = FastAPI()
    app.include_router(console_routes(settings))
    visitor = TestClient(app)
    page = visitor.get("/console/experiments/torn")
    assert page.status_code == 500
    assert "nextbest experiment read torn" in page.text
    for path in ("/console", "/console/experiments"):
        listed = visitor.get(path)
        assert listed.status_code == 200
        assert "cannot be shown" in listed.text
        assert "nextbest experiment read torn" in listed.text


@pytest.mark.parametrize("path", ["/console", "/console/experiments"])
def test_an_empty_console_says_what_to_run(empty_visitor: TestClient, path: str):
    page = empty_visitor.get(path)
    assert page.status_code == 200
    assert "No experiment has been read yet" in page.text
    assert "nextbest experiment read NAME" in page.text


def test_a_new_readout_shows_without_a_restart(tmp_path: Path, stored: Settings):
    settings = Settings(home=tmp_path)
    app = FastAPI()
    app.include_router(console_routes(settings))
    visitor = TestClient(app)
    assert "mail-test" not in visitor.get("/console/experiments").text
    settings.readouts_path.mkdir()
    payload = (stored.readouts_path / "mail-test.json").read_bytes()
    (settings.readouts_path / "mail-test.json").write_bytes(payload)
    assert "mail-test" in visitor.get("/console/experiments").text


def test_customers_without_a_value_are_not_counted_as_compared(tmp_path: Path):
    settings, arms = Settings(home=tmp_path / "home"), {"old": 500, "new": 500}
    gaps = make_table(arms, {}).with_columns(spend=pl.when(pl.int_range(pl.len()) % 10 > 0).then("spend"))
    store(settings, tmp_path, "gaps", gaps, "old", 1)
    visitor = TestClient(make_app(settings))
    assert "900 customers compared" in visitor.get("/console/experiments").text


def test_access_checks_apply_to_pages_and_not_to_the_style_sheet(stored: Settings):
    def refuse() -> None:
        raise HTTPException(401)

    app = FastAPI()
    app.include_router(console_routes(stored, [Depends(refuse)]))
    visitor = TestClient(app)
    assert {visitor.get(f"/console{path}").status_code for path in PAGES} == {401}
    assert visitor.get("/console/static/console.css").status_code == 200


def test_the_console_works_below_another_path(stored: Settings):
    app = FastAPI()
    app.include_router(console_routes(stored))
    page = TestClient(app, root_path="/nextbest").get("/console/experiments").text
    assert 'href="/nextbest/console/static/console.css' in page
    assert 'href="/nextbest/console/experiments/mail-test"' in page


def test_the_page_shows_the_stored_verdict_numbers_and_command_word_for_word(visitor: TestClient, stored: Settings):
    from features.reports.readout_words import format_difference, format_p, format_value
    from features.reports.readouts import read_readout

    readout = read_readout(stored.readouts_path, "mail-test")
    text = visitor.get("/console/experiments/mail-test").text
    assert readout.verdict in text
    assert readout.command in text
    assert readout.sample_ratio.message in text
    for metric in readout.metrics:
        for arm in metric.arms:
            assert arm.mean is not None
            assert format_value(arm.mean, metric.unit) in text
        for comparison in metric.comparisons:
            assert comparison.effect is not None
            assert format_difference(comparison.effect.difference, metric.unit) in text
            assert format_p(comparison.effect.p_value).replace("<", "&lt;") in text


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1])
def test_text_has_enough_contrast_in_both_themes(theme: int):
    """WCAG AA: 4.5 to 1."""
    css = (STATIC / "console.css").read_text(encoding="utf-8")
    block = re.findall(r":root \{([^}]*)\}", css)[theme]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
    pairs = [(text, ground) for text in ("text", "muted", "accent") for ground in ("ground", "surface", "sunken")]
    pairs += [(name, f"{name}-soft") for name in ("accent", "good", "warn", "stop")]
    pairs += [("text", f"{name}-soft") for name in ("accent", "warn", "stop")]
    for text, ground in pairs:
        light, dark = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)
