"""The live hash: every entry is read back, the greatest value wins, and at the same moment the cautious entry."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decisioning.catalogue.care import Case
from decisioning.catalogue.contact_policy import Due, Response
from decisioning.customer import Consent, ToldAnswer
from decisioning.live import StageMove
from serving.live import live_hash
from serving.live.live_hash import LIVE_SOURCE, Heard, Word, WordKind
from tests.touches import make_touch

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
TOUCH = make_touch("o:1", department="d", goal_id="g", creative_id="c")
MOMENTS = st.datetimes(
    min_value=datetime.fromisoformat("1970-01-01"),
    max_value=datetime.fromisoformat("2280-01-01"),
    timezones=st.just(UTC),
)
NAMES = st.text(min_size=1, max_size=8)


def as_redis(said: Iterable[Word]) -> list[bytes]:
    """The hash after these entries: the greatest value of each field."""
    fields: dict[str, str] = {}
    for name, value in said:
        fields[name] = max(fields.get(name, value), value)
    return [part.encode() for pair in fields.items() for part in pair]


def test_entries_are_read_back() -> None:
    due = Due(due_id="pass:1", due_at=NOW + timedelta(days=1), touch=TOUCH)
    words = as_redis(
        [
            live_hash.response("declined", TOUCH, NOW),
            live_hash.unsubscribed("e:mail", NOW),
            live_hash.opened("lost", "c:1", NOW, severity="high", channel_id="call", rest_s=60.0),
            live_hash.resolved("lost", "c:1", NOW + timedelta(hours=1)),
            live_hash.planned(due, NOW),
            live_hash.consent("email", "marketing", NOW, is_granted=False),
            live_hash.protection("vulnerable", NOW, holds=True),
            live_hash.protection("hold", NOW, holds=False),
            live_hash.profiling(NOW, is_opted_out=True),
            live_hash.told("age", 44, "app", NOW),
            live_hash.stage("lapsed", NOW),
            *live_hash.person("C-2", NOW),
        ]
    )
    heard = Heard(words)
    assert heard.responses == [Response(outcome="declined", touch=TOUCH, at=NOW)]
    assert heard.cases() == (
        Case(
            case_id="c:1",
            kind="lost",
            severity="high",
            opened_at=NOW,
            resolved_at=NOW + timedelta(hours=1),
            channel_id="call",
        ),
    )
    assert heard.due == [due]
    assert heard.consents == [
        Consent(channel_id="email", purpose="marketing", is_granted=False, recorded_at=NOW, source=LIVE_SOURCE)
    ]
    assert heard.protections == {"vulnerable": True, "hold": False}
    assert heard.has_opted_out is True
    assert heard.stage == StageMove(stage_id="lapsed", at=NOW)
    assert live_hash.unsubscriptions_in(words) == {"e:mail": NOW}
    assert live_hash.told_in(words) == {"age": (ToldAnswer(at=NOW, source="app"), 44)}
    assert live_hash.person_in(words) == "C-2"
    assert live_hash.lifts_in(words) == {"hold": NOW}
    assert live_hash.safeguards_in(words) == {"hold": NOW, "vulnerable": NOW, WordKind.PROFILING: NOW}


def test_a_cancelled_message_is_not_due_any_more() -> None:
    due = Due(due_id="pass", due_at=NOW, touch=TOUCH)
    said = [live_hash.planned(due, NOW), live_hash.cancelled("pass", NOW + timedelta(seconds=1))]
    assert Heard(as_redis(said)).due == []
    assert Heard(as_redis([live_hash.planned(due, NOW), live_hash.cancelled("pass", NOW)])).due == [due]


def test_of_two_entries_at_one_moment_the_cautious_one_wins_in_any_order() -> None:
    for is_first in (True, False):
        said = [
            live_hash.consent("email", "marketing", NOW, is_granted=is_first),
            live_hash.consent("email", "marketing", NOW, is_granted=not is_first),
            live_hash.protection("vulnerable", NOW, holds=is_first),
            live_hash.protection("vulnerable", NOW, holds=not is_first),
            live_hash.profiling(NOW, is_opted_out=is_first),
            live_hash.profiling(NOW, is_opted_out=not is_first),
        ]
        heard = Heard(as_redis(said))
        assert [one.is_granted for one in heard.consents] == [False]
        assert (heard.protections, heard.has_opted_out) == ({"vulnerable": True}, True)


@given(first=MOMENTS, second=MOMENTS, granted=st.booleans())
def test_the_later_entry_wins(first: datetime, second: datetime, granted: bool) -> None:
    early, late = sorted((first, second))
    said = [
        live_hash.consent("email", "marketing", late, is_granted=granted),
        live_hash.consent("email", "marketing", early, is_granted=not granted),
    ]
    [answer] = Heard(as_redis(said)).consents
    assert answer.recorded_at == late
    assert answer.is_granted is (granted and early != late)


@given(first=MOMENTS, second=MOMENTS)
def test_the_earliest_exposure_wins_and_is_read_back_after_joining(first: datetime, second: datetime) -> None:
    early, late = sorted((first, second))
    own = as_redis([live_hash.exposure("e", "late", late), live_hash.exposure("e", "early", early)])
    assert Heard(own).kept == {}
    expected = "late" if early == late else "early"
    assert Heard(as_redis(live_hash.joined_exposures(own))).kept == {"e": expected}


@given(kind=NAMES, case_id=NAMES, severity=NAMES, channel=st.none() | NAMES, rest_s=st.floats(0, 1e15))
def test_a_case_with_any_id_is_read_back(
    kind: str, case_id: str, severity: str, channel: str | None, rest_s: float
) -> None:
    word = live_hash.opened(kind, case_id, NOW, severity=severity, channel_id=channel, rest_s=rest_s)
    [case] = Heard(as_redis([word])).cases()
    assert (case.kind, case.case_id, case.severity, case.channel_id) == (kind, case_id, severity, channel)


@pytest.mark.parametrize(
    ("word", "stays"),
    [
        (live_hash.consent("email", "marketing", NOW, is_granted=True), True),
        (live_hash.consent("email", "marketing", NOW, is_granted=False), False),
        (live_hash.protection("vulnerable", NOW, holds=False), True),
        (live_hash.protection("vulnerable", NOW, holds=True), False),
        (live_hash.profiling(NOW, is_opted_out=False), True),
        (live_hash.profiling(NOW, is_opted_out=True), False),
        (live_hash.was("V-1", NOW), True),
        (live_hash.unsubscribed("email", NOW), False),
    ],
)
def test_a_consent_stays_with_the_id_it_was_given_for(word: Word, stays: bool) -> None:
    assert live_hash.is_of_this_id_alone(word) is stays
