"""The API's page in a real browser: it renders, and makes no request to another origin."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from features.settings import Settings
from serving.http.app import create_app
from tests.served import served

pytestmark = pytest.mark.browser


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    app = create_app(Settings(home=tmp_path, redis_url=f"unix://{tmp_path}/none"))
    with served(app) as address:
        yield address


def test_the_page_shows_every_operation_and_requests_no_other_origin(address: str) -> None:
    found = os.environ.get("NEXTBEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("needs Chromium on PATH or in NEXTBEST_CHROMIUM; on Debian: apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        asked: list[str] = []
        complaints: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.goto(f"{address}/docs")
        expect(page.locator(".opblock")).to_have_count(19, timeout=60_000)
        expect(page.get_by_text("/v1/decisions/next")).to_be_visible()
        browser.close()

    assert [url for url in asked if not url.startswith((address, "data:"))] == []
    assert complaints == []
