"""Books of contacts, cases, words and counters from the log into Redis; repeatable, also beside a running server."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import batched
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from decisioning.catalogue.limits import Supply
from decisioning.errors import UnavailableError
from features.log.event_log import EventLog
from features.log.restorable import decisions_since, has_chains, identities_in
from features.models.logged_decisions import READ_COLUMNS, LoggedDecisions
from features.models.policy_archive import PolicyArchive
from features.settings import Settings
from serving.in_force.policy_in_force import InForce
from serving.live.changes import Changes
from serving.live.join import JOINING, Visitor, joined, told_who
from serving.live.reader import RECENT, Lookup, known_of, read_call
from serving.live.redis_link import Command
from serving.live.scripts import READ, RESTORE_DECISION, TAKE_IN, Script
from serving.live.writer import Taking, take_in_call
from serving.restoration.taken import Restorer
from serving.restoration.words import events_of, exposures_of, outcomes_of

_TOGETHER = 500
_MOST_STEPS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was brought back.

    Attributes:
        contacts: Contacts that no book had.
        events: Events that changed live state.
        outcomes: Outcomes likewise.
    """

    contacts: int
    events: int
    outcomes: int


def restore_books(
    client: Redis, log: EventLog, settings: Settings, in_force: InForce, *, now: datetime, was_lost: bool
) -> Restored:
    """Bring back contacts, cases, words and counters from the log. Profiles must be there already.

    What waits in streams or in the spool is not in the log yet. Where live state was not lost, only
    what it never had is added, such as imported contacts.

    Raises:
        UnavailableError: Redis went away; run it again.
        LogUnavailableError: The log could not be read.
    """
    archive = PolicyArchive(settings.catalogues_path)
    restorer = Restorer(
        in_force=in_force,
        archive=archive,
        logged=LoggedDecisions(settings, archive),
        now=now,
        decision_ttl=timedelta(days=settings.decision_ttl_days),
        was_lost=was_lost,
    )
    try:
        contacts = sum(_run(client, RESTORE_DECISION, _decisions(log, restorer)))
        events = _take(client, log, restorer, "events", events_of(log, in_force, now))
        outcomes = _take(client, log, restorer, "outcomes", outcomes_of(log, restorer))
        _take(client, log, restorer, "events", exposures_of(log, in_force.catalogue, now))
        for _ in range(_MOST_STEPS if has_chains(log) else 1):  # a visitor of a visitor is joined one step at a time
            _take(client, log, restorer, "events", _joined_visitors(client, log, restorer))
    except RedisError as error:
        raise UnavailableError(f"Redis must stay reachable, got {type(error).__name__}; run it again") from error
    return Restored(contacts=contacts, events=events, outcomes=outcomes)


def _decisions(log: EventLog, restorer: Restorer) -> Iterator[Command]:
    """Decisions that may still count; of a state that was lost, for its counters, all that sent anything."""
    for row in decisions_since(log, restorer.oldest_contact, READ_COLUMNS, or_sent=restorer.was_lost):
        yield restorer.call(row, log.erased.token(row["customer_id"]))


def _joined_visitors(client: Redis, log: EventLog, restorer: Restorer) -> Iterator[Taking]:
    """What visitors bring to the customers whom they turned out to be."""
    for visitor, customer_id, since in identities_in(log):
        lookup = Lookup(customer_id=visitor, touchpoint_id="")
        reply: Any = client.execute_command("EVAL", READ.text, *read_call(lookup))
        known = known_of(lookup, reply, Supply(), is_claimed=True)
        who = Visitor(visitor_id=visitor, known=known)
        for whose, changes in (
            (customer_id, joined(Changes(), who, restorer.in_force.catalogue, since)),
            (visitor, told_who(customer_id, since)),
        ):
            yield Taking(seen_as=JOINING, customer_id=whose, row=b"", now=restorer.now, changes=changes)


def _take(client: Redis, log: EventLog, restorer: Restorer, table: str, takings: Iterable[Taking]) -> int:
    ttl_ms, since = int(restorer.decision_ttl / timedelta(milliseconds=1)), restorer.now - RECENT
    calls = (
        take_in_call(table, one, mark_ttl_ms=ttl_ms, since=since, token=log.erased.token(one.customer_id))
        for one in takings
    )
    return sum(_run(client, TAKE_IN, calls))


def _run(client: Redis, script: Script, calls: Iterable[Command]) -> Iterator[int]:
    """Replies of a script, some hundred calls at a time."""
    for some in batched(calls, _TOGETHER):
        client.script_load(script.text)
        pipeline = client.pipeline(transaction=False)
        for call in some:
            pipeline.execute_command("EVALSHA", script.digest, *call)
        yield from map(int, pipeline.execute())
