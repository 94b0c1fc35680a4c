"""A Redis that lost its state, filled again from the log: tombstones, features, profiles, books, cases, counters."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from redis import Redis

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import FeatureUnavailableError, NextbestError
from features.catalogue import load_catalogue
from features.chain.audit_chain import open_log
from features.computing.feature_set import feature_schema
from features.log.contracts import CUSTOMERS
from features.log.event_log import EventLog
from features.log.said import said_in_log
from features.online.demand import tell_demand
from features.online.erased import tell_erased
from features.online.evidence import tell_evidence
from features.online.profiles import customers_from_frame, write_profiles
from features.online.state_mark import check_own, is_state_lost, mark_whole, state_mark_of
from features.progress import OnStep
from features.settings import Settings
from features.store.feature_history import built_history
from features.store.materialisation import materialise
from pipelines.server.residual_keeper import ResidualKeeper
from serving.in_force.policy_in_force import put_in_force
from serving.log.drain import LOCK_SECONDS, drain_alone, open_redis
from serving.restoration.books import Restored, restore_books


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreReport:
    """What was brought back.

    Attributes:
        was_lost: Redis had lost its state; otherwise only what it never had was added.
        profiles: Customers whose profile was written.
        feature_records: Customers whose features were written; 0 where none were built yet.
        contacts: Contacts that no book had.
        events: Events that changed live state: words, cases, recent behaviour.
        outcomes: Outcomes likewise.
    """

    was_lost: bool
    profiles: int
    feature_records: int
    contacts: int
    events: int
    outcomes: int


def restore(settings: Settings, redis_url: str, *, now: datetime, on_step: OnStep = lambda _: None) -> RestoreReport:
    """Fill Redis from the log; a server may run beside it, and what is there already stays as it is.

    Raises:
        InvalidInputError: Redis holds another home's state, or the catalogue is not usable.
        UnavailableError: Redis or the log is away; run it again.
    """
    catalogue, mark = load_catalogue(settings.catalogue_path), state_mark_of(settings)
    in_force = put_in_force(catalogue, seed=settings.policy_seed)
    log = open_log(settings)
    with open_redis(redis_url) as client:
        check_own(client, mark)
        was_lost = is_state_lost(client, mark)
        on_step("log")
        drain_alone(client, log, settings.spool_path, wait_seconds=2 * LOCK_SECONDS)
        on_step("profiles and features")
        profiles, features = _fill(settings, catalogue, client, log, redis_url, now)
        on_step("contacts, cases, words and counters")
        found: Restored = restore_books(client, log, settings, in_force, now=now, was_lost=was_lost)
        mark_whole(client, mark)
    on_step("what outcomes since training say")
    with suppress(NextbestError):  # nothing to learn on; a server looks again, and all else is restored
        ResidualKeeper(settings=settings, redis_url=redis_url).keep(now, is_forced=True)
    return RestoreReport(
        was_lost=was_lost,
        profiles=profiles,
        feature_records=features,
        contacts=found.contacts,
        events=found.events,
        outcomes=found.outcomes,
    )


def _fill(
    settings: Settings, catalogue: Catalogue, client: Redis, log: EventLog, redis_url: str, now: datetime
) -> tuple[int, int]:
    """Profiles and features; profiles alone where no features were built yet."""
    try:
        built_history(settings, feature_schema(catalogue))
    except FeatureUnavailableError:
        tell_erased(client, log.erased)
        customers = log.read(CUSTOMERS)
        profiles = write_profiles(client, customers_from_frame(customers, said_in_log(log), catalogue))
        tell_evidence(client, log)
        tell_demand(client, log, now)
        return profiles, 0
    report = materialise(settings, catalogue, redis_url, full=True)
    return report.profiles, report.feature_records
