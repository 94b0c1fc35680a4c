"""The console in a real browser."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from features.settings import Settings

pytestmark = pytest.mark.browser

type OpenPage = Callable[..., Page]
ODD = "odd/name <script>alert(1)</script>"
NAMES = ("mail-test", "quiet-test", "broken-split", "tiny", ODD)


def middle_of(page: Page, selector: str) -> float:
    """Horizontal middle of what is drawn, in pixels."""
    box = page.locator(selector).bounding_box()
    assert box is not None, selector
    return box["x"] + box["width"] / 2


def test_the_list_shows_every_readout_with_its_badge_and_leads_to_its_page(open_page: OpenPage, site: Any):
    page = open_page(f"{site.address}/experiments")
    expect(page.get_by_role("heading", level=1)).to_have_text("Experiments")
    cards = page.locator(".card")
    expect(cards).to_have_count(5)
    expect(cards.locator(".card-title")).to_have_text(list(NAMES))
    badges = cards.locator(".badge:first-of-type").all_inner_texts()
    assert badges == ["Conclusive", "Not conclusive yet", "Do not read", "No answer yet", "Not conclusive yet"]
    cards.nth(0).click()
    page.wait_for_url(re.compile("/console/experiments/mail-test$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("mail-test")
    expect(page.locator(".verdict")).to_contain_text(site.readout("mail-test").verdict.replace("\xa0", " "))


def test_the_forest_plot_is_drawn_at_the_stored_numbers(open_page: OpenPage, site: Any):
    """The scale comes from two axis labels; every mark must be at the place of its stored number."""
    page = open_page(site.page_of("mail-test"))
    readout = site.readout("mail-test")
    for number, metric in enumerate(readout.metrics, start=1):
        panel = f"section[aria-labelledby='metric-{number}']"
        scale = 100 if metric.unit.value == "rate" else 1
        ticks = page.locator(f"{panel} .tick")
        labels = [float(text.replace("\N{MINUS SIGN}", "-").replace(",", "")) for text in ticks.all_text_contents()]
        boxes = [ticks.nth(place).bounding_box() for place in (0, len(labels) - 1)]
        first, last = (box["x"] + box["width"] / 2 for box in boxes if box)
        pixels = (last - first) / (labels[-1] - labels[0])
        for comparison in metric.comparisons:
            assert comparison.effect is not None
            track = f"{panel} svg[data-arm='{comparison.arm_id}']"

            def expected(
                value: float, *, origin: float = first - labels[0] * pixels, unit: float = pixels * scale
            ) -> float:
                return origin + value * unit

            effect = comparison.effect
            assert middle_of(page, f"{track} circle") == pytest.approx(expected(effect.difference), abs=1.5)
            assert middle_of(page, f"{track} .zero") == pytest.approx(expected(0.0), abs=1.5)
            caps = page.locator(f"{track} .cap")
            ends = [caps.nth(place).bounding_box() for place in (0, 1)]
            middles = [box["x"] + box["width"] / 2 for box in ends if box]
            assert middles == pytest.approx([expected(effect.lower), expected(effect.upper)], abs=1.5)


def test_every_table_has_a_caption_and_row_headers_and_agrees_with_the_plot(open_page: OpenPage, site: Any):
    page = open_page(site.page_of("mail-test"))
    tables = page.get_by_role("table")
    expect(tables).to_have_count(3)
    for table in tables.all():
        assert table.locator("caption").inner_text()
        rows = table.locator("tbody tr")
        assert table.locator("tbody th[scope=row]").count() == rows.count()
    plotted = page.locator(".forest-value strong").all_inner_texts()
    tabled = [text for text in page.locator("td.strong").all_inner_texts() if text]
    assert plotted == tabled
    for image in page.get_by_role("img").all():
        assert image.get_attribute("aria-label") in {
            comparison.sentence for metric in site.readout("mail-test").metrics for comparison in metric.comparisons
        }


def test_no_page_requests_another_origin_or_violates_its_security_policy(chromium: Browser, site: Any):
    context = chromium.new_context()
    asked: list[str] = []
    complaints: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    context.on("console", lambda message: complaints.append(message.text))
    page = context.new_page()
    for address in (site.address, f"{site.address}/experiments", *(site.page_of(name) for name in NAMES)):
        answer = page.goto(address)
        assert answer is not None
        assert answer.status == 200
    context.close()
    origin = site.address.removesuffix("/console")
    assert [url for url in asked if not url.startswith(origin)] == []
    assert any(url.endswith(".woff2") for url in asked)
    assert complaints == []


def test_the_vendored_font_is_used(open_page: OpenPage, site: Any):
    page = open_page(site.address)
    page.evaluate("() => document.fonts.ready.then(() => null)")  # polling would need eval, which our policy forbids
    assert page.evaluate("document.fonts.check('16px Inter')")


@pytest.mark.parametrize(
    ("name", "word", "words"),
    [
        ("broken-split", "Do not read", "Do not read this: the split is off"),
        ("tiny", "No answer yet", "No answer yet: arm 'old' has 20 customers to compare, and it takes 30"),
    ],
)
def test_a_refused_readout_shows_its_reason_and_no_number(
    open_page: OpenPage, site: Any, name: str, word: str, words: str
):
    page = open_page(site.page_of(name))
    expect(page.locator(".title-row .badge")).to_have_text(word)
    expect(page.locator(".verdict")).to_contain_text(words)
    expect(page.locator("svg.forest-track")).to_have_count(0)
    assert [text for text in page.locator("td.strong").all_inner_texts() if text] == []
    expect(page.get_by_role("heading", name="Can it be trusted?")).to_be_visible()


def test_an_empty_console_says_which_command_to_run(open_page: OpenPage, serve_console: Any, tmp_path: Path):
    page = open_page(serve_console(Settings(home=tmp_path)).address)
    expect(page.get_by_role("heading", name="No experiment has been read yet")).to_be_visible()
    expect(page.get_by_text("nextbest experiment read NAME")).to_be_visible()


@pytest.mark.parametrize("width", [320, 375, 640])
def test_nothing_overflows_a_narrow_window_or_200_per_cent_zoom(open_page: OpenPage, site: Any, width: int):
    """A 1,280 pixel window at 200 % is 640 CSS pixels wide, at 400 % 320."""
    page = open_page(site.address, viewport={"width": width, "height": 700})
    for address in (site.address, f"{site.address}/experiments", *(site.page_of(name) for name in NAMES)):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        for caption in page.locator("caption span").all():
            box = caption.bounding_box()
            assert box is not None
            assert box["x"] + box["width"] <= width, f"{address}: {caption.inner_text()}"


def test_every_page_works_without_scripts(open_page: OpenPage, site: Any):
    page = open_page(site.page_of("mail-test"), java_script_enabled=False)
    expect(page.locator(".verdict")).to_contain_text("arms differ from none")
    for circle in page.locator("svg.forest-track circle").all():
        box = circle.bounding_box()
        assert box is not None
        assert box["width"] > 8
    expect(page.get_by_role("table")).to_have_count(3)


def test_the_keyboard_reaches_the_content_first_and_focus_is_visible(open_page: OpenPage, site: Any):
    page = open_page(f"{site.address}/experiments")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    focused = page.locator(":focus")
    expect(focused).to_have_text("mail-test")
    assert focused.evaluate("element => getComputedStyle(element, '::after').outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/console/experiments/mail-test$"))


def test_dark_mode_and_print_have_their_own_colours(open_page: OpenPage, site: Any):
    grounds = set()
    for scheme in ("light", "dark"):
        page = open_page(site.page_of("mail-test"), color_scheme=scheme)
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    page.emulate_media(media="print")
    grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 3
    expect(page.get_by_role("navigation", name="Main").locator("ul")).to_be_hidden()
    expect(page.locator(".verdict")).to_be_visible()


def test_names_that_look_like_markup_are_shown_as_text(open_page: OpenPage, site: Any):
    page = open_page(site.page_of(ODD))
    expect(page.get_by_role("heading", level=1)).to_have_text(ODD)
