"""One run of the loop: every step in its order, recorded before and after, skipped where it reads nothing new."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from decisioning.errors import UnavailableError
from features.clock import Clock
from features.locks import held
from features.progress import OnProgress
from features.settings import Settings
from pipelines.loop.inputs import LoopInputs, inputs_in, key_of
from pipelines.loop.record import (
    LoopState,
    RunOutcome,
    RunRecord,
    StepName,
    StepRecord,
    StepStatus,
    keep_run,
    loop_folder,
    read_state,
    write_state,
)
from pipelines.loop.steps import STEPS, LoopStep, Result, RunWork

RENEW_HOURS = 12.0
"""How old a snapshot of features may be before a run renews it, though nothing else is new."""

type Showing = Callable[[str], AbstractContextManager[OnProgress]]
"""Shows a person which step is under way, and how far it has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a run is asked to do.

    Attributes:
        data: Folder to import; None to go by the log as it is.
        most_unknown: Largest share of unknown names in a column of an import.
        renew_hours: See `RENEW_HOURS`.
        by: The account that promotes.
    """

    data: Path | None = None
    most_unknown: float
    renew_hours: float = RENEW_HOURS
    by: str = ""


def run_loop(settings: Settings, asked: Asked, *, now: Clock, show: Showing) -> RunRecord:
    """Run every step that has something new to read; a run that was killed or failed is taken up where it stood.

    Raises:
        UnavailableError: Another run of this home is under way, or something behind is away.
        NextbestError: A step failed; its record says so, and the next run begins there.
    """
    with held(loop_folder(settings) / "run.lock", _busy(settings)):
        state = read_state(settings)
        inputs = inputs_in(settings, asked.data)
        run = next_run(state, inputs, asked, now())
        work = RunWork(
            settings=settings,
            run=run,
            standing=dict(state.standing),
            inputs=inputs,
            now=now,
            by=asked.by,
        )
        return _Runner(work, state, show).run()


def is_under_way(settings: Settings) -> bool:
    """Whether some process runs the loop of this home now."""
    busy = UnavailableError("busy")
    if not loop_folder(settings).is_dir():
        return False
    try:
        with held(loop_folder(settings) / "run.lock", busy):
            return False
    except UnavailableError:
        return True


def next_run(state: LoopState, inputs: LoopInputs, asked: Asked, now: datetime) -> RunRecord:
    """The run to do: the one that stopped half way, or a new one.

    A new run looks at the log as of the moment of the last one where nothing is new since, so that it reads the very
    same; the moment moves on with the data, and after `asked.renew_hours`.
    """
    last, data = state.run, None if asked.data is None else str(asked.data.resolve())
    if last is None:
        return RunRecord(number=1, data=data, most_unknown=asked.most_unknown, moment=now, began_at=now)
    is_young = timedelta(0) <= now - last.moment <= timedelta(hours=asked.renew_hours)
    is_the_same = (last.data, last.most_unknown) == (data, asked.most_unknown)
    if last.is_open and is_young and is_the_same:
        return replace(last, resumed=last.resumed + 1, ended_at=None, outcome=None, problem=None)
    moment = last.moment if is_young and state.inputs == inputs else now
    return RunRecord(number=last.number + 1, data=data, most_unknown=asked.most_unknown, moment=moment, began_at=now)


def outcome_of(steps: Mapping[str, StepRecord]) -> RunOutcome:
    """How a run ended whose steps went like this."""
    seen = {step.status for step in steps.values() if step.name is not StepName.EVALUATE}
    for status, outcome in (
        (StepStatus.REFUSED, RunOutcome.REFUSED),
        (StepStatus.SHORT, RunOutcome.SHORT),
        (StepStatus.DONE, RunOutcome.CHANGED),
    ):
        if status in seen:
            return outcome
    return RunOutcome.NOTHING_NEW


class _Runner:
    """Does the steps and keeps the record."""

    def __init__(self, work: RunWork, state: LoopState, show: Showing) -> None:
        self._work, self._state, self._show = work, state, show

    def run(self) -> RunRecord:
        self._save()
        try:
            for step in STEPS:
                self._take(step)
        except Exception as error:  # whatever it was, it is recorded and raised again
            self._end(RunOutcome.FAILED, problem=str(error))
            raise
        return self._end(outcome_of(self._work.run.steps))

    def _take(self, step: LoopStep) -> None:
        work, key = self._work, key_of(step.reads(self._work))
        own = work.run.steps.get(step.name)
        if own is not None and own.key == key and own.has_ended and step.stands(work, own):
            return
        standing = work.standing.get(step.name)
        began_at, clock = work.now(), time.monotonic()
        if standing is not None and standing.key == key and step.stands(work, standing):
            seconds = time.monotonic() - clock
            words = f"as before: {standing.words}" if standing.status is not StepStatus.SAME else standing.words
            self._record(replace(standing, status=StepStatus.SAME, began_at=began_at, seconds=seconds, words=words))
            return
        record = StepRecord(name=step.name, key=key, status=StepStatus.RUNNING, began_at=began_at)
        if own is not None and own.key != key:  # nothing of what was begun can be gone on with
            work.run = _without(work.run, step.name)
        result = self._do(step, record)
        done = replace(
            record,
            status=result.status,
            words=result.words,
            facts=result.facts,
            seconds=time.monotonic() - clock,
        )
        work.standing = {**work.standing, step.name.value: done}
        self._record(done)

    def _do(self, step: LoopStep, record: StepRecord) -> Result:
        """Do a step; the record on the disk says from before that it is under way, and afterwards where it failed."""
        saved = self._work.run
        self._save(saved.with_step(record))
        try:
            with self._show(step.title) as tell:
                return step.does(self._work, tell)
        except Exception as error:  # whatever it was, it is recorded and raised again
            self._work.run = saved.with_step(replace(record, status=StepStatus.FAILED, words=str(error)))
            raise

    def _record(self, step: StepRecord) -> None:
        self._work.run = self._work.run.with_step(step)
        self._save()

    def _end(self, outcome: RunOutcome, problem: str | None = None) -> RunRecord:
        work = self._work
        work.run = replace(work.run, ended_at=work.now(), outcome=outcome, problem=problem)
        if outcome is not RunOutcome.FAILED:
            self._state = replace(self._state, inputs=work.inputs)
        self._save()
        keep_run(work.settings, work.run)
        return work.run

    def _save(self, run: RunRecord | None = None) -> None:
        self._state = replace(self._state, run=run or self._work.run, standing=self._work.standing)
        write_state(self._work.settings, self._state)


def _without(run: RunRecord, name: StepName) -> RunRecord:
    return replace(run, steps={one: record for one, record in run.steps.items() if one != name})


def _busy(settings: Settings) -> UnavailableError:
    return UnavailableError(
        f"only one pipeline run may be under way in {settings.home}, got a second one: wait for the first, or look at"
        " `nextbest pipeline status`"
    )
