"""One Monday of one policy: the real decision for every customer, with what is scarce spread as a batch spreads it.

All policies that are compared are decided here, by `decisioning.policy.decide` under the same catalogue. They differ in
the worth that they see in each message, and in nothing else: gates, caps, costs, capacities and the plan over everybody
are the same. As `decide-batch --optimise` does it, everybody is looked at first, what is scarce is spread so that all
of it is worth most by the policy's own values, and each customer is then decided by that plan, capacities counted one
by one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from decisioning.arrays import FloatArray
from decisioning.catalogue.limits import Supply
from decisioning.decision import Decision, Inputs, Request, request_uniform
from decisioning.foresight.slots import Foresight
from decisioning.gates.candidate import Candidate
from decisioning.gates.capacity import uses
from decisioning.policy import Policy, decide
from pipelines.batch.allocation import allocate
from pipelines.batch.allocation_problem import problem_of
from pipelines.batch.customer_options import options_of
from pipelines.simulation.contest.books import Books
from pipelines.simulation.policies.policies import Features
from pipelines.simulation.world.world import TOUCHPOINT


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """What a Monday is decided on.

    Attributes:
        policy: Gates, caps, limits and arbitration: the same for all that are compared.
        values: shape (n, k + 1), worth in minor units, silence first, then the touchpoint's candidates in order.
        foresight: What lies ahead, for arbitration.
        order: shape (n,), who is asked first: matters where something runs out.
    """

    policy: Policy
    books: Books
    features: Features
    values: FloatArray
    now: datetime
    order: Sequence[int]
    foresight: Foresight | None = None

    def inputs(self, place: int, supply: Supply, allocated: str | None = None) -> Inputs:
        """Everything that one decision looks at."""
        customer = self.books.customer(place)
        key = self.now.date().isoformat()
        request = Request(customer_id=customer.customer_id, touchpoint_id=TOUCHPOINT, request_key=key)
        return Inputs(
            request=request,
            customer=customer,
            features=self.features.of(place),
            expected_values=self.values[place],
            model_version="world",
            now=self.now,
            uniform=request_uniform(self.policy.seed, request),
            live=self.books.live(place),
            supply=supply,
            allocated=allocated,
            foresight=self.foresight,
        )


def decide_wave(wave: Wave, *, name: str) -> list[Decision]:
    """Decide for everybody and count what is used; n decisions in the order of the customers.

    Args:
        wave: What is decided on. Counters of its books go up by what is used.
        name: Begins the decisions' ids, which must differ between waves.
    """
    limited = _limited(wave)
    before = wave.books.supply()
    survey = [
        decide(wave.policy, wave.inputs(place, before), f"{name}-{place:06d}") for place in range(len(wave.books))
    ]
    wanting = frozenset(place for place, decision in enumerate(survey) if decision.message_key in limited)
    return _as_planned(wave, survey, limited, wanting, before) if wanting else survey


def _as_planned(
    wave: Wave, survey: list[Decision], limited: dict[str, Candidate], wanting: frozenset[int], before: Supply
) -> list[Decision]:
    """The survey with everybody decided anew, by the plan, who wants what is scarce.

    Prices only make scarce messages worth less: whoever wants another message is in no plan's way, and none in theirs.
    """
    catalogue, order = wave.policy.catalogue, [place for place in wave.order if place in wanting]
    options = [options_of(survey[place]) for place in order]
    problem = problem_of(catalogue, wave.policy.candidates(TOUCHPOINT), options, before, wave.now)
    plan = allocate(problem.choices, problem.constraints)
    prices, decisions = problem.prices(plan), list(survey)
    for place, key in zip(order, problem.allocated(plan), strict=True):
        inputs = wave.inputs(place, wave.books.supply(prices), allocated=key)
        decision = decisions[place] = decide(wave.policy, inputs, survey[place].decision_id)
        candidate = limited.get(decision.message_key)
        if candidate is not None:
            for counter, amount in uses(catalogue, candidate.touch, candidate.cost_minor, wave.now).items():
                wave.books.counters[counter] = wave.books.counters.get(counter, 0.0) + amount
    return decisions


def _limited(wave: Wave) -> dict[str, Candidate]:
    """Candidates that use up something that all customers share, by key."""
    catalogue = wave.policy.catalogue
    return {
        one.key: one
        for one in wave.policy.compiled_candidates(TOUCHPOINT)
        if uses(catalogue, one.touch, one.cost_minor, wave.now)
    }
