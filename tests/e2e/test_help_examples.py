"""Every example in a help text is run on the shop's data, in a natural working order.

Three commands that run until Ctrl-C have their own tests: `serve` (tests/serving), `mlflow ui` (tests/pipelines) and
`demo` (the README's test).
"""

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from features.models.registry import MODEL_NAME
from features.settings import Settings
from pipelines import cli
from pipelines.exit_codes import EXIT_ALARM
from pipelines.pages.reference import pages
from training.registry.tracking import tracking

ROOT = Path(__file__).parent.parent.parent
STAYING = ("serve", "mlflow ui", "demo")
WORK_ORDER = (
    "catalogue check",
    "catalogue show",
    "catalogue schema",
    "docs",
    "example list",
    "example convert",
    "world write",
    "import",
    "features build",
    "features materialise",
    "features",
    "customer show",
    "customer correct",
    "customer erase C",
    "customer erase",
    "customer readmit",
    "privacy",
    "model train",
    "model list",
    "model show",
    "model promote --",
    "model promote 3",
    "model compare",
    "model rollback",
    "pipeline run",
    "pipeline",
    "rollout shadow",
    "rollout status",
    "rollout stop",
    "rollout",
    "policy evaluate",
    "decide-batch",
    "handoff write",
    "handoff read",
    "log drain",
    "log verify --note",
    "log",
    "care list",
    "replay",
    "policy audit",
    "experiment read",
    "experiment",
    "kpi compute",
    "kpi",
    "fairness read",
    "fairness",
    "drift read",
    "drift",
    "key create",
    "key list",
    "key revoke",
)
NO_ANSWER_YET = 3
RETURNED = "customer_id,type,occurred_at,note\nC-00001,call_note,2026-01-05 10:00,All is well\n"
EXAMPLE = re.compile(r"`nextbest ([^`]+)`")


def examples() -> list[str]:
    """Examples of all help texts in working order; the import comes before `catalogue show`, which needs it."""
    pages()  # registers every noun
    group = typer.main.get_command(cli.app)
    found = [example for text in help_texts(group) for example in EXAMPLE.findall(text.partition("Example")[2])]
    return sorted(set(found), key=lambda example: (place(example), example))


def help_texts(command: object) -> Iterator[str]:
    yield getattr(command, "help", None) or ""
    for child in getattr(command, "commands", {}).values():
        yield from help_texts(child)


def place(example: str) -> int:
    return next(index for index, start in enumerate((*WORK_ORDER, *STAYING, "")) if f"{example} --".startswith(start))


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shop: object) -> Path:
    """A folder with every file the examples name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEXTBEST_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NEXTBEST_MLRUNS", str(tmp_path / "mlruns"))
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copytree(ROOT / "examples" / "grocery" / "catalogue", tmp_path / "examples" / "grocery" / "catalogue")
    for folder in ("data/canonical", "held-back"):
        _copy_catalogue(tmp_path / folder / "catalogue")
        for table in ("customers", "events", "decisions", "outcomes"):
            getattr(shop, table).write_parquet(tmp_path / folder / f"{table}.parquet")
    (tmp_path / "returned.csv").write_text(RETURNED)
    shop.customers.select("customer_id").head(50).write_parquet(tmp_path / "audience.parquet")
    arms = pl.DataFrame({"segment": ["none", "mail"] * 200, "spend": [float(index % 17) for index in range(400)]})
    arms.write_parquet(tmp_path / "test.parquet")
    return tmp_path


def _copy_catalogue(target: Path) -> None:
    """Copy the shop's catalogue with a weekly mail by e-mail only, as in its log: otherwise nothing can be valued."""
    shutil.copytree(ROOT / "tests" / "catalogues" / "shop", target)
    for path in target.glob("*.yaml"):
        text = path.read_text()
        text = text.replace("weekly-mail: {channels: [email, push]", "weekly-mail: {channels: [email]")
        path.write_text(text.replace("\nchannels:\n", "\nchannels:\n  direct_mail: {cost: 0.85, online: false}\n"))


def test_every_example_of_a_help_text_runs(workplace: Path) -> None:
    shown = [example for example in examples() if not example.startswith(STAYING)]
    assert len(shown) > 25
    run("import data/canonical", workplace)
    for example in shown:
        if example.startswith("model promote 3"):
            register_again(Settings(home=workplace / "home", mlruns=workplace / "mlruns"))
        run(example, workplace)


def register_again(settings: Settings) -> None:
    """Register versions 2 and 3 of the same model; training again on the same log would find nothing new."""
    with tracking(settings) as client:
        first = client.get_model_version(MODEL_NAME, "1")
        for _ in range(2):
            again = client.create_model_version(MODEL_NAME, first.source, first.run_id, model_id=first.model_id)
            for name, value in first.tags.items():
                client.set_model_version_tag(MODEL_NAME, again.version, name, value)


def run(example: str, workplace: Path) -> None:
    words = [word.replace("/tmp/", f"{workplace}/") for word in shlex.split(example)]
    result = CliRunner().invoke(cli.app, words)
    may_wait = example.startswith("experiment read") and cli.exit_code(result.exception) == NO_ANSWER_YET
    may_alarm = example.startswith("drift read") and result.exit_code == EXIT_ALARM
    assert result.exit_code == 0 or may_wait or may_alarm, f"nextbest {example}\n{result.output}\n{result.exception!r}"
