"""Request bodies: lists of forms, and bodies that a single route takes."""

from functools import cache
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, create_model

from serving.forms import Body, DecisionBody, EventItem, Identifier, Moment, OutcomeItem

MAX_BATCH = 500


class ListBody(Body):
    """A body that is a list of forms, which are checked one by one: a faulty one is refused alone.

    Attributes:
        list_of: Name of the list, and the form of its items.
    """

    list_of: ClassVar[tuple[str, type[Body]]]

    @classmethod
    def with_checked(cls, text: bytes) -> Self:
        """The body whose forms are checked already, from its JSON; a checked form passes every later check.

        Raises:
            ValidationError: A form is faulty, or the body is.
        """
        field, _ = cls.list_of
        return cls.model_construct(**{field: getattr(_whole(cls).model_validate_json(text), field)})


@cache
def _whole(form: type[ListBody]) -> type[Body]:
    """The model of a list of faultless forms."""
    field, item = form.list_of
    fields: dict[str, Any] = {field: (Annotated[list[item], Field(min_length=1, max_length=MAX_BATCH)], ...)}
    return create_model(f"Whole{form.__name__}", __base__=Body, **fields)


class BatchBody(ListBody):
    """Ask for several decisions at once; each is answered as if it had been asked alone."""

    list_of = ("requests", DecisionBody)

    requests: Annotated[list[Any], Field(min_length=1, max_length=MAX_BATCH)] = Field(
        description="Bodies as for `POST /v1/decisions`"
    )


class OutcomesBody(ListBody):
    """Report outcomes."""

    list_of = ("outcomes", OutcomeItem)

    outcomes: Annotated[list[Any], Field(min_length=1, max_length=MAX_BATCH)]


class EventsBody(ListBody):
    """Report events."""

    list_of = ("events", EventItem)

    events: Annotated[list[Any], Field(min_length=1, max_length=MAX_BATCH)]


class PermitBody(Body):
    """Ask for a permit to send a decision's message now; every field is optional."""

    deadline_ms: Annotated[int, Field(strict=True, ge=1, le=60_000)] | None = Field(
        default=None, description="Answer within this time; the server's own deadline is the upper bound"
    )


class CorrectionBody(Body):
    """Correct data about a customer; null removes a value."""

    values: dict[str, bool | int | float | str | None] = Field(
        min_length=1,
        max_length=100,
        description="New values by name: attributes, or time_zone, locale, country, phone_prefix, household",
    )


class NewConsent(Body):
    """A yes to one purpose on one channel."""

    channel: Identifier = Field(examples=["email"])
    purpose: Identifier = Field(examples=["marketing"])


class ReadmissionBody(Body):
    """An erased customer signed up again."""

    given_at: Moment = Field(description="When the new consent was given; nothing older comes back")
    consents: Annotated[list[NewConsent], Field(min_length=1, max_length=100)]
