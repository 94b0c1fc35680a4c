"""Assignment to arms: salted, stable, independent of the order of requests."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from decisioning.draw import unit_hash
from decisioning.errors import InvalidPolicyError
from decisioning.ranges import WHOLE, Spans, holds, laid_out, without

_FEWEST_ARMS = 2
_SHARE_TOLERANCE = 1e-9


class ArmPolicy(StrEnum):
    """What an arm does with its customers. Every one of them passes every gate.

    `engine` decides as without an experiment. `random` draws evenly over the permitted messages and silence, each
    with probability 1 / (k + 1): a control that needs no model, is never biased by one, and leaves a log in which
    every permitted choice has support. `silence` sends no marketing message. Where a customer is in several
    experiments, a silence arm keeps marketing silent whatever the others say, and a random arm draws among the rest.
    `rules` ranks by declared values and asks no model, `no_levers` decides with every lever at 1, and `model` decides
    with another model, named by its alias in the registry.
    """

    ENGINE = "engine"
    RANDOM = "random"
    SILENCE = "silence"
    RULES = "rules"
    NO_LEVERS = "no_levers"
    MODEL = "model"


class AssignedUnit(StrEnum):
    """The unit of assignment."""

    CUSTOMER = "customer"
    HOUSEHOLD = "household"


class Exposure(StrEnum):
    """From which moment a customer counts in a readout."""

    DELIVERED = "delivered"
    DECIDED = "decided"


class Inference(StrEnum):
    """When intervals and verdicts of a readout hold.

    `sequential` holds at every look, whenever and however often people look. `fixed` holds for one look after the
    experiment's end, which is planned beforehand; it is narrower by a third.
    """

    SEQUENTIAL = "sequential"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A cell of an experiment; the shares of an experiment's arms sum to 1.

    Attributes:
        model_alias: For `model` arms only.
        spans: Whom it holds; None where all arms still hold what they were first laid out with.
    """

    arm_id: str
    share: float
    policy: ArmPolicy = ArmPolicy.ENGINE
    model_alias: str | None = None
    spans: Spans | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A declared test.

    Attributes:
        experiment_id: Name.
        salt: Text that makes this assignment independent of every other.
        arms: At least two; `control_arm_id` names one of them.
        control_arm_id: The arm that others are compared with.
        exposure: `decided` where an arm is silent (nothing is delivered there), else `delivered`.
        primary_measure_id: The measure that decides.
        secondary_measure_ids: Further measures.
        starts_at: First moment of assignment (aware, UTC); None for always.
        ends_at: First moment without assignment; None for open end.
        touchpoints: Touchpoints it runs on; empty means all.
        layer: Experiments of one layer never share a customer: each takes `traffic` of it, in the order of names.
            None for a layer of its own.
        traffic: Share of the layer's customers who take part, in (0, 1].
        unit: Customers or households are assigned; who has no household is one.
        part: The part of its layer that it holds; None where the whole layer still is as it was first laid out.
        inference: `fixed` only with an `ends_at`, before which nothing is concluded.
    """

    experiment_id: str
    salt: str
    arms: tuple[Arm, ...]
    control_arm_id: str
    exposure: Exposure
    primary_measure_id: str
    secondary_measure_ids: tuple[str, ...] = ()
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    touchpoints: frozenset[str] = frozenset()
    layer: str | None = None
    traffic: float = 1.0
    unit: AssignedUnit = AssignedUnit.CUSTOMER
    part: Spans | None = None
    inference: Inference = Inference.SEQUENTIAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """The universal holdout: a fixed share of customers who get no marketing message, so that its effect is known."""

    share: float
    salt: str
    unit: AssignedUnit = AssignedUnit.CUSTOMER


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgrammeHoldout:
    """A fixed share of customers who get no marketing of one programme; empty sets name nothing.

    A message belongs to the programme when its offer, its goal or its goal's department is named.
    """

    programme_id: str
    share: float
    salt: str
    offers: frozenset[str] = frozenset()
    goals: frozenset[str] = frozenset()
    departments: frozenset[str] = frozenset()
    unit: AssignedUnit = AssignedUnit.CUSTOMER


def running(experiment: Experiment, now: datetime) -> bool:
    """True from the experiment's start (inclusive) to its end (exclusive).

    Args:
        experiment: The declared test.
        now: Moment of the decision (aware).
    """
    has_started = experiment.starts_at is None or experiment.starts_at <= now
    return has_started and (experiment.ends_at is None or now < experiment.ends_at)


def unit_id(unit: AssignedUnit, customer_id: str, household_id: str | None) -> str:
    r"""The text that is hashed for a unit: households never share a number with a customer of the same name.

    Example:
        >>> unit_id(AssignedUnit.HOUSEHOLD, "C-1", "H-7"), unit_id(AssignedUnit.HOUSEHOLD, "C-1", None)
        ('household\x00H-7', 'C-1')
    """
    is_household = unit is AssignedUnit.HOUSEHOLD and household_id is not None
    return f"household\x00{household_id}" if is_household else customer_id


def assign_arm(experiment: Experiment, unit: str) -> str:
    """The arm of a customer or household, see `unit_id`: fixed by salt and unit alone.

    Arms hold ranges of [0, 1), at first in the order of their names, so the order of declaration does not matter.

    Example:
        >>> arms = (Arm(arm_id="off", share=0.5, policy=ArmPolicy.SILENCE), Arm(arm_id="on", share=0.5))
        >>> test = Experiment(experiment_id="mail", salt="mail-1", arms=arms, control_arm_id="off",
        ...                   exposure=Exposure.DECIDED, primary_measure_id="net_revenue")
        >>> assign_arm(test, "C-1") == assign_arm(test, "C-1")
        True
    """
    position = unit_hash("arm", experiment.salt, unit)
    return next(arm_id for arm_id, spans in arm_spans(experiment).items() if holds(spans, position))


def arm_spans(experiment: Experiment) -> dict[str, Spans]:
    """Whom each arm holds, the whole line in all."""
    if any(arm.spans is None for arm in experiment.arms):
        return laid_out({arm.arm_id: arm.share for arm in experiment.arms})
    return {arm.arm_id: arm.spans or () for arm in experiment.arms}


def is_held_out(holdout: Holdout | None, unit: str) -> bool:
    """True for customers or households (see `unit_id`) in the universal holdout; fixed by salt and unit alone."""
    return holdout is not None and unit_hash("holdout", holdout.salt, unit) < holdout.share


def is_in_programme_holdout(holdout: ProgrammeHoldout, unit: str) -> bool:
    """True for customers or households (see `unit_id`) in a programme's holdout, independent of every other test."""
    return unit_hash("programme", holdout.salt, unit) < holdout.share


def layer_name(experiment: Experiment) -> str:
    """The layer that an experiment is in; one that names none has a layer of its own."""
    return f"of\x00{experiment.salt}" if experiment.layer is None else experiment.layer


def check_experiments(
    experiments: Sequence[Experiment], holdout: Holdout | None, programmes: Iterable[ProgrammeHoldout] = ()
) -> None:
    """Refuse experiments and holdouts whose numbers could mean nothing.

    Raises:
        InvalidPolicyError: A holdout share outside [0, 1]; a programme that names nothing; fewer than two arms, doubled
            names, shares that are no shares, an unknown control, a model arm without a model, an end before the start;
            a layer whose traffic is more than all or whose units differ; or two experiments (or two programmes) with
            one salt, which would put the same customers into the same cells.
    """
    if holdout is not None and not 0 <= holdout.share <= 1:
        raise InvalidPolicyError(f"share of the holdout must be in [0, 1], got {holdout.share}")
    for experiment in experiments:
        _check_arms(experiment)
        _check_models(experiment)
        _check_period(experiment)
    _check_salts("experiment", [(one.experiment_id, one.salt) for one in experiments])
    _check_layers(experiments)
    found = tuple(programmes)
    for programme in found:
        _check_programme(programme)
    _check_salts("programme holdout", [(one.programme_id, one.salt) for one in found])


def _check_salts(kind: str, salts: Iterable[tuple[str, str]]) -> None:
    names_by_salt: dict[str, str] = {}
    for name, salt in salts:
        former = names_by_salt.setdefault(salt, name)
        if former != name:
            raise InvalidPolicyError(f"salt of {kind} {name} must be its own, got that of {former}; name another")


def _check_programme(programme: ProgrammeHoldout) -> None:
    name = f"programme holdout {programme.programme_id}"
    if not 0 <= programme.share <= 1:
        raise InvalidPolicyError(f"share of {name} must be in [0, 1], got {programme.share}")
    if not programme.offers | programme.goals | programme.departments:
        raise InvalidPolicyError(f"{name} must name an offer, goal or department, got none; name what it holds back")


def _check_layers(experiments: Iterable[Experiment]) -> None:
    traffic: dict[str, float] = defaultdict(float)
    units: dict[str, AssignedUnit] = {}
    for experiment in experiments:
        name, layer = experiment.experiment_id, layer_name(experiment)
        if not 0 < experiment.traffic <= 1:
            raise InvalidPolicyError(f"traffic of experiment {name} must be in (0, 1], got {experiment.traffic}")
        traffic[layer] += experiment.traffic
        if traffic[layer] > 1 + _SHARE_TOLERANCE:
            raise InvalidPolicyError(
                f"traffic of layer {layer} must sum to at most 1, got {traffic[layer]:g} with {name}"
            )
        if units.setdefault(layer, experiment.unit) is not experiment.unit:
            raise InvalidPolicyError(
                f"unit of experiment {name} must be {units[layer]} as in the rest of layer {layer}, "
                f"got {experiment.unit}; a customer could be in two of its experiments"
            )


def _check_models(experiment: Experiment) -> None:
    for arm in experiment.arms:
        if (arm.policy is ArmPolicy.MODEL) is not bool(arm.model_alias):
            rule = "be named" if arm.policy is ArmPolicy.MODEL else "be named for model arms only"
            raise InvalidPolicyError(
                f"model of arm {arm.arm_id} of experiment {experiment.experiment_id} must {rule}, "
                f"got {arm.model_alias!r} for a {arm.policy} arm"
            )


def _check_arms(experiment: Experiment) -> None:
    name, arm_ids = f"experiment {experiment.experiment_id}", [arm.arm_id for arm in experiment.arms]
    if len(arm_ids) < _FEWEST_ARMS or len(set(arm_ids)) != len(arm_ids):
        raise InvalidPolicyError(f"arms of {name} must be two or more with different names, got {arm_ids}")
    shares = [arm.share for arm in experiment.arms]
    if not all(0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > _SHARE_TOLERANCE:
        raise InvalidPolicyError(f"shares of {name} must be in [0, 1] and sum to 1, got {shares}")
    if without(WHOLE, (span for spans in arm_spans(experiment).values() for span in spans)):
        raise InvalidPolicyError(f"ranges of {name} must hold every customer, got a gap; import the catalogue again")
    if experiment.control_arm_id not in arm_ids:
        raise InvalidPolicyError(f"control of {name} must be one of {arm_ids}, got {experiment.control_arm_id!r}")


def _check_period(experiment: Experiment) -> None:
    name, starts_at, ends_at = f"experiment {experiment.experiment_id}", experiment.starts_at, experiment.ends_at
    if experiment.inference is Inference.FIXED and ends_at is None:
        raise InvalidPolicyError(f"end of {name} must be planned where inference is fixed, got none; declare its end")
    for moment in (starts_at, ends_at):
        if moment is not None and moment.utcoffset() is None:
            raise InvalidPolicyError(f"start and end of {name} must be times with an offset, got {moment}")
    if starts_at is not None and ends_at is not None and ends_at <= starts_at:
        raise InvalidPolicyError(f"end of {name} must be after its start {starts_at}, got {ends_at}")
