"""How close the engine comes to the optimum in the airline's world: all policies, several worlds, the docs' table.

    python benchmarks/world_quality.py FOLDER [--customers 20000] [--weeks 12] [--seeds 1,2,3,4,5] [--json]

A world of 20,000 customers takes about ten minutes on two free cores. Histories and models in the folder are reused;
the weeks are simulated again. Exit code 1 means that a policy broke a rule.
"""

import argparse
import sys
from dataclasses import asdict
from datetime import date
from pathlib import Path

import orjson

from benchmarks.contest.contest import NAMES, Contest, Summary, hold
from pipelines.simulation.contest.comparison import ContestComparison


def table(found: Summary) -> str:
    """Markdown: a line per policy, a column per world."""
    seeds = [str(one.seed) for one in found.comparisons]
    head = ["policy", *(f"world {seed}" for seed in seeds), "mean share", "messages per customer"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(_line(name, found))} |" for name in NAMES]
    return "\n".join(lines)


def _line(name: str, found: Summary) -> list[str]:
    standings = [one.of(name) for one in found.comparisons]
    shares = [f"{one.share.value:.1%} [{one.share.lower:.1%}, {one.share.upper:.1%}]" for one in standings]
    mean = found.shares.get(name)
    told = "" if mean is None else f"{mean.value:.1%} [{mean.lower:.1%}, {mean.upper:.1%}]"
    return [name, *shares, told, f"{sum(one.messages for one in standings) / len(standings):.1f}"]


def line_of(comparison: ContestComparison) -> str:
    """The money results of one world, per customer."""
    oracle, engine, silence = (comparison.of(name) for name in ("oracle", "engine", "silence"))
    return (
        f"world {comparison.seed}: silence {silence.realised_worth:.2f}, oracle {oracle.gain.value:+.2f},"
        f" engine {engine.gain.value:+.2f} (as it happened {engine.realised_gain.value:+.2f}"
        f" [{engine.realised_gain.lower:+.2f}, {engine.realised_gain.upper:+.2f}]), bound {comparison.bound:+.2f},"
        f" {comparison.violations} violations"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--weeks", type=int, default=12)
    parser.add_argument("--seeds", default="1,2,3,4,5")
    parser.add_argument("--history-days", type=int, default=180)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ends-on", type=date.fromisoformat, default=date(2026, 11, 1))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    contest = Contest(
        folder=given.folder,
        customers=given.customers,
        weeks=given.weeks,
        history_days=given.history_days,
        seeds=tuple(int(one) for one in given.seeds.split(",")),
        ends_on=given.ends_on,
        workers=given.workers,
    )
    found = hold(contest, on_progress=lambda what: print(what, file=sys.stderr, flush=True))
    if given.json:
        sys.stdout.write(
            orjson.dumps(asdict(found), option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode() + "\n"
        )
    else:
        print(table(found))
        print(*map(line_of, found.comparisons), sep="\n")
    sys.exit(found.violations > 0)


if __name__ == "__main__":
    main()
