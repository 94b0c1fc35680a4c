"""Which one word says best why a decision came out as it did.

What was sent is explained by who chose it: the random arm (EXPERIMENT), the draw against the best (EXPLORED), declared
values in place of a model (RULES), or the model (MODEL).

What was held is explained by the first of these that is true:

1. There is no profile: UNKNOWN_CUSTOMER, or DEGRADED where something was away that might have had it.
2. Nothing was permitted: HOLDOUT or EXPERIMENT where a message stood ready but for holdout or silent arm; else DEGRADED
   where something was away; else NOTHING_PERMITTED.
3. Silence was drawn: EXPERIMENT in the random arm, EXPLORED where a message was best.
4. Silence was best: DEGRADED or RULES where no model had a say, else SILENCE_BEST.
"""

from decisioning.decision import Exclusion, Inputs, Reason
from decisioning.experiment import ArmPolicy, Assignment
from decisioning.gates import Screening

_READY_BUT_HELD_OUT = frozenset({Exclusion.HOLDOUT})
_READY_BUT_SILENT_ARM = frozenset({Exclusion.EXPERIMENT_ARM})


def choose_reason(inputs: Inputs, assignment: Assignment, screening: Screening, *, best: int, chosen: int) -> Reason:
    """The reason of a decision.

    Args:
        inputs: What was looked at.
        assignment: Holdout and arms.
        screening: What the gates left.
        best: Index of the best bid, 0 for silence.
        chosen: Index of the drawn bid, 0 for silence.
    """
    if inputs.customer is None:
        return Reason.DEGRADED if inputs.degraded else Reason.UNKNOWN_CUSTOMER
    if not screening.permitted:
        return _reason_for_nothing(inputs, screening)
    if ArmPolicy.RANDOM in assignment.policies:
        return Reason.EXPERIMENT
    if chosen != best:
        return Reason.EXPLORED
    if inputs.expected_values is None:
        return Reason.DEGRADED if inputs.degraded and chosen == 0 else Reason.RULES
    return Reason.MODEL if chosen else Reason.SILENCE_BEST


def _reason_for_nothing(inputs: Inputs, screening: Screening) -> Reason:
    # A held-out customer needs no score: that it is missing too does not keep the message from standing ready.
    obstacles = {frozenset(excluded.reasons) - {Exclusion.NOT_SCORED} for excluded in screening.excluded}
    if _READY_BUT_HELD_OUT in obstacles:
        return Reason.HOLDOUT
    if _READY_BUT_SILENT_ARM in obstacles:
        return Reason.EXPERIMENT
    return Reason.DEGRADED if inputs.degraded else Reason.NOTHING_PERMITTED
