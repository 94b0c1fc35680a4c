"""The experiments and arms of a customer at one decision: holdouts first, then experiments, each by its own hash.

Who was exposed under another id, as a visitor before they signed in, keeps the arms of that first exposure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from datetime import datetime

from decisioning.catalogue.experiment import (
    Arm,
    ArmPolicy,
    AssignedUnit,
    Experiment,
    Holdout,
    ProgrammeHoldout,
    assign_arm,
    is_held_out,
    is_in_programme_holdout,
    layer_name,
    running,
    unit_id,
)
from decisioning.gates.experiment_layers import layer_shares
from decisioning.value_class import value_class

IN, OUT = "in", "out"
"""What is kept of a holdout: held out or not."""

HOLDOUT_TEST = "holdout"
"""Name that the universal holdout is kept under."""


def experiment_test(experiment_id: str) -> str:
    """Name that the arm of an experiment is kept under."""
    return f"experiment:{experiment_id}"


def programme_test(programme_id: str) -> str:
    """Name that the holdout of a programme is kept under."""
    return f"programme:{programme_id}"


@value_class
class Who:
    """Who is assigned.

    Attributes:
        customer_id: The customer.
        household_id: Their household; None where they have none, or none is known.
        is_known: False without a profile: then nobody knows the household, and tests of households pass them over.
        kept: What they were in at their first exposure, where that was under another id: arm by `experiment_test`, `IN`
            or `OUT` by `HOLDOUT_TEST` and `programme_test`.
    """

    customer_id: str
    household_id: str | None = None
    is_known: bool = True
    kept: Mapping[str, str] = field(default_factory=dict[str, str])

    def unit(self, unit: AssignedUnit) -> str | None:
        """What is hashed for them; None where it cannot be told."""
        if unit is AssignedUnit.HOUSEHOLD and not self.is_known:
            return None
        return unit_id(unit, self.customer_id, self.household_id)

    def kept_in(self, test: str, unit: AssignedUnit) -> str | None:
        """What they keep of a test; nothing where their household is assigned."""
        is_by_household = unit is AssignedUnit.HOUSEHOLD and (self.household_id is not None or not self.is_known)
        return None if is_by_household else self.kept.get(test)


@value_class
class Assignment:
    """Which tests a customer is in at one decision.

    Attributes:
        is_held_out: In the universal holdout, and so in no experiment: its customers would blur every comparison.
        arms: Arm by experiment.
        policies: What those arms do.
        programmes: Programmes whose holdout they are in.
        model_alias: The model that an arm decides with, by its alias; None for the one in force. Of several such arms,
            that of the experiment whose name comes first counts.
    """

    is_held_out: bool
    arms: Mapping[str, str]
    policies: frozenset[ArmPolicy]
    programmes: frozenset[str] = frozenset()
    model_alias: str | None = None

    @property
    def keeps_back(self) -> bool:
        """True where a holdout or a silent arm keeps marketing back."""
        return self.is_held_out or bool(self.programmes) or ArmPolicy.SILENCE in self.policies

    def freed(self) -> "Assignment":
        """The same with nothing kept back: whom a ghost decision is for."""
        return replace(self, is_held_out=False, programmes=frozenset(), policies=self.policies - {ArmPolicy.SILENCE})


_NOWHERE = Assignment(is_held_out=False, arms={}, policies=frozenset())


class Assigner:
    """Every declared test, with the parts of the layers worked out once."""

    __slots__ = ("_experiments", "_holdout", "_programmes", "_shares")

    def __init__(
        self,
        experiments: Iterable[Experiment] = (),
        holdout: Holdout | None = None,
        programmes: Iterable[ProgrammeHoldout] = (),
    ) -> None:
        """Take checked tests, see `experiment.check_experiments`."""
        self._experiments = tuple(experiments)
        self._holdout = holdout
        self._programmes = tuple(programmes)
        self._shares = layer_shares(self._experiments)

    def assign(self, who: Who, *, touchpoint_id: str, now: datetime) -> Assignment:
        """Holdouts and arms of a customer for a decision at a touchpoint.

        Args:
            who: The customer.
            touchpoint_id: Where; experiments on other touchpoints are passed over.
            now: When (aware); experiments that are not running are passed over.
        """
        programmes = self._programmes_of(who) if self._programmes else frozenset[str]()
        if self._is_held_out(who):
            return replace(_NOWHERE, is_held_out=True, programmes=programmes)
        arms = self._arms(who, touchpoint_id, now) if self._experiments else {}
        if not arms:
            return replace(_NOWHERE, programmes=programmes) if programmes else _NOWHERE
        return Assignment(
            is_held_out=False,
            arms={name: arm.arm_id for name, arm in arms.items()},
            policies=frozenset(arm.policy for arm in arms.values()),
            programmes=programmes,
            model_alias=next((arms[name].model_alias for name in sorted(arms) if arms[name].model_alias), None),
        )

    def _is_held_out(self, who: Who) -> bool:
        if self._holdout is None:
            return False
        kept = who.kept_in(HOLDOUT_TEST, self._holdout.unit)
        if kept is not None:
            return kept == IN
        unit = who.unit(self._holdout.unit)
        return unit is not None and is_held_out(self._holdout, unit)

    def _programmes_of(self, who: Who) -> frozenset[str]:
        return frozenset(one.programme_id for one in self._programmes if _is_in_programme(one, who))

    def _arms(self, who: Who, touchpoint_id: str, now: datetime) -> dict[str, Arm]:
        arms, kept = dict[str, Arm](), self._kept_arms(who) if who.kept else {}
        layers = {layer_name(one) for one in self._experiments if one.experiment_id in kept}
        for experiment in self._experiments:
            if (experiment.touchpoints and touchpoint_id not in experiment.touchpoints) or not running(experiment, now):
                continue
            if layer_name(experiment) in layers:  # who is in one test of a layer is in no other
                if experiment.experiment_id in kept:
                    arms[experiment.experiment_id] = kept[experiment.experiment_id]
                continue
            unit, share = who.unit(experiment.unit), self._shares.get(experiment.experiment_id)
            if unit is not None and (share is None or share.holds(unit)):
                arm_id = assign_arm(experiment, unit)
                arms[experiment.experiment_id] = next(arm for arm in experiment.arms if arm.arm_id == arm_id)
        return arms

    def _kept_arms(self, who: Who) -> dict[str, Arm]:
        """Arms of a first exposure that still hold somebody, by experiment."""
        return {
            one.experiment_id: arm
            for one in self._experiments
            for arm in one.arms
            if arm.share > 0 and arm.arm_id == who.kept_in(experiment_test(one.experiment_id), one.unit)
        }


def _is_in_programme(programme: ProgrammeHoldout, who: Who) -> bool:
    kept = who.kept_in(programme_test(programme.programme_id), programme.unit)
    if kept is not None:
        return kept == IN
    unit = who.unit(programme.unit)
    return unit is not None and is_in_programme_holdout(programme, unit)
