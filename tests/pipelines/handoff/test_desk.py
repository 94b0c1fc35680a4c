"""Letters and calls: each message is handed off once, with a permit."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import orjson
import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from decisioning.errors import InvalidInputError, LogUnavailableError, ModelUnavailableError, UnavailableError
from pipelines import cli
from pipelines.exit_codes import EXIT_REJECTED
from pipelines.handoff import book
from pipelines.handoff.book import HandOffBook
from pipelines.handoff.desk import HandOffPlan, HandOffReport, hand_over
from serving.http.app import create_app


def test_a_letter_is_handed_off_once_with_only_the_data_the_mail_house_needs(house: Any) -> None:
    house.know("C-1", secret="not for the mail house")
    decided = house.decide("C-1")["C-1"]
    house.now = datetime(2026, 11, 2, 13, 1, tzinfo=UTC)  # 14:01 in Berlin: past the cut-off

    report = house.hand_over("letters.csv")

    assert (report.handed_over, report.refused, report.refused_out) == (1, (), None)
    assert house.rows_of(report.out) == [
        {
            "decision_id": decided["decision_id"], "customer_id": "C-1", "touchpoint": "post", "offer_id": "spring",
            "channel": "letter", "creative_id": "card", "hand_over_on": "2026-11-03", "arrives_on": "2026-11-06",
            "format": "card", "address_first_name": "Ada", "address_city": "Köln", "content_body": "Gate open",
            "content_headline": "Dear Ada", "type": "", "occurred_at": "", "value": "", "note": "",
        }
    ]  # fmt: skip
    again = house.hand_over("again.csv")
    assert (again.handed_over, again.out, (house.out / "again.csv").exists()) == (0, None, False)


def test_the_permit_confirms_the_contact_so_that_a_letter_counts_in_caps_like_an_email(house: Any) -> None:
    house.know("C-1")
    house.decide("C-1")
    house.hand_over("letters.csv")
    house.now += timedelta(days=6)
    assert house.decide("C-1", touchpoint="wave", key="later")["C-1"]["action"] == "hold"
    house.now += timedelta(days=1)
    assert house.decide("C-1", touchpoint="wave", key="much later")["C-1"]["action"] == "send"


def test_nothing_is_handed_off_with_an_emptied_redis(house: Any) -> None:
    house.know("C-1")
    house.decide("C-1")
    house.client.flushall()
    house.know("C-1")
    with pytest.raises(UnavailableError, match="run `nextbest restore`"):
        house.hand_over("letters.csv")
    assert not (house.out / "letters.csv").exists()


def test_a_customer_who_withdrew_consent_gets_no_letter_and_the_list_says_so(house: Any) -> None:
    house.know("C-1")
    house.know("C-2")
    decided = house.decide("C-1", "C-2")
    house.know("C-2", grants=False)

    report = house.hand_over("letters.csv")

    assert [row["customer_id"] for row in house.rows_of(report.out)] == ["C-1"]
    [refused] = house.rows_of(report.refused_out)
    assert (refused["customer_id"], refused["reasons"]) == ("C-2", "NO_CONSENT")
    assert "there is no consent" in refused["because"]
    assert house.outcomes(decided["C-2"]["decision_id"]) == ["not_sent"]
    house.know("C-2")
    assert house.hand_over("again.csv") == HandOffReport(channel="letter"), "a permanent refusal is not checked again"


def test_the_channels_capacity_is_kept_and_waiting_customers_come_next(house: Any) -> None:
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
    assert retry_at.startswith("2026-11-08T13:00:00"), (
        "after the cut-off on Sunday the letter goes with next week's first run"
    )
    house.now = datetime(2026, 11, 9, 9, tzinfo=UTC)
    second = house.hand_over("second.csv")
    assert (second.handed_over, len(second.refused)) == (1, 1)
    carried = {row["customer_id"] for report in (first, second) for row in house.rows_of(report.out)}
    assert len(carried) == 2


def test_without_an_address_nothing_is_handed_off_until_the_profile_has_one(house: Any) -> None:
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
    """A power cut at this point."""


def _cut(*_: object) -> NoReturn:
    raise _PowerCutError


@pytest.mark.parametrize("step", ["asdict", "_close", "rename"])
def test_after_a_power_cut_at_any_point_each_letter_is_in_exactly_one_complete_file(
    house: Any, monkeypatch: pytest.MonkeyPatch, step: str
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

    found = {
        path.name: house.rows_of(str(path)) for path in sorted(house.out.glob("*.csv")) if "refused" not in path.name
    }
    carried = sorted(row["customer_id"] for rows in found.values() for row in rows)
    assert carried == names[:4]
    assert bool(second.finished) is (step != "asdict")
    if second.finished:
        assert list(found) == ["letters.csv"]
        assert found["letters.csv"][0]["address_first_name"] == "Ada", "exactly the prepared bytes"
    assert third.handed_over == 0
    left = {path.suffix for path in house.settings.handoffs_path.iterdir() if path.name != ".lock"}
    assert left == {".json"}, "no personal data stays in the book"


def test_an_existing_output_file_is_refused_before_any_permit_is_requested(house: Any) -> None:
    house.know("C-1")
    house.decide("C-1")
    (house.out / "letters.csv").write_text("somebody's")
    with pytest.raises(InvalidInputError, match="OUT must be a new file"):
        house.hand_over("letters.csv")
    assert (house.out / "letters.csv").read_text() == "somebody's"
    assert house.hand_over("other.csv").handed_over == 1


def test_only_one_hand_off_runs_at_a_time(house: Any) -> None:
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
def test_an_impossible_hand_off_is_reported_before_anything_happens(
    house: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        house.hand_over("letters.csv", **changes)


def test_without_redis_nothing_is_written_and_the_next_run_hands_off(house: Any) -> None:
    house.know("C-1")
    house.decide("C-1")
    plan = HandOffPlan(channel_id="letter", out=house.out / "letters.csv", as_of=house.now)
    with pytest.raises(UnavailableError):
        hand_over(plan, house.settings, redis_url="redis://127.0.0.1:1/0")
    assert list(house.out.iterdir()) == []
    assert house.hand_over("letters.csv").handed_over == 1


def test_an_unreadable_book_stops_the_hand_off_so_that_nothing_is_handed_off_twice(house: Any) -> None:
    house.know("C-1")
    house.decide("C-1")
    house.hand_over("letters.csv")
    [path] = house.settings.handoffs_path.glob("*.json")
    path.write_text("{}")
    with pytest.raises(LogUnavailableError, match="book of hand-offs must be readable"):
        house.hand_over("again.csv")


def test_positions_of_a_slate_are_handed_off_with_their_own_ids(house: Any) -> None:
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
    assert [row["decision_id"] for one in (letters, calls) for row in house.rows_of(one.out)] == ids
    assert house.rows_of(calls.out)[0]["content_script"] == "'=Ask how it went"


def test_the_commands_report_as_text_and_json(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
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
    row = house.rows_of(str(house.out / "letters.csv"))[0]
    back.write_text(f"decision_id,type,occurred_at\n{row['decision_id']},viewed,2026-11-02 10:00\n,viewed,never\n")
    read = CliRunner().invoke(cli.app, ["handoff", "read", str(back), "--zone", "Europe/Berlin", "--json"])
    assert read.exit_code == EXIT_REJECTED == 65, read.output
    counts = orjson.loads(read.stdout)
    assert (counts["read"], counts["outcomes"], len(counts["refused"])) == (2, 1, 1)
    assert "refused: row 2:" in read.stderr
    wrong = CliRunner().invoke(cli.app, ["handoff", "read", str(back), "--zone", "Europe/Bonn"])
    assert cli.exit_code(wrong.exception) == cli.EXIT_INVALID  # pyright: ignore[reportArgumentType]
