"""The assignment ledger: which ranges each experiment had, since when; kept beside the catalogue, and only extended.

A catalogue says how large arms and parts of layers are; the ledger says which customers those are. Ranges that were
given stay, so that another experiment moves nobody, and changed shares move as few as can be. Whenever the rule of a
test changes, a phase of it begins, and readouts go by phase.

    <catalogue in force>/assignment.json      written by import, by the server and by batch; nobody edits it
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.experiment import (
    Arm,
    AssignedUnit,
    Experiment,
    Exposure,
    Holdout,
    Inference,
    arm_spans,
    layer_name,
)
from decisioning.errors import InvalidPolicyError
from decisioning.gates.experiment_layers import LayerShare, layer_shares
from decisioning.ranges import NOTHING, WHOLE, Spans, claim, laid_out, reshared, width, without
from features.durability import replace_file

FILE = "assignment.json"
FORMAT = 1
HELD_OUT = "held-out"
MESSAGED = "messaged"

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmRule:
    """An arm in a phase: its ranges and its treatment."""

    spans: Spans
    does: str

    @property
    def share(self) -> float:
        """Of the test's customers, in (0, 1]."""
        return width(self.spans)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A time in which a test had one rule.

    Attributes:
        since: When it began; None where it was there before anything was kept.
        until: When the test was taken out of the catalogue; None while it is in, or another phase came after.
        layer: The layer, by `experiment.layer_name`.
        arms: By name; those without anybody are left out.
        touchpoints: Where it runs, sorted; empty for everywhere.
        measures: What is compared, the primary measure first.
        inference: `fixed` only as long as the end that was planned at its beginning stands.
    """

    since: datetime | None
    until: datetime | None = None
    salt: str
    unit: AssignedUnit
    layer: str
    part: Spans
    arms: Mapping[str, ArmRule]
    touchpoints: tuple[str, ...] = ()
    control: str
    exposure: Exposure
    measures: tuple[str, ...] = ()
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    inference: Inference = Inference.SEQUENTIAL

    def has_rule_of(self, other: "Phase") -> bool:
        """True where both put the same customers into arms that do the same, at the same places."""
        return all(getattr(self, name) == getattr(other, name) for name in _RULE)

    def moves_from(self, former: "Phase") -> bool:
        """True if a customer who was in an arm before is in another one, in none, or treated differently."""
        if (self.salt, self.unit, self.layer) != (former.salt, former.unit, former.layer):
            return True
        if without(former.part, self.part):
            return True
        return any(
            name not in self.arms or self.arms[name].does != arm.does or without(arm.spans, self.arms[name].spans)
            for name, arm in former.arms.items()
        )

    def is_begun(self, now: datetime) -> bool:
        """True once anybody can have been assigned."""
        return self.starts_at is None or self.starts_at <= now


_RULE = ("salt", "unit", "layer", "part", "arms", "touchpoints")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The phases of every experiment by name, and of the universal holdout; the newest last, those taken out too."""

    experiments: Mapping[str, tuple[Phase, ...]] = field(default_factory=dict[str, tuple[Phase, ...]])
    holdout: tuple[Phase, ...] = ()
    format: int = FORMAT


_ADAPTER = TypeAdapter(Ledger)


def read_ledger(folder: Path) -> Ledger | None:
    """The ledger beside a catalogue's files; None where there is none yet.

    Raises:
        InvalidPolicyError: The file is damaged, or of another release.
    """
    try:
        content = (folder / FILE).read_bytes()
    except OSError:
        return None
    try:
        ledger = _ADAPTER.validate_json(content)
    except ValidationError as error:
        raise InvalidPolicyError(
            f"{FILE} must be as `nextbest import` wrote it, got {error.error_count()} problems in {folder}; bring back "
            "the copy of your last backup: without it customers change arms"
        ) from error
    if ledger.format != FORMAT:
        raise InvalidPolicyError(f"format of {FILE} must be {FORMAT}, got {ledger.format}; use its own release")
    return ledger


def write_ledger(folder: Path, ledger: Ledger) -> None:
    """Write the ledger in one step: a reader never sees half of it."""
    replace_file(folder / FILE, _ADAPTER.dump_json(ledger, indent=2))


def with_ranges(catalogue: Catalogue, ledger: Ledger | None) -> Catalogue:
    """The catalogue with the ranges that its experiments hold, those kept in the ledger among them.

    Ranges as they were first laid out are not written in: such a catalogue is what its files alone say.
    """
    if ledger is None:
        return catalogue
    parts = _parts(catalogue.experiments, ledger)
    laid = tuple(_with_arms(_bare(one), ledger) for one in catalogue.experiments)
    given = tuple(replace(one, part=parts[one.experiment_id]) for one in laid)
    first, later = layer_shares(laid), layer_shares(given)
    moved = {
        layer_name(one) for one in laid if not _are_alike(first.get(one.experiment_id), later.get(one.experiment_id))
    }
    kept = tuple(new if layer_name(new) in moved else old for old, new in zip(laid, given, strict=True))
    return replace(catalogue, experiments=kept)


def settled(catalogue: Catalogue, ledger: Ledger | None, now: datetime) -> Ledger:
    """The ledger with the phases that begin where a catalogue, with its ranges, is put in force now (aware, UTC)."""
    since = None if ledger is None else now
    former = ledger or Ledger()
    shares = layer_shares(catalogue.experiments)
    current = {
        one.experiment_id: _phase(one, shares[one.experiment_id].spans if one.experiment_id in shares else WHOLE, since)
        for one in catalogue.experiments
    }
    names = dict.fromkeys((*former.experiments, *current))
    holdout = None if catalogue.holdout is None else _holdout_phase(catalogue.holdout, since)
    return Ledger(
        experiments={
            name: _continued(former.experiments.get(name, ()), current.get(name), now) for name in sorted(names)
        },
        holdout=_continued(former.holdout, holdout, now),
    )


def _continued(phases: tuple[Phase, ...], current: Phase | None, now: datetime) -> tuple[Phase, ...]:
    if not phases:
        return () if current is None else (current,)
    last = phases[-1]
    if current is None:
        return phases if last.until is not None else (*phases[:-1], replace(last, until=now))
    if last.until is None and not last.is_begun(now):  # nobody was in it yet
        return (*phases[:-1], replace(current, since=last.since))
    if last.until is None and current.has_rule_of(last):
        return (*phases[:-1], replace(current, since=last.since, inference=_as_planned(last, current)))
    return (*phases, current)


def _as_planned(begun: Phase, current: Phase) -> Inference:
    """One look is enough only where it was planned before anybody could have looked, and was not moved since."""
    was_planned = begun.inference is Inference.FIXED and begun.ends_at == current.ends_at
    return current.inference if was_planned else Inference.SEQUENTIAL


def _phase(experiment: Experiment, part: Spans, since: datetime | None) -> Phase:
    spans = arm_spans(experiment)
    return Phase(
        since=since,
        salt=experiment.salt,
        unit=experiment.unit,
        layer=layer_name(experiment),
        part=part,
        arms={arm.arm_id: ArmRule(spans=spans[arm.arm_id], does=_does(arm)) for arm in experiment.arms if arm.share},
        touchpoints=tuple(sorted(experiment.touchpoints)),
        control=experiment.control_arm_id,
        exposure=experiment.exposure,
        measures=(experiment.primary_measure_id, *experiment.secondary_measure_ids),
        starts_at=experiment.starts_at,
        ends_at=experiment.ends_at,
        inference=experiment.inference,
    )


def _does(arm: Arm) -> str:
    return arm.policy.value if arm.model_alias is None else f"{arm.policy.value} {arm.model_alias}"


def _holdout_phase(holdout: Holdout, since: datetime | None) -> Phase:
    """As `experiment.is_held_out` has it: the beginning of the line is held out."""
    held, rest = ((0.0, holdout.share),), ((holdout.share, 1.0),)
    return Phase(
        since=since,
        salt=holdout.salt,
        unit=holdout.unit,
        layer="",
        part=WHOLE,
        arms={HELD_OUT: ArmRule(spans=held, does="silence"), MESSAGED: ArmRule(spans=rest, does="engine")},
        control=HELD_OUT,
        exposure=Exposure.DECIDED,
    )


def _bare(experiment: Experiment) -> Experiment:
    """As it is first laid out."""
    return replace(experiment, part=None, arms=tuple(replace(arm, spans=None) for arm in experiment.arms))


def _with_arms(experiment: Experiment, ledger: Ledger) -> Experiment:
    """The arms with the ranges they hold, where those are others than the first."""
    last = _last(ledger, experiment)
    if last is None or (last.salt, last.unit) != (experiment.salt, experiment.unit):
        return experiment
    shares = {arm.arm_id: arm.share for arm in experiment.arms}
    spans = reshared({name: arm.spans for name, arm in last.arms.items()}, shares)
    if spans == laid_out(shares):
        return experiment
    return replace(experiment, arms=tuple(replace(arm, spans=spans[arm.arm_id]) for arm in experiment.arms))


def _last(ledger: Ledger, experiment: Experiment) -> Phase | None:
    phases = ledger.experiments.get(experiment.experiment_id, ())
    return phases[-1] if phases else None


def _parts(experiments: Iterable[Experiment], ledger: Ledger) -> dict[str, Spans]:
    """The part of its layer that each experiment holds.

    What an experiment holds it keeps, as far as its traffic goes. What it wants more, and what new ones want, is taken
    from what nobody ever held, then from what was given up.
    """
    layers: dict[str, list[Experiment]] = {}
    for experiment in sorted(experiments, key=lambda one: one.experiment_id):
        layers.setdefault(layer_name(experiment), []).append(experiment)
    return {name: part for layer, members in layers.items() for name, part in _parts_of(layer, members, ledger).items()}


def _parts_of(layer: str, members: Iterable[Experiment], ledger: Ledger) -> dict[str, Spans]:
    # running experiments keep their ranges before a removed one may get its own back
    ordered = sorted(members, key=lambda one: (not _is_held(ledger, one, layer), one.experiment_id))
    parts, free = dict[str, Spans](), WHOLE
    for member in ordered:
        last = _last(ledger, member)
        held = last.part if last is not None and last.layer == layer else NOTHING
        lost = without(WHOLE, free)
        parts[member.experiment_id] = claim(without(held, lost), member.traffic)
        free = without(free, parts[member.experiment_id])
    former = _formerly_held(layer, ledger)
    for member in ordered:
        wanted = member.traffic - width(parts[member.experiment_id])
        if wanted > _ROUNDING:
            fresh = without(free, former)
            more = claim(fresh, wanted)
            more = (*more, *claim(without(free, more), wanted - width(more)))
            parts[member.experiment_id] = without(WHOLE, without(WHOLE, (*parts[member.experiment_id], *more)))
            free = without(free, more)
    return parts


def _is_held(ledger: Ledger, experiment: Experiment, layer: str) -> bool:
    last = _last(ledger, experiment)
    return last is not None and last.until is None and last.layer == layer


def _formerly_held(layer: str, ledger: Ledger) -> tuple[tuple[float, float], ...]:
    phases = [phase for phases in ledger.experiments.values() for phase in phases]
    return tuple(span for phase in phases if phase.layer == layer for span in phase.part)


def _are_alike(one: LayerShare | None, other: LayerShare | None) -> bool:
    """True where parts differ by nothing but the rounding of sums."""
    if one is None or other is None:
        return one is other
    ends, others = ([end for span in share.spans for end in span] for share in (one, other))
    return len(ends) == len(others) and all(abs(a - b) < _ROUNDING for a, b in zip(ends, others, strict=True))
