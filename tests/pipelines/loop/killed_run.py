"""Runs the command until a moment that is named, and kills itself there, as a power cut would.

`ended:STEP` is where the step has done its work and nobody has noted it; `ledger` is between a promotion and its entry.
"""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import get_context

from pipelines import cli
from pipelines.loop import nightly_run
from pipelines.loop.record import LoopState
from training.registry import promotion

SLOW_TO_IMPORT = ("features.store.builder", "features.store.materialisation", "training.registry.training_run")


def killed_at(moment: str, words: Sequence[str]) -> int | None:
    """Run a command in a process of its own until a moment: its exit code, minus the number of a signal."""
    forks = get_context("forkserver")
    forks.set_forkserver_preload([__name__, *SLOW_TO_IMPORT])
    process = forks.Process(target=_run_until, args=(moment, words, dict(os.environ)))
    process.start()
    process.join(120)
    return process.exitcode


def _run_until(moment: str, words: Sequence[str], environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    kind, _, step = moment.partition(":")
    if kind == "ended":
        die_at_the_end_of(step)
    elif kind == "ledger":
        promotion.append = lambda *_: die()
    sys.argv = ["nextbest", *words]
    cli.main()


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
