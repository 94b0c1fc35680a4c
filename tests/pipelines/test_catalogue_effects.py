"""Check and import say what a catalogue still needs, such as a feature build or a training run, and what to run."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from features.catalogue import load_catalogue
from features.computing.feature_set import feature_schema
from features.models.bundle import write_bundle
from features.models.schema_archive import keep_schema
from features.settings import Settings
from pipelines.cli import app, register_nouns

SHOP = Path(__file__).parents[1] / "catalogues" / "shop"
NEW_OFFER = """
  receipt:
    goal: loyalty
    kind: information
    {fields}
    creatives:
      - creative: plain
        channel: email
        content: {{headline: Your receipt, body: Here it is}}
"""


@pytest.fixture(scope="module", autouse=True)
def _commands() -> None:
    register_nouns()


@pytest.fixture
def home(tmp_path: Path, value_bundle: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The shop in force with a model and features built for it."""
    monkeypatch.setenv("NEXTBEST_MLRUNS", str(tmp_path / "mlruns"))
    settings = Settings(home=tmp_path / "home", mlruns=tmp_path / "mlruns")
    shutil.copytree(SHOP, settings.catalogue_path)
    schema = feature_schema(load_catalogue(SHOP))
    keep_schema(settings, schema)
    manifest = settings.features_path / "history" / "g-000001" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_bytes(orjson.dumps({"fingerprint": schema.fingerprint}))
    folder = settings.models_path / "3-run"
    digest = write_bundle(value_bundle(load_catalogue(SHOP)), folder)
    pointer = {"version": "3", "folder": folder.name, "digest": digest}
    (settings.models_path / "champion.json").write_bytes(orjson.dumps(pointer))
    return settings


@pytest.fixture
def wider(tmp_path: Path) -> Path:
    """The shop with one more event type, in a folder to import."""
    folder = tmp_path / "data"
    shutil.copytree(SHOP, folder / "catalogue")
    file = folder / "catalogue" / "catalogue.yaml"
    file.write_text(file.read_text().replace("event_types: [stamp_paid]", "event_types: [stamp_paid, visit]"))
    (folder / "customers.csv").write_text("customer_id,updated_at\nC-1,2026-01-01T00:00:00Z\n")
    return folder


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_a_check_says_what_to_build_and_train_and_what_applies_until_then(home: Settings, wider: Path) -> None:
    told = run("catalogue", "check", str(wider / "catalogue"), "--home", str(home.home))

    assert told.exit_code == 0
    features, model = [line for line in told.stdout.splitlines() if line.startswith("waits: ")]
    assert "run `nextbest features build` and `nextbest features materialise`" in features
    assert "rules over visit_count_7d, visit_count_30d, visit_recency_days cannot be checked" in features
    assert model.startswith("waits: model 3 does not know visit_count_7d, visit_count_30d, visit_recency_days: run")


def test_a_catalogue_that_affects_neither_features_nor_model_needs_nothing(home: Settings) -> None:
    told = run("catalogue", "check", str(SHOP), "--home", str(home.home), "--json")
    assert orjson.loads(told.stdout)["waits_for"] == []


def test_an_import_says_what_to_build_and_train_too(home: Settings, wider: Path) -> None:
    told = run("import", str(wider), "--home", str(home.home), "--json")

    assert told.exit_code == 0, told.output
    assert "waits: model 3 does not know visit_count_7d" in told.stderr
    assert len(orjson.loads(told.stdout)["waits_for"]) == 2


def test_a_removed_offer_attribute_is_reported(home: Settings, wider: Path) -> None:
    for file in (wider / "catalogue").glob("*.yaml"):
        lines = file.read_text().splitlines()
        file.write_text("\n".join(line for line in lines if "difficulty" not in line).replace("offer_attributes:", ""))
    told = run("catalogue", "check", str(wider / "catalogue"), "--home", str(home.home), "--json")
    assert told.exit_code == 0, told.stdout
    assert "learned the offer attributes difficulty, which the catalogue no longer has" in told.stdout


@pytest.mark.parametrize(("fields", "is_valued"), [("", True), ("class: transactional\n    purpose: service", False)])
def test_a_new_offer_needs_a_new_model_only_if_a_model_values_it(
    home: Settings, wider: Path, fields: str, is_valued: bool
) -> None:
    file = wider / "catalogue" / "offers.yaml"
    offer = NEW_OFFER.format(fields=fields)
    file.write_text(file.read_text() + offer)
    told = run("catalogue", "check", str(wider / "catalogue"), "--home", str(home.home))

    assert told.exit_code == 0, told.output
    assert ("model 3 has not seen the offers receipt: run" in told.stdout) is is_valued


def test_a_new_home_is_told_to_build_features(wider: Path, tmp_path: Path) -> None:
    new = str(tmp_path / "new")

    def is_told(*words: str) -> bool:
        told = run(*words, "--home", new, "--json")
        assert told.exit_code == 0, told.output
        waits = orjson.loads(told.stdout)["waits_for"]
        return any(one.startswith("no features were ever built here: run `nextbest features build`") for one in waits)

    assert not is_told("catalogue", "check", str(SHOP))
    assert is_told("import", str(wider))
    shutil.rmtree(wider / "catalogue")
    assert is_told("import", str(wider))
    assert is_told("catalogue", "check", str(SHOP))
    assert run("features", "build", "--home", new).exit_code == 0
    assert not is_told("import", str(wider))


def test_a_check_and_the_list_of_models_report_a_cold_start_and_its_risks(
    home: Settings, wider: Path, tmp_path: Path
) -> None:
    new = str(tmp_path / "new")

    check = run("catalogue", "check", str(SHOP), "--home", new)
    listed = run("model", "list", "--home", new)

    assert "mode: cold start: no model was ever promoted, so declared values less contact cost" in check.stdout
    assert "no cap and no fatigue are declared, so every ask may send" in check.stdout
    assert "mode: cold start" in listed.stdout
    assert not Path(new).exists()
    assert "mode:" not in run("catalogue", "check", str(SHOP), "--home", str(home.home)).stdout


def test_a_check_says_that_no_model_can_learn_without_exploration(home: Settings, wider: Path, tmp_path: Path) -> None:
    file = wider / "catalogue" / "catalogue.yaml"
    file.write_text(file.read_text().replace("epsilon: 0.1, min_probability: 0.005", "epsilon: 0, min_probability: 0"))

    told = run("catalogue", "check", str(wider / "catalogue"), "--home", str(tmp_path / "new"))

    assert "exploration leaves nothing to chance" in told.stdout
