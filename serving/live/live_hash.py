"""The live hash: what was reported about a customer since the profile was written, one field per subject.

A value is the time as 16 digits, then the word. The greatest value of a field wins, so reports may come twice, late or
in any order; of two with the same time the cautious one is greater: no beats yes, protected beats unprotected. Only a
first exposure is written once and never again; what is put off to a better hour stands as the last decision left it.

Written by the scripts `TAKE_IN` (what a report changes) and `COMMIT_DECISION` (the last two), read by `READ`,
`READ_PERMIT` and whatever was beaten.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

from decisioning.catalogue.care import Case
from decisioning.catalogue.contact_policy import Due, Response, Touch, touch_of_words, touch_words
from decisioning.customer import PROFILING, Consent, ToldAnswer
from decisioning.decision import PutOff
from decisioning.live import StageMove
from decisioning.rules.predicate import FactValue
from features.log.heard import HEARD_PREFIX
from features.online.record import microseconds, moment_of
from serving.live.encoding import TIME_DIGITS, moment_in, pairs_of, time_text

type Word = tuple[str, str]
"""A field of the live hash and its value."""


class WordKind(StrEnum):
    """What a field is about: `<kind>:<what>`, or the kind alone where there is one per customer."""

    RESPONSE = "response"
    UNSUBSCRIBED = "unsubscribed"
    OPENED = "opened"
    RESOLVED = "resolved"
    DUE = "due"
    CONSENT = "consent"
    PROTECTION = "protection"
    PROFILING = PROFILING
    TOLD = "told"
    STAGE = "stage"
    ARM = "arm"
    PUT_OFF = "put_off"
    PERSON = "person"  # the customer whom this visitor turned out to be
    WAS = "was"  # these two name the other id of a pair, so that erasing either finds it
    IS = "is"


BOUNDED = (WordKind.OPENED, WordKind.RESOLVED, WordKind.DUE, WordKind.RESPONSE)
"""Kinds of which there may be any number, so that only the newest are kept."""

MOST_BOUNDED = 512
"""Fields of the kinds in `BOUNDED` that are kept at most."""

LIVE_SOURCE = "live"
"""Source of answers that came as events."""

_GUARDED, _FREE = "1", "0"
"""Refused, protected, opted out; and permitted, lifted, opted in: the cautious word is the greater one."""

_PLANNED, _CANCELLED = "1", "0"

OWN, JOINED = "0", "1"
"""Whether a first exposure was under this id, or under that of a visitor who turned out to be this customer."""

_REST_DIGITS = 10
_LONGEST_REST_S = 10**_REST_DIGITS - 1


def response(outcome: str, touch: Touch, at: datetime) -> Word:
    """How a message was answered."""
    return _about(WordKind.RESPONSE, outcome, *touch_words(touch)), time_text(at)


def unsubscribed(channel_id: str, at: datetime) -> Word:
    """The customer left a channel."""
    return f"{WordKind.UNSUBSCRIBED}:{channel_id}", time_text(at)


def opened(kind: str, case_id: str, at: datetime, *, severity: str, channel_id: str | None, rest_s: float) -> Word:
    """A case is open, with seconds of rest once it is resolved: of words of one moment the longest rest stands.

    The channel is where it was reported, None where nobody said.
    """
    rest = int(min(rest_s, _LONGEST_REST_S))
    word = orjson.dumps([severity, channel_id]).decode()
    return _about(WordKind.OPENED, kind, case_id), f"{time_text(at)}{rest:0{_REST_DIGITS}d}{word}"


def resolved(kind: str, case_id: str, at: datetime) -> Word:
    """A case is resolved; an empty kind stands for whatever kind the case is of."""
    return _about(WordKind.RESOLVED, kind, case_id), time_text(at)


def planned(due: Due, at: datetime) -> Word:
    """A message is planned, as of when we heard of it."""
    word = orjson.dumps([microseconds(due.due_at), *touch_words(due.touch)]).decode()
    return f"{WordKind.DUE}:{due.due_id}", f"{time_text(at)}{_PLANNED}{word}"


def cancelled(due_id: str, at: datetime) -> Word:
    """A planned message is not sent; planned and cancelled at the same moment, the room is kept."""
    return f"{WordKind.DUE}:{due_id}", f"{time_text(at)}{_CANCELLED}"


def consent(channel_id: str, purpose: str, at: datetime, *, is_granted: bool) -> Word:
    """Whether the customer agreed to a channel and purpose."""
    return _about(WordKind.CONSENT, channel_id, purpose), f"{time_text(at)}{_FREE if is_granted else _GUARDED}"


def profiling(at: datetime, *, is_opted_out: bool) -> Word:
    """Whether the customer opted out of profiling."""
    return WordKind.PROFILING.value, f"{time_text(at)}{_GUARDED if is_opted_out else _FREE}"


def protection(name: str, at: datetime, *, holds: bool) -> Word:
    """Whether a protection holds."""
    return f"{WordKind.PROTECTION}:{name}", f"{time_text(at)}{_GUARDED if holds else _FREE}"


def told(name: str, value: FactValue, source: str, at: datetime) -> Word:
    """What the customer told us of an attribute."""
    return f"{WordKind.TOLD}:{name}", f"{time_text(at)}{orjson.dumps([value, source]).decode()}"


def stage(stage_id: str, at: datetime) -> Word:
    """The stage that an event named."""
    return WordKind.STAGE.value, f"{time_text(at)}{stage_id}"


def exposure(test: str, value: str, at: datetime) -> Word:
    """What a first exposure to a test put the customer into; of several the earliest is the greatest text."""
    return f"{WordKind.ARM}:{test}", f"{10**TIME_DIGITS - 1 - int(time_text(at)):0{TIME_DIGITS}d}{OWN}{value}"


def put_off(touchpoint_id: str, what: PutOff | None) -> Word:
    """An ask at a touchpoint that was put off to a better hour; an empty value for none."""
    value = "" if what is None else time_text(what.until) + time_text(what.asked_at)
    return f"{WordKind.PUT_OFF}:{touchpoint_id}", value


def person(customer_id: str, at: datetime) -> tuple[Word, Word]:
    """This visitor turned out to be a customer."""
    moment = time_text(at)
    return (WordKind.PERSON.value, f"{moment}{customer_id}"), (f"{WordKind.IS}:{customer_id}", moment)


def was(visitor_id: str, at: datetime) -> Word:
    """This customer was that visitor before."""
    return f"{WordKind.WAS}:{visitor_id}", time_text(at)


def joined_exposures(words: Sequence[bytes]) -> Iterator[Word]:
    """First exposures in a visitor's live hash, as the customer keeps them where they came before their own."""
    for name, value in pairs_of(words):
        if name.startswith(_prefix(WordKind.ARM)):
            yield name.decode(), f"{value[:TIME_DIGITS].decode()}{JOINED}{value[TIME_DIGITS + 1 :].decode()}"


def is_of_this_id_alone(word: Word) -> bool:
    """Whether a field stays with its own id when two are joined: consents, what was put off, and the link itself."""
    name, value = word
    kind = name.partition(":")[0]
    is_yes = kind in {WordKind.CONSENT, WordKind.PROTECTION, WordKind.PROFILING} and value[TIME_DIGITS:] == _FREE
    return is_yes or kind in {WordKind.PERSON, WordKind.WAS, WordKind.IS, WordKind.PUT_OFF}


def _about(kind: WordKind, *what: str) -> str:
    return f"{kind}:{orjson.dumps(what).decode()}"


def _prefix(kind: WordKind) -> bytes:
    return f"{kind}:".encode()


_UNSUBSCRIBED, _PROTECTION, _TOLD = map(_prefix, (WordKind.UNSUBSCRIBED, WordKind.PROTECTION, WordKind.TOLD))
_PERSON, _PROFILING = WordKind.PERSON.encode(), WordKind.PROFILING.encode()


def person_in(words: Sequence[bytes]) -> str | None:
    """The customer whom a visitor turned out to be, as we heard last."""
    return next((person_of(value) for name, value in pairs_of(words) if name == _PERSON), None)


def person_of(value: bytes) -> str:
    """The customer that a value of the field `person` names."""
    return value[TIME_DIGITS:].decode()


def put_off_in(words: Sequence[bytes], touchpoint_id: str) -> PutOff | None:
    """The ask at a touchpoint that was put off to a better hour; None where none was."""
    wanted = put_off(touchpoint_id, None)[0].encode()
    value = next((value for name, value in pairs_of(words) if name == wanted), None)
    return None if value is None else PutOff(until=moment_in(value), asked_at=moment_in(value[TIME_DIGITS:]))


def unsubscriptions_in(words: Sequence[bytes]) -> dict[str, datetime]:
    """When the customer left which channel."""
    return {
        name.removeprefix(_UNSUBSCRIBED).decode(): moment_of(int(value))
        for name, value in pairs_of(words)
        if name.startswith(_UNSUBSCRIBED)
    }


def lifts_in(words: Sequence[bytes]) -> dict[str, datetime]:
    """As of when each protection was lifted, and under `profiling` the opt-out, where that is the latest live word."""
    return dict(_safeguards(words, _FREE))


def safeguards_in(words: Sequence[bytes]) -> dict[str, datetime]:
    """As of when each protection holds, and under `profiling` the opt-out, or was lifted: the latest live words."""
    return dict(_safeguards(words, _FREE, _GUARDED))


def _safeguards(words: Sequence[bytes], *said: str) -> Iterator[tuple[str, datetime]]:
    for name, value in pairs_of(words):
        if (name.startswith(_PROTECTION) or name == _PROFILING) and value[TIME_DIGITS:].decode() in said:
            yield name.removeprefix(_PROTECTION).decode(), moment_in(value)


def told_in(words: Sequence[bytes]) -> dict[str, tuple[ToldAnswer, FactValue]]:
    """What the customer told us of attributes, by name."""
    found = dict[str, tuple[ToldAnswer, FactValue]]()
    for name, value in pairs_of(words):
        if name.startswith(_TOLD):
            word, source = orjson.loads(value[TIME_DIGITS:])
            found[name.removeprefix(_TOLD).decode()] = ToldAnswer(at=moment_in(value), source=source), word
    return found


class Heard:
    """The fields of a live hash, sorted into what they say."""

    def __init__(self, words: Sequence[bytes]) -> None:
        """Sort names and values in turn; fields of other kinds are for somebody else."""
        self.due: list[Due] = []
        self.responses: list[Response] = []
        self.consents: list[Consent] = []
        self.protections: dict[str, bool] = {}
        self.has_opted_out: bool | None = None
        self.stage: StageMove | None = None
        self.kept: dict[str, str] = {}
        self._opened: dict[tuple[str, str], tuple[datetime, list[Any]]] = {}
        self._resolved: dict[tuple[str, str], datetime] = {}
        for name, value in pairs_of(words):
            kind, _, rest = name.partition(b":")
            self._hear(kind.decode(), rest, moment_in(value), value[TIME_DIGITS:])

    def _hear(self, kind: str, rest: bytes, at: datetime, word: bytes) -> None:
        match kind:
            case WordKind.RESPONSE:
                outcome, *touch = orjson.loads(rest)
                self.responses.append(Response(outcome=outcome, touch=touch_of_words(touch), at=at))
            case WordKind.OPENED:
                case_kind, case_id = orjson.loads(rest)
                self._opened[case_kind, case_id] = at, orjson.loads(word[_REST_DIGITS:])
            case WordKind.RESOLVED:
                case_kind, case_id = orjson.loads(rest)
                self._resolved[case_kind, case_id] = at
            case WordKind.DUE if word[:1] == _PLANNED.encode():
                due_at, *touch = orjson.loads(word[1:])
                self.due.append(Due(due_id=rest.decode(), due_at=moment_of(due_at), touch=touch_of_words(touch)))
            case _:
                self._hear_of_customer(kind, rest, at, word)

    def _hear_of_customer(self, kind: str, rest: bytes, at: datetime, word: bytes) -> None:
        match kind:
            case WordKind.CONSENT:
                channel, purpose = orjson.loads(rest)
                is_granted = word == _FREE.encode()
                self.consents.append(
                    Consent(
                        channel_id=channel,
                        purpose=purpose,
                        is_granted=is_granted,
                        recorded_at=at,
                        source=LIVE_SOURCE,
                    )
                )
            case WordKind.PROTECTION:
                self.protections[rest.decode()] = word == _GUARDED.encode()
            case WordKind.PROFILING:
                self.has_opted_out = word == _GUARDED.encode()
            case WordKind.ARM if word[:1] == JOINED.encode():
                self.kept[rest.decode()] = word[1:].decode()
            case WordKind.STAGE:
                self.stage = StageMove(stage_id=word.decode(), at=at)
            case _:
                pass

    def cases(self) -> tuple[Case, ...]:
        """Cases that were opened."""
        return tuple(
            Case(
                case_id=case_id,
                kind=kind,
                severity=severity,
                opened_at=opened_at,
                resolved_at=self._resolution_of(kind, case_id),
                channel_id=channel,
            )
            for (kind, case_id), (opened_at, (severity, channel)) in sorted(self._opened.items())
        )

    def _resolution_of(self, kind: str, case_id: str) -> datetime | None:
        """The latest: a resolution that names no kind counts for its id, whatever the kind.

        A case that a text opened has no id that anybody could name: whatever resolves another of its kind resolves it.
        """
        is_heard = case_id.startswith(HEARD_PREFIX)
        found: Iterable[datetime] = (
            at
            for (one, name), at in self._resolved.items()
            if (name == case_id and one in (kind, ""))
            or (is_heard and (one == kind or (not one and (kind, name) in self._opened)))
        )
        return max(found, default=None)
