"""The form of `offers` with their creatives: what can be sent, to whom."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from decisioning.catalogue.message import MessageClass
from features.catalogue.forms.fields import ColumnName, Days, FieldPath, FileModel, Identifier, Moment, Money, Text
from features.catalogue.forms.rule_form import RuleFile

RULE_FIELDS = ("eligibility", "applicability", "suitability")
"""Fields of offers and creatives that hold rules, in the order in which they are asked."""


class _WithRules(FileModel):
    eligibility: RuleFile | None = Field(default=None, description="Rule: may this customer have it")
    applicability: RuleFile | None = Field(default=None, description="Rule: does it make sense for them now")
    suitability: RuleFile | None = Field(default=None, description="Rule: is it good for them")


class CreativeFile(_WithRules):
    """The wording of an offer on one channel."""

    creative: Identifier = Field(description="Name, unique per offer and channel")
    channel: str = Field(description="The channel it is written for")
    follow_up: bool = Field(
        default=False, description="Carries on what the customer saw of the offer; needs a `conversation`"
    )
    requires: tuple[FieldPath, ...] = Field(
        default=(), description="Fields without which it is not sent, such as customer.first_name"
    )
    content: Annotated[dict[ColumnName, Text], Field(min_length=1)] = Field(
        description="Liquid templates by field; they may use customer, context and offer"
    )


class OfferFile(_WithRules):
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
    attributes: dict[ColumnName, float | bool | str] = Field(
        default_factory=dict, description="Declared offer_attributes that describe it to the model"
    )
    never_with: tuple[str, ...] = Field(default=(), description="Offers that the customer must not also have")
    not_after: dict[str, Days] = Field(default_factory=dict, description="Days it rests after each of these offers")
    urgency: Annotated[float, Field(ge=0, le=1000)] = Field(
        default=0.0, description="Order among messages of a class with precedence, highest first"
    )
    answers_in_kind: bool = Field(
        default=False, description="Goes first on the channel where the customer told of the trouble; not for marketing"
    )
    asks: tuple[str, ...] = Field(
        default=(), description="Customer attributes that it asks for; not sent where all of them are known"
    )
    creatives: Annotated[tuple[CreativeFile, ...], Field(min_length=1)] = Field(
        description="Wordings per channel; of what goes before marketing, the first that may go is sent"
    )

    @model_validator(mode="after")
    def _fits_class(self) -> Self:
        needs_consent = self.message_class not in {MessageClass.MANDATORY, MessageClass.TRANSACTIONAL}
        if needs_consent and "purpose" in self.model_fields_set and self.purpose is None:
            raise ValueError(f"must have a `purpose`: a {self.message_class} message needs consent for it")
        if self.answers_in_kind and self.message_class is MessageClass.MARKETING:
            raise ValueError("must not have `answers_in_kind` in class marketing: marketing does not respond to a case")
        if self.valid_from and self.valid_until and self.valid_from >= self.valid_until:
            raise ValueError("must have `valid_from` before `valid_until`")
        return self
