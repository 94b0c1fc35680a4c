"""Returns from offline channels are imported once, good rows without the bad ones."""

import csv
import io
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest

from features.log.contracts import EVENTS, OUTCOMES
from features.online.redis_keys import live_key


def test_results_entered_in_the_sheet_are_imported_once(house: Any) -> None:
    house.know("C-1")
    house.know("C-2")
    decided = house.decide("C-1", "C-2")
    rows = house.rows_of(house.hand_over("letters.csv").out)
    rows.sort(key=lambda row: row["customer_id"])
    rows[0] |= {"type": "answered", "occurred_at": "2026-11-02T09:00:00Z", "note": "Thank you"}
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), delimiter=";")
    writer.writeheader()
    writer.writerows(rows)

    first, second = house.take(text.getvalue()), house.take(text.getvalue())

    assert (first.read, first.outcomes, first.empty, first.refused) == (2, 1, 1, ())
    assert (second.outcomes, second.duplicates) == (0, 1)
    [row] = house.drain().find(OUTCOMES, "decision_id", [decided["C-1"]["decision_id"]])
    assert (row["type"], orjson.loads(row["properties"])) == ("answered", {"text": "Thank you"})


def test_face_to_face_feedback_becomes_events_and_takes_effect_at_once(house: Any) -> None:
    house.know("C-1")
    decided = house.decide("C-1", touchpoint="wave")["C-1"]
    text = (
        "decision_id,customer_id,type,occurred_at,value,note,survey,score,channel\n"
        f"{decided['decision_id']},,call_note,2026-11-02 10:05,,She is happy with the new seats,,,call\n"
        ",C-2,survey_answer,2026-11-02 10:06,,,csat,4,\n"
        ",C-2,complaint,2026-11-02 10:07,,The desk was closed,,,airport_desk\n"
        ",C-2,purchase,2026-11-02 10:08,12.50,,,,\n"
    )

    report = house.take(text, zone=ZoneInfo("Europe/Berlin"))

    assert (report.events, report.refused) == (4, ())
    rows = {row["type"]: row for row in house.drain().read(EVENTS).to_dicts()}
    assert rows["call_note"]["customer_id"] == "C-1"
    assert rows["call_note"]["occurred_at"] == datetime(2026, 11, 2, 9, 5, tzinfo=UTC)
    assert orjson.loads(rows["call_note"]["properties"])["text"] == "She is happy with the new seats"
    survey = orjson.loads(rows["survey_answer"]["properties"])
    assert (survey["survey"], survey["score"]) == ("csat", 4.0)
    assert rows["purchase"]["amount_minor"] == 1250
    opened = [name for name in house.client.hkeys(live_key("C-2")) if name.startswith(b"opened:")]
    assert opened, "a complaint at the desk opens a case like one over HTTP"


def test_numeric_ids_are_matched_and_unknown_ids_are_reported(house: Any) -> None:
    house.know("17850")
    rows = ["17850.0,browse,2026-11-02T09:00:00Z", "V-1,browse,2026-11-02T09:00:00Z"]

    report = house.take("customer_id,type,occurred_at\n" + "\n".join(rows))

    assert (report.events, report.unknown, report.refused) == (2, 1, ())
    assert sorted(house.drain().read(EVENTS)["customer_id"]) == ["17850", "V-1"]


def test_bad_rows_are_kept_for_correction_and_good_ones_are_imported(house: Any) -> None:
    house.know("C-1")
    decision_id = house.decide("C-1")["C-1"]["decision_id"]
    text = (
        "decision_id,customer_id,type,occurred_at,value\n"
        f"{decision_id},,delivered,2026-11-02T09:00:00Z,\n"
        f"{decision_id},,deliverd,2026-11-02T09:00:00Z,\n"
        f"{decision_id},,converted,2026-11-02 09:00,\n"
        f"{decision_id},,converted,yesterday,\n"
        f"{decision_id},,converted,2026-11-02T09:00:00Z,much\n"
        f"{decision_id},,converted,2027-11-02T09:00:00Z,\n"
        ",C-1,viewed,2026-11-02T09:00:00Z,\n"
        "dec_unknown,,viewed,2026-11-02T09:00:00Z,\n"
        "dec_unknown,,complaint,2026-11-02T09:00:00Z,\n"
    )

    report = house.take(text)

    assert (report.outcomes, report.events) == (1, 0)
    assert {one.row: one.because for one in report.refused} == {
        2: "type must be a type of outcome or event; did you mean 'delivered' or 'delivery' or 'declined'?",
        3: "occurred_at must be ISO 8601 with an offset, such as 2026-11-22T09:03:11Z; or say with --zone in which "
        "zone such times are",
        4: "occurred_at must be ISO 8601 with an offset, such as 2026-11-22T09:03:11Z",
        5: "value must be a number such as 49.90, got 'much'",
        6: "/occurred_at: must not lie in the future",
        7: "decision_id must name the decision that the outcome belongs to, got nothing",
        8: "decision_id must be a decision of this server or of its log, got an unknown one; or give customer_id",
        9: "customer_id must name the customer, or decision_id a known decision, got neither",
    }
    kept = house.rows_of(report.rejects)
    assert [row["row"] for row in kept] == [str(number) for number in range(2, 10)]
    kept[0]["type"] = "viewed"
    mended = io.StringIO()
    writer = csv.DictWriter(mended, fieldnames=list(kept[0]))
    writer.writeheader()
    writer.writerow(kept[0])
    assert house.take(mended.getvalue()).outcomes == 1


SHEET = """decision_id;customer_id;type;occurred_at;value;note
{decision};;Delivered;2026-11-02T09:00:00Z;;Jürgen war da
{decision};;converted;2026-11-02T09:00:00Z;49,90;NA
;C-1;purchase;2026-11-02T09:00:00Z;1.234,50;
;C-1;Purchase;2026-11-02T09:01:00Z;183.60000000000002;
;C-1;purchase;2026-11-02T09:02:00Z;;
;C-1;purchase;2026-11-02T09:03:00Z;viel;
;;;;;
"""


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8-sig", "utf-16"])
def test_a_sheet_is_imported_as_spreadsheets_save_it(house: Any, encoding: str) -> None:
    house.know("C-1")
    text = SHEET.format(decision=house.decide("C-1")["C-1"]["decision_id"])

    report = house.take(text.encode(encoding))

    assert (report.outcomes, report.events, report.empty) == (2, 2, 0)
    assert {one.row: one.because for one in report.refused} == {
        5: "value must be given for a purchase, such as 49.90, 0 where it was free",
        6: "value must be a number such as 49.90, got 'viel'",
    }
    log = house.drain()
    assert sorted(row["amount_minor"] for row in log.read(EVENTS).to_dicts()) == [18360, 123450]
    told = {row["type"]: row for row in log.read(OUTCOMES).to_dicts()}
    assert (told["converted"]["amount_minor"], told["converted"]["properties"]) == (4990, None)
    assert orjson.loads(told["delivered"]["properties"])["text"] == "Jürgen war da"


@pytest.mark.parametrize(("column", "cell"), [("amount", "49,90"), ("amount_minor", "4990.0"), ("value", "49.9")])
def test_amounts_are_read_under_every_column_name_for_money(house: Any, column: str, cell: str) -> None:
    house.take(f"customer_id;type;occurred_at;{column}\nC-1;purchase;2026-11-02T09:00:00Z;{cell}\n")

    assert house.drain().read(EVENTS)["amount_minor"].to_list() == [4990]


def test_returned_answers_apply_only_to_the_channel_and_purpose_they_name(house: Any) -> None:
    house.know("C-1")
    text = (
        "customer_id,type,occurred_at,channel,purpose,protection,name,value\n"
        "C-1,Consent withdrawn,2026-11-02T09:00:00Z,Letter,Service,,,\n"
        "C-1,consent_withdrawn,2026-11-02T09:01:00Z,fax,service,,,\n"
        "C-1,consent_given,2026-11-02T09:02:00Z,fax,service,,,\n"
        "C-1,protected,2026-11-02T09:03:00Z,,,Vulnerable,,\n"
        "C-1,protected,2026-11-02T09:04:00Z,,,vulnerabel,,\n"
        "C-1,attribute_told,2026-11-02T09:05:00Z,,,,points,12\n"
        "C-1,browse,2026-11-02T09:06:00Z,letter,,,Ada,\n"
    )

    report = house.take(text)

    assert (report.events, report.widened) == (4, 1)
    assert {one.row: one.because for one in report.refused} == {
        3: "/properties/channel: must be a channel of the catalogue; known are call, email, letter",
        5: "/properties/protection: must be one of deceased, legal_hold, minor, vulnerable; did you mean 'vulnerable'?",
        6: "/properties/name: must be a customer attribute of the catalogue",
    }
    told = house.drain().read(EVENTS).sort("occurred_at")["properties"].to_list()
    assert [orjson.loads(one or "{}") for one in told] == [
        {"channel": "letter", "purpose": "service"},
        {"purpose": "service", "as_sent": {"channel": "fax"}},
        {"protection": "vulnerable"},
        {},
    ]
