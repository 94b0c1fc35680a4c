"""The form of `classes` and `contact_policy`: frequency caps, and the classes they apply to."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from decisioning.catalogue.contact_policy import CapUnit, SuppressionScope
from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.message_classes import CapScope, Layer
from features.catalogue.forms.fields import Days, FileModel, Hours, Identifier, Money

Weight = Annotated[float, Field(ge=0, le=1000)]


class ClassFile(FileModel):
    """A line of the matrix of message classes; a field that is not written keeps its default."""

    bypasses: tuple[Layer, ...] | None = Field(default=None, description="Gates that the class passes unasked")
    counts_towards: tuple[CapScope, ...] | None = Field(default=None, description="Caps that its messages use up")
    precedence: bool | None = Field(default=None, description="Goes before every class below it")


class CapFile(FileModel):
    """At most so many contacts in any window of this length."""

    scope: CapScope = Field(description="What is counted")
    of: str | None = Field(
        default=None, description="The one department, goal, class, channel, offer or creative; none counts each alone"
    )
    limit: Annotated[int, Field(ge=0, le=100_000)] = Field(description="Most contacts; 0 means never")
    window_days: Days | None = Field(default=None, description="Length of the sliding window")
    window_hours: Hours | None = Field(default=None, description="Length of the sliding window")
    per: CapUnit = Field(default=CapUnit.CUSTOMER, description="Whose contacts count together")

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if (self.window_days is None) == (self.window_hours is None):
            raise ValueError("must have either `window_days` or `window_hours`")
        if self.scope is CapScope.PRESSURE:
            raise ValueError("must not have scope pressure: its limit is written in `contact_policy.pressure`")
        if self.scope is CapScope.EVERYTHING and self.of is not None:
            raise ValueError("must not have `of`: a cap on everything counts every message")
        return self


class PressureFile(FileModel):
    """Contacts weigh class weight x channel weight; their sum in the window is limited."""

    limit: Annotated[float, Field(ge=0, le=100_000)] = Field(description="Greatest sum of weights")
    window_days: Days = Field(description="Length of the sliding window")
    class_weights: dict[MessageClass, Weight] = Field(default_factory=dict, description="Weight by class; 1 if unnamed")
    channel_weights: dict[str, Weight] = Field(default_factory=dict, description="Weight by channel; 1 if unnamed")


class ConversationFile(FileModel):
    """One conversation over all channels: what a customer has seen is followed up instead of said again."""

    seen_days: Days = Field(description="How long an offer that was seen is not said again, and may be followed up")


class SuppressionFile(FileModel):
    """After an outcome, messages that share something with the one it answered rest for a while."""

    after: str = Field(description="Outcome: declined, bounced, complained, unsubscribed, ...")
    scope: SuppressionScope = Field(description="What the resting messages share with the answered one")
    days: Days | None = Field(default=None, description="How long; none means for ever")


class FatigueFile(FileModel):
    """What one more contact costs in goodwill."""

    cost: Money = Field(description="Cost per recent contact, in money")
    half_life_days: Days = Field(default=7.0, description="A contact counts half after so many days")


class ContactPolicyFile(FileModel):
    """How often a customer, and a household, may be contacted."""

    caps: dict[Identifier, CapFile] = Field(default_factory=dict, description="Limits by name")
    pressure: PressureFile | None = Field(default=None, description="Limit on the weighted sum of contacts")
    suppressions: tuple[SuppressionFile, ...] = Field(default=(), description="Rest after an outcome")
    look_ahead_hours: Annotated[float, Field(ge=0, le=8784)] = Field(
        default=0.0, description="Heavier messages due within this keep their room; 0 for none"
    )
    fatigue: FatigueFile | None = Field(default=None, description="Goodwill that contacts cost")
