"""docs/story.md runs on a real server with a trained champion, and again with each rule removed in turn."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import orjson
import pytest
import redis
import yaml
from typer.testing import CliRunner

from features.catalogue.checks.findings import Proof
from features.catalogue.loader import examine_catalogue
from features.online.redis_keys import feature_key, profile_key
from features.settings import Settings
from pipelines import cli
from pipelines.demo.running_server import running_server, wait_until_ready
from pipelines.pages.reference import pages
from pipelines.server.embedded_redis import redis_for
from serving.http.app import create_app
from tests.served import served

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "story.md").read_text(encoding="utf-8")
AIRLINE = ROOT / "examples" / "airline" / "catalogue"
PREPARATION, WORDS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
NO_COMMAND = "nextbest() { :; }\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a run of the story leaves: its home, Ada's profile, and her features after each night."""

    settings: Settings
    profile: bytes
    nights: dict[str, bytes]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, blank_tracking_store: Path) -> Settings:
    """A home after all the page's preparations except starting the server."""
    folder = tmp_path_factory.mktemp("story")
    (folder / "story" / "mlruns").mkdir(parents=True)
    shutil.copyfile(blank_tracking_store, folder / "story" / "mlruns" / "mlflow.db")
    pages()  # registers every noun
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in re.findall(r"(NEXTBEST_\w+)=(\S+)", PREPARATION):
            patch.setenv(name, value)
        bash(NO_COMMAND + PREPARATION, folder)
        for command in re.findall(r"nextbest ([^&\n]+)", PREPARATION.replace("nextbest serve", "")):
            done = CliRunner().invoke(cli.app, shlex.split(command), catch_exceptions=False)
            assert done.exit_code == 0, f"nextbest {command}\n{done.output}"
    return Settings(
        home=folder / "story" / "home",
        mlruns=folder / "story" / "mlruns",
        rehearsal_clock=folder / "story" / "clock.txt",
        port=0,
        deadline_ms=20_000,
    )


def bash(script: str, folder: Path) -> str:
    done = subprocess.run(["bash", "-euc", script], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def told(prepared: Settings, storyteller: Any) -> Told:
    """The whole story, run on a server in its own process."""
    nights: dict[str, bytes] = {}
    with (
        redis_for(prepared) as url,
        redis.Redis.from_url(url) as online,
        running_server(prepared) as address,
        httpx.Client(base_url=address, timeout=20) as client,
    ):
        wait_until_ready(client)
        profile = online.get(profile_key("ada"))
        storyteller.tell(storyteller.lines, prepared, client, url, nights, is_new=True)
    assert isinstance(profile, bytes)
    return Told(settings=prepared, profile=profile, nights=nights)


@pytest.fixture
def stage(told: Told, redis_url: str, tmp_path: Path) -> Callable[..., Any]:
    """A server with a changed catalogue that knows Ada as she was before the story: yields settings and a client."""

    @contextmanager
    def play(change: Callable[[Path], None] = lambda _: None) -> Iterator[tuple[Settings, httpx.Client]]:
        settings = Settings(
            home=tmp_path, redis_url=redis_url, rehearsal_clock=told.settings.rehearsal_clock, deadline_ms=20_000
        )
        shutil.copytree(told.settings.catalogue_path, settings.catalogue_path)
        change(settings.catalogue_path)
        with redis.Redis.from_url(redis_url) as online:
            online.flushall()
            online.set(profile_key("ada"), told.profile)
        with server_with(settings, champion_in(told.settings.models_path)) as client:
            yield settings, client

    return play


def champion_in(folder: Path) -> SimpleNamespace:
    pointer = orjson.loads((folder / "champion.json").read_bytes())
    return SimpleNamespace(version=pointer["version"], folder=folder / pointer["folder"])


@contextmanager
def server_with(settings: Settings, champion: SimpleNamespace) -> Iterator[httpx.Client]:
    app = create_app(settings, fetch_model=lambda: champion)  # pyright: ignore[reportArgumentType]
    with served(app) as address, httpx.Client(base_url=address, timeout=20) as client:
        wait_until_ready(client)
        yield client


def test_the_whole_story_goes_as_the_page_says(told: Told, storyteller: Any) -> None:
    answers = [line for line in storyteller.lines if line.words[0] == "ask" and line.shown is not None]
    assert len(answers) == sum(line.words[0] == "ask" for line in storyteller.lines)  # every decision is checked
    assert {line.shown["stage"] for line in answers if "stage" in line.shown} == {
        "dream", "plan", "book", "prepare", "travel", "recover", "return"
    }  # fmt: skip
    assert len(told.nights) > 5


def test_the_shell_functions_of_the_page_work(told: Told, stage: Callable[..., Any], redis_url: str) -> None:
    chapter = PAGE.partition("## An advertisement")[2].partition("\n## ")[0]
    lines = "\n".join(re.findall(r"^```console\n(.*?)^```$", chapter, re.DOTALL | re.MULTILINE))
    with stage() as (_, client), redis.Redis.from_url(redis_url) as online:
        online.set(feature_key("ada"), next(iter(told.nights.values())))
        words = WORDS.replace("http://127.0.0.1:8000", str(client.base_url).rstrip("/")).replace("sleep 2", ":")
        folder = told.settings.home.parent.parent
        said = [orjson.loads(line) for line in bash(f"{NO_COMMAND}{words}{lines}known seat_wish", folder).splitlines()]

    taken = {"accepted": 1, "duplicate": 0, "rejected": []}
    kinds = [sorted(one) for one in said if not taken.items() <= one.items()]
    [asked] = [one for one in said if "selected" in one]
    assert (asked["stage"], asked["selected"]["channel"]) == ("dream", "email")
    assert sum(taken.items() <= one.items() for one in said) == 4  # two events, two outcomes
    assert len(kinds) == 3  # the decision, why not, and what is known


# --- each rule removed in turn


def without_pauses(folder: Path) -> None:
    amend(folder / "catalogue.yaml", lambda catalogue: catalogue["care"].update(pauses=[]))


def without_lost_bags(folder: Path) -> None:
    def change(catalogue: dict[str, Any]) -> None:
        catalogue["care"]["cases"].pop("lost_item")
        catalogue.pop("listening")

    amend(folder / "catalogue.yaml", change)


def without_stages(folder: Path) -> None:
    amend(folder / "marketing.yaml", lambda file: [offer.pop("stages") for offer in file["offers"].values()])


def without_consent(folder: Path) -> None:
    amend(folder / "marketing.yaml", lambda file: [o.update(purpose="service") for o in file["offers"].values()])


def without_quiet_hours(folder: Path) -> None:
    amend(folder / "catalogue.yaml", lambda catalogue: catalogue.pop("quiet_hours"))


def amend(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "chapter", "words"),
    [
        (without_pauses, "The suitcase (recover)", "was permitted before the trouble was over"),
        (without_lost_bags, "The suitcase (recover)", "/stage must be 'recover'"),
        (without_stages, "An advertisement (dream)", "was permitted in stage dream"),
        (without_consent, "Not at night, and not by SMS", "/sms/text was permitted without consent"),
        (without_quiet_hours, "Not at night, and not by SMS", "was permitted at night"),
    ],
)
def test_without_a_rule_the_story_breaks_in_the_right_chapter(
    told: Told,
    stage: Callable[..., Any],
    storyteller: Any,
    redis_url: str,
    *,
    change: Callable[[Path], None],
    chapter: str,
    words: str,
) -> None:
    what_she_gets = [line for line in storyteller.lines if line.words[0] not in ("why", "known")]
    with stage(change) as (settings, client), pytest.raises(storyteller.broken, match=re.escape(words)) as broken:
        storyteller.tell(what_she_gets, settings, client, redis_url, told.nights, is_new=False)

    assert broken.value.chapter == chapter


def test_the_airlines_catalogue_has_only_two_known_kinds_of_warnings() -> None:
    examination = examine_catalogue(AIRLINE, datetime(2026, 11, 1, tzinfo=UTC))

    assert examination.catalogue is not None
    assert {finding.proof for finding in examination.findings} == {Proof.CREATIVE_MISSING, Proof.FLOOR_OUT_OF_REACH}
