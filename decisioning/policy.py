"""Everything that determines a decision, compiled once, and the one function that decides."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from decisioning.arbitration import Bid, appraise, best_of, check_scores
from decisioning.candidate import Candidate, compile_candidates
from decisioning.catalogue import Catalogue
from decisioning.decision import Action, Decision, Evaluated, Inputs
from decisioning.errors import InvalidInputError, UnknownNameError
from decisioning.experiment import ArmPolicy, Assignment, assign, check_experiments
from decisioning.exploration import action_probabilities, check_exploration, draw, even_probabilities
from decisioning.facts import STAGE_FACT, gather_facts
from decisioning.gates import Screening, Situation, granted_consents, screen
from decisioning.journey import Standing, compile_stages, standing
from decisioning.message import Message
from decisioning.predicate import FactValue
from decisioning.reason import choose_reason

BEHAVIOUR_VERSION = "1"
"""Raised whenever the same catalogue, seed and inputs may give another decision than before."""


class Policy:
    """A catalogue and a seed, with rules compiled and candidates per touchpoint in a fixed order.

    Attributes:
        catalogue: What marketers declared.
        seed: Seed of the draws.
        version: Hash of catalogue version, seed and core behaviour; two policies with one version decide alike.
    """

    __slots__ = ("_candidates", "_messages", "_stages", "catalogue", "seed", "version")

    def __init__(self, catalogue: Catalogue, seed: str = "nextbest") -> None:
        """Compile and check.

        Raises:
            InvalidPolicyError: Something declared cannot work.
            UnknownNameError: Something declared names something that is not.
        """
        check_exploration(catalogue.exploration)
        check_experiments(catalogue.experiments, catalogue.holdout)
        self.catalogue = catalogue
        self.seed = seed
        self.version = _version(catalogue.version, seed)
        self._stages = compile_stages(catalogue.stages)
        self._candidates = {
            name: compile_candidates(catalogue, touchpoint) for name, touchpoint in catalogue.touchpoints.items()
        }
        self._messages = {
            name: tuple(candidate.message for candidate in candidates) for name, candidates in self._candidates.items()
        }

    def candidates(self, touchpoint_id: str) -> tuple[Message, ...]:
        """Every message of a touchpoint in the order of `Inputs.expected_values`: by message key.

        Raises:
            UnknownNameError: No such touchpoint.
        """
        messages = self._messages.get(touchpoint_id)
        if messages is None:
            raise UnknownNameError("touchpoint", touchpoint_id, self._messages)
        return messages

    def compiled_candidates(self, touchpoint_id: str) -> tuple[Candidate, ...]:
        """As `candidates`, with rules compiled.

        Raises:
            UnknownNameError: No such touchpoint.
        """
        self.candidates(touchpoint_id)
        return self._candidates[touchpoint_id]

    def standing(self, inputs: Inputs, facts: dict[str, FactValue]) -> Standing:
        """The journey stage: the caller's word where the request has one, else the first entry rule that holds.

        Raises:
            UnknownNameError: The caller named a stage that is not declared.
        """
        asked = inputs.request.stage_id
        if asked is None:
            return standing(self._stages, facts, has_features=inputs.features is not None)
        known = [stage.stage_id for stage in self._stages]
        if asked not in known:
            raise UnknownNameError("stage", asked, known)
        return Standing(stage_id=asked)

    def assignment(self, inputs: Inputs) -> Assignment:
        """Holdout and experiment arms of the customer."""
        return assign(
            self.catalogue.experiments,
            self.catalogue.holdout,
            customer_id=inputs.request.customer_id,
            touchpoint_id=inputs.request.touchpoint_id,
            now=inputs.now,
        )


def decide(policy: Policy, inputs: Inputs, decision_id: str) -> Decision:
    """Choose the next message for one customer, or silence.

    The same policy and inputs always give the same decision, and nothing else is looked at.

    Args:
        policy: The compiled policy.
        inputs: Everything known at this moment; what could not be read is None and closes what hangs on it.
        decision_id: Identity that the record carries.

    Returns:
        The decision with everything needed to explain and replay it.

    Raises:
        UnknownNameError: The touchpoint, or the stage that the caller named, is not declared.
        InvalidInputError: Inputs that contradict each other or are out of range.
        ModelUnavailableError: Scores that cannot be used. Ask again with `expected_values=None` and say so in
            `degraded`: a broken model never sends, and is never passed over in silence.
    """
    _check(inputs)
    candidates = policy.compiled_candidates(inputs.request.touchpoint_id)
    if inputs.expected_values is not None:
        check_scores(inputs.expected_values, len(candidates))
    assignment = policy.assignment(inputs)
    situation = _situation(policy, inputs, assignment)
    screening = screen(candidates, situation)
    bids = appraise(candidates, screening.permitted, inputs.expected_values)
    choice = _choose(policy, inputs, assignment, bids)
    return _decision(
        policy, inputs, decision_id, assignment=assignment, situation=situation, screening=screening, choice=choice
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    """Bids with their probabilities, and the indexes of the best and of the drawn one."""

    bids: Sequence[Bid]
    probabilities: Sequence[float]
    best: int
    chosen: int


def _choose(policy: Policy, inputs: Inputs, assignment: Assignment, bids: Sequence[Bid]) -> _Choice:
    best = best_of(bids)
    if ArmPolicy.RANDOM in assignment.policies:
        probabilities = even_probabilities(len(bids))
    else:
        probabilities = action_probabilities(policy.catalogue.exploration, count=len(bids), best=best)
    return _Choice(bids=bids, probabilities=probabilities, best=best, chosen=draw(probabilities, inputs.uniform))


def _check(inputs: Inputs) -> None:
    if not 0 <= inputs.uniform < 1:
        raise InvalidInputError(f"uniform must be in [0, 1), got {inputs.uniform}")
    if inputs.now.utcoffset() is None:
        raise InvalidInputError(f"now must be a time with an offset, got {inputs.now}; pass an aware time in UTC")
    if inputs.customer is not None and inputs.customer.customer_id != inputs.request.customer_id:
        raise InvalidInputError("customer must be the one that the request names, got another; read that profile")


def _situation(policy: Policy, inputs: Inputs, assignment: Assignment) -> Situation:
    facts = gather_facts(inputs)
    place = policy.standing(inputs, facts)
    facts[STAGE_FACT] = place.stage_id
    customer = inputs.customer
    return Situation(
        request=inputs.request,
        facts=facts,
        now=inputs.now,
        stage_id=place.stage_id,
        has_features=inputs.features is not None,
        is_stage_known=place.is_known,
        reachable=customer.reachable_channels if customer is not None else frozenset(),
        unsubscribed=customer.unsubscribed_channels if customer is not None else frozenset(),
        granted=granted_consents(customer, inputs.now),
        is_held_out=assignment.is_held_out,
        is_silent_arm=ArmPolicy.SILENCE in assignment.policies,
        is_rankable=inputs.expected_values is not None or ArmPolicy.RANDOM in assignment.policies,
    )


def _decision(
    policy: Policy,
    inputs: Inputs,
    decision_id: str,
    *,
    assignment: Assignment,
    situation: Situation,
    screening: Screening,
    choice: _Choice,
) -> Decision:
    request, chosen = inputs.request, choice.chosen
    message = policy.candidates(request.touchpoint_id)[screening.permitted[chosen - 1]] if chosen else None
    return Decision(
        decision_id=decision_id,
        customer_id=request.customer_id,
        touchpoint_id=request.touchpoint_id,
        decided_at=inputs.now,
        action=Action.SEND if message else Action.HOLD,
        reason=choose_reason(inputs, assignment, screening, best=choice.best, chosen=chosen),
        message_key=choice.bids[chosen].key,
        offer_id=message.offer.offer_id if message else None,
        channel_id=message.channel.channel_id if message else None,
        creative_id=message.creative.creative_id if message else None,
        action_probability=choice.probabilities[chosen],
        stage_id=situation.stage_id,
        arms=assignment.arms,
        is_held_out=assignment.is_held_out,
        policy_version=policy.version,
        model_version=inputs.model_version,
        degraded=inputs.degraded,
        evaluated=_evaluated(choice),
        excluded=screening.excluded,
        inputs=inputs,
    )


def _evaluated(choice: _Choice) -> tuple[Evaluated, ...]:
    """Silence first, then by falling priority, equal ones by key."""
    order = sorted(range(1, len(choice.bids)), key=lambda index: -choice.bids[index].priority_minor)
    return tuple(
        Evaluated(
            message_key=bid.key,
            expected_value_minor=bid.expected_value_minor,
            uplift_minor=bid.uplift_minor,
            cost_minor=bid.cost_minor,
            priority_minor=bid.priority_minor,
            probability=choice.probabilities[index],
        )
        for index in (0, *order)
        for bid in (choice.bids[index],)
    )


def _version(catalogue_version: str, seed: str) -> str:
    parts = "\x00".join((BEHAVIOUR_VERSION, catalogue_version, seed))
    return hashlib.blake2b(parts.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
