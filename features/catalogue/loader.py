"""Load a folder of catalogue files, or say everything that is wrong with it."""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InvalidPolicyError
from features.catalogue.assignment.ledger import read_ledger, with_ranges
from features.catalogue.building.catalogue_parts import build_catalogue
from features.catalogue.checks.equal_service import check_equal_service
from features.catalogue.checks.findings import Finding, Severity, from_problem, in_order
from features.catalogue.checks.guardrails import check_fairness
from features.catalogue.checks.references import check_references
from features.catalogue.checks.rule_facts import check_rules
from features.catalogue.checks.texts import check_wording
from features.catalogue.proofs import ProofInputs, check_contradictions, prove
from features.catalogue.reading.form_check import validate_sections
from features.catalogue.reading.names import Names
from features.catalogue.reading.problems import CatalogueProblem
from features.catalogue.reading.sections import Sections, read_sections
from features.catalogue.version import catalogue_version

_MOST_SHOWN = 50


def load_catalogue(folder: Path) -> Catalogue:
    """The catalogue that a folder's YAML files declare, with the hash of its content as its version.

    Where the folder was in force, experiments hold the ranges that its ledger gave them.

    Raises:
        InvalidPolicyError: Something is wrong with the files; the message lists every problem, one a line.
        InvalidInputError: The folder is not there or holds no YAML file.
    """
    sections, _, catalogue = _checked(folder)
    problems = _ordered(sections)
    if problems or catalogue is None:
        shown = [str(problem) for problem in problems[:_MOST_SHOWN]]
        more = [f"... and {len(problems) - _MOST_SHOWN} more"] if len(problems) > _MOST_SHOWN else []
        raise InvalidPolicyError(
            "\n".join([f"catalogue {folder} must have no problems, got {len(problems)}:", *shown, *more])
        )
    return _versioned(catalogue, folder)


def check_catalogue(folder: Path) -> list[CatalogueProblem]:
    """Everything that is wrong with a folder of catalogue files, in file and line order; empty where it is sound.

    Raises:
        InvalidInputError: The folder is not there or holds no YAML file.
    """
    return _ordered(_checked(folder)[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What a check of a folder found.

    Attributes:
        catalogue: With its version; None where there is any error.
    """

    catalogue: Catalogue | None
    findings: tuple[Finding, ...]

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of one severity."""
        return tuple(finding for finding in self.findings if finding.severity is severity)


def examine_catalogue(folder: Path, now: datetime) -> Examination:
    """Everything wrong with a folder of catalogue files, or else everything that can be proven of it at a moment (UTC).

    Raises:
        InvalidInputError: The folder is not there or holds no YAML file.
    """
    sections, sound, catalogue = _checked(folder)
    if catalogue is None:
        return Examination(catalogue=None, findings=in_order(map(from_problem, sections.problems)))
    ground = ProofInputs(sections=sections, sound=sound, catalogue=catalogue, now=now)
    return Examination(catalogue=_versioned(catalogue, folder), findings=in_order(prove(ground)))


def _versioned(catalogue: Catalogue, folder: Path) -> Catalogue:
    """With the ranges that its experiments hold, and the hash of all that as its version."""
    held = with_ranges(catalogue, read_ledger(folder))
    return replace(held, version=catalogue_version(held))


def _checked(folder: Path) -> tuple[Sections, dict[str, Any], Catalogue | None]:
    """Read, validate and cross-check; the catalogue is None where there is any problem."""
    sections = read_sections(folder)
    sound = validate_sections(sections)
    names = Names(sections, sound)
    check_references(sections, sound, names)
    check_rules(sections, sound, names)
    check_equal_service(sections, sound)
    check_wording(sections, sound, names)
    check_fairness(sections, sound, names)
    if sections.problems:
        return sections, sound, None
    catalogue = build_catalogue(sound)
    check_contradictions(sections, sound, catalogue)
    return sections, sound, None if sections.problems else catalogue


def _ordered(sections: Sections) -> list[CatalogueProblem]:
    return sorted(sections.problems, key=lambda problem: (problem.file, problem.line, problem.field, problem.rule))
