"""Everything that determines a decision, compiled once, and the one function that decides."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from decisioning.catalogue.care import care_standing, check_care
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import check_contact_policy
from decisioning.catalogue.conversation import check_conversation
from decisioning.catalogue.experiment import ArmPolicy, check_experiments
from decisioning.catalogue.exploration import check_exploration
from decisioning.catalogue.journey import StageStanding, compile_stages, standing
from decisioning.catalogue.levers import LeverScope, check_levers
from decisioning.catalogue.limits import check_limits
from decisioning.catalogue.listening import check_listening
from decisioning.catalogue.measure import Unit
from decisioning.catalogue.message import Message
from decisioning.catalogue.quiet_hours import check_quiet_hours
from decisioning.choice.arbitration import check_scores
from decisioning.choice.ghost import ghost_of
from decisioning.choice.position import Choice, Chooser
from decisioning.choice.price_list import PriceList
from decisioning.choice.reason import choose_reason
from decisioning.choice.slate import further_positions
from decisioning.choice.waiting import wait_ends_at
from decisioning.consent import is_profiled
from decisioning.customer import Customer
from decisioning.decision import Action, BetterHour, Decision, Ghost, Inputs, Position, Reason, Request
from decisioning.errors import InvalidInputError, UnknownNameError
from decisioning.gates.assignment import (
    HOLDOUT_TEST,
    IN,
    OUT,
    Assigner,
    Assignment,
    Who,
    experiment_test,
    programme_test,
)
from decisioning.gates.candidate import Candidate, compile_candidates
from decisioning.gates.facts import gather_facts
from decisioning.gates.screening import Board, Screening
from decisioning.gates.situation import Ground, Situation, situation_of
from decisioning.live import NOTHING_KEPT, stage_moved_to
from decisioning.residuals import NO_RESIDUALS, NO_STAGE, residuals_at
from decisioning.rules.fact_names import STAGE_FACT
from decisioning.rules.predicate import Facts
from decisioning.value_class import value_class

BEHAVIOUR_VERSION = "4"
"""Raised whenever the same catalogue, seed and inputs may give another decision than before."""


class Policy:
    """A catalogue and a seed, with rules compiled and candidates per touchpoint in a fixed order.

    Attributes:
        catalogue: What marketers declared.
        seed: Seed of the draws.
        unit: Of what models predict: that of the measure the catalogue learns, unless another was asked for.
        version: Hash of catalogue version, seed, unit and core behaviour; two policies with one version decide alike.
    """

    __slots__ = (
        "_assigner",
        "_boards",
        "_ground",
        "_messages",
        "_price_lists",
        "_stages",
        "catalogue",
        "seed",
        "unit",
        "version",
    )

    def __init__(self, catalogue: Catalogue, seed: str = "nextbest", *, unit: Unit | None = None) -> None:
        """Compile and check.

        Args:
            catalogue: What is declared.
            seed: Seed of the draws.
            unit: Of what models predict, where the model in use learned before the catalogue asked for something else.

        Raises:
            InvalidPolicyError: Something declared cannot work.
            UnknownNameError: Something declared names something that is not.
        """
        check_exploration(catalogue.exploration)
        check_experiments(catalogue.experiments, catalogue.holdout, catalogue.programme_holdouts)
        check_levers(catalogue.levers, _lever_names(catalogue))
        check_contact_policy(catalogue.contact_policy)
        check_quiet_hours(catalogue.quiet_hours)
        check_care(catalogue.care)
        check_listening(catalogue.listening)
        check_limits(catalogue.limits, catalogue.shares)
        if catalogue.conversation is not None:
            check_conversation(catalogue.conversation)
        self._assigner = Assigner(catalogue.experiments, catalogue.holdout, catalogue.programme_holdouts)
        self.catalogue = catalogue
        self.seed = seed
        self.unit = unit or _learned_unit(catalogue)
        self.version = _version(
            catalogue.version, seed, *(() if self.unit is _learned_unit(catalogue) else (self.unit,))
        )
        self._ground = Ground(catalogue)
        self._stages = compile_stages(catalogue.stages)
        self._boards = {
            name: Board(catalogue, compile_candidates(catalogue, touchpoint, unit=self.unit))
            for name, touchpoint in catalogue.touchpoints.items()
        }
        self._price_lists = {
            name: PriceList(catalogue, board.lineup, wait_seconds=catalogue.touchpoints[name].wait_seconds)
            for name, board in self._boards.items()
        }
        self._messages = {
            name: tuple(one.message for one in board.lineup.candidates) for name, board in self._boards.items()
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
        return self.board(touchpoint_id).lineup.candidates

    def board(self, touchpoint_id: str) -> Board:
        """The gates of a touchpoint, laid out over its candidates.

        Raises:
            UnknownNameError: No such touchpoint.
        """
        self.candidates(touchpoint_id)
        return self._boards[touchpoint_id]

    def price_list(self, touchpoint_id: str) -> PriceList:
        """What the messages of a touchpoint are charged and weighed; the touchpoint is a known one."""
        return self._price_lists[touchpoint_id]

    def standing(self, inputs: Inputs, facts: Facts, *, is_profiled: bool) -> StageStanding:
        """The journey stage: the caller's word, else one that an event named of late, else the first entry rule.

        An event's word holds for a day, until features know better. It is behaviour, as features are: neither is looked
        at for a customer who does not want to be profiled.

        Raises:
            UnknownNameError: The caller named a stage that is not declared.
        """
        asked = inputs.request.stage_id
        if asked is not None:
            known = [stage.stage_id for stage in self._stages]
            if asked not in known:
                raise UnknownNameError("stage", asked, known)
            return StageStanding(stage_id=asked)
        moved_to = stage_moved_to(inputs.live, inputs.now) if is_profiled else None
        return standing(self._stages, facts, has_behaviour=is_profiled, moved_to=moved_to)

    def assignment(
        self,
        request: Request,
        customer: Customer | None,
        now: datetime,
        kept: Mapping[str, str] = NOTHING_KEPT,
    ) -> Assignment:
        """Holdouts and experiment arms of the customer; serving asks for them before it scores.

        Args:
            request: Who and where.
            customer: The profile, which names the household; None where there is none.
            now: The moment of deciding (aware).
            kept: What they keep of a first exposure under another id, see `LiveState.kept`.
        """
        who = Who(
            customer_id=request.customer_id,
            household_id=customer.household_id if customer is not None else None,
            is_known=customer is not None,
            kept=kept,
        )
        return self._assigner.assign(who, touchpoint_id=request.touchpoint_id, now=now)

    def model_alias(
        self,
        request: Request,
        customer: Customer | None,
        now: datetime,
        kept: Mapping[str, str] = NOTHING_KEPT,
    ) -> str | None:
        """Alias of the model that an experiment arm wants this decision scored with; None for the one in force."""
        return self.assignment(request, customer, now, kept).model_alias

    def situation(self, inputs: Inputs, assignment: Assignment) -> Situation:
        """What gates look at for a customer at one moment, at the first placement of their request.

        Raises:
            UnknownNameError: The caller named a stage that is not declared.
            InvalidInputError: Inputs that contradict each other.
        """
        catalogue, profiled = self.catalogue, is_profiled(inputs)
        care = care_standing(catalogue.care, inputs.live.cases, inputs.now)
        facts = gather_facts(
            inputs,
            is_profiled=profiled,
            care=care,
            event_types=catalogue.event_types,
            words=self._ground.words,
            wanted=self._ground.facts,
        )
        place = self.standing(inputs, facts, is_profiled=profiled)
        facts[STAGE_FACT] = place.stage_id
        return situation_of(
            self._ground,
            inputs,
            assignment=assignment,
            place=place,
            facts=facts,
            care=care,
            is_profiled=profiled,
        )

    def exposures(self, decision: Decision) -> dict[str, str]:
        """What a decision puts its customer into, as `LiveState.kept` has it."""
        found = {experiment_test(name): arm for name, arm in decision.arms.items()}
        if self.catalogue.holdout is not None:
            found[HOLDOUT_TEST] = IN if decision.is_held_out else OUT
        for programme in self.catalogue.programme_holdouts:
            name = programme.programme_id
            found[programme_test(name)] = IN if name in decision.programme_holdouts else OUT
        return found


def decide(policy: Policy, inputs: Inputs, decision_id: str) -> Decision:
    """Choose the next message for one customer, or silence.

    The same policy and inputs always give the same decision, and nothing else is looked at.

    Args:
        policy: The compiled policy.
        inputs: Everything known at this moment; what could not be read is None, and rules that need it do not pass.
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
    assignment = policy.assignment(inputs.request, inputs.customer, inputs.now, inputs.live.kept)
    situation = policy.situation(inputs, assignment)
    chooser = _chooser(policy, inputs, assignment, situation)
    screening = policy.board(inputs.request.touchpoint_id).screen(situation)
    choice = chooser.choose(situation, screening, uniform=inputs.uniform, allocated=inputs.allocated)
    return _decision(
        _Outcome(
            policy=policy,
            inputs=inputs,
            assignment=assignment,
            situation=situation,
            chooser=chooser,
            screening=screening,
            choice=choice,
        ),
        decision_id,
    )


@value_class
class _Outcome:
    """Everything about the first position, from which the rest of a decision follows."""

    policy: Policy
    inputs: Inputs
    assignment: Assignment
    situation: Situation
    chooser: Chooser
    screening: Screening
    choice: Choice

    @property
    def message(self) -> Message | None:
        candidate = self.choice.candidate
        return None if candidate is None else candidate.message

    @property
    def board(self) -> Board:
        return self.policy.board(self.inputs.request.touchpoint_id)

    def reason(self) -> Reason:
        return choose_reason(
            self.inputs,
            self.assignment,
            self.screening,
            self.choice,
            is_profiled=self.situation.is_profiled,
            is_scored=self.chooser.expected_values is not None,
        )

    def further(self) -> tuple[Position, ...]:
        if len(self.inputs.request.placements) == 1:
            return ()
        return further_positions(self.chooser, self.board, self.inputs, self.situation, self.screening, self.choice)

    def ghost(self) -> Ghost | BetterHour | None:
        if not self.assignment.keeps_back:
            return None
        return ghost_of(self.chooser, self.board, self.inputs, self.situation, self.screening)

    def retry_at(self, better_hour: BetterHour | None) -> datetime | None:
        if better_hour is not None:
            return better_hour.at
        if self.choice.chosen:
            return None
        return min((moment for _, moment in self.screening.excluded.waits), default=None)


def _check(inputs: Inputs) -> None:
    if not 0 <= inputs.uniform < 1:
        raise InvalidInputError(f"uniform must be in [0, 1), got {inputs.uniform}")
    if inputs.now.utcoffset() is None:
        raise InvalidInputError(f"now must be a time with an offset, got {inputs.now}; pass an aware time in UTC")
    names = [placement.placement_id for placement in inputs.request.placements]
    if not names or len(set(names)) != len(names):
        raise InvalidInputError(f"placements must be one or more with different names, got {names}")
    if inputs.customer is not None and inputs.customer.customer_id != inputs.request.customer_id:
        raise InvalidInputError("customer must be the one that the request names, got another; read that profile")


def _chooser(policy: Policy, inputs: Inputs, assignment: Assignment, situation: Situation) -> Chooser:
    touchpoint_id = inputs.request.touchpoint_id
    lineup = policy.board(touchpoint_id).lineup
    values, is_random = inputs.expected_values, ArmPolicy.RANDOM in assignment.policies
    if ArmPolicy.RULES in assignment.policies or not situation.is_profiled:
        values = None
    if values is not None:
        check_scores(values, len(lineup.candidates))
    return Chooser(
        lineup=lineup,
        price_list=policy.price_list(touchpoint_id),
        exploration=policy.catalogue.exploration,
        expected_values=values,
        is_random=is_random,
        takes_levers=ArmPolicy.NO_LEVERS not in assignment.policies,
        residuals=None if values is None else residuals_at(inputs.residuals, situation.stage_id),
        foresight=None if values is None else inputs.foresight,
        wait_until=None if values is None or is_random else _wait_ends_at(policy, inputs),
    )


def _wait_ends_at(policy: Policy, inputs: Inputs) -> datetime | None:
    touchpoint = policy.catalogue.touchpoints[inputs.request.touchpoint_id]
    return wait_ends_at(touchpoint, inputs, policy.catalogue.exploration, policy.seed)


def _decision(outcome: _Outcome, decision_id: str) -> Decision:
    inputs, choice, message = outcome.inputs, outcome.choice, outcome.message
    further, kept_back = outcome.further(), outcome.ghost()
    better_hour = kept_back if isinstance(kept_back, BetterHour) else choice.better_hour
    asked_model = outcome.chooser.expected_values is not None or inputs.expected_values is None
    return Decision(
        decision_id=decision_id,
        customer_id=inputs.request.customer_id,
        touchpoint_id=inputs.request.touchpoint_id,
        decided_at=inputs.now,
        action=Action.SEND if message else Action.HOLD,
        reason=outcome.reason(),
        message_key=choice.key,
        offer_id=message.offer.offer_id if message else None,
        channel_id=message.channel.channel_id if message else None,
        creative_id=message.creative.creative_id if message else None,
        action_probability=choice.probability,
        stage_id=outcome.situation.stage_id,
        arms=outcome.assignment.arms,
        is_held_out=outcome.assignment.is_held_out,
        policy_version=outcome.policy.version,
        model_version=inputs.model_version if asked_model else None,
        degraded=inputs.degraded,
        evaluated=choice.evaluated,
        excluded=outcome.screening.excluded,
        inputs=_looked_at(outcome),
        further=further,
        ghost=kept_back if isinstance(kept_back, Ghost) else None,
        programme_holdouts=outcome.assignment.programmes,
        retry_at=outcome.retry_at(better_hour),
        care=outcome.situation.care.state,
        best_key=choice.best_key,
        better_hour=better_hour,
    )


def _looked_at(outcome: _Outcome) -> Inputs:
    """The inputs with no more residuals and foresight than the decision used, once all positions are decided."""
    inputs, used = outcome.inputs, outcome.chooser.residuals
    if inputs.foresight is not None:
        inputs = replace(inputs, foresight=outcome.chooser.seen_foresight)
    if not inputs.residuals:
        return inputs
    stage_id = outcome.situation.stage_id or NO_STAGE
    return replace(inputs, residuals=NO_RESIDUALS if used is None else {stage_id: used})


def _learned_unit(catalogue: Catalogue) -> Unit:
    measure = catalogue.measures.get(catalogue.learning.measure_id) if catalogue.learning else None
    return Unit.MONEY if measure is None else measure.unit


def _version(*parts: str) -> str:
    content = "\x00".join((BEHAVIOUR_VERSION, *parts))
    return hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _lever_names(catalogue: Catalogue) -> Mapping[LeverScope, frozenset[str]]:
    return {
        LeverScope.GOAL: frozenset(catalogue.goals),
        LeverScope.DEPARTMENT: frozenset(goal.department for goal in catalogue.goals.values()),
        LeverScope.CHANNEL: frozenset(catalogue.channels),
        LeverScope.OFFER: frozenset(catalogue.offers),
    }
