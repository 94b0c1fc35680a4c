"""The readouts of an experiment's phases as one: the newest that has an answer is shown, the others stand beside it."""

from collections.abc import Sequence
from dataclasses import replace

from features.reports.readouts import Check, Health, PhaseReadout, Readout, Refusal, RefusalCode
from training.experiments.phases import PhaseSpan, change_of
from training.experiments.verdicts import BROKEN, conclude

_TITLE = "One rule for everybody"


def by_phase(spans: Sequence[PhaseSpan], readouts: Sequence[Readout]) -> Readout:
    """The readout to show, with a summary of every phase; the first one first."""
    if len(readouts) == 1:
        return readouts[0]
    filled = [index for index, one in enumerate(readouts) if not _is_empty(one)]
    answered = [index for index in filled if readouts[index].refusal is None]
    shown = max(answered or filled, default=len(readouts) - 1)
    if filled:
        readouts = [_without_newcomers(one) if _is_empty(one) else one for one in readouts]
    return replace(
        readouts[shown],
        checks=(*readouts[shown].checks, _check(spans, readouts, shown)),
        phases=tuple(
            _summary(span, spans[index - 1] if index else None, readouts[index], is_shown=index == shown)
            for index, span in enumerate(spans)
        ),
    )


def _is_empty(readout: Readout) -> bool:
    return readout.refusal is not None and readout.refusal.code is RefusalCode.NO_DECISIONS


def _without_newcomers(readout: Readout) -> Readout:
    """The log does hold decisions of the experiment; those whom they were about belong to another phase."""
    refusal = Refusal(
        code=RefusalCode.NO_DECISIONS, message=f"no {readout.unit} was first decided about in this phase yet"
    )
    return replace(readout, refusal=refusal, verdict=conclude((), refusal, readout.control_arm_id)["verdict"])


def _summary(span: PhaseSpan, former: PhaseSpan | None, readout: Readout, *, is_shown: bool) -> PhaseReadout:
    return PhaseReadout(
        number=span.number,
        since=span.phase.since,
        until=span.until,
        change=change_of(None if former is None else former.phase, span.phase),
        is_shown=is_shown,
        status=readout.status,
        verdict=readout.verdict,
        refusal=readout.refusal,
        unit=readout.unit,
        arms=readout.arms,
        primary=readout.metrics[0] if readout.metrics else None,
    )


def _check(spans: Sequence[PhaseSpan], readouts: Sequence[Readout], shown: int) -> Check:
    often = "once" if len(spans) == 2 else f"{len(spans) - 1} times"  # noqa: PLR2004 - two phases, one change
    said = (
        f"The rule of this experiment changed {often}; this is phase {spans[shown].number} of "
        f"{len(spans)}. Whoever was first decided about in a phase belongs to it, and phases are not mixed."
    )
    newest = readouts[-1]
    if shown == len(readouts) - 1:
        return Check(title=_TITLE, status=Health.OK, message=said)
    is_broken = newest.refusal is not None and newest.refusal.code in BROKEN
    later = "nobody new came in since." if _is_empty(newest) else newest.verdict
    return Check(
        title=_TITLE, status=Health.WARN if is_broken else Health.OK, message=f"{said} Phase {len(spans)}: {later}"
    )
