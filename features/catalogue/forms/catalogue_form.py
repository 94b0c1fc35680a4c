"""The form of the catalogue files: a pydantic model per entry, from which editors get their JSON Schema too.

Money is in major units here (1.50 is one euro fifty), because people write it; the core counts in minor units.
"""

from typing import Annotated, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from decisioning.catalogue.catalogue import AttributeKind, LearningMethod
from decisioning.catalogue.message import MessageClass
from features.catalogue.forms.care_form import CareFile
from features.catalogue.forms.channel_form import ChannelFile
from features.catalogue.forms.choice_form import ArbitrationFile, ExplorationFile, LeverFile
from features.catalogue.forms.contact_form import ClassFile, ContactPolicyFile, ConversationFile
from features.catalogue.forms.engagement_form import EngagementFile
from features.catalogue.forms.experiment_form import ExperimentFile, HoldoutFile, ProgrammeHoldoutFile
from features.catalogue.forms.fairness_form import FairnessFile
from features.catalogue.forms.fields import ColumnName, FileModel, Identifier, Text
from features.catalogue.forms.journey_form import GoalFile, StageFile
from features.catalogue.forms.limits_form import LimitFile, ShareFile
from features.catalogue.forms.listening_form import ListeningFile
from features.catalogue.forms.measure_form import MeasureFile
from features.catalogue.forms.offer_form import OfferFile
from features.catalogue.forms.privacy_form import DataName, Purpose, RetentionFile
from features.catalogue.forms.quiet_form import QuietHoursFile
from features.catalogue.forms.touchpoint_form import TouchpointFile


class AttributeFile(FileModel):
    """An attribute of customers or offers that models and rules may use."""

    kind: AttributeKind = Field(description="number, category or flag")
    values: tuple[Text, ...] = Field(default=(), description="Words of a category, in order")
    tells_value: bool = Field(
        default=False, description="Says what a customer is worth: no message but marketing may ask for it"
    )

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        if self.kind is AttributeKind.CATEGORY and not self.values:
            raise ValueError("must list the `values` of a category")
        if self.kind is not AttributeKind.CATEGORY and self.values:
            raise ValueError(f"must not list `values` for a {self.kind}")
        if len(set(self.values)) != len(self.values):
            raise ValueError("must list each of `values` once")
        return self


class LearningFile(FileModel):
    """What the model learns."""

    measure: str = Field(description="A measure of this catalogue")
    window_days: Annotated[float, Field(gt=0, le=366)] = Field(default=7.0, description="Days after a decision")
    method: LearningMethod = Field(
        default=LearningMethod.WINDOWS,
        description="windows, or steps where customers are decided about again and again, under rules",
    )
    change_cost: Annotated[float, Field(ge=0)] = Field(
        default=0.0,
        description="What putting another model in force costs, per decision, in the measure's unit:"
        " a promotion must be better than the champion by more than that",
    )


class CatalogueFile(FileModel):
    """A Nextbest catalogue. Its sections may be spread over several files of one folder."""

    model_config = ConfigDict(title="Nextbest catalogue")

    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = Field(description="ISO 4217 code")
    offer_kinds: Annotated[tuple[ColumnName, ...], Field(min_length=1)] = Field(description="Kinds of offer, in order")
    event_types: tuple[ColumnName, ...] = Field(default=(), description="Event types beyond the built-in ones")
    customer_attributes: dict[ColumnName, AttributeFile] = Field(default_factory=dict)
    offer_attributes: dict[ColumnName, AttributeFile] = Field(default_factory=dict)
    measures: dict[Identifier, MeasureFile] = Field(default_factory=dict)
    learning: LearningFile | None = None
    exploration: ExplorationFile = Field(default_factory=ExplorationFile)
    arbitration: ArbitrationFile = Field(default_factory=ArbitrationFile)
    levers: dict[Identifier, LeverFile] = Field(default_factory=dict)
    holdout: HoldoutFile | None = None
    holdouts: dict[Identifier, ProgrammeHoldoutFile] = Field(default_factory=dict)
    goals: Annotated[dict[Identifier, GoalFile], Field(min_length=1)]
    stages: tuple[StageFile, ...] = Field(default=(), description="In journey order")
    touchpoints: Annotated[dict[Identifier, TouchpointFile], Field(min_length=1)]
    channels: Annotated[dict[ColumnName, ChannelFile], Field(min_length=1)]
    offers: Annotated[dict[Identifier, OfferFile], Field(min_length=1)]
    experiments: dict[Identifier, ExperimentFile] = Field(default_factory=dict)
    classes: dict[MessageClass, ClassFile] = Field(default_factory=dict, description="What each class may bypass")
    contact_policy: ContactPolicyFile = Field(default_factory=ContactPolicyFile)
    conversation: ConversationFile | None = Field(default=None, description="One conversation over all channels")
    quiet_hours: QuietHoursFile = Field(default_factory=QuietHoursFile)
    care: CareFile = Field(default_factory=CareFile)
    listening: ListeningFile = Field(default_factory=ListeningFile)
    engagement: EngagementFile = Field(default_factory=EngagementFile)
    fairness: FairnessFile = Field(default_factory=FairnessFile)
    limits: dict[Identifier, LimitFile] = Field(default_factory=dict, description="Capacities and budgets")
    shares: dict[Identifier, ShareFile] = Field(default_factory=dict, description="Shares of departments")
    retention: RetentionFile = Field(default_factory=RetentionFile)
    data_purposes: dict[DataName, Purpose] = Field(
        default_factory=dict,
        description="What a table, column, attribute or event property is for, such as `customers.attributes.age`",
    )
