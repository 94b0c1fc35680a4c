"""What each permitted message is worth, in money, against silence.

For message m and customer c, with everything in minor units of the catalogue's currency::

    uplift   = E[value | c, m] - E[value | c, silence] + residual
    net      = (uplift + hour) x unit value - contact cost - fatigue cost - shadow price - opportunity cost
    priority = net x context weight x business weight     where net > 0
             = net                                        otherwise

The unit value is 1 where the model learned money. Where it learned a rate (a click, a visit), it is the declared value
of the offer: uplift is then in points of that rate, and an offer without a declared value never beats silence.

The hour is what the present hour of the customer's week adds, where messages may wait for a better one (`waiting`).

The residual is what outcomes since training say (`decisioning.residuals`); it is 0 where nothing is learned between
trainings, and only counts where a model has a say.

Fatigue is what one more contact costs in goodwill; it is charged to marketing alone, since what is owed to a customer
costs none. The shadow price is what the capacity, budget and share that a message would use are worth to others; it is
negative where a department is below its least share. The opportunity cost is what the room that a message would take
under the customer's own caps is worth at a better moment to come, see `slot_pricing`. Weights are the business's
levers: see `catalogue.levers`. Each factor can be switched off; then it is 0, or 1, and is shown as such.

Silence competes with priority 0. Weights scale gains only: a weight is a preference among messages that pay, and must
neither turn a loss into a gain (they are not negative) nor, above 1, sink or, below 1, lift a message that loses money.
A weight of 0 switches a message off, since nothing beats silence by it.

Equal priorities go to silence first, then to the message whose key comes first.

Service messages are not ranked by customer value. A class with precedence goes before everything else, see
`precedence_of`. Every class other than marketing bids its declared value in place of the uplift, the same for every
customer. So does every message where no model has a say: without one, in an arm that asks for none, and for customers
who do not want to be profiled.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, override

import numpy as np

from decisioning.arrays import FloatArray, IndexArray, IntArray
from decisioning.catalogue.message import SILENCE
from decisioning.choice.price_list import Charges
from decisioning.decision import Evaluated
from decisioning.errors import ModelUnavailableError
from decisioning.gates.candidate import LARGEST_AMOUNT_MINOR
from decisioning.gates.message_sets.expanding import Expanding
from decisioning.gates.message_sets.grouping import MessageSet, members_of
from decisioning.gates.message_sets.lineup import Lineup
from decisioning.residuals import Residuals


class Bids(NamedTuple):
    """What silence and the permitted messages bring to arbitration; fields as in `decision.Evaluated`.

    Attributes:
        rows: shape (n,), silence as 0 and candidate i as i + 1, ascending.
        expected_value_minor: shape (n,), like all below; NaN where no model had a say.
        uplift_minor: NaN where no model had a say.
        evidence: Decisions that sent the offer so far; -1 where nobody counts.
        worth_minor: The uplift in money, or the declared value where no model had a say.
        residual_minor: Part of the expected value that outcomes since training added.
    """

    rows: IndexArray
    expected_value_minor: FloatArray
    uplift_minor: FloatArray
    cost_minor: FloatArray
    fatigue_minor: FloatArray
    shadow_minor: FloatArray
    context_weight: FloatArray
    business_weight: FloatArray
    evidence: IntArray
    worth_minor: FloatArray
    priority_minor: FloatArray
    residual_minor: FloatArray
    opportunity_minor: FloatArray
    hour_minor: FloatArray

    @property
    def would_pay(self) -> bool:
        """Whether a message is worth more than silence but for what its room is worth later."""
        return bool((self.priority_minor + self.opportunity_minor > 0).any())


def check_scores(expected_values: FloatArray, candidate_count: int) -> None:
    """Refuse scores that cannot be used, so that a broken model never sends.

    Args:
        expected_values: shape (k + 1,), silence first.
        candidate_count: k.

    Raises:
        ModelUnavailableError: Another shape, or a value that is NaN, infinite or beyond any money. Decide again with
            `expected_values=None` and a `degraded` note.
    """
    if expected_values.shape != (candidate_count + 1,):
        raise ModelUnavailableError(
            f"expected_values must have shape ({candidate_count + 1},), got {expected_values.shape}; "
            "score silence and then the policy's candidates in order"
        )
    is_usable = np.abs(expected_values) <= LARGEST_AMOUNT_MINOR  # false for NaN
    if not is_usable.all():
        row = int(np.flatnonzero(~is_usable)[0])
        raise ModelUnavailableError(
            f"expected_values must be finite amounts, got {expected_values[row]} in row {row}; "
            "the model is broken: roll back or decide without it"
        )


def appraise(
    rows: IndexArray, expected_values: FloatArray | None, charges: Charges, residuals: Residuals | None = None
) -> Bids:
    """Price silence and the permitted candidates against silence.

    Args:
        rows: shape (n,), see `Bids`.
        expected_values: shape (k + 1,), checked, silence first; None where declared values take their place.
        charges: What all k candidates and silence are charged and weighed.
        residuals: What outcomes since training add to the expected values.
    """
    if residuals is not None and expected_values is not None:
        expected_values = residuals.on(expected_values)
    cost, fatigue, shadow = charges.cost_minor[rows], charges.fatigue_minor[rows], charges.shadow_minor[rows]
    context, business = charges.context_weight[rows], charges.business_weight[rows]
    value, uplift, worth = _worths(rows, expected_values, charges)
    net = worth - cost - fatigue - shadow
    return Bids(
        rows=rows,
        expected_value_minor=value,
        uplift_minor=uplift,
        cost_minor=cost,
        fatigue_minor=fatigue,
        shadow_minor=shadow,
        context_weight=context,
        business_weight=business,
        evidence=charges.evidence[rows],
        worth_minor=worth,
        priority_minor=priorities(net, context, business) if charges.is_weighted else net,
        residual_minor=residual_column(rows, value, residuals),
        opportunity_minor=np.zeros(len(rows)),
        hour_minor=np.zeros(len(rows)),
    )


def residual_column(rows: IndexArray, values: FloatArray, residuals: Residuals | None) -> FloatArray:
    """What residuals contributed to the values of some rows: shape (n,); 0 where no model had a say."""
    if residuals is None or residuals.is_idle:
        return np.zeros(len(rows))
    return np.where(np.isnan(values), 0.0, residuals.contribution[rows])


def foreseen(bids: Bids, hour_minor: FloatArray, opportunity_minor: FloatArray) -> Bids:
    """The same bids where the hour adds something, and room is worth something later: shapes (n,), 0 for silence."""
    net = bids.worth_minor + hour_minor - bids.cost_minor - bids.fatigue_minor - bids.shadow_minor - opportunity_minor
    priority = priorities(net, bids.context_weight, bids.business_weight)
    return bids._replace(priority_minor=priority, opportunity_minor=opportunity_minor, hour_minor=hour_minor)


def _worths(
    rows: IndexArray, expected_values: FloatArray | None, charges: Charges
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Expected values, uplifts and worths, as in `Bids`."""
    declared = charges.declared_minor[rows]
    if expected_values is None:
        nothing = np.full(len(rows), np.nan)
        return nothing, nothing, declared
    if charges.is_learned is None:
        value = expected_values[rows]
        uplift = value - expected_values[0]
        return value, uplift, uplift * charges.unit_value_minor[rows]
    is_learned = charges.is_learned[rows]
    value = np.where(is_learned, expected_values[rows], np.nan)
    uplift = value - expected_values[0]
    return value, uplift, np.where(is_learned, uplift * charges.unit_value_minor[rows], declared)


def priorities(net: FloatArray, context: FloatArray, business: FloatArray) -> FloatArray:
    """What arbitration compares: shape (n,), as all arguments; amounts in minor units.

    Compact records leave it out, since their readers work it out with this.
    """
    return np.where(net > 0, net * context * business, net)


def best_of(priorities: FloatArray) -> int:
    """Index of the highest priority; ties go to the earlier one, so to silence, then to the lower key.

    Example:
        >>> best_of(np.array([0.0, 0.0, -1.0]))
        0
    """
    return int(priorities.argmax())


def precedence_of(lineup: Lineup, permitted: MessageSet, told_on: str | None = None) -> int | None:
    """Index of the candidate that goes before all others whatever they are worth; None where none has precedence.

    The highest class first, then the most urgent offer, then the lower offer id; of its messages the first as they were
    written down. What a customer is worth decides nothing here, not even who is called and who gets an e-mail. An offer
    that answers in kind goes to the channel where the customer spoke, before the order of writing.

    Args:
        lineup: The touchpoint's candidates.
        permitted: Those that passed every gate.
        told_on: Channel on which the customer told of trouble that is not over; None where there is none.
    """
    leaders = lineup.leaders & permitted
    if not leaders:
        return None
    leading = [
        (
            candidate.precedence or 0,
            -candidate.urgency,
            candidate.offer_id,
            not (candidate.message.offer.answers_in_kind and candidate.channel_id == told_on),
            candidate.message.creative.place,
            place,
        )
        for place in members_of(leaders)
        for candidate in (lineup.candidates[place],)
    ]
    return min(leading)[-1]


class Evaluations(Expanding[Evaluated]):
    """Silence and then the permitted messages by falling priority, equal ones by key; built on first access.

    Attributes:
        keys: Message keys of all k candidates.
        bids: What they are worth.
        probabilities: shape (n,), as the bids.
    """

    __slots__ = ("bids", "keys", "probabilities")

    def __init__(self, keys: Sequence[str], bids: Bids, probabilities: FloatArray) -> None:
        """Take what was worked out."""
        super().__init__()
        self.keys, self.bids, self.probabilities = keys, bids, probabilities

    @override
    def __len__(self) -> int:
        return len(self.bids.rows)

    @override
    def expand(self) -> Iterator[Evaluated]:
        bids = self.bids
        rows: list[int] = bids.rows.tolist()
        columns = zip(
            _or_none(bids.expected_value_minor),
            _or_none(bids.uplift_minor),
            bids.cost_minor.tolist(),
            bids.priority_minor.tolist(),
            self.probabilities.tolist(),
            bids.fatigue_minor.tolist(),
            bids.shadow_minor.tolist(),
            bids.context_weight.tolist(),
            bids.business_weight.tolist(),
            [None if count < 0 else count for count in bids.evidence.tolist()],
            bids.residual_minor.tolist(),
            bids.opportunity_minor.tolist(),
            bids.hour_minor.tolist(),
            strict=True,
        )
        found = [
            Evaluated(self.keys[row - 1] if row else SILENCE, *rest) for row, rest in zip(rows, columns, strict=True)
        ]
        falling = np.argsort(-bids.priority_minor[1:], kind="stable") + 1
        return (found[place] for place in (0, *falling.tolist()))


def _or_none(values: FloatArray) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]  # noqa: PLR0124 (NaN alone differs)
