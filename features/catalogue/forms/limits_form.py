"""The form of `limits` and `shares`: what all customers share."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from decisioning.catalogue.limits import LimitScope, Period
from features.catalogue.forms.fields import FileModel, Moment, Money, Share, Text, Zone


class LimitFile(FileModel):
    """A capacity or a budget."""

    scope: LimitScope = Field(description="What is counted")
    of: str | None = Field(
        default=None, description="The one department, goal, class, channel or offer; none counts each alone"
    )
    amount: Annotated[float, Field(ge=0, le=1e12)] | None = Field(default=None, description="Messages per period")
    budget: Money | None = Field(default=None, description="Money per period: what contacts cost")
    per: Period = Field(default=Period.TOTAL, description="How long one amount lasts")
    zone: Zone = Field(default="UTC", description="Zone that periods begin in")
    starts_at: Moment | None = Field(default=None, description="First moment it holds")
    ends_at: Moment | None = Field(default=None, description="First moment it no longer holds")

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if (self.amount is None) == (self.budget is None):
            raise ValueError("must have either an `amount` of messages or a `budget` of money")
        if self.scope is LimitScope.EVERYTHING and self.of is not None:
            raise ValueError("must not have `of`: a limit on everything counts every message")
        if self.starts_at and self.ends_at and self.starts_at >= self.ends_at:
            raise ValueError("must have `starts_at` before `ends_at`")
        return self


class ShareFile(FileModel):
    """The least and the most that a department may have of all messages of a period."""

    department: Text = Field(description="A department of the goals")
    min_share: Share = Field(default=0.0, alias="min", description="Least share, 0.2 is a fifth")
    max_share: Share = Field(default=1.0, alias="max", description="Greatest share")
    per: Period = Field(default=Period.DAY, description="Over which time shares are counted")
    zone: Zone = Field(default="UTC", description="Zone that periods begin in")
    slack: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        default=20, description="Messages by which the maximum may be passed while a period is young"
    )

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if self.min_share > self.max_share:
            raise ValueError("must have `min` at most `max`")
        return self
