"""What callers send: strict models of an ask, an outcome and an event; every fault is reported with its place.

They are checked here, not by the framework, so that a wrong type and a misspelt field get the same kind of answer, and
one item of a list can be refused alone.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from difflib import SequenceMatcher
from typing import Annotated, Any

import orjson
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from decisioning.errors import nearest_names
from features.declared import alike, read_flag, read_number
from features.ids import whole_id
from features.log.outcome_types import OutcomeType
from features.moments import ISO_RULE, moment_in_text
from serving.errors import Fault, InvalidFormError

MAX_PLACEMENTS = 30
MAX_TEXT = 1_000
MAX_PROPERTIES_BYTES = 32_768
LARGEST_AMOUNT = 1e12
_WHOLE_WITHIN = Decimal("1e-6")  # 183.60000000000002 is what floats make of 183.60
_SHOWN_FAULTS = 50


def _printable(text: str) -> str:
    if not text.isprintable():
        raise PydanticCustomError("not_printable", "must be printable text without control characters")
    return text


def _iso_text(value: object) -> datetime:
    """Pydantic itself would read digits as seconds since 1970."""
    moment = value if isinstance(value, datetime) else moment_in_text(value)
    if moment is None:
        raise PydanticCustomError("iso_text", f"must be {ISO_RULE}")
    return moment


def _small_json(value: dict[str, Any]) -> dict[str, Any]:
    try:
        size = len(orjson.dumps(value))
    except (TypeError, ValueError) as error:
        raise PydanticCustomError("json", "must be plain JSON with numbers of at most 64 bits") from error
    if not _is_finite(value):
        raise PydanticCustomError("json", "must be plain JSON with numbers of at most 64 bits")
    if size > MAX_PROPERTIES_BYTES:
        raise PydanticCustomError("too_large", "must be at most {limit} bytes of JSON", {"limit": MAX_PROPERTIES_BYTES})
    return value


def _is_finite(value: object) -> bool:
    """Whether no number is too large for 64 bits: 1e400 is read as infinity, which would be written as null."""
    match value:
        case float():
            return math.isfinite(value)
        case dict():
            return all(map(_is_finite, value.values()))
        case list():
            return all(map(_is_finite, value))
        case _:
            return True


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) < len(values):
        raise PydanticCustomError("not_distinct", "must not repeat a name")
    return values


Identifier = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200), AfterValidator(_printable)]
Id = Annotated[Identifier, AfterValidator(whole_id)]
PathId = Annotated[str, AfterValidator(whole_id)]
Key = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=255), AfterValidator(_printable)]
Names = Annotated[tuple[Identifier, ...], Field(max_length=200), AfterValidator(_distinct)]
Moment = Annotated[AwareDatetime, BeforeValidator(_iso_text)]
Flag = Annotated[bool, Field(strict=True)]
Properties = Annotated[dict[str, Any], AfterValidator(_small_json)]


class Body(BaseModel):
    """A body that refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PlacementItem(Body):
    """A position that a message is wanted for."""

    placement: Identifier = Field(description="Name of the position", examples=["hero"])
    channels: Annotated[Names, Field(min_length=1)] | None = Field(default=None, description="Only these channels")


def _distinct_placements(values: tuple[PlacementItem, ...]) -> tuple[PlacementItem, ...]:
    _distinct(tuple(value.placement for value in values))
    return values


class DecisionBody(Body):
    """Ask for the next action for one customer at one touchpoint."""

    customer_id: Id = Field(description="Who", examples=["C-1029"])
    touchpoint: Identifier = Field(
        description="The touchpoint that asks, by its name in the catalogue", examples=["weekly-mail"]
    )
    stage: Identifier | None = Field(default=None, description="Journey stage, if the caller knows better")
    context: dict[Identifier, Any] = Field(
        default_factory=dict, max_length=100, description="Fields that the touchpoint declares, with their types"
    )
    channels: Annotated[Names, Field(min_length=1)] | None = Field(default=None, description="Only these channels")
    exclude_offers: Names = Field(default=(), description="Offers that must not be chosen")
    limit: Annotated[int, Field(strict=True, ge=1, le=MAX_PLACEMENTS)] = Field(
        default=1, description="Messages wanted: short for placements named 1, 2, ..."
    )
    placements: (
        Annotated[
            tuple[PlacementItem, ...],
            Field(min_length=1, max_length=MAX_PLACEMENTS),
            AfterValidator(_distinct_placements),
        ]
        | None
    ) = Field(default=None, description="Positions to fill, in order; not together with `limit`")
    dedupe_key: Key | None = Field(
        default=None,
        description="Identity of the request: the same key gets the same decision",
        examples=["dispatch-88f2"],
    )
    deadline_ms: Annotated[int, Field(strict=True, ge=1, le=60_000)] | None = Field(
        default=None, description="Answer within this time; the server's own deadline is the upper bound"
    )
    dry_run: Flag = Field(default=False, description="Decide without logging or storing anything")
    explain: Flag = Field(default=False, description="Return every candidate, permitted or not, and why")


class Money(Body):
    """An amount in major units: 49.90 is 49 euros and 90 cents."""

    amount: Annotated[float, Field(strict=True, ge=-LARGEST_AMOUNT, le=LARGEST_AMOUNT)]
    currency: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")]

    def to_minor(self, per_major: float) -> int:
        """Whole minor units.

        Args:
            per_major: Minor units per major unit of the currency.

        Raises:
            ValueError: The amount has a fraction of a minor unit.
        """
        minor = Decimal(repr(self.amount)) * Decimal(per_major)
        nearest = minor.to_integral_value()
        if abs(minor - nearest) > _WHOLE_WITHIN:
            raise ValueError(f"must be whole in the smallest unit of {self.currency}")
        return int(nearest)


class OutcomeItem(Body):
    """The outcome of a decision."""

    message_id: Id = Field(description="Identity of this report: sent twice, it counts once")
    decision_id: Id = Field(description="The decision it belongs to")
    type: OutcomeType
    occurred_at: Moment
    customer_id: Id | None = Field(default=None, description="Needed only for decisions that this server did not make")
    value: Money | None = None
    properties: Properties = Field(default_factory=dict)


class EventItem(Body):
    """Something a customer did or experienced."""

    message_id: Id = Field(description="Identity of this report: sent twice, it counts once")
    customer_id: Id
    type: Identifier = Field(description="Event type of the catalogue", examples=["purchase"])
    occurred_at: Moment
    channel: Identifier | None = None
    value: Money | None = None
    properties: Properties = Field(default_factory=dict)


def validate[T: Body](model: type[T], value: Any) -> T:
    """Check a value against a model.

    Raises:
        InvalidFormError: With a pointer to every fault.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)[:_SHOWN_FAULTS]
        raise InvalidFormError([_fault(model, one["loc"], one["type"], one["msg"]) for one in found]) from error


def check_context(context: Mapping[str, Any], declared: Mapping[str, str]) -> dict[str, float | str | bool]:
    """Context as facts, in the names and kinds that the touchpoint declares; null means missing.

    Raises:
        InvalidFormError: With a pointer to every fault.
    """
    facts: dict[str, float | str | bool] = {}
    faults: list[Fault] = []
    for sent, value in context.items():
        pointer, name = f"/context/{_escape(sent)}", alike(sent, declared)
        if name is None:
            faults.append(Fault(pointer=pointer, detail=unknown_name("context field", sent, declared)))
        elif name in facts or (name != sent and name in context):
            faults.append(Fault(pointer=pointer, detail=f"must be given once, got another spelling of {name}"))
        elif value is not None:
            fact = _CONTEXT_KINDS[declared[name]](value)
            if fact is None:
                faults.append(Fault(pointer=pointer, detail=f"must be a {declared[name]}"))
            else:
                facts[name] = fact
    if faults:
        raise InvalidFormError(faults)
    return facts


def unknown_name(kind: str, name: str, known: Mapping[str, Any] | Sequence[str]) -> str:
    """What to say about a name that is not known."""
    nearest = nearest_names(name, known)
    hint = f"; did you mean {' or '.join(map(repr, nearest))}?" if nearest else ""
    return f"{kind} must be a known name{hint}"


def _number(value: Any) -> float | None:
    try:
        number = float("nan" if (found := read_number(value)) is None else found)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and len(value) <= MAX_TEXT else None


_CONTEXT_KINDS = {"number": _number, "text": _text, "flag": read_flag}


def _fault(model: type[Body], location: tuple[int | str, ...], kind: str, message: str) -> Fault:
    pointer = "".join(f"/{_escape(str(part))}" for part in location)
    if kind == "extra_forbidden":
        return Fault(pointer=pointer, detail=_unknown_field(str(location[-1]), _fields_at(model, location[:-1])))
    return Fault(pointer=pointer, detail=message[:1].lower() + message[1:])


def _unknown_field(name: str, known: Sequence[str]) -> str:
    """A misspelt field; a nearest name that shares hardly a letter helps nobody."""
    return unknown_name("field", name, [one for one in known if SequenceMatcher(None, one, name).ratio() > 0.5])  # noqa: PLR2004


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[str, ...]:
    if location == ("value",):
        return tuple(Money.model_fields)
    if location[:1] == ("placements",):
        return tuple(PlacementItem.model_fields)
    return tuple(model.model_fields)


def _escape(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")
