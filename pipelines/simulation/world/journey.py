"""The journey as a chain: the steps a customer takes week by week, and how likely each next step is.

A step is a stage together with the weeks spent in it, where these matter: a booking is four weeks old at most when the
trip is near, and the weeks after a trip are three. The chain is what operations and customers do, so a catalogue's
rules can see most of it in events; what they cannot see is who has quietly stopped dreaming.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum


class JourneyStep(IntEnum):
    """Where a customer stands at the beginning of a week."""

    DREAM = 0
    PLAN = 1
    BOOK_1 = 2
    BOOK_2 = 3
    BOOK_3 = 4
    BOOK_4 = 5
    PREPARE = 6
    TRAVEL = 7
    RECOVER = 8
    MENDED = 9  # the case is solved, and the customer is left in peace for a week
    RETURN_1 = 10
    RETURN_2 = 11
    RETURN_3 = 12
    LATE_1 = 13  # the same three weeks after a trip that ended late
    LATE_2 = 14
    LATE_3 = 15
    LAPSE = 16


_STAGES = {"MENDED": "recover", "LATE": "return"}  # the others bear their stage's name

STAGE_OF: Mapping[JourneyStep, str] = {
    step: _STAGES.get(name, name.lower()) for step in JourneyStep for name in [step.name.partition("_")[0]]
}
"""The stage of each step. A case that was solved still keeps marketing away for its cooldown."""

NEXT: Mapping[JourneyStep, JourneyStep] = {
    step: JourneyStep(step + 1)
    for first, last in (("BOOK_1", "BOOK_4"), ("RETURN_1", "RETURN_3"), ("LATE_1", "LATE_3"))
    for step in JourneyStep
    if JourneyStep[first] <= step < JourneyStep[last]
}
"""The step that follows when nothing else happens, where that is not the same step."""

WITHOUT_MARKETING = frozenset({JourneyStep.TRAVEL, JourneyStep.RECOVER, JourneyStep.MENDED})
"""Steps in which no marketing may be sent: on the way, and while service comes before sales."""

PUSHED: Mapping[JourneyStep, tuple[JourneyStep, ...]] = {
    JourneyStep.DREAM: (JourneyStep.PLAN,),
    JourneyStep.PLAN: (JourneyStep.BOOK_1,),
    JourneyStep.LAPSE: (JourneyStep.DREAM, JourneyStep.PLAN),
}
"""The moves that a seen message can make likelier, in the order in which chance decides on them."""

MEMORIES = 8
"""States of memory: a bit per week, the lowest for last week, set where marketing contacted the customer."""

FULL_MEMORY = MEMORIES - 1
"""Three contacts in three weeks: the cap of three in 27 days leaves no room for a fourth."""


def contacts_after(memory: int, *, is_contacted: bool) -> int:
    """Memory a week later.

    Example:
        >>> contacts_after(0b101, is_contacted=True), contacts_after(0b101, is_contacted=False)
        (3, 2)
    """
    return (memory << 1 | is_contacted) & FULL_MEMORY


def steps_of(stages: Sequence[str]) -> frozenset[JourneyStep]:
    """Steps in which a message for these stages may be sent; none named means every one."""
    return frozenset(
        step for step, stage in STAGE_OF.items() if step not in WITHOUT_MARKETING and (not stages or stage in stages)
    )
