"""`levers`, `exploration`, `limits` and `experiments` as the core's types."""

from datetime import UTC, datetime, time, timedelta

from decisioning.catalogue.experiment import Arm, Experiment
from decisioning.catalogue.exploration import Exploration, Ramp
from decisioning.catalogue.levers import Lever
from decisioning.catalogue.limits import Limit, LimitMeasure
from features.catalogue.building.core_part import core_part
from features.catalogue.building.money import to_minor
from features.catalogue.forms.choice_form import ExplorationFile, LeverFile
from features.catalogue.forms.experiment_form import ExperimentFile
from features.catalogue.forms.limits_form import LimitFile


def build_lever(name: str, file: LeverFile) -> Lever:
    """A lever; it counts to the end of the day on which it expires (UTC)."""
    scope, of = file.target
    expires_at = datetime.combine(file.expires_on, time(), UTC) + timedelta(days=1)
    return core_part(Lever, file, lever_id=name, scope=scope, of=of, expires_at=expires_at)


def build_exploration(file: ExplorationFile, currency: str) -> Exploration:
    """How chance is spread, with its scales in minor units."""
    return core_part(
        Exploration,
        file,
        gap_scale_minor=to_minor(file.gap_scale, currency),
        prior_deviation_minor=to_minor(file.prior_deviation, currency),
        ramp=core_part(Ramp, file.ramp) if file.ramp else Ramp(),
    )


def build_limit(name: str, file: LimitFile, currency: str) -> Limit:
    """A capacity in messages, or a budget in minor units."""
    amount, measure = file.amount or 0.0, LimitMeasure.COUNT
    if file.budget is not None:
        amount, measure = to_minor(file.budget, currency), LimitMeasure.COST
    return core_part(Limit, file, limit_id=name, amount=amount, measure=measure, period=file.per)


def build_experiment(name: str, file: ExperimentFile) -> Experiment:
    """A declared test; its arms keep their order, since shares are laid out in it."""
    return core_part(
        Experiment,
        file,
        experiment_id=name,
        arms=tuple(core_part(Arm, arm, arm_id=k, model_alias=arm.model) for k, arm in file.arms.items()),
        control_arm_id=file.control,
        primary_measure_id=file.primary,
        secondary_measure_ids=file.secondary,
    )
