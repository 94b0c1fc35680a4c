"""The form of `touchpoints`: where customers are met."""

from typing import Annotated, Literal

from pydantic import Field

from features.catalogue.forms.fields import ColumnName, FileModel

StayHours = Annotated[float, Field(gt=0, le=8784)]


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
    wait_hours: Annotated[float, Field(ge=0, le=168)] = Field(
        default=0.0, description="How long marketing may wait for an hour in which it does more; 0 for not at all"
    )
    reserve_hours: StayHours = Field(default=24.0, description="How long a decision keeps its room until a permit")
