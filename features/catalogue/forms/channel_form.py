"""Channels as a catalogue file declares them."""

from typing import Annotated

from pydantic import Field

from features.catalogue.forms.fields import ClockTime, ColumnName, FileModel, Money, Text, Zone


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
