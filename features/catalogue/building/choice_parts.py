"""`levers`, `arbitration`, `exploration`, `limits`, `shares`, `holdouts` and `experiments` as the core's types."""

from datetime import UTC, datetime, time, timedelta

from decisioning.catalogue.experiment import Arm, Experiment, Holdout, ProgrammeHoldout
from decisioning.catalogue.exploration import Exploration, Ramp
from decisioning.catalogue.levers import ArbitrationSwitches, Lever
from decisioning.catalogue.limits import DepartmentShare, Limit, LimitMeasure
from features.catalogue.building.money import to_minor
from features.catalogue.forms.choice_form import ArbitrationFile, ExplorationFile, LeverFile
from features.catalogue.forms.experiment_form import ExperimentFile, HoldoutFile, ProgrammeHoldoutFile
from features.catalogue.forms.limits_form import LimitFile, ShareFile
from features.catalogue.forms.rule_form import to_predicate


def build_lever(name: str, file: LeverFile) -> Lever:
    """A lever; it counts to the end of the day on which it expires (UTC)."""
    scope, of = file.target
    return Lever(
        lever_id=name,
        scope=scope,
        of=of,
        factor=file.factor,
        owner=file.owner,
        reason=file.reason,
        expires_at=datetime.combine(file.expires_on, time(), UTC) + timedelta(days=1),
        when=to_predicate(file.when),
    )


def build_switches(file: ArbitrationFile) -> ArbitrationSwitches:
    """Which factors count."""
    return ArbitrationSwitches(
        contact_cost=file.contact_cost, fatigue=file.fatigue, shadow_prices=file.shadow_prices, levers=file.levers
    )


def build_exploration(file: ExplorationFile, currency: str) -> Exploration:
    """How chance is spread, with its scales in minor units."""
    return Exploration(
        epsilon=file.epsilon,
        min_probability=file.min_probability,
        kind=file.kind,
        gap_scale_minor=to_minor(file.gap_scale, currency),
        prior_deviation_minor=to_minor(file.prior_deviation, currency),
        ramp=Ramp(needed=file.ramp.needed, start_share=file.ramp.start_share) if file.ramp else Ramp(),
    )


def build_limit(name: str, file: LimitFile, currency: str) -> Limit:
    """A capacity in messages, or a budget in minor units."""
    is_budget = file.budget is not None
    return Limit(
        limit_id=name,
        scope=file.scope,
        amount=to_minor(file.budget, currency) if file.budget is not None else file.amount or 0.0,
        of=file.of,
        measure=LimitMeasure.COST if is_budget else LimitMeasure.COUNT,
        period=file.per,
        zone=file.zone,
        starts_at=file.starts_at,
        ends_at=file.ends_at,
    )


def build_share(name: str, file: ShareFile) -> DepartmentShare:
    """The least and the most that a department may have."""
    return DepartmentShare(
        share_id=name,
        department=file.department,
        min_share=file.min_share,
        max_share=file.max_share,
        period=file.per,
        zone=file.zone,
        slack=file.slack,
    )


def build_holdout(file: HoldoutFile) -> Holdout:
    """The universal holdout."""
    return Holdout(share=file.share, salt=file.salt, unit=file.unit)


def build_programme_holdout(name: str, file: ProgrammeHoldoutFile) -> ProgrammeHoldout:
    """The holdout of one programme."""
    return ProgrammeHoldout(
        programme_id=name,
        share=file.share,
        salt=file.salt,
        offers=frozenset(file.offers),
        goals=frozenset(file.goals),
        departments=frozenset(file.departments),
        unit=file.unit,
    )


def build_experiment(name: str, file: ExperimentFile) -> Experiment:
    """A declared test; its arms keep their order, since shares are laid out in it."""
    return Experiment(
        experiment_id=name,
        salt=file.salt,
        arms=tuple(Arm(arm_id=k, share=v.share, policy=v.policy, model_alias=v.model) for k, v in file.arms.items()),
        control_arm_id=file.control,
        exposure=file.exposure,
        primary_measure_id=file.primary,
        secondary_measure_ids=file.secondary,
        starts_at=file.starts_at,
        ends_at=file.ends_at,
        touchpoints=frozenset(file.touchpoints),
        layer=file.layer,
        traffic=file.traffic,
        unit=file.unit,
    )
