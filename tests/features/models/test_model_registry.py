"""The champion's local copy: verified, kept while the registry is unavailable, and cheap to poll."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from decisioning.errors import ModelUnavailableError, UnknownNameError
from features.catalogue import load_catalogue
from features.models.bundle import load_value_model
from features.models.registry import (
    CHAMPION_ALIAS,
    MODEL_NAME,
    fetch_champion,
    fetch_version,
    find_champion,
    mlflow_client,
)
from features.settings import Settings
from training.registry.tracking import ModelRun, TrainingData, track_model

RUN = ModelRun(parameters={}, metrics={}, data=TrainingData(name="log", digest="ab"))


@pytest.fixture
def register(model_home: Settings, value_bundle):
    """Registers a model and gives its version and bundle."""
    catalogue = load_catalogue(model_home.catalogue_path)

    def call(shift: float = 0.0, *, champion: bool = True):
        bundle = value_bundle(catalogue, shift=shift)
        version = track_model(model_home, bundle, RUN).version
        if champion:
            mlflow_client(model_home.tracking_uri).set_registered_model_alias(MODEL_NAME, CHAMPION_ALIAS, version)
        return version, bundle

    return call


def artifacts_of(settings: Settings, version: str) -> Path:
    location = mlflow_client(settings.tracking_uri).get_model_version_download_uri(MODEL_NAME, version)
    return Path(location) / "extra_files"


def test_the_champion_is_copied_below_the_home(model_home: Settings, register):
    version, bundle = register()
    champion = fetch_champion(model_home)
    assert (champion.version, champion.digest) == (version, bundle.digest)
    assert champion.folder.parent == model_home.models_path
    assert load_value_model(champion.folder, version=champion.version).version == version


def test_reading_the_alias_from_the_file_agrees_with_mlflow(model_home: Settings, register):
    """Compare our query with the installed MLflow, whose tables are internal and may change."""
    assert find_champion(model_home) is None
    register()
    version, bundle = register(shift=1.0)
    register(shift=2.0, champion=False)
    found = find_champion(model_home)
    client = mlflow_client(model_home.tracking_uri)
    by_client = client.get_model_version_by_alias(MODEL_NAME, CHAMPION_ALIAS)
    assert found is not None
    assert (found.version, found.run_id, found.digest) == (version, by_client.run_id, bundle.digest)
    assert found.location == client.get_model_version_download_uri(MODEL_NAME, version)


def test_a_new_champion_is_found_at_once_and_the_old_copy_stays(model_home: Settings, register):
    register()
    old = fetch_champion(model_home)
    version, bundle = register(shift=1.0)
    new = fetch_champion(model_home)
    assert (new.version, new.digest) == (version, bundle.digest)
    assert load_value_model(old.folder) is not None


def test_without_a_champion_the_message_says_what_to_run(model_home: Settings, register):
    register(champion=False)
    with pytest.raises(ModelUnavailableError, match="`nextbest model train` and `nextbest model promote`"):
        fetch_champion(model_home)


def test_without_a_registry_the_message_says_what_to_run(tmp_path: Path):
    settings = Settings(home=tmp_path / "home", mlruns=tmp_path / "mlruns")
    with pytest.raises(ModelUnavailableError, match="got none yet"):
        fetch_champion(settings)
    assert not (tmp_path / "mlruns").exists()


def test_without_a_registry_the_last_copy_stays_in_use(model_home: Settings, register):
    register()
    before = fetch_champion(model_home)
    shutil.rmtree(model_home.mlruns)
    assert fetch_champion(model_home) == before


def test_every_alias_has_a_copy_of_its_own(model_home: Settings, register):
    champion, _ = register()
    version, bundle = register(shift=1.0, champion=False)
    mlflow_client(model_home.tracking_uri).set_registered_model_alias(MODEL_NAME, "challenger", version)

    challenger = fetch_champion(model_home, "challenger")

    assert (challenger.version, challenger.digest) == (version, bundle.digest)
    assert fetch_champion(model_home).version == champion
    with pytest.raises(ModelUnavailableError, match="must have a rival"):
        fetch_champion(model_home, "rival")
    shutil.rmtree(model_home.mlruns)
    assert fetch_champion(model_home, "challenger") == challenger
    assert fetch_champion(model_home).version == champion


def test_with_a_damaged_registry_the_last_copy_stays_in_use(model_home: Settings, register):
    register()
    before = fetch_champion(model_home)
    (model_home.mlruns / "mlflow.db").write_bytes(b"this is no database, whatever its name says" * 100)
    assert fetch_champion(model_home) == before


def test_while_the_registry_server_is_unreachable_the_last_copy_stays_in_use(model_home: Settings, register):
    register()
    before = fetch_champion(model_home)
    away = model_home.model_copy(update={"mlflow_tracking_uri": "http://user:secret@127.0.0.1:9"})
    assert fetch_champion(away) == before
    (model_home.models_path / "champion.json").unlink()
    with pytest.raises(ModelUnavailableError, match="must answer") as caught:
        fetch_champion(away)
    assert "secret" not in str(caught.value)


def test_a_damaged_last_copy_is_not_used(model_home: Settings, register):
    register()
    champion = fetch_champion(model_home)
    shutil.rmtree(model_home.mlruns)
    (champion.folder / "booster.txt").write_text("tree\nchanged")
    with pytest.raises(ModelUnavailableError, match="not whole either"):
        fetch_champion(model_home)


@pytest.mark.parametrize("harm", ["changed", "cut", "gone"])
def test_a_damaged_copy_is_fetched_again(model_home: Settings, register, harm: str):
    register()
    champion = fetch_champion(model_home)
    booster = champion.folder / "booster.txt"
    if harm == "gone":
        booster.unlink()
    else:
        booster.write_text("tree" if harm == "cut" else booster.read_text().replace("leaf_value=", "leaf_value=9", 1))
    assert fetch_champion(model_home) == champion
    load_value_model(champion.folder)


def test_files_replaced_in_the_registry_are_refused(model_home: Settings, register):
    """A complete and valid bundle, but not the registered one."""
    one, _ = register()
    two, _ = register(shift=1.0)
    for name in ("booster.txt", "model.json"):
        shutil.copyfile(artifacts_of(model_home, one) / name, artifacts_of(model_home, two) / name)
    with pytest.raises(ModelUnavailableError, match="must be the one that was registered"):
        fetch_champion(model_home)


def test_files_missing_in_the_registry_are_an_error_and_leave_nothing_behind(model_home: Settings, register):
    version, _ = register()
    shutil.rmtree(artifacts_of(model_home, version))
    with pytest.raises(ModelUnavailableError, match="must be readable"):
        fetch_champion(model_home)
    assert list(model_home.models_path.iterdir()) == []


def test_any_version_can_be_fetched(model_home: Settings, register):
    version, bundle = register(champion=False)
    assert fetch_version(model_home, version).digest == bundle.digest
    with pytest.raises(UnknownNameError, match="model version must be a known name, got '7'"):
        fetch_version(model_home, "7")


def test_a_poll_is_cheap_and_never_imports_mlflow(model_home: Settings, register):
    register()
    fetch_champion(model_home)
    started = time.perf_counter()
    for _ in range(20):
        fetch_champion(model_home)
    assert (time.perf_counter() - started) / 20 < 0.02
    home, mlruns = str(model_home.home), str(model_home.mlruns)
    script = (
        "import sys; from pathlib import Path; from features.settings import Settings;"
        "from features.models.registry import fetch_champion;"
        f"settings = Settings(home=Path({home!r}), mlruns=Path({mlruns!r}));"
        "print(fetch_champion(settings).version, 'mlflow' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["1", "False"]
