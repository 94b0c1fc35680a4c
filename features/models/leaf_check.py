"""Leaf sets against `Booster.predict`, before they serve: a difference in one bit, and LightGBM serves.

The rows are drawn from what splits could tell apart: every kind of missing, zero and the numbers around it, infinities,
what lies at, right below and right above the cuts, categories that are unknown, negative, fractional or huge. What was
found is kept beside the booster, with what it was found with, so that a start need not ask LightGBM again. A
process that has not imported LightGBM lets another one ask, which is gone with its memory afterwards.
"""

import hashlib
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import structlog

from decisioning.arrays import FloatArray
from decisioning.value_model import row_by_row
from features.durability import replace_file
from features.models.booster_text import read_booster_text
from features.models.leaf_sets import LeafSets, compile_booster

CHECK_FILE = "leaf_sets.json"

_ODD = (np.nan, 0.0, -0.0, np.inf, -np.inf, 5e-324, -1e-36, 1e-35, 1.1e-35, -1.1e-35, -1.0, -0.5, 0.5, 3.7, 1e9, 1e300)
_SHARED_ROWS, _MESSAGE_ROWS, _MESSAGE_COLUMNS = 200, 24, 4
_MOST_CUTS = 64
_TIMEOUT_S = 120.0
_SOURCES = ("booster_text.py", "leaf_sets.py", "leaf_code.py", "leaf_kernel.py", "leaf_check.py")
_NOT_NEEDED = ("pandas", "pyarrow", "sklearn")
"""LightGBM imports them where it finds them, which takes four times as long as the check."""

_PACKAGES = ("lightgbm", "llvmlite", "numba", "numpy")

_LOG = structlog.get_logger("nextbest.models")


def found_difference(text: str, sets: LeafSets, folder: Path | None) -> str | None:
    """What keeps leaf sets from serving; None where they equal LightGBM.

    Args:
        text: The booster.
        sets: The same, compiled.
        folder: Where it lies, and where what was found is kept; None to check anew.
    """
    if folder is None:
        return difference(text, sets)
    stamp = _stamp(text)
    kept = _kept(folder / CHECK_FILE)
    if kept.get("checked_with") == stamp:
        return kept.get("difference")
    if "lightgbm" in sys.modules:
        found = difference(text, sets)
    else:
        found, is_known = _asked(text)
        if not is_known:
            return found
    try:
        content = orjson.dumps({"checked_with": stamp, "difference": found}, option=orjson.OPT_INDENT_2)
        replace_file(folder / CHECK_FILE, content)
    except OSError as error:
        _LOG.warning("leaf_check_not_kept", problem=str(error), consequence="checked again at every start")
    return found


def difference(text: str, sets: LeafSets) -> str | None:
    """Score drawn rows with both; what differs in words, or None."""
    import lightgbm

    shared, messages, first = drawn_rows(sets)
    booster = lightgbm.Booster(model_str=text)

    def predict(rows: FloatArray) -> FloatArray:
        return np.asarray(booster.predict(rows, num_threads=1))

    found = sets.for_messages(messages, first)(shared)
    right = row_by_row(predict, first, messages)(shared)
    differs = found.view(np.int64) != right.view(np.int64)
    if not differs.any():
        return None
    place = tuple(int(one) for one in np.argwhere(differs)[0])
    return (
        f"leaf sets must equal LightGBM on drawn rows, got {found[place]!r} for {right[place]!r} in one of"
        f" {int(differs.sum())} of {differs.size}"
    )


def drawn_rows(sets: LeafSets) -> tuple[FloatArray, FloatArray, int]:
    """Rows to try a booster on, the same on every machine.

    Returns:
        Shared columns, message columns, and where the message's stand.
    """
    rng = np.random.default_rng(20_261_130)
    count = len(sets.columns)
    width = min(_MESSAGE_COLUMNS, count)
    first = (count - width) // 2
    pools = [_pool(sets.cuts[low:high], rng) for low, high, _ in sets.columns]
    drawn = [
        np.column_stack([rng.choice(pool, size) for pool in pools] or [np.empty(size)])
        for size in (_SHARED_ROWS, _MESSAGE_ROWS)
    ]
    inside = np.arange(first, first + width)
    return np.delete(drawn[0], inside, axis=1), np.ascontiguousarray(drawn[1][:, inside]), first


def _pool(cuts: FloatArray, rng: np.random.Generator) -> FloatArray:
    some = cuts if len(cuts) <= _MOST_CUTS else rng.choice(cuts, _MOST_CUTS, replace=False)
    below, above = np.nextafter(some, -np.inf), np.nextafter(some, np.inf)
    return np.concatenate([_ODD, some, below, above, rng.normal(0.0, 10.0, 8)])


def _asked(text: str) -> tuple[str | None, bool]:
    """What a process of its own found, and whether it found anything."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "features.models.leaf_check"],
            input=text.encode(),
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
        return orjson.loads(done.stdout.splitlines()[-1])["difference"], True
    except (OSError, subprocess.SubprocessError, orjson.JSONDecodeError, IndexError) as error:
        return f"leaf sets must be checked against LightGBM first, got {type(error).__name__}: {error}", False


def _kept(path: Path) -> dict[str, Any]:
    try:
        kept = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _stamp(text: str) -> dict[str, str]:
    """Everything that what was found depends on."""
    return {"booster": hashlib.sha256(text.encode()).hexdigest(), **_made_with()}


@cache
def _made_with() -> dict[str, str]:
    folder = Path(__file__).parent
    source = b"".join((folder / name).read_bytes() for name in _SOURCES)
    return {
        "source": hashlib.sha256(source).hexdigest(),
        **{name: version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "machine": f"{platform.machine()} {platform.system()} {' '.join(platform.libc_ver())}".strip(),
    }


def main() -> None:
    """Check the booster that comes in, and say what was found as one line of JSON."""
    for name in _NOT_NEEDED:
        sys.modules.setdefault(name, None)  # pyright: ignore[reportArgumentType] - Python's own mark of what is not there
    text = sys.stdin.read()
    found = difference(text, compile_booster(read_booster_text(text)))
    sys.stdout.buffer.write(orjson.dumps({"difference": found}, option=orjson.OPT_APPEND_NEWLINE))


if __name__ == "__main__":
    main()
