"""A console with readouts of every kind, really served, and a headless Chromium to view it."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import numpy as np
import polars as pl
import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, sync_playwright

from features.reports.readouts import Readout, read_readout
from features.settings import Settings
from pipelines.analyses.experiment_analysis import read_table_experiment
from serving.console.routes import console_routes
from tests.served import served
from training.experiments.readouts import ReadoutInputs
from training.experiments.tables.table_readouts import TableDesign

NOW = datetime(2026, 6, 1, 9, 30, tzinfo=UTC)
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A running console: its address and its stored readouts."""

    address: str
    settings: Settings

    def page_of(self, name: str) -> str:
        return f"{self.address}/experiments/{quote(name, safe='')}"

    def readout(self, name: str) -> Readout:
        return read_readout(self.settings.readouts_path, name)


def make_table(arms: dict[str, int], lifts: dict[str, float], seed: int = 1) -> pl.DataFrame:
    """Spend and a visit flag per customer; arms spend `lifts[arm]` more."""
    rng = np.random.default_rng(seed)
    frames = [
        pl.DataFrame(
            {
                "arm": [arm] * count,
                "spend": rng.gamma(2, 5, count) + lifts.get(arm, 0.0),
                "visit": rng.random(count) < 0.2 + lifts.get(arm, 0.0) / 20,
            }
        )
        for arm, count in arms.items()
    ]
    return pl.concat(frames)


def store(settings: Settings, folder: Path, name: str, frame: pl.DataFrame, control: str, age_days: int) -> None:
    path = folder / "table.parquet"
    frame.write_parquet(path)
    reading = ReadoutInputs(
        as_of=NOW,
        computed_at=NOW - timedelta(days=age_days),
        command=f"nextbest experiment read {name} --table table.parquet --arm-column arm --control {control}",
        source="table.parquet",
    )
    design = TableDesign(readout_id=name, arm_column="arm", control=control, metrics=("spend", "visit"), shares={})
    read_table_experiment(settings, path, design, reading)


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Readouts: three arms with clear lifts, no clear result, sample-ratio mismatch, too few customers, an odd name."""
    folder = tmp_path_factory.mktemp("console")
    settings = Settings(home=folder / "home")
    clear = make_table({"none": 900, "plain mail": 910, "warm mail": 890}, {"plain mail": 1.0, "warm mail": 2.0})
    store(settings, folder, "mail-test", clear, "none", 1)
    store(settings, folder, "quiet-test", make_table({"old": 500, "new": 510}, {}, seed=5), "old", 2)
    store(settings, folder, "broken-split", make_table({"old": 500, "new": 700}, {}), "old", 3)
    store(settings, folder, "tiny", make_table({"old": 20, "new": 20}, {}), "old", 4)
    odd = make_table({"<b>old</b>": 200, "a very long arm name that has to wrap somewhere & more": 200}, {})
    store(settings, folder, "odd/name <script>alert(1)</script>", odd, "<b>old</b>", 5)
    return settings


@pytest.fixture(scope="session")
def stored_app(stored: Settings) -> FastAPI:
    return make_app(stored)


def make_app(settings: Settings) -> FastAPI:
    app = FastAPI()
    app.include_router(console_routes(settings))
    return app


@pytest.fixture(scope="session")
def serve_console() -> Iterator[Callable[[Settings], Site]]:
    """Serves consoles on free ports of this machine until the session ends."""
    with ExitStack() as servers:

        def serve(settings: Settings) -> Site:
            address = servers.enter_context(served(make_app(settings)))
            return Site(address=f"{address}/console", settings=settings)

        yield serve


@pytest.fixture(scope="session")
def site(stored: Settings, serve_console: Callable[[Settings], Site]) -> Site:
    return serve_console(stored)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One headless Chromium per module: Playwright's event loop must end before other tests start theirs."""
    found = os.environ.get("NEXTBEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("needs Chromium on PATH or in NEXTBEST_CHROMIUM; on Debian: apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Opens an address in a new browser context; keyword arguments are Playwright's context options."""
    contexts = []

    def open_page(address: str, **options: object) -> Page:
        context = chromium.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})  # pyright: ignore[reportArgumentType]
        contexts.append(context)
        page = context.new_page()
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
