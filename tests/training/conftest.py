"""A log of customers, messages and cases, simulated from a known truth."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import pytest

from decisioning.catalogue.catalogue import Catalogue
from features.catalogue import load_catalogue
from features.computing.feature_set import feature_schema
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES
from features.log.event_log import EventLog
from features.settings import Settings
from features.store.builder import build_features
from features.store.point_in_time import training_rows
from training.judgement import from_log

SHOP_CATALOGUE = Path(__file__).parents[1] / "catalogues" / "shop"
CARE_ENDS_AT = datetime(2026, 11, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class CareLog:
    customers: pl.DataFrame
    events: pl.DataFrame
    decisions: pl.DataFrame
    outcomes: pl.DataFrame


class LogWriter:
    """Collects canonical rows; identifiers are filled in."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, object]]] = {"customers": [], "events": [], "decisions": [], "outcomes": []}

    def customer(self, name: str, **fields: object) -> None:
        joined_at = fields.pop("joined_at", CARE_ENDS_AT - timedelta(days=500))
        attributes = orjson.dumps(fields.pop("attributes", {})).decode()
        row = {"customer_id": name, "updated_at": joined_at, "joined_at": joined_at, "attributes": attributes, **fields}
        self.rows["customers"].append(row)

    def event(self, name: str, kind: str, at: datetime, **fields: object) -> None:
        properties = fields.pop("properties", None)
        row = {"event_id": f"E-{len(self.rows['events'])}", "customer_id": name, "type": kind, "occurred_at": at}
        said = None if properties is None else orjson.dumps(properties).decode()
        self.rows["events"].append({**row, "properties": said, **fields})

    def message(
        self, name: str, at: datetime, *results: str, after: timedelta = timedelta(hours=1), **fields: object
    ) -> str:
        decision_id = f"D-{len(self.rows['decisions'])}"
        plain = {"touchpoint": "weekly-mail", "offer_id": "ten-percent", "channel": "email", "creative_id": "plain"}
        row = {"decision_id": decision_id, "customer_id": name, "decided_at": at, **plain, **fields}
        self.rows["decisions"].append(row)
        for kind in results:
            self.rows["outcomes"].append(
                {
                    "outcome_id": f"O-{len(self.rows['outcomes'])}",
                    "decision_id": decision_id,
                    "customer_id": name,
                    "type": kind,
                    "occurred_at": at + after,
                }
            )
        return decision_id

    def case(
        self, name: str, at: datetime, *, answer_hours: float, resolution_hours: float, channel: str = "email"
    ) -> None:
        case_id = f"case-{len(self.rows['events'])}"
        properties = {"case_id": case_id}
        self.event(name, "complaint", at, properties=properties, channel=channel)
        for kind, hours in (("case_answered", answer_hours), ("case_resolved", resolution_hours)):
            if at + timedelta(hours=hours) < CARE_ENDS_AT:
                self.event(name, kind, at + timedelta(hours=hours), properties=properties)

    def log(self) -> CareLog:
        tables = {"customers": CUSTOMERS, "events": EVENTS, "decisions": DECISIONS, "outcomes": OUTCOMES}
        frames = {
            name: pl.DataFrame(
                [{**dict.fromkeys(table.schema), **row} for row in self.rows[name]], schema=table.schema, orient="row"
            )
            for name, table in tables.items()
        }
        return CareLog(**frames)


@pytest.fixture
def log_writer() -> LogWriter:
    return LogWriter()


@pytest.fixture(scope="session")
def make_writer() -> type[LogWriter]:
    return LogWriter


@pytest.fixture(scope="session")
def care_ends_at() -> datetime:
    return CARE_ENDS_AT


@pytest.fixture(scope="session")
def care_catalogue(shop_catalogue: Catalogue) -> Catalogue:
    """The shop, where complaints are to be answered within a day."""
    kinds = dict(shop_catalogue.care.kinds)
    kinds["complaint"] = replace(kinds["complaint"], answer_within_seconds=86_400.0)
    return replace(shop_catalogue, care=replace(shop_catalogue.care, kinds=kinds))


@pytest.fixture(scope="session")
def service_log() -> Callable[..., CareLog]:
    """Cases of old and new customers over 90 days.

    Args of the factory: mean hours to an answer of old and of new customers (exponential), customers, seed.
    """

    def made(*, old_hours: float = 12.0, new_hours: float = 12.0, count: int = 800, seed: int = 1) -> CareLog:
        rng, writer = np.random.default_rng(seed), LogWriter()
        for place in range(count):
            name, is_new = f"C-{place:04d}", place % 4 == 0
            age = 40.0 if is_new else 800.0
            writer.customer(
                name, joined_at=CARE_ENDS_AT - timedelta(days=90 + age), country="DE" if place % 2 else "FR"
            )
            writer.event(
                name, "purchase", CARE_ENDS_AT - timedelta(days=100), amount_minor=int(rng.gamma(2.0, 4_000.0))
            )
            opened = CARE_ENDS_AT - timedelta(days=float(rng.uniform(10, 89)))
            hours = float(rng.exponential(new_hours if is_new else old_hours))
            writer.case(name, opened, answer_hours=hours, resolution_hours=hours + float(rng.exponential(48.0)))
        return writer.log()

    return made


@pytest.fixture(scope="session")
def logged_shop(shop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the shop's catalogue, log and features; tests copy it."""
    settings = Settings(home=tmp_path_factory.mktemp("logged") / "home")
    shutil.copytree(SHOP_CATALOGUE, settings.catalogue_path)
    log = EventLog(settings.log_path)
    for table in (CUSTOMERS, EVENTS, DECISIONS, OUTCOMES):
        log.append(table, getattr(shop, table.name))
    build_features(settings, load_catalogue(settings.catalogue_path), CARE_ENDS_AT, lambda done, total: None)
    return settings.home


@pytest.fixture
def logged_home(logged_shop: Path, blank_tracking_store: Path, tmp_path: Path) -> Settings:
    """A home with the shop's log and features, and an empty tracking store of its own."""
    settings = Settings(home=tmp_path / "home", mlruns=tmp_path / "mlruns")
    shutil.copytree(logged_shop, settings.home, symlinks=True)
    settings.mlruns.mkdir()
    shutil.copyfile(blank_tracking_store, settings.mlruns / "mlflow.db")
    return settings


@pytest.fixture(scope="session")
def known_joins() -> dict[tuple[str, str], pl.DataFrame]:
    return {}


@pytest.fixture
def joined_once(known_joins: dict[tuple[str, str], pl.DataFrame], monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that compare models on copies of one home join the features once, since Feast takes seconds."""

    def join(settings: Settings, catalogue: Catalogue, entities: pl.DataFrame) -> pl.DataFrame:
        asked = (feature_schema(catalogue).fingerprint, entities.write_json())
        if asked not in known_joins:
            known_joins[asked] = training_rows(settings, catalogue, entities)
        return known_joins[asked]

    monkeypatch.setattr(from_log, "training_rows", join)
