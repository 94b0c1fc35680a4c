"""The changes to live state cover every type of report."""

from decisioning.catalogue.contact_policy import CONFIRMING_OUTCOMES, RELEASING_OUTCOMES
from features.log.outcome_types import OutcomeType
from serving.live.changes import REMEMBERED


def test_every_outcome_either_confirms_its_contact_or_releases_it() -> None:
    assert {*CONFIRMING_OUTCOMES, *RELEASING_OUTCOMES} == set(OutcomeType)
    assert not CONFIRMING_OUTCOMES & RELEASING_OUTCOMES


def test_remembered_types_are_outcomes() -> None:
    assert set(OutcomeType) >= REMEMBERED
