"""The console shows phases and units: what began a phase, which units it added, and its result."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from starlette.testclient import TestClient

from features.reports.readouts import (
    PhaseReadout,
    Readout,
    ReadoutKind,
    Refusal,
    RefusalCode,
    Status,
    read_readout,
    readout_from_json,
    readout_to_json,
    write_readout,
)
from features.settings import Settings
from tests.serving.console.conftest import Site, make_app

CHANGED = datetime(2026, 5, 1, 8, tzinfo=UTC)


def with_phases(readout: Readout) -> Readout:
    """A readout of a household experiment with changed shares; its second phase has no result yet."""
    waiting = Refusal(code=RefusalCode.NO_DECISIONS, message="the log holds no decision yet")
    first = PhaseReadout(
        number=1, since=None, until=CHANGED, change="the first rule", is_shown=True, status=readout.status,
        verdict=readout.verdict, refusal=None, unit="household", arms=readout.arms, primary=readout.metrics[0],
    )  # fmt: skip
    second = replace(
        first, number=2, since=CHANGED, until=None, change="other shares", is_shown=False, status=Status.REFUSED,
        verdict="No answer yet: the log holds no decision yet.", refusal=waiting, primary=None,
    )  # fmt: skip
    return replace(
        readout, readout_id="by-household", kind=ReadoutKind.EXPERIMENT, unit="household", exposure="decided",
        window_days=7.0, phases=(first, second),
    )  # fmt: skip


@pytest.fixture(scope="module")
def phased(stored: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = Settings(home=tmp_path_factory.mktemp("phased"))
    table = read_readout(stored.readouts_path, "mail-test")
    write_readout(settings.readouts_path, with_phases(table))
    write_readout(settings.readouts_path, replace(table, readout_id="visits", unit="userId"))
    return settings


def test_a_readout_with_phases_is_read_back_unchanged_and_older_ones_have_none(phased: Settings):
    readout = read_readout(phased.readouts_path, "by-household")
    assert [phase.number for phase in readout.phases] == [1, 2]
    older = readout_to_json(replace(readout, phases=())).replace(b'"unit": "household",', b"")
    assert (readout_from_json(older).phases, readout_from_json(older).unit) == ((), "customer")


def test_the_page_names_the_unit_wherever_it_counts(phased: Settings):
    client = TestClient(make_app(phased))
    page = client.get("/console/experiments/by-household").text
    assert "Households compared" in page
    assert "spend per household, each arm against none" in page
    assert "Households per arm" in page
    assert "per customer" not in page
    table = client.get("/console/experiments/visits").text
    assert "<dt>Unit</dt><dd>userId</dd>" in table
    assert "spend per unit" in table
    assert 'id="phases"' not in table


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_phases_are_legible_at_any_width_and_in_both_themes(
    open_page: Callable[..., Page], serve_console: Callable[[Settings], Site], phased: Settings, scheme: str, width: int
):
    site: Any = serve_console(phased)
    page = open_page(site.page_of("by-household"), viewport={"width": width, "height": 900}, color_scheme=scheme)
    phases = page.locator(".phase")
    expect(phases).to_have_count(2)
    expect(phases.nth(0)).to_contain_text("shown above")
    expect(phases.nth(0)).to_contain_text("From the start to 1 May 2026, 08:00 UTC: the first rule. 2,700 households")
    expect(phases.nth(1).locator(".badge")).to_have_text("No answer yet")
    expect(phases.nth(1)).to_contain_text("other shares")
    expect(page.locator(".facts").first).to_contain_text("1 of 2")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
