"""What was asked, what was chosen, and everything needed to explain or replay it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from decisioning.customer import Customer
from decisioning.predicate import FactValue
from decisioning.scoring import FeatureVector, FloatArray


class Action(StrEnum):
    """Send the chosen message, or hold: silence was chosen, or nothing else was permitted."""

    SEND = "send"
    HOLD = "hold"


class Reason(StrEnum):
    """Why the answer is what it is."""

    MODEL = "MODEL"  # the best expected value won
    EXPLORED = "EXPLORED"  # the draw chose another candidate than the best
    EXPERIMENT = "EXPERIMENT"  # an arm's policy chose
    RULES = "RULES"  # no model was there: declared values chose
    SILENCE_BEST = "SILENCE_BEST"  # sending nothing is worth most
    NOTHING_PERMITTED = "NOTHING_PERMITTED"  # every message was excluded by a gate
    HOLDOUT = "HOLDOUT"  # the customer is in the universal holdout
    UNKNOWN_CUSTOMER = "UNKNOWN_CUSTOMER"
    DEGRADED = "DEGRADED"  # something behind us was away


class Exclusion(StrEnum):
    """Why a message was not permitted; one code per gate."""

    NOT_REACHABLE = "NOT_REACHABLE"
    NO_CONSENT = "NO_CONSENT"
    UNSUBSCRIBED = "UNSUBSCRIBED"
    NOT_YET_VALID = "NOT_YET_VALID"
    EXPIRED = "EXPIRED"
    WRONG_STAGE = "WRONG_STAGE"
    NOT_ELIGIBLE = "NOT_ELIGIBLE"
    EXCLUDED_BY_CALLER = "EXCLUDED_BY_CALLER"
    CHANNEL_NOT_ASKED = "CHANNEL_NOT_ASKED"
    HOLDOUT = "HOLDOUT"
    EXPERIMENT_ARM = "EXPERIMENT_ARM"
    NOT_SCORED = "NOT_SCORED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a caller asks.

    Attributes:
        request_key: Identity of the ask: the caller's dedupe key, or one made at the edge. It seeds the draw.
        channels: Restriction to these channels; None for all of the touchpoint's.
    """

    customer_id: str
    touchpoint_id: str
    request_key: str
    context: Mapping[str, FactValue] = field(default_factory=dict[str, FactValue])
    channels: frozenset[str] | None = None
    excluded_offers: frozenset[str] = frozenset()
    stage_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Everything `decide` looks at; a record that holds this can be replayed.

    Attributes:
        customer: None for an unknown customer.
        features: None where they could not be read.
        expected_values: shape (k + 1,), silence first, then `Policy.candidates(touchpoint_id)` in their order (by
            message key); None where no model could be asked.
        now: The moment of the decision (aware, UTC).
        uniform: The draw, in [0, 1), as `draw.request_uniform` gives it.
        degraded: What was away, in the words of the log: `features_unavailable`, `model_unavailable`, ...
    """

    request: Request
    customer: Customer | None
    features: FeatureVector | None
    expected_values: FloatArray | None
    model_version: str | None
    now: datetime
    uniform: float
    degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """A permitted candidate, silence included.

    Attributes:
        expected_value_minor: Expected measure over the window if this is chosen; None without a model.
        uplift_minor: That minus the same for silence. (Both are in points of a rate where the model learned one.)
        cost_minor: Contact cost.
        priority_minor: What arbitration compares, in money: see `decisioning.arbitration`; 0 for silence.
        probability: Action probability.
    """

    message_key: str
    expected_value_minor: float | None
    uplift_minor: float | None
    cost_minor: float
    priority_minor: float
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Excluded:
    """A message that was not permitted, with every reason found, in the order of the gates."""

    message_key: str
    reasons: tuple[Exclusion, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer and its record.

    Attributes:
        message_key: The chosen message, or `silence`.
        action_probability: Probability that this was chosen, after every gate, arm and draw.
        arms: Arm per experiment the customer is in.
        evaluated: Permitted candidates, silence first, then by falling priority; probabilities sum to 1.
        excluded: The rest of the touchpoint's candidates.
    """

    decision_id: str
    customer_id: str
    touchpoint_id: str
    decided_at: datetime
    action: Action
    reason: Reason
    message_key: str
    offer_id: str | None
    channel_id: str | None
    creative_id: str | None
    action_probability: float
    stage_id: str | None
    arms: Mapping[str, str]
    is_held_out: bool
    policy_version: str
    model_version: str | None
    degraded: tuple[str, ...]
    evaluated: tuple[Evaluated, ...]
    excluded: tuple[Excluded, ...]
    inputs: Inputs

    @property
    def best(self) -> Evaluated:
        """What arbitration put first, before any chance: the greedy choice. Silence wins ties."""
        return max(self.evaluated, key=lambda evaluated: evaluated.priority_minor)
