"""What Redis answers, as the decision core sees it: a customer's live state, and what all customers share."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import orjson

from decisioning.catalogue.care import Case
from decisioning.catalogue.contact_policy import Contact, Due, Response, touch_of_words
from decisioning.catalogue.limits import Supply
from decisioning.customer import PROFILING, Consent, ToldAnswer
from decisioning.live import LiveState, RecentEvent, StageMove
from decisioning.rules.predicate import FactValue
from features.log.heard import HEARD_PREFIX
from features.online.record import moment_of
from features.online.redis_keys import (
    book_key,
    events_key,
    feature_key,
    household_pointer_key,
    live_key,
    profile_key,
    request_key,
)
from serving.live.encoding import EPOCH, JOINED, TIME_DIGITS, contact_in, moment_in, time_text
from serving.live.redis_link import Command, Reply

RECENT = timedelta(hours=24)
"""How far recent behaviour goes back."""

PERSON = "person"
"""Field of a visitor's live hash that names the customer whom they turned out to be, the latest word."""

KEPT_ARM = "arm"
"""Kind of field that tells what a first exposure put the customer into."""

LIVE_SOURCE = "live"
"""Source of answers that came as events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SupplyQuery:
    """What to read of what all customers share.

    Attributes:
        now: The moment of deciding: older behaviour is left out, and reservations that ran out give back their part.
        counters: Names of the counters that limits and shares in force look at.
        wants_evidence: Whether decisions per offer are wanted, for the ramp of new ones.
    """

    now: datetime
    counters: tuple[str, ...] = ()
    wants_evidence: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is wanted, so that there is nothing to ask."""
        return not self.counters and not self.wants_evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An idempotency key and the request that it stands for."""

    key: str
    fingerprint: str

    @property
    def claimed_at(self) -> str:
        """Redis key of the claim; it has no customer, so it may lie on any shard."""
        return f"nb:idempotency:{sha256(self.key.encode()).hexdigest()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """What to read for one ask; `dedupe_key` is None where the ask cannot be repeated."""

    customer_id: str
    touchpoint_id: str
    dedupe_key: str | None = None
    claim: Claim | None = None
    supply: SupplyQuery | None = None

    @property
    def stored_at(self) -> str | None:
        """Redis key of the answer that this ask already got."""
        if self.dedupe_key is None:
            return None
        return stored_answer_key(self.customer_id, self.touchpoint_id, self.dedupe_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What Redis holds of a customer, features and profile undecoded, and the answer that the ask already got.

    Attributes:
        unsubscribed_at: When the customer left which channel.
        told: What the customer told us of attributes: when and where, and the value.
        is_claimed: False where the idempotency key stands for another request.
        live: What happened since the profile was written.
        supply: What all customers share, as far as it was asked for.
        household_id: Whose book counts besides the customer's own; None where there is none.
        lifted_at: As of when each protection, and the opt-out under `profiling`, was lifted by a live word.
        person: The customer whom this visitor turned out to be, as we heard last; None where nobody said so.
        words: The fields of the live hash as they are, names and values in turn.
        of: Whom this is about, where it is another than the one asked for.
    """

    features: bytes | None = None
    profile: bytes | None = None
    unsubscribed_at: Mapping[str, datetime] = field(default_factory=dict[str, datetime])
    told: Mapping[str, tuple[ToldAnswer, FactValue]] = field(default_factory=dict[str, tuple[ToldAnswer, FactValue]])
    stored: bytes | None = None
    is_claimed: bool = True
    live: LiveState = field(default_factory=LiveState)
    supply: Supply = field(default_factory=Supply)
    household_id: str | None = None
    lifted_at: Mapping[str, datetime] = field(default_factory=dict[str, datetime])
    person: str | None = None
    words: Sequence[bytes] = field(default=(), compare=False, repr=False)
    of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Nothing was written: the book or a counter moved on. What they are now, to decide again without reading."""

    live: LiveState
    supply: Supply
    unsubscribed_at: Mapping[str, datetime]
    household_id: str | None
    lifted_at: Mapping[str, datetime] = field(default_factory=dict[str, datetime])

    def after(self, known: Known) -> Known:
        """What was known before, with what is live now."""
        return replace(
            known,
            live=self.live,
            supply=self.supply,
            unsubscribed_at=self.unsubscribed_at,
            household_id=self.household_id,
            lifted_at=self.lifted_at,
        )


def stored_answer_key(customer_id: str, touchpoint_id: str, dedupe_key: str) -> str:
    """Redis key of an ask's answer; texts of any content and length cannot collide in it."""
    digest = sha256("\0".join(f"{len(one)}:{one}" for one in (touchpoint_id, customer_id, dedupe_key)).encode())
    return request_key(customer_id, touchpoint_id, digest.hexdigest())


def read_call(lookup: Lookup) -> Command:
    """Keys and arguments of the script `READ`."""
    who = lookup.customer_id
    keys = [feature_key(who), profile_key(who), *state_keys(who)]
    if lookup.stored_at is not None:
        keys.append(lookup.stored_at)
    return (len(keys), *keys, since_of(lookup.supply))


def state_keys(customer_id: str) -> tuple[str, str, str, str]:
    """Where live state, book, recent behaviour and the pointer to the household are."""
    return live_key(customer_id), book_key(customer_id), events_key(customer_id), household_pointer_key(customer_id)


def since_of(query: SupplyQuery | None) -> str:
    """Since when recent behaviour counts, as a score; everything that is kept where the moment is not known."""
    return "-inf" if query is None else time_text(query.now - RECENT)


def query_json(query: SupplyQuery | None) -> bytes:
    """A query as the scripts read it."""
    counters = [] if query is None else list(query.counters)
    return orjson.dumps({"counters": counters, "evidence": query is not None and query.wants_evidence})


type IsLost = Callable[[bytes | None], bool]
"""Whether a Redis with this mark lacks the live state of this home, see `features.online.state_mark`."""


def never_lost(_: bytes | None) -> bool:
    """What is read is taken for whole."""
    return False


def known_of(lookup: Lookup, reply: Reply, supply: Supply, *, is_claimed: bool, is_lost: IsLost = never_lost) -> Known:
    """What the script `READ` told."""
    features, profile, stored, state, mark = reply
    return Known(
        features=features,
        profile=profile,
        stored=stored if lookup.stored_at else None,
        is_claimed=is_claimed,
        live=live_of(state, is_lost=is_lost(mark)),
        supply=supply,
        unsubscribed_at=unsubscriptions_of(state),
        told=told_of(state),
        household_id=household_of(state),
        lifted_at=lifts_of(state),
        person=person_of(state),
        words=state[0],
    )


def conflict_of(reply: Reply, *, is_lost: IsLost = never_lost) -> Conflict:
    """What a script told that wrote nothing."""
    state, supply, mark = reply
    return Conflict(
        live=live_of(state, is_lost=is_lost(mark)),
        supply=supply_of(supply),
        unsubscribed_at=unsubscriptions_of(state),
        household_id=household_of(state),
        lifted_at=lifts_of(state),
    )


def supply_of(reply: Reply) -> Supply:
    """What all customers share."""
    counters, used, prices, evidence = reply
    return Supply(
        used={name.decode(): float(value) if value else 0.0 for name, value in zip(counters, used, strict=True)},
        prices_minor={name.decode(): float(value) for name, value in pairs_of(prices)},
        evidence={name.decode(): int(value) for name, value in pairs_of(evidence)},
    )


def without(supply: Supply, held: Mapping[str, float]) -> Supply:
    """A supply as if what one decision holds of it were still there."""
    used = {counter: max(0.0, amount - held.get(counter, 0.0)) for counter, amount in supply.used.items()}
    return replace(supply, used=used)


def household_of(state: Reply) -> str | None:
    """The household whose book is in a state."""
    return state[3].decode() if state[3] else None


def person_of(state: Reply) -> str | None:
    """The customer whom a visitor turned out to be, as we heard last."""
    return next((value[TIME_DIGITS:].decode() for name, value in pairs_of(state[0]) if name == PERSON.encode()), None)


def unsubscriptions_of(state: Reply) -> dict[str, datetime]:
    """When the customer left which channel."""
    prefix = b"unsubscribed:"
    return {
        name.removeprefix(prefix).decode(): moment_of(int(value))
        for name, value in pairs_of(state[0])
        if name.startswith(prefix)
    }


def lifts_of(state: Reply) -> dict[str, datetime]:
    """As of when each protection was lifted, and under `profiling` the opt-out, where that is the latest live word."""
    prefix = b"protection:"
    return {
        name.removeprefix(prefix).decode(): moment_in(value)
        for name, value in pairs_of(state[0])
        if (name.startswith(prefix) or name == PROFILING.encode()) and value[TIME_DIGITS:] == b"0"
    }


def told_of(state: Reply) -> dict[str, tuple[ToldAnswer, FactValue]]:
    """What the customer told us of attributes, by name."""
    prefix, found = b"told:", dict[str, tuple[ToldAnswer, FactValue]]()
    for name, value in pairs_of(state[0]):
        if name.startswith(prefix):
            word, source = orjson.loads(value[TIME_DIGITS:])
            found[name.removeprefix(prefix).decode()] = ToldAnswer(at=moment_in(value), source=source), word
    return found


def live_of(state: Reply, *, is_lost: bool = False) -> LiveState:
    """The live state that the function `state_of` of the scripts told; equal bytes give equal states."""
    words, book, events, _, household_book = state
    version, contacts = _book(book)
    household_version, household_contacts = _book(household_book)
    told = _Told()
    for name, value in pairs_of(words):
        told.hear(name, value)
    return LiveState(
        version=version,
        household_version=household_version,
        contacts=contacts,
        household_contacts=household_contacts,
        due=tuple(sorted(told.due, key=lambda one: one.due_id)),
        responses=tuple(sorted(told.responses, key=lambda one: (one.at, one.outcome, str(one.touch)))),
        cases=told.cases(),
        consents=tuple(sorted(told.consents, key=lambda one: (one.channel_id, one.purpose))),
        protections=dict(sorted(told.protections.items())),
        has_opted_out_of_profiling=told.has_opted_out,
        stage=told.stage,
        events=tuple(_event(member, score) for member, score in pairs_of(events)),
        kept=dict(sorted(told.kept.items())),
        is_lost=is_lost,
    )


class _Told:
    """The fields of a live hash, sorted into what they say."""

    def __init__(self) -> None:
        self.due: list[Due] = []
        self.responses: list[Response] = []
        self.consents: list[Consent] = []
        self.protections: dict[str, bool] = {}
        self.has_opted_out: bool | None = None
        self.stage: StageMove | None = None
        self.kept: dict[str, str] = {}
        self._opened: dict[tuple[str, str], tuple[datetime, list[Any]]] = {}
        self._resolved: dict[tuple[str, str], datetime] = {}

    def hear(self, name: bytes, value: bytes) -> None:
        """Sort one field in; fields of other kinds are for somebody else."""
        kind, _, rest = name.partition(b":")
        at, word = moment_in(value), value[TIME_DIGITS:]
        match kind:
            case b"response":
                outcome, *touch = orjson.loads(rest)
                self.responses.append(Response(outcome=outcome, touch=touch_of_words(touch), at=at))
            case b"opened":
                case_kind, case_id = orjson.loads(rest)
                self._opened[case_kind, case_id] = at, orjson.loads(word[_SEVERITY_DIGITS:])
            case b"resolved":
                case_kind, case_id = orjson.loads(rest)
                self._resolved[case_kind, case_id] = at
            case b"due" if word[:1] == b"1":
                due_at, *touch = orjson.loads(word[1:])
                self.due.append(Due(due_id=rest.decode(), due_at=moment_of(due_at), touch=touch_of_words(touch)))
            case _:
                self._hear_word(kind, rest, at, word)

    def _hear_word(self, kind: bytes, rest: bytes, at: datetime, word: bytes) -> None:
        match kind:
            case b"consent":
                channel, purpose = orjson.loads(rest)
                is_granted = word == b"0"
                self.consents.append(
                    Consent(
                        channel_id=channel,
                        purpose=purpose,
                        is_granted=is_granted,
                        recorded_at=at,
                        source=LIVE_SOURCE,
                    )
                )
            case b"protection":
                self.protections[rest.decode()] = word == b"1"
            case b"profiling":
                self.has_opted_out = word == b"1"
            case b"arm" if word[:1] == JOINED.encode():
                self.kept[rest.decode()] = word[1:].decode()
            case b"stage":
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
        found = [
            at
            for (one, name), at in self._resolved.items()
            if (name == case_id and one in (kind, ""))
            or (is_heard and (one == kind or (not one and (kind, name) in self._opened)))
        ]
        return max(found, default=None)


_SEVERITY_DIGITS = 10


def _book(flat: list[bytes]) -> tuple[int, tuple[Contact, ...]]:
    """Version and contacts, oldest first."""
    version, contacts = 0, list[Contact]()
    for name, value in pairs_of(flat):
        if name == b"version":
            version = int(value)
        else:
            contacts.append(contact_in(name.decode(), value))
    contacts.sort(key=lambda one: (one.at, one.contact_id))
    return version, tuple(contacts)


def _event(member: bytes, score: bytes) -> RecentEvent:
    return RecentEvent(event_type=member.partition(b"\0")[0].decode(), at=EPOCH + timedelta(0, 0, int(score)))


def pairs_of(flat: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Names and values that stand in turn."""
    return zip(flat[::2], flat[1::2], strict=True)
