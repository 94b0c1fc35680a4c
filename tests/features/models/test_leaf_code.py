"""The machine code of leaf sets is compiled once, stored, and loaded without the compiler."""

import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from features.models import leaf_code
from features.models.leaf_code import FUNCTION_NAMES, KernelUnavailableError, kernels, sealed


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for code, with instant compilation."""
    code = leaf_code._own_code()
    monkeypatch.setattr(leaf_code, "_made", lambda: sealed(code))
    monkeypatch.setattr(leaf_code, "cache_from_source", lambda _source: str(tmp_path / "code" / "leaf_kernel.pyc"))
    return tmp_path / "code"


def test_code_is_stored_and_not_compiled_twice(folder: Path, monkeypatch: pytest.MonkeyPatch):
    made = leaf_code._kept_code("a test")

    def again() -> bytes:
        raise AssertionError

    monkeypatch.setattr(leaf_code, "_made", again)
    assert leaf_code._kept_code("a test") == made
    with pytest.raises(AssertionError):
        leaf_code._kept_code("another processor")


def test_damaged_code_is_compiled_again(folder: Path):
    right = leaf_code._kept_code("a test")
    (kept,) = folder.iterdir()
    kept.write_bytes(kept.read_bytes()[:-40] + b"x" * 40)
    assert leaf_code._kept_code("a test") == right
    assert leaf_code._kept_code("a test") == right


def test_a_folder_that_cannot_be_written_is_reported(folder: Path):
    folder.write_text("no folder")
    with structlog.testing.capture_logs() as logs:
        assert leaf_code._kept_code("a test")
    assert [one["event"] for one in logs] == ["machine_code_not_kept"]


def test_there_is_a_loop_for_every_word_size():
    assert set(kernels()) == set(FUNCTION_NAMES) == {2, 4, 8}


@pytest.mark.parametrize("said", [b"", b"a warning\n", b"x" * 5_000])
def test_invalid_machine_code_is_not_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch, said: bytes):
    monkeypatch.setattr(leaf_code, "_made", lambda: said)
    with pytest.raises(KernelUnavailableError, match="machine code must be what was made"):
        leaf_code._kept_code("a test")


@pytest.mark.parametrize(
    "error",
    [
        subprocess.CalledProcessError(1, "python", stderr=b"Traceback\nImportError: Numba needs NumPy 2.5 or less"),
        subprocess.TimeoutExpired("python", 300.0),
        OSError("no process"),
    ],
)
def test_a_numba_failure_is_reported(monkeypatch: pytest.MonkeyPatch, error: Exception):
    def failing(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(subprocess, "run", failing)
    with pytest.raises(KernelUnavailableError, match="machine code must be made by Numba, got"):
        leaf_code._made()


def test_the_code_does_not_call_python() -> None:
    """It runs without the interpreter's lock, so it may only call mathematical and memory functions."""
    code = "import sys; from features.models.leaf_code import kernels; kernels(); print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
    made = leaf_code._own_code()
    assert not any(word in made for word in (b"PyErr", b"PyGIL", b"NRT_", b"numba_"))
