"""Incoming events: the analysis is stored beside the text, opens cases, and counts once."""

from dataclasses import replace
from datetime import UTC, datetime

import orjson
import polars as pl
import pytest

from decisioning.catalogue.care import CarePolicy, CaseKind
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.listening import Listening, Topic
from features.listening.listener import listen, listen_to_rows, without_heard
from features.log.contracts import EVENTS
from features.log.heard import TEXT_TYPES, heard_case

AWFUL = "The seat was broken and the staff were rude. I am very disappointed."
FINE = "The crew was lovely and the food was great, thank you so much."
LOST = "My suitcase did not arrive and nobody at the desk could help me."


def kind(name: str, *opened_by: str) -> CaseKind:
    return CaseKind(
        kind=name,
        opened_by=frozenset(opened_by),
        resolved_by=frozenset({"case_resolved"}),
        cooldown_seconds={"normal": 1.0},
        default_severity="normal",
    )


@pytest.fixture
def catalogue(shop_catalogue: Catalogue) -> Catalogue:
    care = CarePolicy(kinds={"lost_item": kind("lost_item", "bag_lost"), "complaint": kind("complaint", "complaint")})
    topics = {"baggage": Topic(words=("did not arrive",), opens="lost_item"), "food": Topic(words=("food",))}
    return replace(shop_catalogue, care=care, listening=Listening(topics=topics, opens="complaint"))


def heard(catalogue: Catalogue | None, event_type: str, **properties: object) -> dict[str, object] | None:
    return listen(event_type, "m-1", properties, catalogue).get("heard")


def test_a_text_gets_language_mood_topic_and_reader_version(catalogue: Catalogue) -> None:
    found = heard(catalogue, "review", text=FINE)
    assert found is not None
    assert found["sentiment"] == pytest.approx(0.93, abs=0.05)
    assert {**found, "sentiment": 0} == {
        "language": "en", "reader": "vader-3.3.2", "sentiment": 0, "sentiment_label": "positive", "topic": "food",
    }  # fmt: skip


def test_a_negative_text_opens_the_declared_kind_of_case_and_a_topic_its_own_whatever_the_mood(
    catalogue: Catalogue,
) -> None:
    assert heard_case("review", listen("review", "m-1", {"text": AWFUL}, catalogue)) == ("complaint", "heard:m-1")
    lost = heard(catalogue, "social_post", text=LOST)
    assert lost is not None
    assert (lost["sentiment_label"], lost["opens"]) == (
        "positive",
        "lost_item",
    )  # read for its complaint about missing help
    assert "opens" not in (heard(catalogue, "review", text=FINE) or {})


def test_in_an_unknown_language_topics_and_low_scores_open_cases_and_mood_does_not(catalogue: Catalogue) -> None:
    german = "Das war eine schreckliche Reise, ich bin sehr enttäuscht."
    assert heard(catalogue, "review", text=german) == {"language": "unknown"}
    low = heard(catalogue, "survey_answer", text=german, survey="nps", score=1)
    assert low == {"language": "unknown", "opens": "complaint", "case_id": "heard:m-1"}
    assert heard(catalogue, "survey_answer", survey="csat", score=1) == {"opens": "complaint", "case_id": "heard:m-1"}
    assert heard(catalogue, "survey_answer", survey="csat", score=5) is None
    named = heard(catalogue, "call_note", text="Kunde sagt: did not arrive")
    assert named is not None
    assert named["opens"] == "lost_item"


def test_an_event_type_that_opens_a_case_opens_no_second_one(catalogue: Catalogue) -> None:
    found = heard(catalogue, "complaint", text=AWFUL)
    assert found is not None
    assert found["sentiment_label"] == "negative"
    assert "opens" not in found


def test_a_text_that_names_a_case_joins_it(catalogue: Catalogue) -> None:
    found = heard(catalogue, "social_post", text=LOST, case_id="bag-7")
    assert found is not None
    assert found["case_id"] == "bag-7"
    long_id = "m" * 200
    own = listen("review", long_id, {"text": AWFUL}, catalogue)["heard"]["case_id"]
    assert own.startswith("heard:")
    assert len(own) <= 200
    assert own == listen("review", long_id, {"text": AWFUL}, catalogue)["heard"]["case_id"]


def test_a_heard_field_sent_by_a_caller_is_replaced_and_has_no_effect(catalogue: Catalogue) -> None:
    forged = {"opens": "lost_item", "case_id": "x"}
    assert listen("review", "m-1", {"text": FINE, "heard": forged}, catalogue)["heard"].get("opens") is None
    assert "heard" not in listen("review", "m-1", {"heard": forged}, catalogue)
    assert listen("purchase", "m-1", {"heard": forged}, catalogue) == {"heard": forged}
    assert heard_case("purchase", {"heard": forged}) is None


@pytest.mark.parametrize("event_type", TEXT_TYPES)
def test_without_a_catalogue_moods_are_read_and_nothing_opens(event_type: str) -> None:
    found = heard(None, event_type, text=AWFUL)
    assert found is not None
    assert found["sentiment_label"] == "negative"
    assert "opens" not in found


def events_of(*rows: tuple[str, str, object]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "event_id": event_id,
                "customer_id": "C",
                "type": event_type,
                "occurred_at": datetime(2026, 1, 1, tzinfo=UTC),
                "properties": None if properties is None else orjson.dumps(properties).decode(),
            }
            for event_id, event_type, properties in rows
        ],
        schema=EVENTS.schema,
    )


def test_rows_are_analysed_like_single_events_and_other_rows_stay_unchanged(catalogue: Catalogue) -> None:
    rows = events_of(
        ("e1", "review", {"text": AWFUL}),
        ("e2", "purchase", {"text": AWFUL}),
        ("e3", "review", None),
        ("e4", "survey_answer", {"survey": "nps", "score": 0}),
        ("e1", "review", {"text": FINE}),  # a second row with the same key
    )
    found = listen_to_rows(rows, catalogue)
    told = [None if text is None else orjson.loads(text) for text in found["properties"]]
    assert told[0] == listen("review", "e1", {"text": AWFUL}, catalogue)
    assert told[1:3] == [{"text": AWFUL}, None]
    assert told[3]["heard"] == {"opens": "complaint", "case_id": "heard:e4"}
    assert told[4]["heard"]["sentiment_label"] == "positive"
    assert found.drop("properties").equals(rows.drop("properties"))
    assert listen_to_rows(found, catalogue).equals(found)  # analysing again changes nothing
    assert [None if one is None else orjson.loads(one) for one in without_heard(found)["properties"]] == [
        None if one is None else orjson.loads(one) for one in rows["properties"]
    ]
    assert listen_to_rows(rows.clear(), catalogue).schema == rows.schema
