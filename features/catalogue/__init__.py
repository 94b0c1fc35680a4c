"""The catalogue: YAML files that marketers edit, checked as a whole, and loaded as the core's `Catalogue`.

Example:
    >>> from pathlib import Path
    >>> catalogue = load_catalogue(Path("tests/catalogues/shop"))
    >>> sorted(catalogue.offers)
    ['double-stamps', 'free-coffee', 'opening-hours', 'ten-percent']
"""

from features.catalogue.checks.findings import Finding, Proof, Severity
from features.catalogue.checks.guardrails import load_fairness
from features.catalogue.loader import Examination, check_catalogue, examine_catalogue, load_catalogue
from features.catalogue.reading.json_schema import catalogue_json_schema
from features.catalogue.reading.problems import CatalogueProblem
from features.catalogue.version import catalogue_version

__all__ = [
    "CatalogueProblem",
    "Examination",
    "Finding",
    "Proof",
    "Severity",
    "catalogue_json_schema",
    "catalogue_version",
    "check_catalogue",
    "examine_catalogue",
    "load_catalogue",
    "load_fairness",
]
