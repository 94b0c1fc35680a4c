"""What decisions are made with at this moment: policy, feature schema and models that fit together, swapped as one."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InvalidInputError
from decisioning.foresight.slots import Foresight
from decisioning.policy import Policy
from decisioning.record.vocabulary import Vocabulary
from decisioning.residuals import NO_RESIDUALS, ResidualsByStage
from decisioning.scoring import FeatureVector
from decisioning.value_model import MessageValues, ValueModel
from features.catalogue.building.money import to_minor
from features.computing.feature_schema import FeatureSchema
from features.computing.feature_set import feature_schema
from features.models.fit import ModelFit, fit_model
from features.models.logged_decisions import feature_names
from features.models.rollout import ROLLOUT_ALIAS, Rollout, RolloutKind
from features.online.record_reader import RecordReader
from features.online.residuals import ResidualSnapshot
from serving.in_force.content_fit import Fitting
from serving.live.book import book_lasts
from serving.live.recent_events import MOST_EVENTS, events_kept
from serving.live.supply_lookup import SupplyLookup


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmModel:
    """The model of an experiment arm, ready for the messages of each touchpoint."""

    model: ValueModel
    on_touchpoint: Mapping[str, MessageValues]


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """One consistent set; a request takes it once and keeps it.

    Attributes:
        model: The champion; None if none fits.
        model_problem: Why the newest model is not the one here; None where it is.
        on_touchpoint: The champion on the messages of each touchpoint.
        fit: How the champion fits the catalogue; None where there is none.
        is_cold_start: No model was ever in force: declared values and exploration decide, and nothing is degraded.
        reader: Decodes feature records, also those that are older than the catalogue.
        nothing_known: A feature vector in which everything is missing.
        fitting: Checks of what channels can carry, by touchpoint.
        supply: Which counters of what all customers share to read.
        book_lasts: How long contacts must be kept for every window of the catalogue.
        events_kept: How many events of a type recent behaviour keeps, by type, where rules count beyond the default.
        arm_models: Models that experiment arms decide with, by their alias in the registry; those that fit.
        arm_problems: Why an arm's model is not here, by alias.
        rollout: A challenger beside the champion; its model is the arm model of `ROLLOUT_ALIAS`. None where none is at
            work, or where it is not to be had.
        tally: What this process counts of a canary's scorings and the champion's beside it, until somebody takes it.
        residuals: What outcomes since training say on top of the champion, by touchpoint and stage; empty where nothing
            is learned between trainings.
        vocabularies: What records need not repeat, by touchpoint; empty while catalogue or schema are not archived, for
            records must then be whole.
    """

    policy: Policy
    schema: FeatureSchema
    model: ValueModel | None
    model_problem: str | None
    on_touchpoint: Mapping[str, MessageValues] = field(default_factory=dict[str, MessageValues])
    fit: ModelFit | None = None
    is_cold_start: bool = False
    reader: RecordReader
    nothing_known: FeatureVector
    fitting: Mapping[str, Fitting] = field(default_factory=dict[str, Fitting])
    supply: SupplyLookup
    book_lasts: timedelta
    events_kept: Mapping[str, int] = field(default_factory=dict[str, int])
    arm_models: Mapping[str, ArmModel] = field(default_factory=dict[str, ArmModel])
    arm_problems: Mapping[str, str] = field(default_factory=dict[str, str])
    rollout: Rollout | None = None
    tally: Counter[str] = field(default_factory=Counter[str], compare=False)
    residuals: Mapping[str, ResidualsByStage] = field(default_factory=dict[str, ResidualsByStage])
    vocabularies: Mapping[str, Vocabulary] = field(default_factory=dict[str, Vocabulary])

    @property
    def catalogue(self) -> Catalogue:
        """What marketers declared."""
        return self.policy.catalogue

    @property
    def has_canary(self) -> bool:
        """Whether a challenger decides for some customers."""
        return self.rollout is not None and self.rollout.kind is RolloutKind.CANARY

    @property
    def per_major(self) -> float:
        """Minor units per major unit of the currency."""
        return to_minor(1.0, self.policy.catalogue.currency)

    def archived(self) -> "InForce":
        """The same, once its catalogue and schema are archived: records leave out what these say."""
        names = feature_names({self.schema.fingerprint: self.schema})
        return replace(
            self, vocabularies={name: Vocabulary(self.catalogue, name, names) for name in self.catalogue.touchpoints}
        )

    def beside(self, rollout: Rollout | None) -> "InForce":
        """The same with a rollout, if its model is here as an arm model, and another one than the champion."""
        challenger = self.arm_models.get(ROLLOUT_ALIAS)
        if rollout is None or challenger is None or self.model is None:
            return self
        is_its_own = challenger.model.version == rollout.version != self.model.version
        return replace(self, rollout=rollout) if is_its_own else self

    def learning_from(self, snapshot: ResidualSnapshot | None) -> "InForce":
        """The same with residuals, if the catalogue wants them and they are about the champion here; else without."""
        learning = self.catalogue.learning
        is_wanted = learning is not None and learning.in_minutes
        if snapshot is None or self.model is None or not is_wanted or snapshot.model_version != self.model.version:
            return replace(self, residuals={}) if self.residuals else self
        stages = [stage.stage_id for stage in self.catalogue.stages]
        policy = self.policy
        return replace(
            self, residuals={name: snapshot.on(policy.candidates(name), stages) for name in self.catalogue.touchpoints}
        )

    def residuals_on(self, touchpoint_id: str, model_version: str | None) -> ResidualsByStage:
        """Residuals at a touchpoint for values of a version: they are about the champion and no other."""
        if not self.residuals or self.model is None or model_version != self.model.version:
            return NO_RESIDUALS
        return self.residuals.get(touchpoint_id, NO_RESIDUALS)

    def keeps(self, event_type: str) -> int:
        """How many events of a type recent behaviour keeps."""
        return self.events_kept.get(event_type, MOST_EVENTS)

    def measure_of(self, version: str | None) -> str | None:
        """What the model of a version predicts, the champion's or an arm's; None where no such model is in force."""
        models = (self.model, *(arm.model for arm in self.arm_models.values()))
        return next((one.measure_id for one in models if one is not None and one.version == version), None)

    def foresight_of(self, version: str | None) -> Foresight | None:
        """What lies ahead as the model of a version learned it; None where it says nothing."""
        models = (self.model, *(arm.model for arm in self.arm_models.values()))
        return next((one.foresight for one in models if one is not None and one.version == version), None)

    def scorer(self, alias: str | None) -> ArmModel | None:
        """The model that an alias names, None for the champion; None where it is not to be had."""
        if alias is not None:
            return self.arm_models.get(alias)
        if self.model is None:
            return None
        return ArmModel(model=self.model, on_touchpoint=self.on_touchpoint)


def put_in_force(
    catalogue: Catalogue,
    *,
    seed: str,
    model: ValueModel | None = None,
    model_problem: str | None = None,
    arm_models: Mapping[str, ValueModel] | None = None,
    arm_problems: Mapping[str, str] | None = None,
    known: Mapping[str, FeatureSchema] | None = None,
    is_cold_start: bool = False,
) -> InForce:
    """Compile a catalogue and check that a model fits it, down to a trial score for every touchpoint.

    A model that does not fit is left out, and `model_problem` says why: decisions then go by declared values.

    A catalogue need not wait for a model: one trained before goes on deciding with what both know, see
    `features.models.fit`. Where the catalogue learns another measure now, values keep the unit that the model learned.

    Args:
        catalogue: The catalogue.
        seed: Seed of the draws.
        model: The model to use.
        model_problem: Why there is no model, where there is none.
        arm_models: Models of experiment arms by alias.
        arm_problems: Why the model of an alias is missing.
        known: Feature schemas of earlier catalogues by fingerprint, under which records may lie in Redis.
        is_cold_start: No model was ever in force.

    Raises:
        InvalidPolicyError: The catalogue cannot be compiled.
    """
    policy, schema, known = Policy(catalogue, seed), feature_schema(catalogue), known or {}
    fit: ModelFit | None = None
    if model is not None:
        try:
            fit = fit_model(model, policy, known)
            policy = policy if fit.unit is policy.unit else Policy(catalogue, seed, unit=fit.unit)
        except InvalidInputError as error:
            model_problem = str(error)
    arms, problems = _fitting_arms(policy, known, arm_models or {})
    return InForce(
        policy=policy,
        schema=schema,
        model=fit.model if fit else None,
        model_problem=model_problem,
        on_touchpoint=fit.on_touchpoint if fit else {},
        fit=fit,
        is_cold_start=is_cold_start and model is None,
        reader=RecordReader(schema, known.values()),
        nothing_known=_nothing_known(schema),
        fitting={name: Fitting(policy.candidates(name)) for name in catalogue.touchpoints},
        supply=SupplyLookup(catalogue),
        book_lasts=book_lasts(catalogue),
        events_kept=events_kept(catalogue),
        arm_models=arms,
        arm_problems={**(arm_problems or {}), **problems},
    )


def arm_aliases(catalogue: Catalogue) -> frozenset[str]:
    """Aliases of the models that experiment arms decide with."""
    return frozenset(
        arm.model_alias for test in catalogue.experiments for arm in test.arms if arm.model_alias is not None
    )


def _fitting_arms(
    policy: Policy, known: Mapping[str, FeatureSchema], models: Mapping[str, ValueModel]
) -> tuple[dict[str, ArmModel], dict[str, str]]:
    """Models of arms that can score every touchpoint in the policy's unit, and what is wrong with the others."""
    fitting: dict[str, ArmModel] = {}
    problems: dict[str, str] = {}
    for alias, model in models.items():
        try:
            fit = fit_model(model, policy, known)
        except InvalidInputError as error:
            problems[alias] = str(error)
            continue
        if fit.unit is policy.unit:
            fitting[alias] = ArmModel(model=fit.model, on_touchpoint=fit.on_touchpoint)
        else:
            problems[alias] = (
                f"model version {model.version} must predict {policy.unit}, as the champion does, got {fit.unit}"
                f" ({model.measure_id}); train one for the arm again"
            )
    return fitting, problems


def _nothing_known(schema: FeatureSchema) -> FeatureVector:
    return FeatureVector(
        names=schema.names,
        values=np.full(len(schema.names), np.nan),
        ages_seconds={group.name: None for group in schema.groups},
        schema=schema.fingerprint,
    )
