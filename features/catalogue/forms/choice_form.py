"""The form of `levers`, `arbitration` and `exploration`: how a permitted message is chosen."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from decisioning.catalogue.exploration import ExplorationKind
from decisioning.catalogue.levers import LeverScope
from features.catalogue.forms.fields import Day, FileModel, Money, Text
from features.catalogue.forms.rule_form import RuleFile

PositiveMoney = Annotated[Money, Field(gt=0)]


class LeverFile(FileModel):
    """A factor on the gains of one goal, department, channel or offer; 1 changes nothing, 0 switches off."""

    goal: str | None = Field(default=None, description="The goal it is for")
    department: str | None = Field(default=None, description="The department it is for")
    channel: str | None = Field(default=None, description="The channel it is for")
    offer: str | None = Field(default=None, description="The offer it is for")
    factor: Annotated[float, Field(ge=0, le=1000)] = Field(description="What gains are multiplied with")
    owner: Text = Field(description="Who answers for it")
    reason: Text = Field(description="Why it is there")
    expires_on: Day = Field(description="Last day on which it counts (UTC)")
    when: RuleFile | None = Field(default=None, description="Rule over facts: counts only where it holds")

    @model_validator(mode="after")
    def _has_one_target(self) -> Self:
        if sum(getattr(self, scope.value) is not None for scope in LeverScope) != 1:
            raise ValueError(f"must name one of: {', '.join(LeverScope)}")
        return self

    @property
    def target(self) -> tuple[LeverScope, str]:
        """What it lifts or lowers: the scope and the name."""
        named = {scope: getattr(self, scope.value) for scope in LeverScope}
        return next((scope, name) for scope, name in named.items() if name is not None)


class ArbitrationFile(FileModel):
    """Which factors count in the order of messages."""

    contact_cost: bool = Field(default=True, description="What a contact costs")
    fatigue: bool = Field(default=True, description="What a contact costs in goodwill")
    shadow_prices: bool = Field(default=True, description="What scarce capacity and budget are worth")
    slot_prices: bool = Field(
        default=True, description="What room under a customer's caps is worth at a better moment to come"
    )
    levers: bool = Field(default=True, description="The business's levers")


class RampFile(FileModel):
    """How new offers are let in."""

    needed: Annotated[int, Field(ge=0, le=10_000_000)] = Field(
        default=200, description="Decisions that sent an offer before it counts as known; 0 for no ramp"
    )
    start_share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.05, description="Greatest probability of an offer that nobody got yet"
    )


class ExplorationFile(FileModel):
    """How much chance a decision leaves."""

    kind: ExplorationKind = Field(default=ExplorationKind.EPSILON_GREEDY, description="How chance is spread")
    epsilon: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="Share of decisions left to chance, at most, however many messages are permitted"
    )
    min_probability: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Smallest probability of a permitted message, as far as epsilon reaches in total"
    )
    gap_scale: PositiveMoney = Field(
        default=1.0, description="inverse_gap: a message worth so much less than the best is half as likely"
    )
    prior_deviation: PositiveMoney = Field(
        default=1.0, description="thompson: standard deviation of a message's worth without evidence"
    )
    ramp: RampFile | None = Field(default=None, description="How new offers are let in")
