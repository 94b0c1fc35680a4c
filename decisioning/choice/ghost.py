"""Ghost decisions: what a held-out customer would have got; decided for the readout, never sent."""

from decisioning.choice.position import Chooser
from decisioning.decision import BetterHour, Ghost, Inputs
from decisioning.gates.screening import Board, Screening
from decisioning.gates.situation import FREED_LAYERS, Situation, freed


def ghost_of(
    chooser: Chooser, board: Board, inputs: Inputs, situation: Situation, screening: Screening
) -> Ghost | BetterHour | None:
    """The decision without holdouts and silent arms, with the same draw, having passed the same gates.

    Contacts of earlier ghosts count, so that caps apply to held-out customers as to others; and a ghost waits for a
    better hour as others do, so that both are decided at the same hours.

    Args:
        chooser: That of the decision.
        board: The gates of its touchpoint.
        inputs: What was read.
        situation: Of a customer from whom a test keeps something back.
        screening: What the gates left.

    Returns:
        None where no message was permitted but for the test. A ghost may be silence: what was not kept back then. Where
        it waits, what for.
    """
    free = freed(situation)
    left = board.screen_again(screening, free, FREED_LAYERS)
    if not left.permitted & ~screening.permitted:
        return None
    choice = chooser.choose(free, left, uniform=inputs.uniform, allocated=inputs.allocated)
    if choice.better_hour is not None:
        return choice.better_hour
    return Ghost(message_key=choice.key, action_probability=choice.probability)
