"""Letters and calls: each message handed over once with leave to send it, and what comes back taken in once."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import orjson
import polars as pl
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from typer.testing import CliRunner

from decisioning.customer import Consent, Customer, CustomerId
from decisioning.errors import InvalidInputError, LogUnavailableError, ModelUnavailableError, UnavailableError
from features.contracts import EVENTS, OUTCOMES
from features.log import EventLog
from features.online.profiles import encode_profile
from features.online.redis_keys import live_key, profile_key
from features.settings import Settings
from pipelines import cli
from pipelines.batch import BatchPlan, decide_audience
from pipelines.exit_codes import EXIT_REJECTED
from pipelines.handoff import book
from pipelines.handoff.book import HandOffBook
from pipelines.handoff.desk import HandOffPlan, HandOffReport, hand_over
from pipelines.handoff.returns import ReturnReport, read_rows, take_returns
from pipelines.handoff.sheet import table_bytes
from serving.app import create_app
from serving.decision_log import drain_alone

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
WEEK = timedelta(days=7)
CATALOGUE = """
currency: EUR
offer_kinds: [news]
goals: {help: {department: service}}
stages: [{stage: all, goal: help}]
touchpoints:
  post: {channels: [letter], context: {gate: text}}
  wave: {channels: [letter, call]}
channels:
  letter: {cost: 0.85, online: false, lead_time_days: 3, cut_off: "14:00", zone: Europe/Berlin, formats: [card],
    address: [first_name, city], required_fields: [headline]}
  call: {cost: 4, online: false, zone: Europe/Berlin, required_fields: [script]}
  email: {}
limits: {mail-house: {scope: channel, of: letter, amount: AMOUNT, per: week}}
contact_policy: {caps: {one: {scope: everything, limit: 1, window_days: 7}}}
offers:
  spring:
    goal: help
    kind: news
    class: service
    value: 2
    creatives:
      - {creative: card, channel: letter, content: {format: card, headline: "Dear {{ customer.first_name }}", body: "Gate {{ context.gate | default: 'open' }}"}}
  check-up:
    goal: help
    kind: news
    class: service
    value: 1
    creatives:
      - {creative: script, channel: call, content: {script: =Ask how it went}}
"""  # noqa: E501 - as people write it


@dataclass
class House:
    """A home with a log, profiles in Redis, and a desk that hands over."""

    settings: Settings
    client: redis.Redis
    out: Path
    now: datetime = NOW

    def write_catalogue(self, amount: int = 100) -> None:
        self.settings.catalogue_path.mkdir(parents=True, exist_ok=True)
        text = CATALOGUE.replace("AMOUNT", str(amount))
        (self.settings.catalogue_path / "catalogue.yaml").write_text(text, encoding="utf-8")

    def know(self, customer_id: str, *, grants: bool = True, **attributes: str | float) -> None:
        consents = tuple(
            Consent(channel_id=channel, purpose="service", is_granted=grants, recorded_at=NOW - WEEK)
            for channel in ("letter", "call")
        )
        customer = Customer(
            customer_id=CustomerId(customer_id),
            attributes={"first_name": "Ada", "city": "Köln", **attributes},
            reachable_channels=frozenset({"letter", "call"}),
            consents=consents,
            time_zone="Europe/Berlin",
            locale="de-DE",
        )
        self.client.set(profile_key(customer_id), encode_profile(customer))

    def decide(self, *customers: str, touchpoint: str = "post", key: str = "k") -> dict[str, dict[str, Any]]:
        audience, out = self.settings.home / "audience.parquet", self.settings.home / "decided.parquet"
        pl.DataFrame({"customer_id": customers}).write_parquet(audience)
        plan = BatchPlan(
            audience=audience, out=out, touchpoint_id=touchpoint, key=key, now=self.now, allows_no_model=True
        )
        decide_audience(plan, self.settings, redis_url=str(self.settings.redis_url), model=None)
        self.drain()
        return {row["customer_id"]: row for row in pl.read_parquet(out).to_dicts()}

    def drain(self) -> EventLog:
        log = EventLog(self.settings.log_path)
        drain_alone(self.client, log, self.settings.spool_path, wait_seconds=5.0)
        return log

    def hand_over(self, name: str, channel: str = "letter", **changes: Any) -> HandOffReport:
        plan = HandOffPlan(**{"channel_id": channel, "out": self.out / name, "as_of": self.now, **changes})
        report = hand_over(plan, self.settings, redis_url=str(self.settings.redis_url))
        self.drain()
        return report

    def take(self, text: str | bytes, name: str = "back.csv", **changes: Any) -> ReturnReport:
        path = self.out / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        report = take_returns(
            path, self.settings, redis_url=str(self.settings.redis_url), now=lambda: self.now, **changes
        )
        self.drain()
        return report

    def outcomes(self, decision_id: str) -> list[str]:
        rows = self.drain().find(OUTCOMES, "decision_id", [decision_id])
        return sorted(row["type"] for row in rows)


def rows_of(path: str | None) -> list[dict[str, str]]:
    assert path is not None
    text = Path(path).read_bytes()
    assert text.startswith(b"\xef\xbb\xbf"), "by this mark spreadsheets know that it is UTF-8"
    return list(csv.DictReader(io.StringIO(text.decode("utf-8-sig"))))


@pytest.fixture
def house(redis_url: str, tmp_path: Path) -> Iterator[House]:
    out = tmp_path / "out"
    out.mkdir()
    with redis.Redis.from_url(redis_url) as client:
        house = House(
            settings=Settings(home=tmp_path / "home", redis_url=redis_url, decision_ttl_days=20), client=client, out=out
        )
        house.write_catalogue()
        yield house


def test_a_letter_is_handed_over_once_with_what_the_mail_house_needs_and_nothing_else(house: House) -> None:
    house.know("C-1", secret="not for the mail house")
    decided = house.decide("C-1")["C-1"]
    house.now = datetime(2026, 11, 2, 13, 1, tzinfo=UTC)  # 14:01 in Berlin: past the cut-off

    report = house.hand_over("letters.csv")

    assert (report.handed_over, report.refused, report.refused_out) == (1, (), None)
    assert rows_of(report.out) == [
        {
            "decision_id": decided["decision_id"], "customer_id": "C-1", "touchpoint": "post", "offer_id": "spring",
            "channel": "letter", "creative_id": "card", "hand_over_on": "2026-11-03", "arrives_on": "2026-11-06",
            "format": "card", "address_first_name": "Ada", "address_city": "Köln", "content_body": "Gate open",
            "content_headline": "Dear Ada", "type": "", "occurred_at": "", "value": "", "note": "",
        }
    ]  # fmt: skip
    again = house.hand_over("again.csv")
    assert (again.handed_over, again.out, (house.out / "again.csv").exists()) == (0, None, False)


def test_the_permit_confirms_the_contact_so_that_a_letter_counts_in_caps_like_a_mail(house: House) -> None:
    house.know("C-1")
    house.decide("C-1")
    house.hand_over("letters.csv")
    house.now += timedelta(days=6)
    assert house.decide("C-1", touchpoint="wave", key="later")["C-1"]["action"] == "hold"
    house.now += timedelta(days=1)
    assert house.decide("C-1", touchpoint="wave", key="much later")["C-1"]["action"] == "send"


def test_who_withdrew_consent_since_gets_no_letter_and_the_list_says_so(house: House) -> None:
    house.know("C-1")
    house.know("C-2")
    decided = house.decide("C-1", "C-2")
    house.know("C-2", grants=False)

    report = house.hand_over("letters.csv")

    assert [row["customer_id"] for row in rows_of(report.out)] == ["C-1"]
    [refused] = rows_of(report.refused_out)
    assert (refused["customer_id"], refused["reasons"]) == ("C-2", "NO_CONSENT")
    assert "there is no consent" in refused["because"]
    assert house.outcomes(decided["C-2"]["decision_id"]) == ["not_sent"]
    house.know("C-2")
    assert house.hand_over("again.csv") == HandOffReport(channel="letter"), "a refusal for good is not looked at again"


def test_the_channels_capacity_is_kept_and_who_waits_for_it_comes_in_its_turn(house: House) -> None:
    names = ["C-1", "C-2", "C-3"]
    for name in names:
        house.know(name)
    house.decide(*names)
    house.write_catalogue(amount=1)

    first = house.hand_over("first.csv")

    assert (first.handed_over, len(first.refused)) == (1, 2)
    assert {one.reasons for one in first.refused} == {("CAPACITY_FULL",)}
    [retry_at] = {one.retry_at for one in first.refused}
    assert retry_at is not None
    assert retry_at.startswith("2026-11-08T13:00:00"), "after the cut-off on Sunday it goes with next week's first run"
    house.now = datetime(2026, 11, 9, 9, tzinfo=UTC)
    second = house.hand_over("second.csv")
    assert (second.handed_over, len(second.refused)) == (1, 1)
    carried = {row["customer_id"] for report in (first, second) for row in rows_of(report.out)}
    assert len(carried) == 2


def test_without_an_address_nothing_is_handed_over_until_the_profile_has_one(house: House) -> None:
    house.know("C-1", city="")
    decided = house.decide("C-1")["C-1"]

    report = house.hand_over("letters.csv")

    assert (report.handed_over, report.out) == (0, None)
    [refused] = report.refused
    assert (refused.reasons, refused.because) == (("ADDRESS_MISSING",), ("the profile has no city",))
    assert house.outcomes(decided["decision_id"]) == []
    house.know("C-1")
    assert house.hand_over("letters.csv").handed_over == 1


class _PowerCutError(Exception):
    """Everything ends here."""


def _cut(*_: object) -> NoReturn:
    raise _PowerCutError


@pytest.mark.parametrize("step", ["asdict", "_close", "rename"])
def test_whatever_ends_in_between_each_letter_is_in_exactly_one_whole_file(
    house: House, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    names = [f"C-{number}" for number in range(5)]
    for name in names:
        house.know(name, city="" if name == "C-4" else "Köln")
    house.decide(*names)
    places = {"_close": HandOffBook, "asdict": book, "rename": Path}
    with monkeypatch.context() as cut:
        cut.setattr(places[step], step, _cut)
        with pytest.raises(_PowerCutError):
            house.hand_over("letters.csv")
    house.know("C-0", first_name="Somebody else")

    second = house.hand_over("second.csv")
    third = house.hand_over("third.csv")

    found = {path.name: rows_of(str(path)) for path in sorted(house.out.glob("*.csv")) if "refused" not in path.name}
    carried = sorted(row["customer_id"] for rows in found.values() for row in rows)
    assert carried == names[:4]
    assert bool(second.finished) is (step != "asdict")
    if second.finished:
        assert list(found) == ["letters.csv"]
        assert found["letters.csv"][0]["address_first_name"] == "Ada", "the very bytes that were prepared"
    assert third.handed_over == 0
    left = {path.suffix for path in house.settings.handoffs_path.iterdir() if path.name != ".lock"}
    assert left == {".json"}, "nobody's data stays in the book"


def test_a_file_that_is_there_is_refused_before_any_leave_is_asked_for(house: House) -> None:
    house.know("C-1")
    house.decide("C-1")
    (house.out / "letters.csv").write_text("somebody's")
    with pytest.raises(InvalidInputError, match="OUT must be a new file"):
        house.hand_over("letters.csv")
    assert (house.out / "letters.csv").read_text() == "somebody's"
    assert house.hand_over("other.csv").handed_over == 1


def test_only_one_run_at_a_time_hands_over(house: House) -> None:
    with (
        HandOffBook(house.settings.handoffs_path).opened(),
        pytest.raises(InvalidInputError, match="hand-off must be the only one"),
    ):
        house.hand_over("letters.csv")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channel_id": "leter"}, "did you mean 'letter'"),
        ({"channel_id": "email"}, "CHANNEL must be declared with `online: false`, got email"),
        ({"touchpoint_id": "posst"}, "did you mean 'post'"),
        ({"out": Path("letters.xlsx")}, "OUT must end in .csv or .parquet"),
        ({"out": Path("/nowhere/at/all/letters.csv")}, "folder of OUT must exist"),
    ],
)
def test_what_cannot_be_handed_over_is_said_before_anything_happens(
    house: House, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        house.hand_over("letters.csv", **changes)


def test_without_redis_nothing_is_written_and_the_next_run_hands_over(house: House) -> None:
    house.know("C-1")
    house.decide("C-1")
    plan = HandOffPlan(channel_id="letter", out=house.out / "letters.csv", as_of=house.now)
    with pytest.raises(UnavailableError):
        hand_over(plan, house.settings, redis_url="redis://127.0.0.1:1/0")
    assert list(house.out.iterdir()) == []
    assert house.hand_over("letters.csv").handed_over == 1


def test_a_book_that_cannot_be_read_stops_the_desk_rather_than_hand_over_twice(house: House) -> None:
    house.know("C-1")
    house.decide("C-1")
    house.hand_over("letters.csv")
    [path] = house.settings.handoffs_path.glob("*.json")
    path.write_text("{}")
    with pytest.raises(LogUnavailableError, match="book of hand-offs must be readable"):
        house.hand_over("again.csv")


def test_parquet_holds_the_same_and_no_text_of_a_sheet_is_a_formula(house: House) -> None:
    house.know("C-1", city="+49 221 5")
    house.know("C-2", city="@SUM(A1)")
    house.decide("C-1", "C-2")
    house.decide("C-3")  # nobody knows this customer: silence
    report = house.hand_over("letters.parquet")
    assert report.out is not None
    frame = pl.read_parquet(report.out).sort("customer_id")
    assert frame["address_city"].to_list() == ["+49 221 5", "@SUM(A1)"]
    assert frame["hand_over_on"].to_list() == [date(2026, 11, 2)] * 2
    sheet = table_bytes(frame, ".csv").decode("utf-8-sig")
    assert [row["address_city"] for row in csv.DictReader(io.StringIO(sheet))] == ["+49 221 5", "'@SUM(A1)"]


def test_a_number_in_an_address_reads_as_people_write_it(house: House) -> None:
    house.know("C-1", city=50667.0)
    house.decide("C-1")
    report = house.hand_over("letters.csv")
    assert report.out is not None
    assert [row["address_city"] for row in csv.DictReader(Path(report.out).read_text("utf-8-sig").splitlines())] == [
        "50667"
    ]


def test_positions_of_a_slate_are_handed_over_by_their_own_ids(house: House) -> None:
    def no_model() -> NoReturn:
        raise ModelUnavailableError("there is none")

    house.know("C-1")
    path = house.settings.catalogue_path / "catalogue.yaml"
    path.write_text(path.read_text().replace("limit: 1, window_days", "limit: 2, window_days"))
    with TestClient(create_app(house.settings, fetch_model=no_model, now=lambda: house.now)) as client:
        slate = [{"placement": "first", "channels": ["letter"]}, {"placement": "second", "channels": ["call"]}]
        ask = {"customer_id": "C-1", "touchpoint": "wave", "placements": slate}
        answer = client.post("/v1/decisions", json=ask).json()
    ids = [position["decision_id"] for position in answer["slate"] if position["selected"]]
    assert len(ids) == 2
    house.drain()
    letters, calls = house.hand_over("letters.csv"), house.hand_over("calls.csv", channel="call")
    assert [row["decision_id"] for one in (letters, calls) for row in rows_of(one.out)] == ids
    assert rows_of(calls.out)[0]["content_script"] == "'=Ask how it went"


def test_what_comes_back_in_the_sheet_itself_is_taken_in_once(house: House) -> None:
    house.know("C-1")
    house.know("C-2")
    decided = house.decide("C-1", "C-2")
    rows = rows_of(house.hand_over("letters.csv").out)
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


def test_feedback_face_to_face_comes_in_as_events_and_acts_at_once(house: House) -> None:
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
    assert opened, "a complaint at the desk opens a case as one over HTTP does"


def test_ids_of_whole_numbers_and_ids_of_nobody_are_told_apart(house: House) -> None:
    house.know("17850")
    rows = ["17850.0,browse,2026-11-02T09:00:00Z", "V-1,browse,2026-11-02T09:00:00Z"]

    report = house.take("customer_id,type,occurred_at\n" + "\n".join(rows))

    assert (report.events, report.unknown, report.refused) == (2, 1, ())
    assert sorted(house.drain().read(EVENTS)["customer_id"]) == ["17850", "V-1"]


def test_bad_rows_are_kept_to_be_mended_and_good_ones_are_taken_in(house: House) -> None:
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
    kept = rows_of(report.rejects)
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
def test_a_sheet_is_taken_in_as_spreadsheets_save_it(house: House, encoding: str) -> None:
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
def test_money_is_counted_under_each_of_its_names(house: House, column: str, cell: str) -> None:
    house.take(f"customer_id;type;occurred_at;{column}\nC-1;purchase;2026-11-02T09:00:00Z;{cell}\n")

    assert house.drain().read(EVENTS)["amount_minor"].to_list() == [4990]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.csv", None, "FILE must be a file that ends in .csv or .parquet"),
        ("back.txt", b"type\n", "FILE must be a file that ends in"),
        ("back.csv", b"decision_id\nd\n", "FILE must have a column `type`"),
        ("back.csv", b"", "must start with a line of column names"),
        ("back.csv", b"type;value\nviewed;1;2\n", "row 1 must be 2 values between semicolons.*got 3 values"),
        ("back.parquet", b"no parquet", "FILE must be whole"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=message):
        read_rows(path)


cells = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(notes=st.lists(cells, min_size=1, max_size=5), suffix=st.sampled_from([".csv", ".parquet"]))
def test_what_a_sheet_says_is_read_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, notes: Sequence[str], suffix: str
) -> None:
    path = tmp_path_factory.mktemp("sheets") / f"sheet{suffix}"
    frame = pl.DataFrame({"type": ["call_note"] * len(notes), "note": [f"x{note}" for note in notes]})
    path.write_bytes(table_bytes(frame, suffix))
    assert [row["note"] for row in read_rows(path)] == [f"x{note}" for note in notes]
    frame = frame.with_columns(pl.Series("note", [f"{mark}{note}" for mark, note in zip("=@+-=", notes, strict=False)]))
    path.write_bytes(table_bytes(frame, suffix))
    assert [row["note"] for row in read_rows(path)] == frame["note"].to_list()


def test_the_commands_tell_people_and_programs_what_they_did(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.register_nouns()
    monkeypatch.setenv("NEXTBEST_HOME", str(house.settings.home))
    monkeypatch.setenv("NEXTBEST_REDIS_URL", str(house.settings.redis_url))
    house.know("C-1")
    house.know("C-2", city="")
    house.decide("C-1", "C-2")
    words = ["handoff", "write", "letter", str(house.out / "letters.csv"), "--as-of", "2026-11-02T10:00:00Z"]
    told = CliRunner().invoke(cli.app, words)
    assert told.exit_code == 0, told.output
    assert "the profile has no city" in told.stderr
    words[3] = str(house.out / "again.csv")
    again = CliRunner().invoke(cli.app, [*words, "--touchpoint", "post", "--json"])
    report = orjson.loads(again.stdout)
    assert (report["handed_over"], [one["customer_id"] for one in report["refused"]]) == (0, ["C-2"])
    back = house.out / "back.csv"
    row = rows_of(str(house.out / "letters.csv"))[0]
    back.write_text(f"decision_id,type,occurred_at\n{row['decision_id']},viewed,2026-11-02 10:00\n,viewed,never\n")
    read = CliRunner().invoke(cli.app, ["handoff", "read", str(back), "--zone", "Europe/Berlin", "--json"])
    assert read.exit_code == EXIT_REJECTED == 65, read.output
    counts = orjson.loads(read.stdout)
    assert (counts["read"], counts["outcomes"], len(counts["refused"])) == (2, 1, 1)
    assert "refused: row 2:" in read.stderr
    wrong = CliRunner().invoke(cli.app, ["handoff", "read", str(back), "--zone", "Europe/Bonn"])
    assert cli.exit_code(wrong.exception) == cli.EXIT_INVALID  # pyright: ignore[reportArgumentType]
