"""Who is in which arm: salted, stable, independent of the order of requests."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from decisioning.draw import unit_hash
from decisioning.errors import InvalidPolicyError

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


class Unit(StrEnum):
    """Who is assigned as one."""

    CUSTOMER = "customer"
    HOUSEHOLD = "household"


class Exposure(StrEnum):
    """From which moment a customer counts in a readout."""

    DELIVERED = "delivered"
    DECIDED = "decided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A cell of an experiment; the shares of an experiment's arms sum to 1. `model_alias` is for `model` arms only."""

    arm_id: str
    share: float
    policy: ArmPolicy = ArmPolicy.ENGINE
    model_alias: str | None = None


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
    unit: Unit = Unit.CUSTOMER


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """The universal holdout: a fixed share of customers who get no marketing message, so that its worth is known."""

    share: float
    salt: str
    unit: Unit = Unit.CUSTOMER


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
    unit: Unit = Unit.CUSTOMER


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Which tests a customer is in at one decision.

    Attributes:
        is_held_out: In the universal holdout, and so in no experiment: its customers would blur every comparison.
        arms: Arm by experiment.
        policies: What those arms do.
    """

    is_held_out: bool
    arms: Mapping[str, str]
    policies: frozenset[ArmPolicy]


def assign(
    experiments: Iterable[Experiment], holdout: Holdout | None, *, customer_id: str, touchpoint_id: str, now: datetime
) -> Assignment:
    """Holdout and arms of a customer for a decision at a touchpoint.

    Args:
        experiments: All declared ones; those not running or not on this touchpoint are passed over.
        holdout: The universal holdout, if there is one.
        customer_id: Who.
        touchpoint_id: Where.
        now: When (aware).
    """
    if is_held_out(holdout, customer_id):
        return Assignment(is_held_out=True, arms={}, policies=frozenset())
    arms: dict[str, str] = {}
    policies: set[ArmPolicy] = set()
    for experiment in experiments:
        if (not experiment.touchpoints or touchpoint_id in experiment.touchpoints) and running(experiment, now):
            arm_id = arms[experiment.experiment_id] = assign_arm(experiment, customer_id)
            policies.update(arm.policy for arm in experiment.arms if arm.arm_id == arm_id)
    return Assignment(is_held_out=False, arms=arms, policies=frozenset(policies))


def running(experiment: Experiment, now: datetime) -> bool:
    """True from the experiment's start (inclusive) to its end (exclusive).

    Args:
        experiment: The declared test.
        now: Moment of the decision (aware).
    """
    has_started = experiment.starts_at is None or experiment.starts_at <= now
    return has_started and (experiment.ends_at is None or now < experiment.ends_at)


def assign_arm(experiment: Experiment, customer_id: str) -> str:
    """The arm of a customer: fixed by salt and customer alone.

    Arms take their shares of [0, 1) in the order of their names, so the order of declaration does not matter.

    Example:
        >>> arms = (Arm(arm_id="off", share=0.5, policy=ArmPolicy.SILENCE), Arm(arm_id="on", share=0.5))
        >>> test = Experiment(experiment_id="mail", salt="mail-1", arms=arms, control_arm_id="off",
        ...                   exposure=Exposure.DECIDED, primary_measure_id="net_revenue")
        >>> assign_arm(test, "C-1") == assign_arm(test, "C-1")
        True
    """
    position = unit_hash("arm", experiment.salt, customer_id)
    arms = sorted((arm for arm in experiment.arms if arm.share > 0), key=lambda arm: arm.arm_id)
    boundary = 0.0
    for arm in arms[:-1]:
        boundary += arm.share
        if position < boundary:
            return arm.arm_id
    return arms[-1].arm_id  # shares may sum to a hair below 1: the last arm takes the rest


def is_held_out(holdout: Holdout | None, customer_id: str) -> bool:
    """True for customers in the universal holdout; fixed by salt and customer alone."""
    return holdout is not None and unit_hash("holdout", holdout.salt, customer_id) < holdout.share


def check_experiments(experiments: Iterable[Experiment], holdout: Holdout | None) -> None:
    """Refuse experiments and a holdout whose numbers could mean nothing.

    Raises:
        InvalidPolicyError: A holdout share outside [0, 1]; fewer than two arms, doubled names, shares that are no
            shares, an unknown control, an end before the start; or two experiments with one salt, which would put
            the same customers into the same cells.
    """
    if holdout is not None and not 0 <= holdout.share <= 1:
        raise InvalidPolicyError(f"share of the holdout must be in [0, 1], got {holdout.share}")
    names_by_salt: dict[str, str] = {}
    for experiment in experiments:
        _check_arms(experiment)
        _check_period(experiment)
        former = names_by_salt.setdefault(experiment.salt, experiment.experiment_id)
        if former != experiment.experiment_id:
            raise InvalidPolicyError(
                f"salt of experiment {experiment.experiment_id} must be its own, got that of {former}; name another"
            )


def _check_arms(experiment: Experiment) -> None:
    name, arm_ids = f"experiment {experiment.experiment_id}", [arm.arm_id for arm in experiment.arms]
    if len(arm_ids) < _FEWEST_ARMS or len(set(arm_ids)) != len(arm_ids):
        raise InvalidPolicyError(f"arms of {name} must be two or more with different names, got {arm_ids}")
    shares = [arm.share for arm in experiment.arms]
    if not all(0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > _SHARE_TOLERANCE:
        raise InvalidPolicyError(f"shares of {name} must be in [0, 1] and sum to 1, got {shares}")
    if experiment.control_arm_id not in arm_ids:
        raise InvalidPolicyError(f"control of {name} must be one of {arm_ids}, got {experiment.control_arm_id!r}")


def _check_period(experiment: Experiment) -> None:
    name, starts_at, ends_at = f"experiment {experiment.experiment_id}", experiment.starts_at, experiment.ends_at
    for moment in (starts_at, ends_at):
        if moment is not None and moment.utcoffset() is None:
            raise InvalidPolicyError(f"start and end of {name} must be times with an offset, got {moment}")
    if starts_at is not None and ends_at is not None and ends_at <= starts_at:
        raise InvalidPolicyError(f"end of {name} must be after its start {starts_at}, got {ends_at}")
