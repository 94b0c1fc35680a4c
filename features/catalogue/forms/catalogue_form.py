"""The form of the catalogue files: a pydantic model per entry, from which editors get their JSON Schema too.

Money is in major units here (1.50 is one euro fifty), because people write it; the core counts in minor units.
"""

from typing import Annotated, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from decisioning.catalogue.catalogue import AttributeKind, LearningMethod
from decisioning.catalogue.measure import Unit
from decisioning.catalogue.message import MessageClass
from features.catalogue.forms.care_form import CareFile
from features.catalogue.forms.channel_form import ChannelFile
from features.catalogue.forms.choice_form import ArbitrationFile, ExplorationFile, LeverFile
from features.catalogue.forms.contact_form import ClassFile, ContactPolicyFile, ConversationFile
from features.catalogue.forms.experiment_form import ExperimentFile, HoldoutFile, ProgrammeHoldoutFile
from features.catalogue.forms.fairness_form import FairnessFile
from features.catalogue.forms.fields import ColumnName, Days, FileModel, Identifier, Share, Text
from features.catalogue.forms.journey_form import GoalFile, StageFile
from features.catalogue.forms.limits_form import LimitFile, ShareFile
from features.catalogue.forms.listening_form import ListeningFile
from features.catalogue.forms.offer_form import OfferFile
from features.catalogue.forms.privacy_form import DataName, Purpose, RetentionFile
from features.catalogue.forms.quiet_form import QuietHoursFile
from features.catalogue.forms.touchpoint_form import TouchpointFile
from features.log.outcome_types import OutcomeType

_RETURNED = OutcomeType.RETURNED.value

Worth = Annotated[float, Field(ge=-1e9, le=1e9)]


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


class ReturnsFile(FileModel):
    """What takes purchases back: outcomes `returned`, and events."""

    window_days: Days = Field(description="Days after a purchase within which a return of it reverses it")
    events: tuple[str, ...] = Field(default=(), description="Events that are returns, such as return")


class MeasureFile(FileModel):
    """What a decision is worth: events and outcomes in the window after it."""

    unit: Unit = Field(description="money or rate")
    add: tuple[str, ...] = Field(default=(), description="Events whose amounts (money) or occurrence (rate) count")
    subtract: tuple[str, ...] = Field(default=(), description="Events whose amounts are taken away; money only")
    outcomes: tuple[str, ...] = Field(
        default=(), description="Outcomes whose occurrence (rate) or worth (money) counts, such as referred"
    )
    worth: dict[str, Worth] = Field(
        default_factory=dict,
        description="What an outcome or an event of `add` is worth where its report names no amount, such as"
        " unsubscribed: -8.00; money only",
    )
    cap: Annotated[float, Field(gt=0, le=1e9)] | None = Field(
        default=None, description="Largest amount that one transaction may count for; money only"
    )
    window_days: Days | None = Field(
        default=None, description="Its own window after a decision; default that of `learning` or of the decision"
    )
    parts: dict[str, Worth] = Field(
        default_factory=dict,
        description="Measures of money that it adds up, each with how often it counts, such as harm: -1; money only,"
        " and in place of `add`, `subtract` and `outcomes`",
    )
    returns: ReturnsFile | None = Field(
        default=None, description="What reverses purchases, at the moment of the purchase; money only"
    )
    version: Annotated[int, Field(ge=1)] = Field(
        default=1, description="Raise it where what is measured changes and this declaration does not"
    )

    @model_validator(mode="after")
    def _fits_unit(self) -> Self:
        is_money = self.unit is Unit.MONEY
        if is_money and not (self.add or self.outcomes or self.parts):
            raise ValueError("must name the events (`add`), `outcomes` or `parts` that a money measure adds")
        if set(self.worth) - {*self.outcomes, *(self.add if is_money else ())}:
            raise ValueError("must have in `worth` only what `outcomes` or `add` names")
        if not is_money and not (self.add or self.outcomes):
            raise ValueError("must name the `outcomes` or events (`add`) that a rate counts")
        if not is_money and (self.subtract or self.worth or self.cap is not None or self.parts or self.returns):
            raise ValueError(
                "must not have `subtract`, `worth`, `cap`, `parts` or `returns` in a rate: they are for money"
            )
        return self

    @model_validator(mode="after")
    def _is_sum_or_plain(self) -> Self:
        own = (self.add, self.subtract, self.outcomes, self.worth, self.cap, self.window_days, self.returns)
        if self.parts and any(own):
            raise ValueError("must have nothing but `parts` (and `version`) where it has parts: they say the rest")
        if 0.0 in self.parts.values():
            raise ValueError("must not name in `parts` what counts 0 times: leave it out")
        return self

    @model_validator(mode="after")
    def _counts_returns_once(self) -> Self:
        if self.unit is Unit.MONEY and _RETURNED in self.outcomes:
            raise ValueError("must not name `returned` in `outcomes` of money, where it would add: declare `returns`")
        taken = set(self.returns.events) if self.returns else set[str]()
        if taken & {*self.add, *self.subtract}:
            raise ValueError("must name events of `returns` neither in `add` nor in `subtract`: they would count twice")
        return self


class EngagementFile(FileModel):
    """How opens and clicks of machines are counted."""

    machine_weight: Share = Field(default=0.0, description="What one counts for beside a person's, from 0 to 1")
    scanned_channels: tuple[str, ...] | None = Field(
        default=None,
        description="Channels on which programs open and click, so that timing tells them; default those whose messages"
        " have a subject",
    )


class LearningFile(FileModel):
    """What the model learns."""

    measure: str = Field(description="A measure of this catalogue")
    window_days: Annotated[float, Field(gt=0, le=366)] = Field(default=7.0, description="Days after a decision")
    method: LearningMethod = Field(
        default=LearningMethod.AUTO,
        description="windows where every message was possible for everybody, steps where customers are decided about"
        " again and again, under rules; auto to let the log say which",
    )
    change_cost: Annotated[float, Field(ge=0)] = Field(
        default=0.0,
        description="What putting another model in force costs, per decision, in the measure's unit:"
        " a promotion must be better than the champion by more than that",
    )
    in_minutes: bool = Field(
        default=True,
        description="Outcomes since training move what messages are expected to do, within minutes and within bounds;"
        " false to wait for the next training",
    )
    horizon_days: Annotated[float, Field(ge=0, le=3_660)] = Field(
        default=90.0,
        description="Days that are looked ahead for what room under caps and a stage are worth; 0 for not at all",
    )
    stage_credit: bool = Field(
        default=False,
        description="Decisions also count what a message adds beyond the window, up to `horizon_days`, by the journey"
        " stage in which it leaves the customer",
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
