"""What was asked, what was chosen, and everything needed to explain or replay it."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from decisioning.arrays import FloatArray
from decisioning.catalogue.care import CaseState
from decisioning.catalogue.limits import Supply
from decisioning.customer import Customer
from decisioning.draw import unit_hash
from decisioning.foresight.slots import Foresight
from decisioning.live import LiveState
from decisioning.residuals import NO_RESIDUALS, ResidualsByStage
from decisioning.rules.predicate import FactValue
from decisioning.scoring import FeatureVector
from decisioning.value_class import value_class


class Action(StrEnum):
    """Send the chosen message, or hold: silence was chosen, or nothing else was permitted."""

    SEND = "send"
    HOLD = "hold"


class Reason(StrEnum):
    """Why the answer is what it is."""

    MODEL = "MODEL"  # the best expected value won
    EXPLORED = "EXPLORED"  # the draw chose another candidate than the best
    EXPERIMENT = "EXPERIMENT"  # an arm's policy chose
    RULES = "RULES"  # no model had a say, since none was there or an arm asks for none: declared values chose
    COLD_START = "COLD_START"  # no model was ever in force: declared values and chance chose, so that one can learn
    SILENCE_BEST = "SILENCE_BEST"  # sending nothing is worth most
    NOTHING_PERMITTED = "NOTHING_PERMITTED"  # every message was excluded by a gate
    HOLDOUT = "HOLDOUT"  # the customer is in the universal holdout
    PROGRAMME_HOLDOUT = "PROGRAMME_HOLDOUT"  # the customer is in the holdout of the programme that had a message
    PRECEDENCE = "PRECEDENCE"  # a class that goes before others, whatever they are worth
    ALLOCATED = "ALLOCATED"  # the plan over all customers gave this customer this message
    NOT_PROFILED = "NOT_PROFILED"  # declared values chose: the customer does not want to be profiled
    CARE = "CARE"  # marketing is paused for an open or recent case
    DEFERRED = "DEFERRED"  # only quiet hours stand in the way: ask again at `retry_at`
    CONTENDED = "CONTENDED"  # other decisions about this customer were committed first each time
    UNKNOWN_CUSTOMER = "UNKNOWN_CUSTOMER"
    DEGRADED = "DEGRADED"  # a component was down
    KEPT_FOR_LATER = "KEPT_FOR_LATER"  # a message would pay, but its room is worth more at a better moment to come
    BETTER_HOUR = "BETTER_HOUR"  # a message does more at a later hour within the wait: ask again at `retry_at`


class Exclusion(StrEnum):
    """Why a message was not permitted; one code per gate."""

    NOT_REACHABLE = "NOT_REACHABLE"
    NO_CONSENT = "NO_CONSENT"
    UNSUBSCRIBED = "UNSUBSCRIBED"
    NOT_YET_VALID = "NOT_YET_VALID"
    EXPIRED = "EXPIRED"
    WRONG_STAGE = "WRONG_STAGE"
    OTHER_PURPOSE = "OTHER_PURPOSE"
    NOT_ELIGIBLE = "NOT_ELIGIBLE"
    EXCLUDED_BY_CALLER = "EXCLUDED_BY_CALLER"
    CHANNEL_NOT_ASKED = "CHANNEL_NOT_ASKED"
    HOLDOUT = "HOLDOUT"
    EXPERIMENT_ARM = "EXPERIMENT_ARM"
    NOT_SCORED = "NOT_SCORED"
    PROTECTED = "PROTECTED"
    NOT_APPLICABLE = "NOT_APPLICABLE"
    NOT_SUITABLE = "NOT_SUITABLE"
    INCOMPATIBLE = "INCOMPATIBLE"
    CASE_OPEN = "CASE_OPEN"
    CASE_COOLING_DOWN = "CASE_COOLING_DOWN"
    STATE_LOST = "STATE_LOST"
    CAP_REACHED = "CAP_REACHED"
    PRESSURE_REACHED = "PRESSURE_REACHED"
    ROOM_KEPT = "ROOM_KEPT"
    SUPPRESSED = "SUPPRESSED"
    ALREADY_SEEN = "ALREADY_SEEN"
    ALREADY_KNOWN = "ALREADY_KNOWN"
    NOTHING_TO_FOLLOW = "NOTHING_TO_FOLLOW"
    QUIET_HOURS = "QUIET_HOURS"
    CAPACITY_FULL = "CAPACITY_FULL"
    BUDGET_SPENT = "BUDGET_SPENT"
    SHARE_REACHED = "SHARE_REACHED"
    CREATIVE_UNFIT = "CREATIVE_UNFIT"
    PROGRAMME_HOLDOUT = "PROGRAMME_HOLDOUT"
    ALREADY_IN_SLATE = "ALREADY_IN_SLATE"


@value_class
class Placement:
    """A position that a message is wanted for; `channels` None for all of the request's."""

    placement_id: str
    channels: frozenset[str] | None = None


ONE_PLACEMENT = (Placement(placement_id="1"),)


@value_class
class Request:
    """What a caller asks.

    Attributes:
        placements: Positions to fill, in order; the first is the decision proper, the others get what is left.
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
    placements: tuple[Placement, ...] = ONE_PLACEMENT


def request_uniform(seed: str, request: Request) -> float:
    """The draw of a request, in [0, 1): a function of the policy's seed, who, where and which ask, and nothing else.

    Example:
        >>> ask = Request(customer_id="C-1", touchpoint_id="weekly-mail", request_key="2026-W45")
        >>> request_uniform("nextbest", ask) == request_uniform("nextbest", ask)
        True
    """
    return unit_hash("draw", seed, request.touchpoint_id, request.customer_id, request.request_key)


@value_class
class PutOff:
    """An earlier ask of the same occasion that was put off to a better hour.

    Attributes:
        asked_at: When the first ask of the occasion was decided; the wait counts from there.
        until: The beginning of the hour that was promised.
    """

    asked_at: datetime
    until: datetime


@value_class
class Inputs:
    """Everything `decide` looks at; a record that holds this can be replayed.

    Attributes:
        customer: None for an unknown customer.
        features: None where they could not be read.
        expected_values: shape (k + 1,), silence first, then `Policy.candidates(touchpoint_id)` in their order (by
            message key); None where no model could be asked.
        now: The moment of the decision (aware, UTC).
        uniform: The draw, in [0, 1), as `request_uniform` gives it.
        degraded: What was away, in the words of the log: `features_unavailable`, `model_unavailable`, ...
        live: What happened since the profile was written.
        supply: What all customers share.
        unfit: Messages whose expanded content breaks their channel or lacks a field, with what is wrong.
        allocated: Message key that a plan over all customers gave this one; None where there is no plan.
        foresight: What lies ahead, as the model learned it; a record holds what was looked up of it.
        is_cold_start: No model was ever in force, so declared values take the place of scores for marketing, too.
        residuals: What outcomes since training add to the expected values; a decision keeps those of its stage.
        put_off: The ask of this occasion that was put off to a better hour; None where none was.
    """

    request: Request
    customer: Customer | None
    features: FeatureVector | None
    expected_values: FloatArray | None
    model_version: str | None
    now: datetime
    uniform: float
    degraded: tuple[str, ...] = ()
    live: LiveState = field(default_factory=LiveState)
    supply: Supply = field(default_factory=Supply)
    unfit: Mapping[str, str] = field(default_factory=dict[str, str])
    allocated: str | None = None
    is_cold_start: bool = False
    residuals: ResidualsByStage = NO_RESIDUALS
    foresight: Foresight | None = None
    put_off: PutOff | None = None


class Evaluated(NamedTuple):
    """A permitted candidate, silence included; a tuple, since every decision makes one per permitted message.

    Attributes:
        expected_value_minor: Expected measure over the window if this is chosen; None without a model, and where the
            declared value takes its place.
        uplift_minor: That minus the same for silence. (Both are in points of a rate where the model learned one.)
        cost_minor: Contact cost.
        priority_minor: What arbitration compares, in money: see `decisioning.choice.arbitration`; 0 for silence.
        probability: Action probability.
        fatigue_minor: Cost of one more contact in goodwill.
        shadow_minor: Price of the capacity, budget and share it would use; negative where it is wanted.
        context_weight: Product of the levers whose rule holds.
        business_weight: Product of the levers without a rule.
        evidence_count: Decisions that sent the offer so far; None where nobody counts.
        residual_minor: What outcomes since training added to the expected value.
        opportunity_minor: What the room it takes under the customer's caps is worth at a better moment to come.
        hour_minor: What the hour of the customer's week adds, in money.
    """

    message_key: str
    expected_value_minor: float | None
    uplift_minor: float | None
    cost_minor: float
    priority_minor: float
    probability: float
    fatigue_minor: float = 0.0
    shadow_minor: float = 0.0
    context_weight: float = 1.0
    business_weight: float = 1.0
    evidence_count: int | None = None
    residual_minor: float = 0.0
    opportunity_minor: float = 0.0
    hour_minor: float = 0.0


@value_class
class Excluded:
    """A message that was not permitted, with every reason found, in the order of the gates.

    Attributes:
        details: What each reason means here, such as the cap that was reached; empty texts where the code says it all.
        allowed_at: If only time prevents it, the first moment at which the gates would let it pass.
    """

    message_key: str
    reasons: tuple[Exclusion, ...]
    details: tuple[str, ...] = ()
    allowed_at: datetime | None = None


@value_class
class Position:
    """What a further placement of a slate got, given those before it.

    Attributes:
        message_key: The message, or `silence`.
        action_probability: Probability of this choice, given the positions before it.
        is_best: Arbitration put it first among what was left.
    """

    placement_id: str
    message_key: str
    action_probability: float
    is_best: bool


@value_class
class BetterHour:
    """What a decision was put off for.

    Attributes:
        message_key: The message that is worth most at that hour; it is chosen anew then.
        at: The beginning of the hour.
        priority_minor: What the message would then be worth to arbitration.
        present_minor: What the best choice is worth now; 0 for silence.
    """

    message_key: str
    at: datetime
    priority_minor: float
    present_minor: float


@value_class
class Ghost:
    """What a held-out customer would have got, having passed the same gates; it is never sent."""

    message_key: str
    action_probability: float


@value_class
class Decision:
    """The answer and its record.

    Attributes:
        message_key: The chosen message, or `silence`.
        action_probability: Probability that this was chosen, after every gate, arm and draw.
        arms: Arm per experiment the customer is in.
        evaluated: Permitted candidates, silence first, then by falling priority; probabilities sum to 1.
        excluded: The rest of the touchpoint's candidates.
        further: Positions of the slate after the first, in order; empty for a single placement.
        ghost: What a holdout or a silent arm kept back; None where nothing was.
        programme_holdouts: Programmes whose holdout the customer is in.
        retry_at: The first moment at which a message that only waits for time may go; None where none waits.
        care: State of the most serious service case; None without one.
        best_key: What was put first before any chance, where that is not what has the highest priority: a message of
            a class with precedence, the one that a plan over all customers gave, or silence until a better hour.
        better_hour: What it was put off for; None where nothing waits. Of the held out: for the ghost.
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
    evaluated: Sequence[Evaluated]
    excluded: Sequence[Excluded]
    inputs: Inputs
    further: tuple[Position, ...] = ()
    ghost: Ghost | None = None
    programme_holdouts: frozenset[str] = frozenset()
    retry_at: datetime | None = None
    care: CaseState | None = None
    best_key: str | None = None
    better_hour: BetterHour | None = None

    @property
    def best(self) -> Evaluated:
        """What arbitration put first, before any chance: the greedy choice. Silence wins ties."""
        if self.best_key is not None:
            return next(evaluated for evaluated in self.evaluated if evaluated.message_key == self.best_key)
        return max(self.evaluated, key=lambda evaluated: evaluated.priority_minor)
