"""What the next run would do, as far as that can be said without doing it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from decisioning.errors import NextbestError
from features.clock import Clock
from features.settings import Settings
from pipelines.loop.inputs import inputs_in, key_of
from pipelines.loop.nightly_run import RENEW_HOURS, Asked, next_run
from pipelines.loop.record import LoopState, RunRecord, StepName
from pipelines.loop.steps import STEPS, RunWork

_OWN_READS = (StepName.IMPORT, StepName.FEATURES)
"""Steps whose inputs are there before a run; the others depend on what these produce."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What the next run would do.

    Attributes:
        goes_on_with: The step that a run which was cut short goes on with; None for a new run.
        news: Why there is something to do, in words; empty where there is nothing.
        steps: What would be done again for sure; what comes after depends on it.
    """

    goes_on_with: StepName | None
    news: tuple[str, ...]
    steps: tuple[StepName, ...]


def outlook(settings: Settings, state: LoopState, *, now: Clock) -> Outlook:
    """What the next run would do, asked for what the last one was asked for."""
    data = None if state.run is None or state.run.data is None else Path(state.run.data)
    try:
        inputs = inputs_in(settings, data)
    except NextbestError as error:
        return Outlook(goes_on_with=None, news=(str(error),), steps=())
    asked = Asked(data=data, most_unknown=_most_unknown(state), renew_hours=RENEW_HOURS)
    run = next_run(state, inputs, asked, now())
    if state.run is not None and run.resumed > state.run.resumed:
        return Outlook(goes_on_with=_unfinished(state.run), news=(), steps=tuple(_after(_unfinished(state.run))))
    work = RunWork(
        settings=settings, run=replace(run, steps={}), standing=state.standing, inputs=inputs, now=now, by=""
    )
    news = inputs.news_since(state.inputs) or _of_time(state, run.moment)
    return Outlook(goes_on_with=None, news=news, steps=tuple(_new_steps(work)))


def _new_steps(work: RunWork) -> Iterator[StepName]:
    for step in STEPS:
        standing = work.standing.get(step.name)
        if step.name in _OWN_READS and (standing is None or standing.key != key_of(step.reads(work))):
            yield step.name


def _most_unknown(state: LoopState) -> float:
    return 0.0 if state.run is None else state.run.most_unknown


def _of_time(state: LoopState, moment: datetime) -> tuple[str, ...]:
    last = state.run
    if last is None or moment == last.moment:
        return ()
    return (f"the features are of {last.moment:%Y-%m-%d %H:%M} UTC, older than {RENEW_HOURS:g} hours",)


def _unfinished(run: RunRecord) -> StepName:
    """The first step that did not end."""
    open_ones = (step.name for step in STEPS if step.name not in run.steps or not run.steps[step.name].has_ended)
    return next(open_ones, StepName.MATERIALISE)


def _after(first: StepName) -> Iterator[StepName]:
    names = [step.name for step in STEPS]
    yield from names[names.index(first) :]
