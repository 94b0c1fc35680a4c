"""What messages do to the customers of a population: the structural equations, as tables and arrays.

For customer i in step s with memory c (contacts of the last three weeks), and message m on channel h::

    P(seen)           = reachable[i, h] x affinity[i, h] x exp(-fatigue[i] x load(c))
    log-odds(move)    = base[i, s] + strength[m, s] x fit[m, i]        where the message was seen, else base[i, s]
    P(sale)           = probability[m, s] x fit[m, i]                  where it was seen, else 0
    P(leaving)        = irritability[i] x (1 + a load(c)) x (1 + b (1 - fit[m, i])) where it was seen, else 0

So every expectation is a mixture of two: seen, and not seen.
"""

from collections.abc import Sequence

import numpy as np

from decisioning.arrays import BoolArray, FloatArray, IntArray
from decisioning.catalogue.message import Message
from pipelines.simulation.world.journey import MEMORIES, PUSHED, STAGE_OF, JourneyStep, steps_of
from pipelines.simulation.world.population import REGIONS, Population
from pipelines.simulation.world.structure import Sale, Structure

type Rows = IntArray | slice

MOVES = 2
"""Most moves out of one step that messages can push."""

OUTCOMES = (None, "referred", "reviewed", "answered")
"""What a sale is reported as; None is a purchase."""

EVERYBODY = slice(None)
_LATE = frozenset({JourneyStep.LATE_1, JourneyStep.LATE_2, JourneyStep.LATE_3})
_AWAY = frozenset({"return", "book", "prepare"})


class WorldEffects:
    """The equations for one population and one list of messages.

    Attributes:
        messages: k messages; an action is an index into them, -1 is silence.
        fit: Shape (k, n), in [0, 1].
        strength: Log-odds at full fit, shape (k, steps, 2), of the moves of `journey.PUSHED`.
        sale_probability: At full fit, shape (k, steps).
        sale_minor: Mean amounts, shape (k,).
        sale_outcome: Index into `OUTCOMES`, shape (k,).
        discount_rate: Share of the fare, shape (k,).
        cost_minor: Of one contact, shape (k,).
        channel: Index into the population's channels, shape (k,).
        is_in_stage: The message is for that step, shape (k, steps).
    """

    def __init__(self, population: Population, structure: Structure, messages: Sequence[Message]) -> None:
        self.population, self.structure, self.messages = population, structure, tuple(messages)
        self.fit = np.array([_fit(population, structure, one) for one in messages]).reshape(-1, population.size)
        self.channel = np.array([population.channels.index(one.channel.channel_id) for one in messages], dtype=np.int64)
        self.cost_minor = np.array([one.channel.cost_minor for one in messages])
        self.discount_rate = np.array([_number(one, "discount_rate") for one in messages])
        self.is_in_stage = np.array(
            [[step in steps_of(tuple(one.offer.stages)) for step in JourneyStep] for one in messages]
        )
        self.strength = np.array([[_strengths(structure, one, step) for step in JourneyStep] for one in messages])
        sales = [[_sale(structure, one, step) for step in JourneyStep] for one in messages]
        self.sale_probability = np.array(
            [[_probability(sale, step) for step, sale in zip(JourneyStep, row, strict=True)] for row in sales]
        )
        best = [next(filter(None, row), None) for row in sales]
        self.sale_minor = np.array([sale.amount_minor if sale else 0.0 for sale in best])
        self.sale_outcome = np.array([OUTCOMES.index(sale.outcome) if sale else 0 for sale in best])
        bits = (np.arange(MEMORIES)[:, None] >> np.arange(3)) & 1
        self.load = bits @ np.array(structure.load)

    def seen_probability(self, message: IntArray | int, rows: Rows, memory: IntArray) -> FloatArray:
        """P(seen | sent), for customers `rows`; a column of memories broadcasts."""
        channel, people = self.channel[message], self.population
        reached = np.where(people.is_reachable[rows, channel], people.affinity[rows, channel], 0.0)
        fatigue = people.fatigue[rows]
        if memory.ndim > 1:
            reached, fatigue = reached[:, None], fatigue[:, None]
        return reached * np.exp(-fatigue * self.load[memory])

    def leaving_probability(
        self, message: IntArray | int, rows: Rows, step: IntArray | int, memory: IntArray
    ) -> FloatArray:
        """P(leaving all marketing | seen), at most 1."""
        structure = self.structure
        fit = np.where(self.is_in_stage[message, step], self.fit[message, rows], 0.0)
        hazard = self.population.irritability[rows] * (1 + structure.misfit_annoyance * (1 - fit))
        if memory.ndim > 1:
            hazard = hazard[:, None]
        return np.minimum(hazard * (1 + structure.frequency_annoyance * self.load[memory]), 1.0)

    def push(self, message: IntArray | int, rows: Rows, step: IntArray | int) -> FloatArray:
        """Log-odds that a seen message adds, shape (r, 2)."""
        return self.strength[message, step] * self.fit[message, rows][:, None]

    def sale(self, message: IntArray | int, rows: Rows, step: IntArray | int) -> FloatArray:
        """P(the message's own product is sold | seen), shape (r,)."""
        return self.sale_probability[message, step] * self.fit[message, rows]

    def discount_minor(self, message: IntArray | int, rows: Rows) -> FloatArray:
        """What a deal costs on average where a booking takes it, shape (r,); 0 for messages without a discount."""
        return self.discount_rate[message] * self.population.fare_minor[rows]

    def permits(self) -> BoolArray:
        """Customers who are reachable and agreed to marketing on the message's channel, shape (n, k)."""
        return (self.population.is_reachable & self.population.agrees)[:, self.channel]


def _fit(people: Population, structure: Structure, message: Message) -> FloatArray:
    """How well a message suits each customer, in [0, 1]."""
    known = np.where(people.knows_region, 1.0, 0.7)
    pull = np.array(structure.region_pull)[people.region]
    match message.offer.kind:
        case "inspiration":
            fit = people.curiosity * pull
        case "deal":
            fit = people.price_sensitivity * known
        case "win_back":
            fit = people.price_sensitivity * (0.4 + 0.6 * people.patience)
        case "fare_alert":
            fit = 1 - 0.8 * people.price_sensitivity
        case "ancillary":
            fit = _fit_of_extra(people, str(message.offer.attributes.get("product")))
        case "loyalty":
            fit = np.array([0.35, 0.9, 0.2])[people.status]
        case "referral":
            fit = people.sociability
        case _:
            fit = 0.3 + 0.7 * people.sociability
    return np.clip(fit, 0.0, 1.0)


def _fit_of_extra(people: Population, product: str) -> FloatArray:
    match product:
        case "bag":
            return np.where(people.has_children, 0.9, 0.35)
        case "seat":
            return 1 - people.price_sensitivity
        case "stay":
            likes = np.array([1.0 if region in {"coast", "islands"} else 0.4 for region in REGIONS])[people.region]
            return likes * np.where(people.has_children, 1.0, 0.6)
        case "lounge":
            return np.array([0.25, 0.7, 0.5])[people.status]
        case _:
            return np.full(people.size, 0.5)


def _strengths(structure: Structure, message: Message, step: JourneyStep) -> list[float]:
    """Strength of each pushable move of a step; the square root makes twice the discount less than twice as strong."""
    strengths = [0.0] * MOVES
    push = structure.pushes.get((message.offer.kind, STAGE_OF[step]))
    if push is None or step not in steps_of(tuple(message.offer.stages)):
        return strengths
    rate = _number(message, "discount_rate")
    if push.towards in PUSHED.get(step, ()):
        strengths[PUSHED[step].index(push.towards)] = push.strength * (float(np.sqrt(rate / 0.1)) if rate else 1.0)
    return strengths


def _sale(structure: Structure, message: Message, step: JourneyStep) -> Sale | None:
    offer = message.offer
    if step not in steps_of(tuple(offer.stages)):
        return None
    if offer.kind == "feedback" and STAGE_OF[step] not in _AWAY:
        return structure.answer
    return structure.sales.get((offer.kind, str(offer.attributes.get("product", "none"))))


def _probability(sale: Sale | None, step: JourneyStep) -> float:
    if sale is None:
        return 0.0
    return min(sale.probability * (sale.late_factor if step in _LATE else 1.0), 1.0)


def _number(message: Message, name: str) -> float:
    value = message.offer.attributes.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
