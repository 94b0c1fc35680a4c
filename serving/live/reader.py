"""What Redis answers, as the decision core sees it: a customer's live state, and what all customers share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256

import orjson

from decisioning.catalogue.limits import Supply
from decisioning.customer import ToldAnswer
from decisioning.live import LiveState
from decisioning.rules.predicate import FactValue
from features.online.redis_keys import (
    book_key,
    events_key,
    feature_key,
    household_pointer_key,
    idempotency_key,
    live_key,
    profile_key,
    request_key,
)
from serving.live.book import book_in
from serving.live.encoding import pairs_of, time_text
from serving.live.live_hash import Heard, lifts_in, person_in, told_in, unsubscriptions_in
from serving.live.recent_events import RECENT, event_in
from serving.live.redis_link import Command, Reply


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
        """Redis key of the claim."""
        return idempotency_key(sha256(self.key.encode()).hexdigest())


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
    return known_in(
        state,
        features=features,
        profile=profile,
        supply=supply,
        is_lost=is_lost(mark),
        stored=stored if lookup.stored_at else None,
        is_claimed=is_claimed,
        words=state[0],
    )


def known_in(
    state: Reply,
    *,
    features: bytes | None,
    profile: bytes | None,
    supply: Supply,
    is_lost: bool = False,
    stored: bytes | None = None,
    is_claimed: bool = True,
    words: Sequence[bytes] = (),
) -> Known:
    """What is known of a customer whose state the function `state_of` of the scripts told; fields as in `Known`."""
    heard = state[0]
    return Known(
        features=features,
        profile=profile,
        live=live_of(state, is_lost=is_lost),
        supply=supply,
        unsubscribed_at=unsubscriptions_in(heard),
        told=told_in(heard),
        household_id=household_of(state),
        lifted_at=lifts_in(heard),
        person=person_in(heard),
        stored=stored,
        is_claimed=is_claimed,
        words=words,
    )


def conflict_of(reply: Reply, *, is_lost: IsLost = never_lost) -> Conflict:
    """What a script told that wrote nothing."""
    state, supply, mark = reply
    return Conflict(
        live=live_of(state, is_lost=is_lost(mark)),
        supply=supply_of(supply),
        unsubscribed_at=unsubscriptions_in(state[0]),
        household_id=household_of(state),
        lifted_at=lifts_in(state[0]),
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


def live_of(state: Reply, *, is_lost: bool = False) -> LiveState:
    """The live state that the function `state_of` of the scripts told; equal bytes give equal states."""
    words, book, events, _, household_book = state
    version, contacts = book_in(book)
    household_version, household_contacts = book_in(household_book)
    heard = Heard(words)
    return LiveState(
        version=version,
        household_version=household_version,
        contacts=contacts,
        household_contacts=household_contacts,
        due=tuple(sorted(heard.due, key=lambda one: one.due_id)),
        responses=tuple(sorted(heard.responses, key=lambda one: (one.at, one.outcome, str(one.touch)))),
        cases=heard.cases(),
        consents=tuple(sorted(heard.consents, key=lambda one: (one.channel_id, one.purpose))),
        protections=dict(sorted(heard.protections.items())),
        has_opted_out_of_profiling=heard.has_opted_out,
        stage=heard.stage,
        events=tuple(event_in(member, score) for member, score in pairs_of(events)),
        kept=dict(sorted(heard.kept.items())),
        is_lost=is_lost,
    )
