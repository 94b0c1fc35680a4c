"""Another learned function in place of the champion, for tests of what is done with its values."""

from dataclasses import replace

from decisioning.value_model import Predict
from serving.in_force.policy_in_force import InForce


def learned_by(in_force: InForce, predict: Predict) -> InForce:
    """What is in force, with this function scoring in place of the champion."""
    assert in_force.model is not None
    model = replace(in_force.model, predict=predict)
    on_touchpoint = {name: model.on(in_force.policy.candidates(name)) for name in in_force.on_touchpoint}
    return replace(in_force, model=model, on_touchpoint=on_touchpoint)
