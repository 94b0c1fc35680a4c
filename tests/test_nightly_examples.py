"""The files for schedulers below docs/nightly: their commands exist, their units are sound, their Python compiles."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from pipelines import cli
from pipelines.pages.reference import pages

NIGHTLY = Path(__file__).parent.parent / "docs" / "nightly"
FILES = sorted(NIGHTLY.iterdir())
UNITS = [path for path in FILES if path.suffix in {".service", ".timer"}]


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix != ".timer"], ids=lambda path: path.name)
def test_the_command_of_every_file_can_be_parsed(path: Path) -> None:
    pages()  # registers every noun
    text = path.read_text().replace('", "', " ")
    [command] = re.findall(r"nextbest (pipeline run [^|>\n\"]*)", text)
    words = shlex.split(command)
    typer.main.get_command(cli.app).make_context("nextbest", words)
    leaf = typer.main.get_command(cli.app).commands["pipeline"].commands["run"]
    leaf.make_context("run", words[2:])


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".py"], ids=lambda path: path.name)
def test_the_python_files_compile(path: Path) -> None:
    compile(path.read_text(), path.name, "exec")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    for unit in UNITS:
        text = unit.read_text().replace("/opt/nextbest/bin/nextbest", sys.executable).replace("User=nextbest\n", "")
        (tmp_path / unit.name).write_text(text)
    verified = subprocess.run(
        ["systemd-analyze", "verify", *sorted(tmp_path.iterdir())], capture_output=True, text=True, check=False
    )
    about_ours = [line for line in verified.stderr.splitlines() if "nextbest" in line]
    assert (verified.returncode, about_ours) == (0, []), verified.stderr


def test_systemd_counts_as_success_what_is_no_failure() -> None:
    [codes] = re.findall(r"^SuccessExitStatus=(.*)$", (NIGHTLY / "nextbest-pipeline.service").read_text(), re.MULTILINE)
    page = (NIGHTLY.parent / "pipeline.md").read_text()
    assert all(re.search(rf"^\| {code} \|.*\| no", page, re.MULTILINE) for code in codes.split())
