"""The README shows real output: the demo is run, then every command of its console blocks, in order.

Numbers, ids, times and the values of JSON fields differ from run to run; other words do not. An output line `...`
stands for any number of lines.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
SHOWN_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A command of the README and the output shown below it."""

    command: str
    output: tuple[str, ...]


def shown_commands() -> list[Shown]:
    blocks = re.findall(r"^```console\n(.*?)^```", README.read_text(), flags=re.MULTILINE | re.DOTALL)
    parts = [part for block in blocks for part in re.split(r"^\$ ", block, flags=re.MULTILINE) if part.strip()]
    return [_shown(part) for part in parts]


def _shown(part: str) -> Shown:
    lines = part.rstrip("\n").split("\n")
    length = next(index for index, line in enumerate(lines) if not line.endswith("\\")) + 1
    return Shown(command="\n".join(lines[:length]), output=tuple(lines[length:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tour:
    """A finished demo and its server."""

    url: str
    environment: dict[str, str]
    demo_output: str


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tour]:
    folder = tmp_path_factory.mktemp("tour")
    environment = {
        **os.environ,
        "NEXTBEST_HOME": str(folder / "home"),
        "NEXTBEST_MLRUNS": str(folder / "mlruns"),
        "NEXTBEST_PORT": "0",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "120",
    }
    demo = run("make demo ARGS=--once", environment)
    assert demo.returncode == 0, demo.stderr
    command = [sys.executable, "-m", "pipelines", "serve", "--json"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = orjson.loads(server.stdout.readline())["url"]
        yield Tour(url=url, environment=environment, demo_output=demo.stdout)
        server.terminate()


def run(command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, text=True, cwd=ROOT, timeout=1800, check=False
    )


def test_the_readme_stays_short_and_shows_commands() -> None:
    assert len(README.read_text().splitlines()) < 150
    assert len(shown_commands()) >= 5


def test_every_command_of_the_readme_gives_the_output_shown(tour: Tour) -> None:
    for shown in shown_commands():
        real = real_output(shown.command, tour)
        missing = first_missing(shown.output, real)
        assert missing is None, f"$ {shown.command}\nshows a line that is missing: {missing!r}\nreal output:\n{real}"


def real_output(command: str, tour: Tour) -> str:
    """Output of a command; the fixture has already run `make demo`."""
    if command.startswith("make demo"):
        return tour.demo_output
    done = run(command.replace(SHOWN_URL, tour.url), tour.environment)
    assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
    return done.stdout


def first_missing(shown: tuple[str, ...], real: str) -> str | None:
    """The first shown line missing from the real output, in order; None if all are there."""
    lines = iter([outline(line) for line in real.splitlines()])
    for line in shown:
        if line.strip() not in ("", "...") and outline(line) not in lines:
            return line
    return None


def outline(line: str) -> str:
    """A line without what differs between runs: numbers, ids, values of JSON fields, borders, repeated spaces."""
    line = re.sub(r'^(\s*"[a-z_]+":).*', r"\1", line)
    line = re.sub(r"(dec_|HH-)[0-9A-Za-z]+", r"\1#", line)
    line = re.sub(r"127\.0\.0\.1:\d+", "HOST", line)
    line = re.sub(r"\b[0-9a-f]{12,}\b", "#", line)
    line = re.sub(r"[+-]?[0-9][0-9,.:TZ+%-]*", "#", line)
    return " ".join(re.sub(r"[│┃┌┐└┘├┤┬┴┼─━╭╮╰╯]", " ", line).split())
