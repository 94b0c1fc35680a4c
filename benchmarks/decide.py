"""The time of a decision in the core, compared with an older commit.

python benchmarks/decide.py --against a610d91
python benchmarks/decide.py --against a610d91 --json

`full` is one customer with 30 contacts (and 30 of the household), 10 caps, weighted pressure, quiet hours,
suppressions, two cases, limits, levers and rules on every offer, among 40, 200 and 2,000 messages; `slate` the same
with four placements; `bare` has no caps, quiet hours, cases, limits and levers. Both commits run in separate processes
and take turns, so that a busy machine slows both; ratios are between medians over all turns. Records are not written.
"""

import argparse
import io
import json
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve()
ROOT = HERE.parent.parent
SIZES = (40, 200, 2000)
CASES = ("bare", "full", "slate")
TURNS, DECISIONS = 15, 40


class Core:
    """The core of a checkout, in its own process."""

    def __init__(self, root: Path) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, str(HERE.with_name("core_workload.py")), str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(root)},
        )

    def median_us(self, case: str, size: int) -> float:
        """Median time of a few decisions, in microseconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(case, size, max(DECISIONS * 40 // size, 5), file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())

    def stop(self) -> None:
        """End it."""
        self._process.communicate()


def checkout(revision: str, folder: Path) -> Path:
    """The files of a commit, in a folder."""
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", revision, "decisioning"], stdout=subprocess.PIPE, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


def measured(new: Core, old: Core) -> dict[str, Any]:
    """Median times of both, and the ratios."""
    raw: dict[str, dict[str, float]] = {}
    for case in CASES:
        for size in SIZES:
            turns = [(new.median_us(case, size), old.median_us(case, size)) for _ in range(TURNS)][1:]
            raw[f"{case} {size}"] = {
                "us": round(median(one for one, _ in turns), 1),
                "older_us": round(median(other for _, other in turns), 1),
            }
    faster = {name: round(times["older_us"] / times["us"], 2) for name, times in raw.items()}
    return {
        "ratios": {
            "40": faster["full 40"],
            "200": faster["full 200"],
            "2000_over_40": round(raw["full 2000"]["us"] / raw["full 40"]["us"], 2),
        },
        "times_faster": faster,
        "raw": raw,
        "machine": {"cpu_count": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="REV", default="a610d91", help="the older commit")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cores = Core(ROOT), Core(checkout(options.against, Path(folder)))
        try:
            found = measured(*cores)
        finally:
            for core in cores:
                core.stop()
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for name, times in found["raw"].items():
        print(f"{name:<12} {times['us']:9.1f} us  {times['older_us']:9.1f} us at {options.against}", end="")
        print(f"  {found['times_faster'][name]:6.2f} times faster")
    print(f"2,000 messages take {found['ratios']['2000_over_40']} times as long as 40")


if __name__ == "__main__":
    main()
