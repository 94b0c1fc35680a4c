"""The form of the catalogue files: a pydantic model per entry, from which editors get their JSON Schema too.

Money is in major units here (1.50 is one euro fifty), because people write it; the core counts in minor units.
"""

from datetime import UTC, date, datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator

from decisioning.catalogue import AttributeKind
from decisioning.experiment import ArmPolicy, Exposure
from decisioning.measure import Unit
from decisioning.message import MessageClass
from features.catalogue.rules import RuleFile

_IDENTIFIER = r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$"
_COLUMN = r"^[a-z][a-z0-9_]*$"

Identifier = Annotated[str, StringConstraints(pattern=_IDENTIFIER, max_length=100)]
ColumnName = Annotated[str, StringConstraints(pattern=_COLUMN, max_length=60)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(gt=0, le=1000)]
Money = Annotated[float, Field(ge=0, le=1e9)]


def parse_moment(value: object) -> datetime:
    """A date (its first moment in UTC) or a time with its zone, as an aware UTC time.

    Raises:
        ValueError: It is neither.
    """
    rule = "must be a date such as 2026-01-31 or a time with its zone such as 2026-01-31T09:00:00+01:00"
    if not isinstance(value, str):
        raise ValueError(rule)  # noqa: TRY004 - pydantic collects ValueError
    try:
        if len(value) == len("2026-01-31"):
            day = date.fromisoformat(value)
            return datetime(day.year, day.month, day.day, tzinfo=UTC)
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else _refuse(rule)
    except (ValueError, OverflowError) as error:
        raise ValueError(rule) from error


def _refuse(rule: str) -> datetime:
    raise ValueError(rule)


Moment = Annotated[
    datetime,
    BeforeValidator(parse_moment),
    WithJsonSchema(
        {"type": "string", "anyOf": [{"format": "date"}, {"format": "date-time"}], "examples": ["2026-01-31"]}
    ),
]


class _File(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_by_name=False, validate_by_alias=True
    )


class AttributeFile(_File):
    """An attribute of customers or offers that models and rules may use."""

    kind: AttributeKind = Field(description="number, category or flag")
    values: tuple[Text, ...] = Field(default=(), description="Words of a category, in order")

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        if self.kind is AttributeKind.CATEGORY and not self.values:
            raise ValueError("must list the `values` of a category")
        if self.kind is not AttributeKind.CATEGORY and self.values:
            raise ValueError(f"must not list `values` for a {self.kind}")
        if len(set(self.values)) != len(self.values):
            raise ValueError("must list each of `values` once")
        return self


class MeasureFile(_File):
    """What a decision is worth: events and outcomes in the window after it."""

    unit: Unit = Field(description="money or rate")
    add: tuple[str, ...] = Field(default=(), description="Events whose amounts (money) or occurrence (rate) count")
    subtract: tuple[str, ...] = Field(default=(), description="Events whose amounts are taken away; money only")
    outcomes: tuple[str, ...] = Field(default=(), description="Outcomes whose occurrence counts; rate only")
    cap: Annotated[float, Field(gt=0, le=1e9)] | None = Field(
        default=None, description="Largest amount that one transaction may count for; money only"
    )

    @model_validator(mode="after")
    def _fits_unit(self) -> Self:
        if self.unit is Unit.MONEY and not self.add:
            raise ValueError("must name the events that a money measure adds in `add`")
        if self.unit is Unit.MONEY and self.outcomes:
            raise ValueError("must not name `outcomes` in a money measure: they count occurrences")
        if self.unit is Unit.RATE and not (self.add or self.outcomes):
            raise ValueError("must name the `outcomes` or events (`add`) that a rate counts")
        if self.unit is Unit.RATE and (self.subtract or self.cap is not None):
            raise ValueError("must not have `subtract` or `cap` in a rate: they are for money")
        return self


class LearningFile(_File):
    """What the model learns."""

    measure: str = Field(description="A measure of this catalogue")
    window_days: Annotated[float, Field(gt=0, le=366)] = Field(default=7.0, description="Days after a decision")


class ExplorationFile(_File):
    """How much chance a decision leaves."""

    epsilon: Annotated[float, Field(ge=0, le=1)] = Field(default=0.0, description="Share of decisions drawn evenly")
    min_probability: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Smallest probability of a permitted message"
    )


class HoldoutFile(_File):
    """The fixed share of customers who get no marketing message."""

    share: Annotated[float, Field(gt=0, lt=1)] = Field(description="Share of customers, 0.05 is five percent")
    salt: Identifier = Field(description="Any text; changing it picks other customers")


class GoalFile(_File):
    """What a department wants."""

    department: Text = Field(description="Who owns it")
    weight: Weight = Field(default=1.0, description="Its visible share in arbitration; 1 changes nothing")


class StageFile(_File):
    """A stage of the journey; the first whose rule fits a customer wins."""

    stage: Identifier = Field(description="Name")
    goal: str = Field(description="The goal of customers in this stage")
    entry: RuleFile | None = Field(default=None, description="Rule that puts a customer here; none fits everybody")


class TouchpointFile(_File):
    """A place or moment that asks for a decision."""

    channels: Annotated[tuple[str, ...], Field(min_length=1)] = Field(description="Channels a message may travel on")
    context: dict[ColumnName, Literal["number", "text", "flag"]] = Field(
        default_factory=dict, description="Fields that the caller sends along"
    )
    sticky_hours: Annotated[float, Field(gt=0, le=8784)] = Field(
        default=24.0, description="How long the same request key gets the same decision"
    )


class ChannelFile(_File):
    """How a message travels."""

    cost: Money = Field(default=0.0, description="What one contact costs")
    online: bool = Field(default=True, description="False for direct mail, call centre, desk")
    max_lengths: dict[ColumnName, Annotated[int, Field(gt=0)]] = Field(
        default_factory=dict, description="Longest content per field, in characters"
    )
    required_fields: tuple[ColumnName, ...] = Field(default=(), description="Content fields each creative must have")


class CreativeFile(_File):
    """The wording of an offer on one channel."""

    creative: Identifier = Field(description="Name, unique per offer and channel")
    channel: str = Field(description="The channel it is written for")
    content: Annotated[dict[ColumnName, Text], Field(min_length=1)] = Field(
        description="Liquid templates by field; they may use customer, context and offer"
    )
    eligibility: RuleFile | None = Field(default=None, description="Rule a customer must meet for this wording")


class OfferFile(_File):
    """A proposition."""

    goal: str = Field(description="The goal it serves")
    kind: str = Field(description="One of offer_kinds")
    message_class: MessageClass = Field(
        default=MessageClass.MARKETING, alias="class", description="What the message is for"
    )
    purpose: Identifier | None = Field(default=None, description="Purpose that needs the customer's consent")
    stages: tuple[str, ...] = Field(default=(), description="Stages it fits; none means all")
    valid_from: Moment | None = Field(default=None, description="First moment it may be sent")
    valid_until: Moment | None = Field(default=None, description="First moment it may no longer be sent")
    value: Money = Field(default=0.0, description="Declared worth, used where no model can say")
    weight: Weight = Field(default=1.0, description="Visible business weight; 1 changes nothing")
    attributes: dict[ColumnName, float | bool | str] = Field(
        default_factory=dict, description="Declared offer_attributes that describe it to the model"
    )
    eligibility: RuleFile | None = Field(default=None, description="Rule a customer must meet")
    creatives: Annotated[tuple[CreativeFile, ...], Field(min_length=1)] = Field(description="Wordings per channel")

    @model_validator(mode="after")
    def _fits_class(self) -> Self:
        needs_consent = self.message_class not in {MessageClass.MANDATORY, MessageClass.TRANSACTIONAL}
        if needs_consent and "purpose" in self.model_fields_set and self.purpose is None:
            raise ValueError(f"must have a `purpose`: a {self.message_class} message needs consent for it")
        if self.valid_from and self.valid_until and self.valid_from >= self.valid_until:
            raise ValueError("must have `valid_from` before `valid_until`")
        return self


class ArmFile(_File):
    """A cell of an experiment."""

    share: Share = Field(description="Share of customers; all arms together make 1")
    policy: ArmPolicy = Field(default=ArmPolicy.ENGINE, description="engine, random or silence")


class ExperimentFile(_File):
    """A declared test."""

    salt: Identifier = Field(description="Any text, different from every other experiment's")
    control: str = Field(description="The arm that others are compared with")
    exposure: Exposure = Field(description="delivered, or decided where an arm is silent")
    primary: str = Field(description="The measure that decides")
    secondary: tuple[str, ...] = Field(default=(), description="Further measures")
    touchpoints: tuple[str, ...] = Field(default=(), description="Touchpoints it runs on; none means all")
    starts_at: Moment | None = Field(default=None, description="First moment of assignment")
    ends_at: Moment | None = Field(default=None, description="First moment without assignment")
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
        return self


class CatalogueFile(_File):
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
    holdout: HoldoutFile | None = None
    goals: Annotated[dict[Identifier, GoalFile], Field(min_length=1)]
    stages: tuple[StageFile, ...] = Field(default=(), description="In journey order")
    touchpoints: Annotated[dict[Identifier, TouchpointFile], Field(min_length=1)]
    channels: Annotated[dict[ColumnName, ChannelFile], Field(min_length=1)]
    offers: Annotated[dict[Identifier, OfferFile], Field(min_length=1)]
    experiments: dict[Identifier, ExperimentFile] = Field(default_factory=dict)
