"""What a new catalogue would change in running experiments and holdouts, in words."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.experiment import ProgrammeHoldout
from decisioning.errors import InvalidInputError
from decisioning.ranges import width, without
from features.catalogue.assignment.ledger import HELD_OUT, Phase, read_ledger, settled, with_ranges
from features.catalogue.assignment.settlement import ledger_in_force
from features.catalogue.loader import load_catalogue

_NEW_PHASE = "a new phase begins, and readouts show the phases apart"
_TINY = 1e-9


def changes_for_tests(brought: Path, in_force: Path, now: datetime) -> tuple[str, ...]:
    """One sentence per change of a running test; nothing where no catalogue is in force.

    Raises:
        InvalidInputError: The catalogue is broken, or the ledger of the one in force is.
    """
    former = read_ledger(in_force) or ledger_in_force(in_force, now)
    if former is None:
        return ()
    catalogue = with_ranges(load_catalogue(brought), former)
    after = settled(catalogue, former, now)
    sentences = [
        f"experiment {name}: {change}"
        for name, phases in after.experiments.items()
        for change in _changes(_current(former.experiments.get(name, ())), _current(phases), now)
    ]
    sentences += [f"experiment {name}: {change}" for name, change in _newcomers(former.experiments, after.experiments)]
    sentences += [f"holdout: {change}" for change in _holdout(_current(former.holdout), _current(after.holdout))]
    return (*sentences, *_programmes(_catalogue_in_force(in_force), catalogue))


def _catalogue_in_force(folder: Path) -> Catalogue | None:
    try:
        return load_catalogue(folder)
    except InvalidInputError:
        return None


def _current(phases: tuple[Phase, ...]) -> Phase | None:
    return phases[-1] if phases and phases[-1].until is None else None


def _changes(before: Phase | None, after: Phase | None, now: datetime) -> Iterator[str]:
    if before is None or not before.is_begun(now) or (before.ends_at is not None and before.ends_at <= now):
        return
    if after is None:
        yield "is taken out; nobody is assigned to it any more, and what it found so far can still be read"
        return
    yield from _judgement(before, after)
    if before.ends_at != after.ends_at:
        yield f"ends {_when(after.ends_at)} instead of {_when(before.ends_at)}"
    if before.salt != after.salt or before.unit is not after.unit:
        what = "salt" if before.salt != after.salt else f"unit, {after.unit} instead of {before.unit}"
        yield (
            f"draws everybody anew (another {what}): customers change arms although they were exposed; {_NEW_PHASE}. "
            "To let nobody move, keep what it was, or declare another experiment"
        )
        return
    yield from _moves(before, after)


def _judgement(before: Phase, after: Phase) -> Iterator[str]:
    if before.measures != after.measures:
        yield f"is judged by {', '.join(after.measures)} instead of {', '.join(before.measures)}, also looking back"
    if before.exposure is not after.exposure:
        yield f"counts customers once {after.exposure} instead of {before.exposure}, also looking back"
    if before.inference is not after.inference:
        yield "is read at every look from now on, with wider intervals: its one planned look did not stand"
    if before.control != after.control:
        yield f"is compared with {after.control} instead of {before.control}"


def _moves(before: Phase, after: Phase) -> Iterator[str]:
    if before.layer != after.layer:
        yield f"changes its layer: other customers take part from now on; {_NEW_PHASE}"
    else:
        yield from _part_moves(before, after)
    moved = sum(width(without(arm.spans, _spans(after, name))) for name, arm in before.arms.items())
    if moved > _TINY:
        shares = ", ".join(
            f"{name} {_percent(_share(before, name))} to {_percent(_share(after, name))}"
            for name in sorted({*before.arms, *after.arms})
            if abs(_share(before, name) - _share(after, name)) > _TINY
        )
        yield f"{_percent(moved)} of its customers change arms ({shares}), no others; {_NEW_PHASE}"
    for name in sorted(before.arms.keys() & after.arms.keys()):
        if before.arms[name].does != after.arms[name].does:
            yield f"arm {name} is now {after.arms[name].does} instead of {before.arms[name].does}; {_NEW_PHASE}"
    if before.touchpoints != after.touchpoints:
        yield f"runs on {_places(after)} instead of {_places(before)}; {_NEW_PHASE}"


def _part_moves(before: Phase, after: Phase) -> Iterator[str]:
    left, joined = width(without(before.part, after.part)), width(without(after.part, before.part))
    if left > _TINY:
        yield f"{_percent(left)} of the customers of its layer leave it; {_NEW_PHASE}"
    if joined > _TINY:
        yield f"{_percent(joined)} of the customers of its layer join; nobody who takes part moves; {_NEW_PHASE}"


def _newcomers(
    before: Mapping[str, tuple[Phase, ...]], after: Mapping[str, tuple[Phase, ...]]
) -> Iterator[tuple[str, str]]:
    taken = {phase.layer for phases in before.values() if (phase := _current(phases)) is not None}
    for name, phases in after.items():
        phase = _current(phases)
        if phase is not None and _current(before.get(name, ())) is None and phase.layer in taken:
            part = f"{_percent(width(phase.part))} of its customers that no other experiment holds"
            yield name, f"joins layer {phase.layer} with {part}; nobody leaves a running experiment"


def _holdout(before: Phase | None, after: Phase | None) -> Iterator[str]:
    old, new = (0.0 if phase is None else phase.arms[HELD_OUT].share for phase in (before, after))
    if before is not None and after is not None and (before.salt, before.unit) != (after.salt, after.unit):
        what = "salt" if before.salt != after.salt else "unit"
        yield f"draws everybody anew (another {what}): who was kept back gets marketing, others none; {_NEW_PHASE}"
        return
    yield from _share_change(old, new, "marketing", phase=f"; {_NEW_PHASE}" if old and new else "")


def _programmes(before: Catalogue | None, after: Catalogue) -> Iterator[str]:
    old, new = (
        {} if one is None else {each.programme_id: each for each in one.programme_holdouts} for one in (before, after)
    )
    for name in sorted(old.keys() | new.keys()) if before is not None else ():
        for change in _programme(old.get(name), new.get(name), f"marketing of {name}"):
            yield f"holdout {name}: {change}"


def _programme(before: ProgrammeHoldout | None, after: ProgrammeHoldout | None, what: str) -> Iterator[str]:
    if before is not None and after is not None:
        if (before.salt, before.unit) != (after.salt, after.unit):
            yield f"draws everybody anew: who was kept back gets {what}, others none"
            return
        if _named(before) != _named(after):
            yield "keeps back other messages than before"
    yield from _share_change(before.share if before else 0.0, after.share if after else 0.0, what)


def _named(programme: ProgrammeHoldout) -> tuple[frozenset[str], ...]:
    return programme.offers, programme.goals, programme.departments


def _share_change(old: float, new: float, what: str, *, phase: str = "") -> Iterator[str]:
    sizes = f"{_percent(old)} to {_percent(new)}"
    if new > old + _TINY:
        more = f"{_percent(new - old)} of customers get no {what} from now on"
        yield f"grows from {sizes}: {more}; the others stay{phase}"
    if new < old - _TINY:
        fewer = f"{_percent(old - new)} of customers get {what} again"
        yield f"shrinks from {sizes}: {fewer}; the others stay{phase}"


def _share(phase: Phase, arm: str) -> float:
    return phase.arms[arm].share if arm in phase.arms else 0.0


def _spans(phase: Phase, arm: str) -> tuple[tuple[float, float], ...]:
    return phase.arms[arm].spans if arm in phase.arms else ()


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def _places(phase: Phase) -> str:
    return ", ".join(phase.touchpoints) or "every touchpoint"


def _when(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"
