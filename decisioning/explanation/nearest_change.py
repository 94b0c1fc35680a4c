"""The nearest change that would have let an offer win, verified by deciding again with it.

First everything that refused the message is lifted, then whatever goes before it for reasons other than value is
removed, then its value is raised by as much as it lacks. Each step is listed; steps that turn out to be unnecessary are
dropped; and only what `decide` confirms is called verified. Nothing is sent, reserved or logged.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import takewhile

import numpy as np

from decisioning.catalogue.message import SILENCE
from decisioning.decision import Decision, Evaluated, Exclusion
from decisioning.errors import InvalidPolicyError, ModelUnavailableError
from decisioning.explanation.counterfactual import Counterfactual, lift_words, lifted
from decisioning.explanation.plain_words import rule_words, with_details
from decisioning.explanation.why_not import MessageStanding, OfferStanding, why_not_then
from decisioning.gates.candidate import Candidate
from decisioning.policy import Policy, decide

_MOST_MESSAGES = 4
_SMALLEST_RAISE = 0.01
_DOUBLINGS = 8
_RULES = frozenset({Exclusion.NOT_ELIGIBLE, Exclusion.NOT_APPLICABLE, Exclusion.NOT_SUITABLE})


class StepKind(StrEnum):
    """What would have to be different."""

    LATER = "later"
    LIFT = "lift"
    YIELD = "yield"  # what goes before it would have to be away
    VALUE = "value"
    DRAW = "draw"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeStep:
    """One thing that would have to be different.

    Attributes:
        words: A part of a sentence, after "if".
        exclusion: The gate, for `lift`.
        amount: How much more it would have to be worth, for `value`: in minor units, or in units of the learned rate.
        at: When, for `later`.
    """

    kind: StepKind
    words: str
    exclusion: Exclusion | None = None
    amount: float | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The nearest change, or why there is none.

    Attributes:
        message_key: The message that would win; None if unknown.
        steps: Everything that would have to be different together; empty if nothing has to be, or it is unknown.
        is_verified: Deciding again with these steps put the message first.
    """

    message_key: str | None
    steps: tuple[ChangeStep, ...]
    is_verified: bool
    sentence: str


def nearest_change(policy: Policy, decision: Decision, offer_id: str, channel_id: str | None = None) -> Change:
    """The smallest set of changes that would have let an offer win.

    Args:
        policy: The policy that decided.
        decision: As made, or as `record.decision_from_record` brings it back.
        offer_id: The offer.
        channel_id: Only this channel; None for any.
    """
    if decision.policy_version != policy.version:
        return _untold(f"it was decided by policy {decision.policy_version}, and only {policy.version} is at hand")
    found = why_not_then(decision, offer_id, channel_id)
    if not found.messages:
        return _untold(f"{offer_id} has no message at touchpoint {decision.touchpoint_id}: it needs a creative there")
    changes = [_change(policy, decision, one) for one in found.messages[:_MOST_MESSAGES]]
    return min(changes, key=_size)


def _untold(why: str) -> Change:
    return Change(message_key=None, steps=(), is_verified=False, sentence=f"No answer: {why}.")


def _size(change: Change) -> tuple[bool, int, float]:
    """Verified before not, few steps before many, small amounts before large ones."""
    return (not change.is_verified, len(change.steps), sum(step.amount or 0.0 for step in change.steps))


def _change(policy: Policy, decision: Decision, standing: MessageStanding) -> Change:
    key = standing.message_key
    if standing.standing is OfferStanding.CHOSEN:
        return Change(message_key=key, steps=(), is_verified=True, sentence=f"{key} was chosen: nothing has to change.")
    search = _Search(policy=policy, decision=decision, key=key)
    if standing.standing is OfferStanding.LOST_DRAW:
        return search.another_draw()
    return search.later(standing.allowed_at) or search.otherwise()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """Looks for what would let one message win."""

    policy: Policy
    decision: Decision
    key: str

    @property
    def candidate(self) -> Candidate:
        candidates = self.policy.compiled_candidates(self.decision.touchpoint_id)
        return next(one for one in candidates if one.key == self.key)

    @property
    def world(self) -> Counterfactual:
        return Counterfactual(catalogue=self.policy.catalogue, inputs=self.decision.inputs)

    def decided(self, world: Counterfactual) -> Decision:
        """What would be decided in another world."""
        is_other = world.catalogue is not self.policy.catalogue
        policy = Policy(world.catalogue, self.policy.seed, unit=self.policy.unit) if is_other else self.policy
        return decide(policy, world.inputs, self.decision.decision_id)

    def told(self, steps: Sequence[ChangeStep], *, is_verified: bool) -> Change:
        together = "; and ".join(step.words for step in steps)
        return Change(
            message_key=self.key,
            steps=tuple(steps),
            is_verified=is_verified,
            sentence=f"{self.key} would be first if {together}.",
        )

    def another_draw(self) -> Change:
        """Best already: a draw in its stretch of the cumulative distribution would have chosen it."""
        order = sorted(self.decision.evaluated, key=lambda one: (one.message_key != SILENCE, one.message_key))
        below = sum(one.probability for one in takewhile(lambda one: one.message_key != self.key, order))
        chance = next(one.probability for one in order if one.message_key == self.key)
        world = replace(self.world, inputs=replace(self.decision.inputs, uniform=below + chance / 2))
        words = f"the draw had come out differently, which has a chance of {chance:.1%}"
        step = ChangeStep(kind=StepKind.DRAW, words=words)
        told = self.told([step], is_verified=self.decided(world).message_key == self.key)
        return replace(told, sentence=f"{self.key} was first, and would be chosen if {words}.")

    def later(self, moment: datetime | None) -> Change | None:
        """The same question asked later, where only time stands in the way and it would win then."""
        if moment is None:
            return None
        world = replace(self.world, inputs=replace(self.decision.inputs, now=moment))
        words = f"it were asked at {moment.isoformat()} with all else as it was"
        steps = [ChangeStep(kind=StepKind.LATER, words=words, at=moment)]
        return self._raised_until_first(world, steps) if self._is_permitted(world) else None

    def otherwise(self) -> Change:
        """Every refusal lifted, and the value raised where that is not enough."""
        refusals = _refusals(self.decision, self.key)
        while True:
            unknown = [code for code, _ in refusals if lifted(self.world, self.candidate, code) is None]
            decision = self.decided(self._lifted(refusals))
            more = [one for one in _refusals(decision, self.key) if one not in refusals]
            if unknown or not more:
                break
            refusals += more  # a gate tells one thing at a time, and had another one behind it
        if unknown:
            return _untold(f"it is not known what {self.key} would be without {', '.join(unknown)}")
        kept = self._needed(refusals)
        steps = [ChangeStep(kind=StepKind.LIFT, words=self._words(*one), exclusion=one[0]) for one in kept]
        return self._raised_until_first(self._lifted(kept), steps)

    def _words(self, exclusion: Exclusion, detail: str) -> str:
        told = rule_words(self.policy, self.decision, self.key, exclusion) if exclusion in _RULES else detail
        return lift_words(self.candidate, exclusion, told)

    def _needed(self, refusals: Sequence[tuple[Exclusion, str]]) -> list[tuple[Exclusion, str]]:
        """Those of the refusals that have to be lifted."""
        kept = list(refusals)
        for one in refusals:
            fewer = [other for other in kept if other is not one]
            if self._is_permitted(self._lifted(fewer)):
                kept = fewer
        return kept

    def _lifted(self, refusals: Sequence[tuple[Exclusion, str]]) -> Counterfactual:
        world = self.world
        for code, _ in refusals:
            world = lifted(world, self.candidate, code) or world
        return world

    def _is_permitted(self, world: Counterfactual) -> bool:
        return any(one.message_key == self.key for one in self.decided(world).evaluated)

    def _raised_until_first(self, world: Counterfactual, steps: list[ChangeStep]) -> Change:
        """Take away what goes before it whatever it is worth, then raise its value by what it lacks."""
        decision, world = self._without_leaders(world, steps)
        if decision.best.message_key == self.key:
            return self.told(steps, is_verified=True)
        own = next(one for one in decision.evaluated if one.message_key == self.key)
        amount = _lacking(own, decision.best, self.candidate)
        for _ in range(_DOUBLINGS):
            try:
                if amount is not None and self.decided(self._raised(world, own, amount)).best.message_key == self.key:
                    step = ChangeStep(
                        kind=StepKind.VALUE, words=_value_words(amount, self.candidate, own), amount=amount
                    )
                    return self.told([*steps, step], is_verified=True)
            except (InvalidPolicyError, ModelUnavailableError):  # worth more than anything may be
                break
            amount = None if amount is None else amount * 2
        return _untold(f"no value would put {self.key} before {decision.best.message_key}")

    def _without_leaders(self, world: Counterfactual, steps: list[ChangeStep]) -> tuple[Decision, Counterfactual]:
        decision = self.decided(world)
        while (leader := self._leader(decision)) is not None:
            request = world.inputs.request
            ruled_out = replace(request, excluded_offers=request.excluded_offers | {leader})
            world = replace(world, inputs=replace(world.inputs, request=ruled_out, allocated=None))
            steps.append(
                ChangeStep(kind=StepKind.YIELD, words=f"{leader}, which takes precedence, were not a candidate")
            )
            decision = self.decided(world)
        return decision, world

    def _leader(self, decision: Decision) -> str | None:
        """The offer that is first for other reasons than worth."""
        best = decision.best.message_key
        if best in (self.key, SILENCE):
            return None
        candidates = self.policy.compiled_candidates(decision.touchpoint_id)
        leader = next(one for one in candidates if one.key == best)
        is_planned = decision.inputs.allocated == best
        is_rival = leader.offer_id != self.candidate.offer_id
        return leader.offer_id if is_rival and (leader.precedence is not None or is_planned) else None

    def _raised(self, world: Counterfactual, own: Evaluated, amount: float) -> Counterfactual:
        """The same with the message worth more: to the model where it had a say, else as declared."""
        values = world.inputs.expected_values
        if own.uplift_minor is not None and values is not None:
            place = [one.key for one in self.policy.compiled_candidates(self.decision.touchpoint_id)].index(self.key)
            raised = values + np.where(np.arange(len(values)) == place + 1, amount, 0.0)
            return replace(world, inputs=replace(world.inputs, expected_values=raised))
        offer = world.catalogue.offers[self.candidate.offer_id]
        dearer = replace(offer, value_minor=offer.value_minor + amount)
        return replace(
            world, catalogue=replace(world.catalogue, offers={**world.catalogue.offers, offer.offer_id: dearer})
        )


def _refusals(decision: Decision, key: str) -> list[tuple[Exclusion, str]]:
    return [pair for one in decision.excluded if one.message_key == key for pair in with_details(one)]


def _lacking(own: Evaluated, best: Evaluated, candidate: Candidate) -> float | None:
    """How much more the message would have to be worth to pass the best one; None where weights make it hopeless."""
    weight = own.context_weight * own.business_weight
    unit = candidate.unit_value_minor if own.uplift_minor is not None else 1.0
    if weight <= 0 or unit <= 0:
        return None
    net = own.priority_minor / weight if own.priority_minor > 0 else own.priority_minor
    lacking = (max(best.priority_minor, 0.0) / weight - net) / unit
    return lacking + max(_SMALLEST_RAISE / unit, abs(lacking) * 1e-9)


def _value_words(amount: float, candidate: Candidate, own: Evaluated) -> str:
    if own.uplift_minor is None:
        return f"its declared value were higher by {amount:.2f} minor units"
    if candidate.unit_value_minor != 1.0:
        return f"its expected rate were higher by {amount * 100:.2f} percentage points"
    return f"its expected value were higher, or its costs lower, by {amount:.2f} minor units"
