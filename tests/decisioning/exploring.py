"""Policies that explore."""

from collections.abc import Callable
from dataclasses import replace

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.experiment import Experiment
from decisioning.catalogue.exploration import Exploration
from decisioning.decision import Inputs
from decisioning.policy import Policy

type MakeInputs = Callable[..., Inputs]
type MakeExperiment = Callable[..., Experiment]


def exploring(catalogue: Catalogue, epsilon: float, floor: float = 0.0, *experiments: Experiment) -> Policy:
    exploration = Exploration(epsilon=epsilon, min_probability=floor)
    return Policy(replace(catalogue, exploration=exploration, experiments=experiments))
