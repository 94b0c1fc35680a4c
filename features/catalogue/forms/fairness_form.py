"""The form of `fairness`: guardrails against treating a group of customers worse than others."""

from typing import Annotated

from pydantic import Field

from features.catalogue.fairness_rules import FairnessMeasure
from features.catalogue.forms.fields import Days, FileModel, Identifier


class GuardrailFile(FileModel):
    """No group may fare worse than everybody else by more than a tolerance."""

    measure: FairnessMeasure = Field(description="What groups are compared on")
    groups: str = Field(
        description="value_tier, tenure, region, preferred_channel, or customer.NAME for a declared attribute"
    )
    tolerance: Annotated[float, Field(ge=0, le=1e9)] = Field(
        description="How much worse is still fair: points as a share (0.05), hours, messages a month, or money"
    )
    channel: str | None = Field(default=None, description="Only messages of this channel; contact measures only")
    blocks_promotion: bool = Field(
        default=True, description="No model becomes champion while this is broken, or nobody can tell"
    )


class FairnessFile(FileModel):
    """Care for every customer: what is watched, and what a promotion asks."""

    period_days: Days = Field(default=90.0, description="Days that a report looks back")
    max_age_days: Days = Field(default=31.0, description="A stored report older than this answers for nothing")
    guardrails: dict[Identifier, GuardrailFile] = Field(default_factory=dict, description="Guardrails by name")
