"""Callers' values are checked against the catalogue: clear spellings are accepted, typos reported, refusals kept."""

from collections.abc import Callable
from typing import Any

import orjson
import polars as pl
import pytest
import redis
from starlette.testclient import TestClient

from features.importing.folder import import_folder
from features.log.contracts import CUSTOMERS, EVENTS
from features.log.event_log import EventLog
from features.log.said import said_in_log
from features.online.profiles import customers_from_frame
from features.settings import Settings
from serving.log.drain import drain_alone

AT = "2026-11-02T09:30:00Z"
EMAIL = {"channel": "email", "purpose": "marketing"}
ASK = {"customer_id": "C-1", "touchpoint": "weekly-mail", "explain": True}

type Serve = Callable[..., TestClient]
type Log = Callable[[], EventLog]


def tell(client: TestClient, kind: str, **properties: Any) -> dict[str, Any]:
    item = {"message_id": "m-1", "customer_id": "C-1", "type": kind, "occurred_at": AT, "properties": properties}
    answer = client.post("/v1/events", json={"events": [item]})
    assert answer.status_code == 202, answer.text
    return answer.json()


def refused_by(client: TestClient, word: str) -> set[str]:
    """Channels on which every marketing message is refused for this reason."""
    answer = client.post("/v1/decisions", json=ASK).json()
    found = [one for one in answer["explanation"]["excluded"] if not one["message"].startswith("opening-hours")]
    return {one["message"].split("/")[1] for one in found if word in one["reasons"]}


@pytest.fixture
def log(settings: Settings, live_redis: redis.Redis) -> Log:
    def drained() -> EventLog:
        log = EventLog(settings.log_path)
        drain_alone(live_redis, log, settings.spool_path)
        return log

    return drained


def in_log(log: EventLog) -> dict[str, Any]:
    return orjson.loads(log.read(EVENTS)["properties"].item())


@pytest.mark.parametrize(
    ("kind", "sent", "kept"),
    [
        ("consent_withdrawn", {"channel": "E-Mail", "purpose": "Marketing"}, EMAIL),
        ("consent_given", {"channel": " EMAIL ", "purpose": "marketing"}, EMAIL),
        ("consent_given", {"purpose": "Profiling"}, {"purpose": "profiling"}),
        ("protected", {"protection": "Legal hold"}, {"protection": "legal_hold"}),
        ("attribute_told", {"name": "Age", "value": "42"}, {"name": "age", "value": 42}),
        ("attribute_told", {"name": "age", "value": "42,5"}, {"name": "age", "value": 42.5}),
        ("attribute_told", {"name": "region", "value": "North"}, {"name": "region", "value": "north"}),
    ],
)
def test_an_unambiguous_spelling_is_stored_as_the_catalogue_spells_it(
    client: TestClient, customer: str, log: Log, kind: str, sent: dict[str, Any], kept: dict[str, Any]
) -> None:
    assert tell(client, kind, **sent)["items"] == [{"index": 0, "status": "accepted"}]
    assert in_log(log()) == kept


@pytest.mark.parametrize(
    ("kind", "sent", "pointer", "words"),
    [
        ("consent_given", {"channel": "emial", "purpose": "marketing"}, "channel", "did you mean 'email'"),
        ("consent_given", {"channel": "email", "purpose": "newsletter"}, "purpose", "a purpose of the catalogue"),
        ("protected", {"protection": "deseased"}, "protection", "did you mean 'deceased'"),
        ("attribute_told", {"name": "regoin", "value": "north"}, "name", "did you mean 'region'"),
        ("attribute_told", {"name": "region", "value": "nroth"}, "value", "did you mean 'north'"),
        ("attribute_told", {"name": "age", "value": "many"}, "value", "must be a number"),
        ("attribute_told", {"name": "age", "value": True}, "value", "must be a number"),
    ],
)
def test_an_unknown_value_is_refused_with_the_nearest_valid_one(
    client: TestClient, customer: str, kind: str, sent: dict[str, Any], pointer: str, words: str
) -> None:
    [rejected] = tell(client, kind, **sent)["rejected"]
    assert rejected["errors"][0]["pointer"] == f"/properties/{pointer}"
    assert words in rejected["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("sent", "told", "closed"),
    [
        (EMAIL, None, {"email"}),
        ({**EMAIL, "channel": "emial"}, ["/properties/channel"], {"email", "push"}),
        ({**EMAIL, "purpose": "newsletter"}, ["/properties/purpose"], {"email"}),
        ({"channel": ["email"], "purpose": 7}, ["/properties/channel", "/properties/purpose"], {"email", "push"}),
    ],
)
def test_a_withdrawal_with_an_unknown_name_counts_for_everything_and_says_so(
    client: TestClient, customer: str, log: Log, sent: dict[str, Any], told: list[str] | None, closed: set[str]
) -> None:
    answer = tell(client, "consent_withdrawn", **sent)

    assert answer["items"] == [{"index": 0, "status": "accepted", **({"widened": told} if told else {})}]
    assert refused_by(client, "NO_CONSENT") == closed
    again = tell(client, "consent_withdrawn", **sent)["items"]
    assert again == [{"index": 0, "status": "duplicate", **({"widened": told} if told else {})}]
    row = dict.fromkeys(CUSTOMERS.schema) | {"customer_id": "C-1", "updated_at": "2026-01-01T00:00:00+00:00"}
    given = [{"channel": one, "purpose": "marketing", "granted": True} for one in ("email", "push")]
    frame = pl.DataFrame([{**row, "consents": orjson.dumps(given).decode()}], infer_schema_length=None).with_columns(
        pl.col("updated_at").str.to_datetime(time_zone="UTC")
    )
    [profile] = customers_from_frame(
        pl.DataFrame(frame.rows(), schema=CUSTOMERS.schema, orient="row"), said_in_log(log())
    )
    refused = {one.channel_id for one in profile.consents if not one.is_granted and one.purpose == "marketing"}
    assert refused == closed, "the next materialisation reads the same from the log"


@pytest.mark.parametrize(("word", "is_closed"), [("profilling", True), ("Profiling", True), ("newsletter", False)])
def test_a_withdrawal_that_may_be_about_profiling_ends_profiling(
    serve: Serve, customer: str, log: Log, word: str, is_closed: bool
) -> None:
    client = serve()
    tell(client, "consent_withdrawn", channel="email", purpose=word)
    assert (client.post("/v1/decisions", json=ASK).json()["reason"] == "NOT_PROFILED") is is_closed
    assert ("profiling" in {one.purpose for one in said_in_log(log())["C-1"].answers}) is is_closed


def test_an_import_reads_the_same_events_the_same_way(settings: Settings, tmp_path: Any) -> None:
    rows = [
        ("consent_withdrawn", {**EMAIL, "channel": "emial"}),
        ("consent_withdrawn", {**EMAIL, "channel": "E-Mail"}),
        ("consent_withdrawn", None),
        ("consent_given", {**EMAIL, "channel": "emial"}),
        ("attribute_told", {"name": "age", "value": "42"}),
        ("attribute_told", {"name": "age", "value": "many"}),
        ("browse", {"name": "Age", "value": "many"}),
    ]
    folder = tmp_path / "in"
    folder.mkdir()
    pl.DataFrame(
        [
            {"event_id": f"e-{place}", "customer_id": "C-1", "type": kind, "occurred_at": AT,
             "properties": None if told is None else orjson.dumps(told).decode()}
            for place, (kind, told) in enumerate(rows)
        ]
    ).write_csv(folder / "events.csv")  # fmt: skip

    report = import_folder(folder, settings, now=pl.Series([AT]).str.to_datetime(time_zone="UTC").item(),
                           most_unmatched=1)  # fmt: skip

    assert {str(one).partition(": ")[2] for one in report.broken_rules} == {
        "properties must be an object with channel as a channel of the catalogue; did you mean 'email'?",
        "properties must be an object with value as a number",
    }
    kept = EventLog(settings.log_path).read(EVENTS).sort("event_id")["properties"].to_list()
    assert [text and orjson.loads(text) for text in kept] == [
        {"purpose": "marketing", "as_sent": {"channel": "emial"}},
        EMAIL,
        None,
        {"name": "age", "value": 42},
        {"name": "Age", "value": "many"},
    ]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [({"basket_value": "42,5"}, {"basket_value": 42.5}), ({"Basket-Value": 1}, {"basket_value": 1.0})],
)
def test_context_is_read_with_the_types_that_the_touchpoint_declares(
    client: TestClient, customer: str, sent: dict[str, Any], kept: dict[str, Any]
) -> None:
    ask = {"customer_id": "C-1", "touchpoint": "app-home", "context": sent}
    answer = client.post("/v1/decisions", json=ask)
    assert answer.status_code == 200, answer.text
    record = client.get(f"/v1/decisions/{answer.json()['decision_id']}").json()
    assert record["inputs"]["request"]["context"] == kept


def test_a_context_field_given_in_two_spellings_is_refused(client: TestClient, customer: str) -> None:
    ask = {"customer_id": "C-1", "touchpoint": "app-home", "context": {"basket_value": 1, "Basket_Value": 2}}
    answer = client.post("/v1/decisions", json=ask)
    assert answer.status_code == 422
    assert "must be given once" in answer.json()["detail"]
