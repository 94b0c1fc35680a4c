"""The declared constants of the world: how journeys go by themselves, and what a seen message changes.

Probabilities are per week. Strengths are log-odds that a seen message adds to one move, at full fit. None of these
numbers was fitted to make any policy look good; they are round and plausible, and anyone may change them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pipelines.simulation.world.journey import JourneyStep


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """A move that a seen message makes likelier.

    Attributes:
        towards: The next step it leads to.
        strength: Log-odds added at full fit (and a discount of a tenth, where it is a deal).
    """

    towards: JourneyStep
    strength: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """Something of its own that a seen message sells or brings.

    Attributes:
        probability: At full fit.
        amount_minor: What it contributes on average.
        outcome: Outcome type that carries the amount; None where it is a purchase.
        late_factor: Times the probability after a trip that ended late.
    """

    probability: float
    amount_minor: float
    outcome: str | None = None
    late_factor: float = 1.0


_PUSHES: Mapping[tuple[str, str], Push] = {
    ("inspiration", "dream"): Push(towards=JourneyStep.PLAN, strength=1.3),
    ("inspiration", "lapse"): Push(towards=JourneyStep.DREAM, strength=1.4),
    ("deal", "dream"): Push(towards=JourneyStep.PLAN, strength=1.0),
    ("deal", "plan"): Push(towards=JourneyStep.BOOK_1, strength=1.5),
    ("fare_alert", "plan"): Push(towards=JourneyStep.BOOK_1, strength=0.9),
    ("win_back", "lapse"): Push(towards=JourneyStep.PLAN, strength=2.6),
    ("feedback", "dream"): Push(towards=JourneyStep.PLAN, strength=0.2),
}

_SALES: Mapping[tuple[str, str], Sale] = {
    ("ancillary", "bag"): Sale(probability=0.25, amount_minor=800),
    ("ancillary", "seat"): Sale(probability=0.20, amount_minor=1_200),
    ("ancillary", "stay"): Sale(probability=0.14, amount_minor=2_000),
    ("ancillary", "lounge"): Sale(probability=0.20, amount_minor=1_000),
    ("loyalty", "none"): Sale(probability=0.30, amount_minor=600, late_factor=0.6),
    ("referral", "none"): Sale(probability=0.16, amount_minor=2_500, outcome="referred", late_factor=0.3),
    ("feedback", "none"): Sale(probability=0.35, amount_minor=150, outcome="reviewed", late_factor=1.3),
}

_ANSWER = Sale(probability=0.35, amount_minor=60, outcome="answered")


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """Everything that is the same for all customers.

    Attributes:
        pushes: By kind of offer and stage. A message outside its offer's stages moves nobody.
        sales: By kind of offer and the offer's attribute `product`.
        answer: What a question in a stage without a trip brings (offers of kind `feedback` before a booking).
        load: What a contact of last week, the week before and the one before that adds to fatigue.
        dream_to_lapse: P(a dreamer stops | not planning).
        plan_to_dream: P(a planner gives up | not booking).
        book_to_prepare: P(the trip is near) in the first three weeks after booking; sure in the fourth.
        return_to_plan: P(planning again right after the third week at home).
        return_to_lapse: P(lost | not planning again); after a late trip `late_to_lapse`.
        lapse_to_plan: P(a lapsed customer plans without dreaming first).
        left_log_odds: Added to the first move of every step for customers who left all marketing in anger.
        frequency_annoyance: How much each unit of load raises the hazard of leaving.
        misfit_annoyance: How much a message without any fit raises it.
        complaint_rate: Share of the leavers who complain as well.
        voucher_redemption: Share of the win-back vouchers that are redeemed, of those who plan because of one.
        solved: P(a case is solved) in a week in which somebody answered; `solved_alone` where nobody did.
        giving_up: P(lost | not solved), times impatience; `giving_up_alone` where nobody answered.
        mended_to_lapse: P(lost after a case), times impatience; the others dream again.
        unprompted_extra: P(an extra bought unasked) in the weeks before a trip, and its amount.
        bag_lost: P(a bag stays behind), plus `bag_lost_per_minute` for each minute of delay, up to `bag_lost_most`.
        late_minutes: A trip that arrived later than this ended late; `very_late_minutes` is a case.
        noise: Amounts are the mean times a number in [1 - noise, 1 + noise], uniform.
        click_rate: P(click | seen, nothing bought) at no fit and what full fit adds.
        declined_rate: P(saying no | seen, nothing bought).
        region_pull: How much inspiration counts in each region of `population.REGIONS`.
    """

    pushes: Mapping[tuple[str, str], Push] = field(default_factory=lambda: _PUSHES)
    sales: Mapping[tuple[str, str], Sale] = field(default_factory=lambda: _SALES)
    answer: Sale = _ANSWER
    load: tuple[float, float, float] = (1.0, 0.6, 0.3)
    dream_to_lapse: float = 0.035
    plan_to_dream: float = 0.12
    book_to_prepare: float = 0.4
    return_to_plan: float = 0.06
    return_to_lapse: float = 0.05
    late_to_lapse: float = 0.12
    lapse_to_plan: float = 0.004
    left_log_odds: float = -0.15
    frequency_annoyance: float = 1.0
    misfit_annoyance: float = 2.0
    complaint_rate: float = 0.15
    voucher_redemption: float = 0.5
    solved: float = 0.75
    solved_alone: float = 0.40
    giving_up: float = 0.15
    giving_up_alone: float = 0.50
    mended_to_lapse: float = 0.35
    unprompted_extra: float = 0.06
    unprompted_minor: float = 900.0
    bag_lost: float = 0.006
    bag_lost_per_minute: float = 0.0002
    bag_lost_most: float = 0.08
    late_minutes: float = 60.0
    very_late_minutes: float = 180.0
    noise: float = 0.5
    click_rate: tuple[float, float] = (0.08, 0.35)
    declined_rate: float = 0.03
    region_pull: tuple[float, float, float, float] = (1.0, 0.7, 0.6, 1.0)


_SUREST = 0.95


def emphasised(structure: Structure, factor: float) -> Structure:
    """The same world with messages that work more plainly, so that a small history teaches what a large one would.

    Args:
        structure: The constants to start from.
        factor: Times the strength of every push and the probability of every sale, which stays below 1.

    Example:
        >>> plain = emphasised(Structure(), 2.0)
        >>> plain.pushes["deal", "plan"].strength, plain.sales["ancillary", "bag"].probability
        (3.0, 0.5)
    """
    pushes = {of: replace(push, strength=push.strength * factor) for of, push in structure.pushes.items()}
    sales = {
        of: replace(sale, probability=min(sale.probability * factor, _SUREST)) for of, sale in structure.sales.items()
    }
    return replace(structure, pushes=pushes, sales=sales)
