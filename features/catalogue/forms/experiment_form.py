"""The form of `holdout`, `holdouts` and `experiments`."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from decisioning.catalogue.experiment import ArmPolicy, AssignedUnit, Exposure, Inference
from features.catalogue.forms.fields import FileModel, Identifier, Moment, Share, Text

_UNIT = "Customers or whole households are assigned"


class HoldoutFile(FileModel):
    """The fixed share of customers who get no marketing message."""

    share: Annotated[float, Field(gt=0, lt=1)] = Field(description="Share of customers, 0.05 is five percent")
    salt: Identifier = Field(description="Any text; changing it picks other customers")
    unit: AssignedUnit = Field(default=AssignedUnit.CUSTOMER, description=_UNIT)


class ProgrammeHoldoutFile(HoldoutFile):
    """A fixed share of customers who get no marketing of one programme."""

    goals: tuple[str, ...] = Field(default=(), description="Goals of the programme")
    departments: tuple[Text, ...] = Field(default=(), description="Departments of the programme")
    offers: tuple[str, ...] = Field(default=(), description="Offers of the programme")

    @model_validator(mode="after")
    def _names_a_programme(self) -> Self:
        if not (self.goals or self.departments or self.offers):
            raise ValueError("must name the `goals`, `departments` or `offers` that its customers are spared")
        return self


class ArmFile(FileModel):
    """A cell of an experiment."""

    share: Share = Field(description="Share of customers; all arms together make 1")
    policy: ArmPolicy = Field(
        default=ArmPolicy.ENGINE, description="engine, random, silence, rules, no_levers, or model"
    )
    model: Identifier | None = Field(default=None, description="Alias of the model that a `model` arm asks")

    @model_validator(mode="after")
    def _has_its_model(self) -> Self:
        if (self.policy is ArmPolicy.MODEL) != (self.model is not None):
            raise ValueError("must name a `model` with policy model, and only with it")
        return self


class ExperimentFile(FileModel):
    """A declared test."""

    salt: Identifier = Field(description="Any text, different from every other experiment's")
    control: str = Field(description="The arm that others are compared with")
    exposure: Exposure = Field(description="delivered, or decided where an arm is silent")
    primary: str = Field(description="The measure that decides")
    secondary: tuple[str, ...] = Field(default=(), description="Further measures")
    touchpoints: tuple[str, ...] = Field(default=(), description="Touchpoints it runs on; none means all")
    starts_at: Moment | None = Field(default=None, description="First moment of assignment")
    ends_at: Moment | None = Field(default=None, description="First moment without assignment")
    layer: Identifier | None = Field(
        default=None, description="Experiments of one layer never share a customer; none for a layer of its own"
    )
    traffic: Annotated[float, Field(gt=0, le=1)] = Field(default=1.0, description="Share of the layer who take part")
    unit: AssignedUnit = Field(default=AssignedUnit.CUSTOMER, description=_UNIT)
    inference: Inference = Field(
        default=Inference.SEQUENTIAL, description="sequential holds at every look, fixed for one look after `ends_at`"
    )
    arms: Annotated[dict[Identifier, ArmFile], Field(min_length=2)] = Field(description="Arms by name")

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        total = sum(arm.share for arm in self.arms.values())
        if abs(total - 1) > 1e-9:  # noqa: PLR2004 - rounding of decimal shares
            raise ValueError(f"must have arms whose shares sum to 1, theirs is {total:.6g}")
        silent = [name for name, arm in self.arms.items() if arm.policy is ArmPolicy.SILENCE]
        if silent and self.exposure is Exposure.DELIVERED:
            raise ValueError(f"must have exposure `decided`: nothing is ever delivered in the silent arm {silent[0]!r}")
        if self.starts_at and self.ends_at and self.starts_at >= self.ends_at:
            raise ValueError("must have `starts_at` before `ends_at`")
        if self.inference is Inference.FIXED and self.ends_at is None:
            raise ValueError("must have `ends_at` with inference fixed: the one look is planned for then")
        return self
