"""Load a folder of catalogue files, or say everything that is wrong with it."""

from dataclasses import replace
from pathlib import Path

from decisioning.catalogue import Catalogue
from decisioning.errors import InvalidPolicyError
from features.catalogue.building import build_catalogue
from features.catalogue.facts import check_rules
from features.catalogue.names import Names
from features.catalogue.problems import Problem
from features.catalogue.references import check_references
from features.catalogue.sections import Sections, read_sections
from features.catalogue.validation import validate_sections
from features.catalogue.versioning import catalogue_version
from features.catalogue.wording import check_wording

_MOST_SHOWN = 50


def load_catalogue(folder: Path) -> Catalogue:
    """The catalogue that a folder's YAML files declare, with the hash of its content as its version.

    Raises:
        InvalidPolicyError: Something is wrong with the files; the message lists every problem, one a line.
        InvalidInputError: The folder is not there or holds no YAML file.
    """
    sections, catalogue = _check(folder)
    problems = _ordered(sections)
    if problems or catalogue is None:
        shown = [str(problem) for problem in problems[:_MOST_SHOWN]]
        more = [f"... and {len(problems) - _MOST_SHOWN} more"] if len(problems) > _MOST_SHOWN else []
        raise InvalidPolicyError(
            "\n".join([f"catalogue {folder} must have no problems, got {len(problems)}:", *shown, *more])
        )
    return replace(catalogue, version=catalogue_version(catalogue))


def check_catalogue(folder: Path) -> list[Problem]:
    """Everything that is wrong with a folder of catalogue files, in file and line order; empty where it is sound.

    Raises:
        InvalidInputError: The folder is not there or holds no YAML file.
    """
    return _ordered(_check(folder)[0])


def _check(folder: Path) -> tuple[Sections, Catalogue | None]:
    """Read, validate and cross-check; the catalogue is None where there is any problem."""
    sections = read_sections(folder)
    sound = validate_sections(sections)
    names = Names(sections, sound)
    check_references(sections, sound, names)
    check_rules(sections, sound, names)
    check_wording(sections, sound, names)
    return sections, None if sections.problems else build_catalogue(sound)


def _ordered(sections: Sections) -> list[Problem]:
    return sorted(sections.problems, key=lambda problem: (problem.file, problem.line, problem.field, problem.rule))
