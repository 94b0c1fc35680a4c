"""What answers look like, for the API's description; tests hold real answers against these models."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from decisioning.catalogue.care import CaseState
from decisioning.decision import Action, Reason
from decisioning.explanation.nearest_change import StepKind
from decisioning.explanation.why_not import OfferStanding
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


class Amount(AnswerDocument):
    """An amount in major units; currency null for a rate."""

    amount: float
    currency: str | None


class MessageDocument(AnswerDocument):
    """A message with what it is expected to be worth; amounts are null where no model could say."""

    offer_id: str
    channel: str
    creative: str
    expected_value: Amount | None = Field(description="Expected measure over the window if this is sent")
    uplift: Amount | None = Field(description="That minus the same for silence")
    cost: Amount | None = Field(description="Contact cost")
    action_probability: float = Field(ge=0, le=1)


class SelectedDocument(MessageDocument):
    """The chosen message."""

    content: dict[str, str]


class PositionDocument(AnswerDocument):
    """A position of a slate; report outcomes with its own `decision_id`."""

    placement: str
    decision_id: str | None
    selected: SelectedDocument | None = Field(description="Null where the position stays empty")
    action_probability: float = Field(
        ge=0, le=1, description="Probability of this choice, given the positions before it"
    )
    withheld: list[str] = Field(description="Why the message of a repeated answer may no longer be sent; else empty")


class ArmDocument(AnswerDocument):
    """The arm that a customer is in."""

    experiment: str
    arm: str


class ModelDocument(AnswerDocument):
    """The model that scored."""

    version: str
    measure: str


class EvaluatedDocument(AnswerDocument):
    """A permitted candidate, silence included."""

    message: str
    expected_value: Amount | None
    uplift: Amount | None
    cost: Amount
    fatigue: Amount = Field(description="Cost of one more contact in goodwill")
    shadow_price: Amount = Field(description="Price of the capacity, budget and share it would use")
    context_weight: float = Field(description="Product of the levers whose rule holds")
    business_weight: float = Field(description="Product of the levers without a rule")
    priority: Amount = Field(description="What arbitration compared")
    evidence_count: int | None = Field(description="Decisions that sent the offer so far")
    action_probability: float


class ExcludedDocument(AnswerDocument):
    """A candidate that a gate refused."""

    message: str
    reasons: list[str]
    because: list[str] = Field(description="The same in words")
    allowed_at: str | None = Field(description="Where only time stands in the way, when it may go")


class ExplanationDocument(AnswerDocument):
    """Why."""

    summary: str
    evaluated: list[EvaluatedDocument]
    excluded: list[ExcludedDocument]


class DecisionAnswer(AnswerDocument):
    """A decision."""

    decision_id: str | None = Field(description="Null for a dry run, and where no log could take the decision")
    customer_id: str
    touchpoint: str
    decided_at: str
    action: Action
    reason: Reason
    degraded: bool = Field(description="Something behind the decision was away")
    degraded_reasons: list[str]
    replayed: bool = Field(description="The ask had this decision already")
    dry_run: bool
    withheld: list[str] = Field(description="Why the message of a repeated answer may no longer be sent; else empty")
    selected: SelectedDocument | None = Field(description="The chosen message; null for hold")
    action_probability: float = Field(ge=0, le=1, description="Probability of this choice under the policy")
    slate: list[PositionDocument] = Field(description="Every position where several were asked for; else empty")
    retry_at: str | None = Field(description="When a message that only waits for time may go: ask again then")
    care: CaseState | None = Field(description="Where service stands before sales: the state of the gravest case")
    stage: str | None
    experiments: list[ArmDocument]
    held_out: bool
    model: ModelDocument | None
    policy_version: str
    features_as_of: str | None = Field(description="Moment of the oldest features used")
    ttl_s: int = Field(description="Seconds for which a repeat of the ask gets the same answer")
    explanation: ExplanationDocument | None = None


class FlatAnswer(BaseModel):
    """A decision without nesting; the content fields of the chosen message stand beside these."""

    model_config = ConfigDict(frozen=True, extra="allow")

    action: Action
    reason: Reason
    decision_id: str | None
    touchpoint: str
    offer_id: str | None
    channel: str | None
    creative: str | None
    action_probability: float
    degraded: bool
    replayed: bool
    ttl_s: int
    retry_at: str | None


class PermitAnswer(AnswerDocument):
    """Leave to send a decision's message now."""

    decision_id: str
    permit: Literal["allowed", "denied"]
    reasons: list[str]
    details: list[str] = Field(description="What each reason means here; an empty text where the code says it all")
    because: list[str] = Field(description="The same in words")
    retry_at: str | None = Field(description="Where only time stands in the way, when to ask for a new decision")
    permitted_at: str = Field(description="When the permit was settled; repeats tell the same moment")
    valid_until: str | None = Field(description="Send before this; null where nothing may be sent")
    replayed: bool = Field(description="The permit had been asked for already")


class ExplainedAnswer(AnswerDocument):
    """A decision in plain sentences."""

    decision_id: str
    reader: Literal["customer", "agent", "auditor"] = Field(alias="for")
    sentences: list[str]


class ObstacleDocument(AnswerDocument):
    """A gate that refused."""

    reason: str
    because: str
    detail: str


class FactorDocument(AnswerDocument):
    """In what a message was worse than the best one; negative where it was better."""

    factor: str
    amount: Amount | None
    ratio: float | None


class StandingDocument(AnswerDocument):
    """How far a message came."""

    message: str
    standing: OfferStanding
    action_probability: float
    obstacles: list[ObstacleDocument]
    allowed_at: str | None
    gap: Amount | None = Field(description="By how much its priority was below the best one's")
    factors: list[FactorDocument]


class StepDocument(AnswerDocument):
    """One thing that would have to be otherwise."""

    kind: StepKind
    words: str
    reason: str | None
    amount: Amount | None
    at: str | None


class ChangeDocument(AnswerDocument):
    """The nearest change, or why there is none to tell."""

    message: str | None
    sentence: str
    is_verified: bool = Field(description="Deciding again with these steps put the message first")
    steps: list[StepDocument]


class SideDocument(AnswerDocument):
    """Why an offer was not chosen, at one moment."""

    decided_at: str
    policy_version: str
    standing: OfferStanding
    sentence: str
    chosen: str
    best: str = Field(description="What was best before chance")
    is_ghost: bool = Field(description="A holdout or a silent arm kept this very offer back")
    messages: list[StandingDocument]
    nearest_change: ChangeDocument


class WhyNotAnswer(AnswerDocument):
    """Why an offer was not chosen, then and now."""

    decision_id: str
    offer_id: str
    channel: str | None
    then: SideDocument
    now: SideDocument | None
    now_problem: str | None = Field(description="Why there is no answer for now")


class BatchItem(AnswerDocument):
    """One item's decision, or why there is none."""

    status: int
    decision: DecisionAnswer | None = None
    problem: ProblemDocument | None = None


class BatchAnswer(AnswerDocument):
    """Results in the order of the requests."""

    results: list[BatchItem]


class RejectedDocument(AnswerDocument):
    """An item that was not taken in."""

    index: int
    code: str
    detail: str
    errors: list[FaultDocument]


class ItemStatus(AnswerDocument):
    """What became of an item."""

    index: int
    status: Literal["accepted", "duplicate", "rejected"]
    unknown: str | None = Field(
        default=None, description="Pointer to what it names that is not known here; it was taken in all the same"
    )
    widened: list[str] | None = Field(
        default=None,
        description="Pointers to the channel or purpose of a withdrawal that the catalogue does not know: it was taken "
        "for every channel or purpose",
    )


class ReportAnswer(AnswerDocument):
    """What became of the items of a report."""

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
    source: str = Field(description="Where it was told: `import`, or what the event named")
    known_since: str | None = Field(description="When it was told or imported; null where nobody noted it")


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
    """Readiness, and what it hangs on."""

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
