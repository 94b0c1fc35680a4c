"""The page about one decision: it shows what the engine produces, and its record replays."""

import re
from pathlib import Path

import orjson

from decisioning.explanation.explanation import Reader, explain_decision
from decisioning.policy import Policy
from decisioning.record.document import decision_from_record, decision_to_record, replay
from features.catalogue import load_catalogue
from pipelines.pages.decision_page import CATALOGUE, decision_page

PAGE = Path(__file__).parent.parent.parent / "docs" / "decisions.md"


def record_on(page: str) -> dict[str, object]:
    found = re.search(r"^```json\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    assert found is not None
    return orjson.loads(found.group(1))


def test_the_page_shows_what_the_engine_produces() -> None:
    assert PAGE.read_text() == decision_page(), "run: nextbest docs generate"


def test_the_record_on_the_page_replays_bit_for_bit() -> None:
    record = record_on(PAGE.read_text())
    again = replay(Policy(load_catalogue(CATALOGUE)), record)
    assert orjson.loads(orjson.dumps(decision_to_record(again))) == record


def test_every_explanation_on_the_page_comes_from_that_record() -> None:
    page = PAGE.read_text()
    decision = decision_from_record(record_on(page))
    for reader, locale in (
        (Reader.CUSTOMER, "en"),
        (Reader.CUSTOMER, "de"),
        (Reader.AGENT, None),
        (Reader.AUDITOR, None),
    ):
        for sentence in explain_decision(decision, reader, locale):
            assert sentence in page


def test_the_changes_on_the_page_are_verified() -> None:
    told = re.findall(r"^- .* would be first if .*$", PAGE.read_text(), flags=re.MULTILINE)
    assert len(told) == 3
    assert all(line.endswith("(verified)") for line in told)
