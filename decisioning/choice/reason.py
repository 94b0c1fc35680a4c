"""The reason code of a decision.

Without a profile it is UNKNOWN_CUSTOMER, or DEGRADED where something was away that might have had one; or CONTENDED
where the ask lost so many races against others that it was decided without looking. An ask that was put off to a better
hour says BETTER_HOUR.

Where nothing was permitted, the first of these that is true:

1. A message stood ready but for a test: HOLDOUT, PROGRAMME_HOLDOUT, EXPERIMENT (a silent arm).
2. A message only waits for the end of quiet hours: DEFERRED.
3. An open or recent case keeps one back, and nothing else does but quiet hours: CARE.
4. Something was away: DEGRADED. Else NOTHING_PERMITTED.

Otherwise who chose, the first of these that is true:

1. A class that goes before others: PRECEDENCE.
2. The random arm: EXPERIMENT.
3. Declared values and the draw, since no model was ever in force: COLD_START. It does not say which of the two chose.
4. The draw, against the best: EXPLORED.
5. The plan over all customers: ALLOCATED.
6. Declared values, since the customer does not want to be profiled: NOT_PROFILED.
7. Declared values, since no model was there or an arm asks for none: RULES; or DEGRADED where they hold, and something
   was away.
8. The model: MODEL; where it holds, KEPT_FOR_LATER if a message would pay but for what its room is worth later, else
   SILENCE_BEST.
"""

from decisioning.catalogue.experiment import ArmPolicy
from decisioning.choice.position import Choice, Way
from decisioning.decision import Exclusion, Inputs, Reason
from decisioning.gates.assignment import Assignment
from decisioning.gates.screening import Screening

CONTENDED_WORD = "contended"
"""In `Inputs.degraded`: other decisions about the customer, or about what all share, were committed first each time."""

_TESTS = {
    Exclusion.HOLDOUT: Reason.HOLDOUT,
    Exclusion.PROGRAMME_HOLDOUT: Reason.PROGRAMME_HOLDOUT,
    Exclusion.EXPERIMENT_ARM: Reason.EXPERIMENT,
}
_CASES = frozenset({Exclusion.CASE_OPEN, Exclusion.CASE_COOLING_DOWN})
_QUIET = frozenset({Exclusion.QUIET_HOURS})


def choose_reason(
    inputs: Inputs,
    assignment: Assignment,
    screening: Screening,
    choice: Choice,
    *,
    is_profiled: bool,
    is_scored: bool,
) -> Reason:
    """The reason of a decision.

    Args:
        inputs: What was looked at.
        assignment: Holdouts and arms.
        screening: What the gates left.
        choice: What was chosen of that, and how.
        is_profiled: False for a customer who does not want to be.
        is_scored: A model had a say.
    """
    if inputs.customer is None and CONTENDED_WORD in inputs.degraded:
        return Reason.CONTENDED
    if inputs.customer is None:
        return Reason.DEGRADED if inputs.degraded else Reason.UNKNOWN_CUSTOMER
    if choice.better_hour is not None:
        return Reason.BETTER_HOUR
    if not screening.permitted:
        return _reason_for_nothing(inputs, screening)
    is_random = ArmPolicy.RANDOM in assignment.policies
    chance = _chance(choice, is_random=is_random)
    is_cold = inputs.is_cold_start and is_profiled and ArmPolicy.RULES not in assignment.policies
    if is_cold and chance in {None, Reason.EXPLORED}:
        return Reason.COLD_START
    return chance or _reason_of_worth(inputs, choice, is_profiled=is_profiled, is_scored=is_scored)


def _chance(choice: Choice, *, is_random: bool) -> Reason | None:
    """Who chose where worth alone did not."""
    if choice.way is Way.PRECEDENCE:
        return Reason.PRECEDENCE
    if is_random:
        return Reason.EXPERIMENT
    if choice.chosen != choice.best:
        return Reason.EXPLORED
    return Reason.ALLOCATED if choice.way is Way.PLAN else None


def _reason_of_worth(inputs: Inputs, choice: Choice, *, is_profiled: bool, is_scored: bool) -> Reason:
    if not is_profiled:
        return Reason.NOT_PROFILED
    if not is_scored:
        return Reason.DEGRADED if inputs.degraded and choice.chosen == 0 else Reason.RULES
    if choice.chosen:
        return Reason.MODEL
    return Reason.KEPT_FOR_LATER if choice.bids.would_pay else Reason.SILENCE_BEST


def _reason_for_nothing(inputs: Inputs, screening: Screening) -> Reason:
    excluded = screening.excluded
    # A held-out customer needs no score, so a missing one does not rule the message out.
    kept = excluded.only_saying({*_TESTS, Exclusion.NOT_SCORED})
    for test, reason in _TESTS.items():
        if kept & excluded.saying({test}):
            return reason
    if excluded.only_saying(_QUIET) & excluded.waiting():
        return Reason.DEFERRED
    if excluded.saying(_CASES) & excluded.only_saying({*_CASES, *_QUIET, Exclusion.NOT_SCORED}):
        return Reason.CARE
    return Reason.DEGRADED if inputs.degraded else Reason.NOTHING_PERMITTED
