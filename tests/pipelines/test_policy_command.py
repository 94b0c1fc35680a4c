"""`nextbest policy evaluate` from a shell: a folder in, estimates and a file of choices out, and refused input."""

import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import orjson
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from decisioning.errors import (
    InsufficientDataError,
    InvalidInputError,
    ModelUnavailableError,
    UnknownNameError,
)
from features.catalogue import load_catalogue
from features.settings import Settings
from pipelines.cli import exit_code
from pipelines.commands import policy
from training.off_policy import evaluation, logged_moments
from training.registry.promotion import promote
from training.registry.tracking import ModelRun, TrainingData, track_model

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def mail_home(model_home: Settings) -> Settings:
    """The shop with e-mail only, which is what its log used."""
    path = model_home.catalogue_path / "catalogue.yaml"
    path.write_text(
        re.sub(r"weekly-mail: \{channels: \[email, push\]\}", "weekly-mail: {channels: [email]}", path.read_text())
    )
    return model_home


@pytest.fixture
def champion(mail_home: Settings, value_bundle) -> Settings:
    bundle = value_bundle(
        load_catalogue(mail_home.catalogue_path), notes={"average_effects": {"ten-percent/email/plain": 600.0}}
    )
    track_model(mail_home, bundle, ModelRun(parameters={}, metrics={}, data=TrainingData(name="log", digest="ab")))
    promote(mail_home, now=NOW)
    return mail_home


@pytest.fixture
def folder(tmp_path: Path, shop) -> Path:
    """The shop's log as canonical files."""
    out = tmp_path / "held-back"
    out.mkdir()
    for name in ("customers", "events", "decisions", "outcomes"):
        getattr(shop, name).write_parquet(out / f"{name}.parquet")
    return out


@pytest.fixture
def run(mail_home: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.setenv("NEXTBEST_MLRUNS", str(mail_home.mlruns))
    app = typer.Typer()
    app.add_typer(policy.app)

    def call(*arguments: object) -> str:
        asked = ["policy", "evaluate", *map(str, arguments), "--home", str(mail_home.home)]
        result = CliRunner().invoke(app, asked)
        if result.exception:
            raise result.exception
        return result.stdout

    return call


@pytest.mark.usefixtures("champion")
def test_the_command_values_the_policy_and_writes_every_choice(run, folder: Path, tmp_path: Path):
    out = tmp_path / "new" / "chosen.parquet"
    found = orjson.loads(run("--log", folder, "--out", out, "--reward", "net_revenue", "--cap", "50.00", "--json"))
    assert (found["model_version"], found["reward"], found["unit"], found["cap"]) == ("1", "net_revenue", "EUR", 50.0)
    assert (found["decisions"], found["customers"]) == (1600, 200)
    assert found["best_single_message"] == "ten-percent/email/plain"
    greedy, silence = found["policies"]["greedy"], found["policies"]["silence"]
    assert greedy["dr"]["value"] > silence["dr"]["upper"]
    for estimator in ("ips", "snips", "dr"):
        assert greedy[estimator]["lower"] < greedy[estimator]["value"] < greedy[estimator]["upper"]
    chosen = pl.read_parquet(out)
    assert chosen.height == chosen["decision_id"].n_unique() == 1600
    assert chosen["probabilities"].list.eval(pl.element().struct.field("probability")).list.sum().is_close(1).all()
    counts = dict(chosen["message"].value_counts().iter_rows())
    assert {one["message"]: one["chosen"] for one in found["messages"] if one["chosen"]} == counts
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.usefixtures("champion")
def test_the_text_output_has_tables(run, folder: Path):
    said = run("--log", folder)
    about = "net_revenue per decision (EUR, net of contact costs), model 1, 1,600 decisions of 200 customers"
    assert about in said.replace("\n", "")
    for words in ("doubly robust", "greedy less silence", "weighted", "best single message", "not permitted"):
        assert words in said
    assert "valued without residuals (no record of this model version has any): 1,600 decisions" in said.replace(
        "\n", " "
    ).replace("  ", " ")
    assert "valued without room prices" not in said  # the model has none


@pytest.mark.usefixtures("champion")
def test_contacts_and_residuals_are_looked_for_in_the_records_of_the_log(run, folder: Path, monkeypatch):
    """A record that cannot be read here, because its catalogue is not archived, leaves its decision without."""
    decisions = pl.read_parquet(folder / "decisions.parquet")
    decisions.with_columns(record=pl.lit('{"record_version": 7}')).write_parquet(folder / "decisions.parquet")
    asked: list[int] = []
    known = logged_moments.logged_moments

    def read(recorded: pl.DataFrame, *others):
        asked.append(recorded.height)
        return known(recorded, *others)

    monkeypatch.setattr(evaluation, "logged_moments", read)
    found = orjson.loads(run("--log", folder, "--json"))
    assert asked == [1600]
    assert [count for what, count in found["valued_without"].items() if what.startswith("residuals")] == [1600]


@pytest.mark.usefixtures("champion")
def test_groups_are_reported_beside_the_whole(run, folder: Path):
    found = orjson.loads(run("--log", folder, "--by", "region", "--by", "channel", "--json"))
    assert {one["group"] for one in found["by"]["region"]} == {"north", "south"}
    assert sum(one["decisions"] for one in found["by"]["channel"]) == found["decisions"]
    said = run("--log", folder, "--by", "region")
    assert "north" in said
    with pytest.raises(UnknownNameError, match="did you mean 'region'"):
        run("--log", folder, "--by", "regio")


@pytest.mark.usefixtures("champion")
def test_limits_are_applied_to_every_wave_by_one_command(run, folder: Path, tmp_path: Path):
    out = tmp_path / "chosen.parquet"
    found = orjson.loads(run("--log", folder, "--out", out, "--constrained", "--messaged", "0.3", "--json"))
    limited = found["constrained"]
    assert [(wave["decisions"], wave["messaged"]) for wave in limited["waves"]] == [(200, 60)] * 8
    assert limited["policies"]["within_limits"]["dr"]["value"] < found["policies"]["greedy"]["dr"]["value"]
    assert [one["against"] for one in limited["differences"]] == ["random_within_limits", "silence"]
    assert (pl.read_parquet(out)["planned_message"] != "silence").sum() == 480
    said = " ".join(run("--log", folder, "--constrained", "--mix", "logged", "--max-share", "0.25").split())
    assert "8 waves, each planned within limits: exactly as many of each message as logged; each offer" in said
    assert "random within" in said


@pytest.mark.usefixtures("champion")
def test_limits_without_the_word_and_the_word_without_limits_are_refused(run, folder: Path):
    with pytest.raises(InvalidInputError, match="got them without --constrained"):
        run("--log", folder, "--messaged", "0.3")
    with pytest.raises(InvalidInputError, match="--constrained must know a limit, got none"):
        run("--log", folder, "--constrained")


@pytest.mark.usefixtures("champion")
def test_a_named_version_is_evaluated_instead_of_the_champion(run, folder: Path, mail_home: Settings, value_bundle):
    offers = (
        mail_home.catalogue_path / "offers.yaml"
    )  # a service message competes at its declared value, not the model's
    offers.write_text(offers.read_text(encoding="utf-8").replace("value: 0.10", "value: 0"), encoding="utf-8")
    shy = value_bundle(load_catalogue(mail_home.catalogue_path), shift=-5_000.0)  # every message has a negative effect
    track_model(mail_home, shy, ModelRun(parameters={}, metrics={}, data=TrainingData(name="log", digest="ab")))
    found = orjson.loads(run("--log", folder, "--model", "2", "--json"))
    assert found["model_version"] == "2"
    assert found["policies"]["greedy"]["dr"] == found["policies"]["silence"]["dr"]
    with pytest.raises(UnknownNameError, match="model version"):
        run("--log", folder, "--model", "9")


@pytest.mark.usefixtures("champion")
def test_without_support_the_command_gives_a_reason_and_no_estimate(run, folder: Path, tmp_path: Path):
    decisions = pl.read_parquet(folder / "decisions.parquet")
    decisions.with_columns(action_probability=pl.lit(None, pl.Float64)).write_parquet(folder / "decisions.parquet")
    out = tmp_path / "chosen.parquet"
    with pytest.raises(InsufficientDataError, match="got 1,600 of 1,600 without") as caught:
        run("--log", folder, "--out", out, "--json")
    assert exit_code(caught.value) == 3
    assert pl.read_parquet(out).height == 1600  # the choices are written all the same


@pytest.mark.usefixtures("champion")
@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("--reward", "net_revenu"), UnknownNameError, "did you mean 'net_revenue'"),
        (("--cap", "-1"), InvalidInputError, "--cap must be a positive amount"),
        (("--cap", "nan"), InvalidInputError, "--cap must be a positive amount"),
        (("--out", "."), InvalidInputError, "--out must be a file"),
    ],
)
def test_wrong_options_are_refused(run, folder: Path, arguments, error, words):
    with pytest.raises(error, match=words):
        run("--log", folder, *arguments)


@pytest.mark.usefixtures("champion")
def test_an_unwritable_output_is_refused_first(run, folder: Path, tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInputError, match="--out must be writable"):
        run("--log", folder, "--out", tmp_path / "file" / "chosen.parquet")


@pytest.mark.usefixtures("champion")
def test_folders_without_a_log_are_refused(run, folder: Path, tmp_path: Path):
    with pytest.raises(InvalidInputError, match="--log must be a folder of canonical tables"):
        run("--log", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInputError, match="must hold at least one of customers, events, decisions, outcomes"):
        run("--log", tmp_path / "empty")
    (folder / "decisions.parquet").unlink()
    with pytest.raises(InsufficientDataError, match="--log must hold decisions, got none"):
        run("--log", folder)


@pytest.mark.usefixtures("champion")
def test_a_truncated_file_is_refused(run, folder: Path):
    path = folder / "decisions.parquet"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InvalidInputError, match="decisions"):
        run("--log", folder)


def test_without_a_model_the_command_says_what_to_run(run, folder: Path):
    with pytest.raises(ModelUnavailableError, match="`nextbest model train` and `nextbest model promote`"):
        run("--log", folder)


@pytest.mark.usefixtures("champion")
def test_a_model_that_does_not_fit_the_catalogue_is_refused(run, folder: Path, mail_home: Settings):
    path = mail_home.catalogue_path / "catalogue.yaml"
    path.write_text(path.read_text().replace("event_types: [", "event_types: [tasting, ", 1))
    with pytest.raises(InvalidInputError, match="must share features with the catalogue in force"):
        run("--log", folder)


@pytest.mark.usefixtures("champion")
def test_csv_works_like_parquet(run, folder: Path, tmp_path: Path):
    csv = tmp_path / "csv"
    csv.mkdir()
    for path in folder.iterdir():
        frame = pl.read_parquet(path)
        frame.write_csv(csv / f"{path.stem}.csv", datetime_format="%Y-%m-%dT%H:%M:%S%.6f%:z")
    ours, theirs = (orjson.loads(run("--log", one, "--json")) for one in (csv, folder))
    assert ours["policies"] == theirs["policies"]
    shutil.rmtree(csv)
