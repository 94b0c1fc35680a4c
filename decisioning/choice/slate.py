"""The further positions of a slate, each chosen given those before it."""

from decisioning.choice.position import Choice, Chooser
from decisioning.decision import Inputs, Position
from decisioning.draw import unit_hash
from decisioning.gates.screening import Board, Screening
from decisioning.gates.situation import SLATE_LAYERS, Situation, in_slate


def position_uniform(uniform: float, position: int) -> float:
    """The draw of a further position, in [0, 1): a function of the decision's draw and the position alone.

    Args:
        uniform: The draw of the decision.
        position: 2 for the second position, and so on.
    """
    return unit_hash("position", str(position), repr(uniform))


def further_positions(
    chooser: Chooser, board: Board, inputs: Inputs, situation: Situation, screening: Screening, first: Choice
) -> tuple[Position, ...]:
    """Fill the request's placements after the first, in order.

    A position never repeats an offer of the slate, takes nothing that must not meet one of them, and finds caps, limits
    and fatigue as the positions before it leave them.

    Args:
        chooser: That of the decision.
        board: The gates of its touchpoint.
        inputs: What was read.
        situation: That of the first position.
        screening: What the gates left there.
        first: What it got.
    """
    positions: list[Position] = []
    choice = first
    for number, placement in enumerate(inputs.request.placements[1:], start=2):
        situation = in_slate(situation, choice.candidate, placement)
        screening = board.screen_again(screening, situation, SLATE_LAYERS)
        choice = chooser.choose(situation, screening, uniform=position_uniform(inputs.uniform, number))
        positions.append(
            Position(
                placement_id=placement.placement_id,
                message_key=choice.key,
                action_probability=choice.probability,
                is_best=choice.chosen == choice.best,
            )
        )
    return tuple(positions)
