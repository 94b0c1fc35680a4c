"""The `fairness` section of a catalogue: checked with the rest, read by whoever watches or promotes.

It is no part of the core's `Catalogue`, since it changes no decision: two catalogues that differ in their guardrails
alone decide alike and have one version.
"""

from pathlib import Path
from typing import Any

from decisioning.errors import InvalidPolicyError
from features.catalogue.building.core_part import core_part
from features.catalogue.building.money import to_minor
from features.catalogue.fairness_rules import (
    ATTRIBUTE_PREFIX,
    FairnessMeasure,
    FairnessRules,
    FairnessUnit,
    Grouping,
    Guardrail,
)
from features.catalogue.forms.fairness_form import FairnessFile, GuardrailFile
from features.catalogue.reading.form_check import validate_sections
from features.catalogue.reading.names import Names, check_name
from features.catalogue.reading.sections import Sections, read_sections

_OF_CHANNELS = frozenset(
    {
        FairnessMeasure.CONTACT_BURDEN,
        FairnessMeasure.UNWANTED_RATE,
        FairnessMeasure.WANTED_RATE,
        FairnessMeasure.REACHED,
    }
)


def check_fairness(sections: Sections, sound: dict[str, Any], names: Names) -> None:
    """Add a problem for every guardrail that names what nobody declared, or tolerates everything."""
    attributes = {f"{ATTRIBUTE_PREFIX}{name}" for name in names.customer_attributes}
    for name, guardrail in sound["fairness"].guardrails.items():
        at = ("fairness", "guardrails", name)
        check_name(sections, (*at, "groups"), guardrail.groups, {*Grouping, *attributes}, "grouping")
        if guardrail.channel is not None:
            check_name(sections, (*at, "channel"), guardrail.channel, names.channels, "channel")
            if guardrail.measure not in _OF_CHANNELS:
                rule = f"must be left out: {guardrail.measure.value} is no matter of a channel"
                sections.add((*at, "channel"), rule, repr(guardrail.channel))
        if guardrail.measure.unit is FairnessUnit.RATE and guardrail.tolerance >= 1:
            rule = "must be below 1: it is a share, 0.05 is five points"
            sections.add((*at, "tolerance"), rule, f"{guardrail.tolerance:g}")


def load_fairness(folder: Path) -> FairnessRules:
    """The fairness rules of a catalogue's folder; without the section there is no guardrail.

    Raises:
        InvalidPolicyError: The section is wrong.
        InvalidInputError: The folder is not there or holds no YAML file.
    """
    sections = read_sections(folder)
    sound = validate_sections(sections)
    check_fairness(sections, sound, Names(sections, sound))
    wrong = [str(problem) for problem in sections.problems if problem.field.startswith("fairness")]
    if wrong:
        raise InvalidPolicyError("\n".join([f"fairness of {folder} must have no problems, got {len(wrong)}:", *wrong]))
    return build_fairness(sound["fairness"], sound["currency"])


def build_fairness(file: FairnessFile, currency: str) -> FairnessRules:
    """The rules that a section declares, with money in minor units."""
    guardrails = tuple(_guardrail(name, each, currency) for name, each in sorted(file.guardrails.items()))
    return core_part(FairnessRules, file, guardrails=guardrails)


def _guardrail(name: str, file: GuardrailFile, currency: str) -> Guardrail:
    is_money = file.measure.unit is FairnessUnit.MONEY_MINOR
    tolerance = to_minor(file.tolerance, currency) if is_money else file.tolerance
    return core_part(Guardrail, file, guardrail_id=name, tolerance=tolerance)
