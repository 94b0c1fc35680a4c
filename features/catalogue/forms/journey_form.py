"""The form of `goals`, `stages`, `touchpoints` and `channels`: where customers stand, and how messages travel."""

from typing import Annotated, Literal

from pydantic import Field

from features.catalogue.forms.fields import ClockTime, ColumnName, FileModel, Identifier, Money, Text, Zone
from features.catalogue.forms.rule_form import RuleFile

StayHours = Annotated[float, Field(gt=0, le=8784)]


class GoalFile(FileModel):
    """What a department wants."""

    department: Text = Field(description="Who owns it")


class StageFile(FileModel):
    """A stage of the journey; the first whose rule fits a customer wins."""

    stage: Identifier = Field(description="Name")
    goal: str = Field(description="The goal of customers in this stage")
    entry: RuleFile | None = Field(default=None, description="Rule that puts a customer here; none fits everybody")


class TouchpointFile(FileModel):
    """A place or moment that asks for a decision."""

    channels: Annotated[tuple[str, ...], Field(min_length=1)] = Field(description="Channels a message may travel on")
    context: dict[ColumnName, Literal["number", "text", "flag"]] = Field(
        default_factory=dict, description="Fields that the caller sends along"
    )
    sticky_hours: StayHours = Field(default=24.0, description="How long the same request key gets the same decision")
    permit: Literal["required", "not_required"] = Field(
        default="not_required", description="required: a decision only reserves, and a permit is asked before sending"
    )
    reserve_hours: StayHours = Field(default=24.0, description="How long a decision keeps its room until a permit")


class ChannelFile(FileModel):
    """How a message travels."""

    cost: Money = Field(default=0.0, description="What one contact costs")
    online: bool = Field(default=True, description="False for direct mail, call centre, desk")
    max_lengths: dict[ColumnName, Annotated[int, Field(gt=0)]] = Field(
        default_factory=dict, description="Longest content per field, in characters"
    )
    required_fields: tuple[ColumnName, ...] = Field(default=(), description="Content fields each creative must have")
    max_sms_segments: Annotated[int, Field(gt=0, le=20)] | None = Field(
        default=None, description="Most SMS segments that the field body may need"
    )
    max_line_width: Annotated[int, Field(gt=0, le=10_000)] | None = Field(
        default=None, description="Longest line of the field body, in characters"
    )
    formats: tuple[Text, ...] = Field(default=(), description="Words that the field format may be; none means any")
    lead_time_days: Annotated[float, Field(ge=0, le=366)] = Field(
        default=0.0, description="From handing over to arriving; the offer must still be valid then"
    )
    purposes: Annotated[dict[str, Annotated[tuple[str, ...], Field(min_length=1)]], Field(min_length=1)] | None = Field(
        default=None,
        description="Goals that it serves, by stage: none in a stage that is not named; all everywhere if left out",
    )
    address: tuple[ColumnName, ...] = Field(
        default=(), description="Customer attributes that hand-off files carry, such as street and city"
    )
    cut_off: ClockTime | None = Field(default=None, description="Hour after which a hand-over counts to the next day")
    zone: Zone = Field(default="UTC", description="Zone of the cut-off")
