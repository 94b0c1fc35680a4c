"""The form of `measures`: what a decision is worth."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from decisioning.catalogue.measure import Unit
from features.catalogue.forms.fields import Days, FileModel
from features.log.outcome_types import OutcomeType

_RETURNED = OutcomeType.RETURNED.value

Worth = Annotated[float, Field(ge=-1e9, le=1e9)]


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
