"""Layers: experiments of one never share a customer, since each holds a part of it."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from decisioning.catalogue.experiment import Experiment, layer_name
from decisioning.draw import unit_hash
from decisioning.ranges import Spans, holds


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerShare:
    """The part of a layer that an experiment holds."""

    layer: str
    spans: Spans

    def holds(self, unit: str) -> bool:
        """True where the layer puts this unit into the part."""
        return holds(self.spans, unit_hash("layer", self.layer, unit))


def layer_shares(experiments: Iterable[Experiment]) -> dict[str, LayerShare]:
    """Which part of its layer each experiment holds, by experiment; an experiment with the whole layer is not listed.

    Experiments of a layer take their traffic of [0, 1) in the order of their names, unless they were given other parts
    while one of them was running. One that has ended keeps its part while it is declared, so that nobody else moves.
    An experiment without a layer has one of its own.
    """
    layers: dict[str, list[Experiment]] = defaultdict(list)
    for experiment in experiments:
        if experiment.layer is not None or experiment.traffic < 1:
            layers[layer_name(experiment)].append(experiment)
    return {
        name: LayerShare(layer=layer, spans=spans)
        for layer, members in layers.items()
        for name, spans in _parts(members).items()
    }


def _parts(members: Iterable[Experiment]) -> dict[str, Spans]:
    parts, start = dict[str, Spans](), 0.0
    for member in sorted(members, key=lambda one: one.experiment_id):
        first = ((start, start + member.traffic),)
        parts[member.experiment_id] = first if member.part is None else member.part
        start += member.traffic
    return parts
