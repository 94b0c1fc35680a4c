"""The readouts of an experiment's phases as one: the newest that has an answer is shown, the others stand beside it."""

from collections.abc import Sequence
from dataclasses import replace

from features.readouts import Check, Health, PhaseReadout, Readout, RefusalCode
from training.phases import Span, change_of
from training.verdicts import BROKEN

_TITLE = "One rule for everybody"


def by_phase(spans: Sequence[Span], readouts: Sequence[Readout]) -> Readout:
    """The readout to show, with a summary of every phase.

    Args:
        spans: The phases, the first one first.
        readouts: The readout of each, in order.
    """
    if len(readouts) == 1:
        return readouts[0]
    answered = [index for index, one in enumerate(readouts) if one.refusal is None]
    shown = max(answered, default=len(readouts) - 1)
    return replace(
        readouts[shown],
        checks=(*readouts[shown].checks, _check(spans, readouts, shown)),
        phases=tuple(
            _summary(span, spans[index - 1] if index else None, readouts[index], is_shown=index == shown)
            for index, span in enumerate(spans)
        ),
    )


def _summary(span: Span, former: Span | None, readout: Readout, *, is_shown: bool) -> PhaseReadout:
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


def _check(spans: Sequence[Span], readouts: Sequence[Readout], shown: int) -> Check:
    often = "once" if len(spans) == 2 else f"{len(spans) - 1} times"  # noqa: PLR2004 - two phases, one change
    said = (
        f"The rule of this experiment changed {often}; this is phase {spans[shown].number} of "
        f"{len(spans)}. Whoever was first decided about in a phase belongs to it, and phases are not mixed."
    )
    newest = readouts[-1]
    if shown == len(readouts) - 1:
        return Check(title=_TITLE, status=Health.OK, message=said)
    is_broken = newest.refusal is not None and newest.refusal.code in BROKEN
    is_empty = newest.refusal is not None and newest.refusal.code is RefusalCode.NO_DECISIONS
    later = "nobody new came in since." if is_empty else newest.verdict
    return Check(
        title=_TITLE, status=Health.WARN if is_broken else Health.OK, message=f"{said} Phase {len(spans)}: {later}"
    )
