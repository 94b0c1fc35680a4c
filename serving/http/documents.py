"""What answers look like, for the API's description, where no service has a type of its own for them."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.decisions.answer import Answer, closed
from serving.forms import Body


class AnswerDocument(BaseModel):
    """An answer; callers ignore fields that they do not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FaultDocument(AnswerDocument):
    """One thing that is wrong."""

    pointer: str = Field(description="JSON Pointer into the body, or a query parameter")
    detail: str


class ProblemDocument(AnswerDocument):
    """RFC 9457 problem; `code` is stable."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    instance: str
    request_id: str
    errors: list[FaultDocument]
    nearest: list[str] | None = None


@closed
class DecisionAnswer(Answer):
    """A decision."""


class BatchItem(AnswerDocument):
    """One item's decision, or why there is none."""

    status: int
    decision: DecisionAnswer | None = None
    problem: ProblemDocument | None = None


class BatchAnswer(AnswerDocument):
    """Results in the order of the requests."""

    results: list[BatchItem]


class RejectedDocument(AnswerDocument):
    """An item that was not accepted."""

    index: int
    code: str
    detail: str
    errors: list[FaultDocument]


class ItemStatus(AnswerDocument):
    """The result for an item."""

    index: int
    status: Literal["accepted", "duplicate", "rejected"]
    unknown: str | None = Field(
        default=None, description="Pointer to a name in it that is not known here; it was accepted all the same"
    )
    widened: list[str] | None = Field(
        default=None,
        description="Pointers to the channel or purpose of a withdrawal that the catalogue does not know: it was "
        "applied to every channel or purpose",
    )


class ReportAnswer(AnswerDocument):
    """The results for the items of a report."""

    accepted: int
    duplicate: int
    rejected: list[RejectedDocument]
    items: list[ItemStatus]


class KeyDocument(AnswerDocument):
    """The key in use."""

    id: str
    name: str
    expires_at: str | None


class LimitsDocument(AnswerDocument):
    """How much fits in a request."""

    items: int
    body_bytes: int
    deadline_ms: int


class MeAnswer(AnswerDocument):
    """Who asks."""

    key: KeyDocument | None
    scopes: list[str]
    limits: LimitsDocument
    policy_version: str | None
    model_version: str | None


class KnownDocument(AnswerDocument):
    """An attribute that the customer told us."""

    name: str
    value: float | bool | str
    source: str = Field(description="Source: `import`, or the one that the event named")
    known_since: str | None = Field(description="When it was told or imported; null if not recorded")


class KnownAnswer(AnswerDocument):
    """What a customer told us, and what is left to ask."""

    customer_id: str
    known: list[KnownDocument]
    ask: list[str] = Field(description="Attributes that were asked for and are not known")


class TouchpointDocument(AnswerDocument):
    """A touchpoint."""

    touchpoint: str
    channels: list[str]
    context: dict[str, str]
    sticky_seconds: int
    messages: list[str]


class TouchpointsAnswer(AnswerDocument):
    """All touchpoints."""

    touchpoints: list[TouchpointDocument]


class LiveAnswer(AnswerDocument):
    """Alive."""

    status: Literal["alive"]


class CheckDocument(AnswerDocument):
    """One thing the server needs."""

    ok: bool
    version: str | None = None
    problem: str | None = None
    mode: str | None = None
    waits_for: list[str] = []


class ReadyAnswer(AnswerDocument):
    """Readiness, and the state of its parts."""

    status: Literal["ready", "degraded", "not_ready"]
    checks: dict[str, CheckDocument]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Descriptions of the problems that a route may answer with."""
    return {status: {"model": ProblemDocument, "description": "Problem"} for status in statuses}


def request_body(model: type[Body], *, is_required: bool = True) -> dict[str, Any]:
    """Description of a body; the route parses it by itself."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": is_required, "content": {"application/json": {"schema": schema}}}}


def parameters(meanings: Mapping[str, str], *, required: Sequence[str]) -> dict[str, Any]:
    """Description of query parameters; the route parses them by itself."""
    return {
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": name in required,
                "schema": {"type": "string"},
                "description": meaning,
            }
            for name, meaning in meanings.items()
        ]
    }
