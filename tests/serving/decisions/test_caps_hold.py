"""Caps hold under 64 concurrent deciders, while Redis is killed and restarted and reservations expire.

`python benchmarks/caps_hammer.py` runs the same for longer. It recounts every cap from the log and from the answers to
callers, never from the books and counters under test.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

HAMMER = Path(__file__).parents[3] / "benchmarks" / "caps_hammer.py"


@pytest.fixture(scope="module")
def verdict() -> dict[str, Any]:
    command = [sys.executable, str(HAMMER), "--json", "--seconds", "8", "--kills", "1", "--processes", "4"]
    done = subprocess.run(command, capture_output=True, timeout=100, check=False)
    assert done.stdout, done.stderr.decode()
    return orjson.loads(done.stdout)


def test_no_cap_of_any_kind_is_ever_exceeded(verdict: dict[str, Any]) -> None:
    kinds = ["all", "mail", "each-offer", "home", "home-cake", "seats", "mail-money"]
    assert [line["cap"] for line in verdict["caps"]] == kinds
    assert [line for line in verdict["caps"] if not line["holds"]] == []


def test_no_message_given_to_a_caller_is_missing_from_the_log(verdict: dict[str, Any]) -> None:
    assert verdict["lost"] == 0


def test_the_run_had_real_contention_restarts_and_permits(verdict: dict[str, Any]) -> None:
    """Otherwise the two tests above would prove nothing."""
    counts = verdict["counts"]
    assert (verdict["deciders"], verdict["processes"], verdict["kills"]) == (64, 4, 1)
    assert verdict["worked"]
    assert verdict["messages"] > 100
    assert counts["conflicts"] > 20
    assert counts["away"] > 0
    assert counts["permit_allowed"] + counts["permit_denied"] > 0
    reached = {line["cap"] for line in verdict["caps"] if line["most"] == line["allows"]}
    assert {"all", "each-offer", "home", "seats"} <= reached
