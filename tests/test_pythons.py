"""`make setup` uses the newest supported Python on the machine."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
THIS_PYTHON = Path(sys._base_executable)
TOOLS = "/usr/bin:/bin"


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """An environment whose PATH and home have only the operating system's Python."""
    (tmp_path / "bin").mkdir()
    return {"PATH": f"{tmp_path / 'bin'}:{TOOLS}", "HOME": str(tmp_path / "home")}


def pythons_of(machine: dict[str, str]) -> list[str]:
    done = subprocess.run(
        [ROOT / "requirements" / "pythons.sh"], env=machine, capture_output=True, text=True, check=True, cwd=ROOT
    )
    return done.stdout.splitlines()


def put(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    return program


def another_python(version: str, path: Path, release: str = "final") -> str:
    """A program that behaves like a Python of this version: it runs the current one with a changed version number."""
    major, minor = version.split(".")
    version_info = f"type('V', (tuple,), dict(releaselevel='{release}'))(({major}, {minor}, 0))"
    lie = f"import sys; sys.version_info = {version_info}; sys._base_executable = '{path}'"
    return f'shift; code="{lie}; exec(sys.argv.pop(1))"; exec {THIS_PYTHON} -c "$code" "$@"'


def put_python(folder: Path, version: str, name: str = "", release: str = "final") -> str:
    path = folder / (name or f"python{version}")
    return str(put(folder, path.name, another_python(version, path, release)))


def test_the_newest_on_the_path_comes_first(machine: dict[str, str], tmp_path: Path) -> None:
    old = put_python(tmp_path / "bin", "3.12")
    new = put_python(tmp_path / "bin", "3.14")
    found = pythons_of(machine)
    assert found[0] == new
    assert found[-1] == old


def test_a_pyenv_python_is_found_although_its_shim_refuses_to_run(machine: dict[str, str], tmp_path: Path) -> None:
    put(tmp_path / "bin", "python3.14", "echo 'pyenv: python3.14: command not found' >&2; exit 127")
    versions = tmp_path / "home" / ".pyenv" / "versions"
    put_python(versions / "3.14.2" / "bin", "3.14", "python")
    newest = put_python(versions / "3.14.10" / "bin", "3.14", "python")
    assert pythons_of(machine)[0] == newest


def test_a_python_installed_by_uv_is_found(machine: dict[str, str], tmp_path: Path) -> None:
    managed = put_python(tmp_path / "managed", "3.14")
    put(tmp_path / "bin", "uv", f'for last; do :; done; [ "$last" = 3.14 ] && echo {managed}')
    assert pythons_of(machine)[0] == managed


@pytest.mark.parametrize(("version", "release"), [("3.11", "final"), ("3.15", "final"), ("3.14", "alpha")])
def test_unsupported_versions_and_pre_releases_are_skipped(
    machine: dict[str, str], tmp_path: Path, version: str, release: str
) -> None:
    unfit = [put_python(tmp_path / "bin", version, name, release) for name in ("python3", "python", f"python{version}")]
    assert set(unfit).isdisjoint(pythons_of(machine))


def test_an_active_environment_is_replaced_by_its_base_python(machine: dict[str, str], tmp_path: Path) -> None:
    subprocess.run([THIS_PYTHON, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    machine["PATH"] = f"{tmp_path / 'venv' / 'bin'}:{TOOLS}"
    found = pythons_of(machine)
    assert found
    assert not any(str(tmp_path) in path for path in found)


def test_the_package_declares_the_versions_that_setup_looks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    prefix = "Programming Language :: Python :: "
    declared = [one.removeprefix(prefix) for one in project["classifiers"] if one.startswith(prefix)]
    assert f"for version in {' '.join(reversed(declared))};" in (ROOT / "requirements" / "pythons.sh").read_text()
    assert project["requires-python"] == f">={declared[0]}"
