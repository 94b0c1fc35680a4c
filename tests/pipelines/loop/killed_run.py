"""Runs the command until a moment that its first argument names, and kills itself there, as a power cut would.

`ended:STEP` is where the step has done its work and nobody has noted it; `ledger` is between a promotion and its entry.
"""

import os
import signal
import sys

from pipelines import cli
from pipelines.loop import nightly_run
from pipelines.loop.record import LoopState
from training.registry import promotion


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_the_end_of(step: str) -> None:
    write = nightly_run.write_state

    def deadly(settings: object, state: LoopState) -> None:
        record = None if state.run is None else state.run.steps.get(step)
        if record is not None and record.has_ended:
            die()
        write(settings, state)

    nightly_run.write_state = deadly


if __name__ == "__main__":
    kind, _, step = sys.argv.pop(1).partition(":")
    if kind == "ended":
        die_at_the_end_of(step)
    elif kind == "ledger":
        promotion.append = lambda *_: die()
    cli.main()
