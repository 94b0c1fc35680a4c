"""Check the names that holdouts and experiments use, their salts, and the layers they share."""

from collections.abc import Iterator
from typing import Any

from features.catalogue.forms.experiment_form import ExperimentFile
from features.catalogue.reading.documents import Location
from features.catalogue.reading.names import Names, check_name, check_names
from features.catalogue.reading.problems import shown
from features.catalogue.reading.sections import Sections

_ROUNDING = 1e-9


def check_tests(sections: Sections, sound: dict[str, Any], names: Names) -> None:
    """Add a problem for every unknown name, every salt given twice, and every layer that does not add up."""
    for name, holdout in sound["holdouts"].items():
        at = ("holdouts", name)
        check_names(sections, (*at, "goals"), holdout.goals, names.goals, "goal")
        check_names(sections, (*at, "departments"), holdout.departments, names.departments, "department")
        check_names(sections, (*at, "offers"), holdout.offers, names.offers, "offer")
    for name, experiment in sound["experiments"].items():
        _check_experiment(sections, ("experiments", name), experiment, names)
    _check_salts(sections, sound)
    _check_layers(sections, sound["experiments"])


def _check_experiment(sections: Sections, at: Location, experiment: ExperimentFile, names: Names) -> None:
    check_name(sections, (*at, "control"), experiment.control, experiment.arms, "arm of the experiment")
    check_name(sections, (*at, "primary"), experiment.primary, names.measures, "measure")
    check_names(sections, (*at, "secondary"), experiment.secondary, names.measures, "measure")
    check_names(sections, (*at, "touchpoints"), experiment.touchpoints, names.touchpoints, "touchpoint")


def _check_salts(sections: Sections, sound: dict[str, Any]) -> None:
    owners: dict[str, str] = {}
    for at, owner, salt in _salts(sound):
        if salt in owners:
            rule = f"must differ from the salt of {owners[salt]}, or both pick the same customers"
            sections.add((*at, "salt"), rule, shown(salt))
        owners.setdefault(salt, owner)


def _salts(sound: dict[str, Any]) -> Iterator[tuple[Location, str, str]]:
    if sound["holdout"]:
        yield ("holdout",), "the holdout", sound["holdout"].salt
    for name, holdout in sound["holdouts"].items():
        yield ("holdouts", name), f"holdout {name!r}", holdout.salt
    for name, experiment in sound["experiments"].items():
        yield ("experiments", name), f"experiment {name!r}", experiment.salt


def _check_layers(sections: Sections, experiments: dict[str, ExperimentFile]) -> None:
    layers: dict[str, list[str]] = {}
    for name, experiment in sorted(experiments.items()):
        if experiment.layer is not None:
            layers.setdefault(experiment.layer, []).append(name)
    for layer, members in layers.items():
        _check_layer(sections, layer, {name: experiments[name] for name in members})


def _check_layer(sections: Sections, layer: str, members: dict[str, ExperimentFile]) -> None:
    (first, *_), total = members, 0.0
    for name, experiment in members.items():
        total += experiment.traffic
        if total > 1 + _ROUNDING:
            shares = ", ".join(f"{each} {member.traffic:g}" for each, member in members.items())
            rule = f"must leave the traffic of layer {layer!r} at 1 at most: its experiments take {shares}"
            sections.add(("experiments", name, "traffic"), rule, f"{total:g} in all")
            return
        if experiment.unit is not members[first].unit:
            rule = f"must be the unit of {first!r}: experiments of layer {layer!r} could share a customer otherwise"
            sections.add(("experiments", name, "unit"), rule, shown(experiment.unit.value))
