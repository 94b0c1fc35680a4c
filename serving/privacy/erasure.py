"""Erasing a customer from everything that an installation holds, while it serves.

The order makes it safe. The tombstone comes first, in Redis and then in the log: from then on neither accepts anything
about the customer from any process. Then everything stored is found, noted in the journal, and removed; each step may
be repeated, so an erasure that was killed is finished by running it again. Finally every file below home is searched
for what is left, compressed files too.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import redis

from decisioning.errors import InvalidInputError
from features.log.tombstones import tombstones_of
from features.privacy.audit_trail import Act, note_act
from features.privacy.journal import Unfinished, finish, journal_folder, note_unfinished, one_at_a_time, unfinished
from features.progress import OnStep
from features.settings import Settings
from serving.log.drain import LOCK_SECONDS, drain_alone, open_redis
from serving.privacy.redis_traces import (
    RedisTraces,
    erase_traces,
    find_traces,
    rewrite_file,
    shut_out,
    waiting_ids,
    waiting_mentions,
)

if TYPE_CHECKING:
    from features.chain.audit_chain import ChainedLog
    from features.privacy.log_erasure import LogTraces

MIN_SCANNED = 3
"""Shorter ids occur in any file by chance, so files are not searched for them."""

_DRAIN_WAIT_SECONDS = 2 * LOCK_SECONDS


class ErasureGround(StrEnum):
    """Legal grounds for an erasure; a fixed list, so that no reason contains personal data."""

    REQUEST = "request"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    OBJECTION = "objection"
    NOT_NEEDED = "not_needed"
    UNLAWFUL = "unlawful"
    OBLIGATION = "obligation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What an erasure did.

    Attributes:
        was_erased: There was a tombstone already.
        log_rows: Rows deleted, by table.
        redis_keys: Keys, entries and places in books that were removed.
        history_rows: Rows removed from the feature history.
        file_rows: Rows and lines removed from other files, by their path below home.
        append_only_file: What became of Redis's file: rewritten, none, or refused.
        left: Files below home, and streams of Redis, that still contain the id; empty if all is well.
        was_scanned: False where the id is too short to be searched for.
    """

    was_erased: bool
    log_rows: dict[str, int] = field(default_factory=dict[str, int])
    redis_keys: int = 0
    history_rows: int = 0
    file_rows: dict[str, int] = field(default_factory=dict[str, int])
    append_only_file: str = ""
    left: tuple[str, ...] = ()
    was_scanned: bool = True


def erase_customer(
    settings: Settings,
    redis_url: str,
    customer_id: str,
    *,
    now: datetime,
    ground: ErasureGround = ErasureGround.REQUEST,
    by: str,
    on_step: OnStep = lambda _step: None,
) -> Erasure:
    """Erase a customer everywhere, for good; repeating it finds nothing more.

    `by` is who asked, as in `correct_customer`; `on_step` is told what is being done.

    Raises:
        InvalidInputError: Nothing is held of this customer, and nothing was erased; or the id is empty.
        UnavailableError: The log, Redis or a file is away or in use: run it again, it goes on where it stopped.
    """
    if not customer_id.strip():
        raise InvalidInputError("customer_id must be text, got none")
    with one_at_a_time(settings), open_redis(redis_url) as client:
        return _Erasing(settings, client, Unfinished(customer_id=customer_id, reason=ground, by=by), now, on_step).run()


def resume_erasures(
    settings: Settings, redis_url: str, *, now: datetime, on_step: OnStep = lambda _step: None
) -> list[Erasure]:
    """Finish what was begun and not finished; arguments and errors as `erase_customer`."""
    with one_at_a_time(settings), open_redis(redis_url) as client:
        return [_Erasing(settings, client, one, now, on_step).run() for one in unfinished(settings)]


class _Erasing:
    """One erasure, step by step."""

    def __init__(
        self, settings: Settings, client: redis.Redis, wanted: Unfinished, now: datetime, on_step: OnStep
    ) -> None:
        from features.chain.audit_chain import open_log

        self._settings, self._client, self._wanted, self._now = settings, client, wanted, now
        self._who, self._tell = wanted.customer_id, on_step
        self._log: ChainedLog = open_log(settings)
        self._erased = tombstones_of(settings)
        self._count = 0

    def run(self) -> Erasure:
        was_erased = self._who in self._erased
        self._tell("finding everything that is stored")
        self._note(*self._look())
        if not was_erased and not self._is_held():
            finish(self._settings, self._who)
            raise InvalidInputError("customer must be one whose data is stored, got an unknown id")
        self._tell("setting the tombstone")
        shut_out(self._client, self._erased.token(self._who))
        self._note(*self._look())  # once more: whatever came before Redis was shut is in its stream or in the log now
        self._erased.add(self._who, now=self._now, reason=self._wanted.reason)
        done = self._take_out(was_erased=was_erased)
        details = {"reason": self._wanted.reason, "rows": done.log_rows, "left": len(done.left)}
        note_act(self._settings, Act.ERASED, self._who, by=self._wanted.by, now=self._now, details=details)
        finish(self._settings, self._who)
        return done

    def _take_out(self, *, was_erased: bool) -> Erasure:
        """Everything that is there now; nothing is added any more."""
        from features.privacy.file_erasure import erase_from_files
        from features.privacy.history_erasure import erase_from_history
        from features.privacy.log_erasure import erase_from_log

        self._tell("emptying the spool and the streams, where rows of others may name the customer")
        drain_alone(self._client, self._log, self._settings.spool_path, wait_seconds=_DRAIN_WAIT_SECONDS)
        in_log, traces = self._look()
        self._note(in_log, traces)
        self._tell("removing keys from Redis")
        erase_traces(self._client, self._who, traces)
        self._tell("deleting rows of the log, and its older versions")
        log_rows = erase_from_log(self._log, self._who)
        self._tell("rewriting the feature history")
        history_rows = erase_from_history(self._settings, self._who)
        self._tell("rewriting rejects, hand-offs and dead letters")
        file_rows = erase_from_files(self._settings, self._who)
        self._tell("rewriting Redis's file")
        file = rewrite_file(self._client)
        return Erasure(
            was_erased=was_erased,
            log_rows=log_rows,
            redis_keys=traces.count,
            history_rows=history_rows,
            file_rows=file_rows,
            append_only_file=file,
            left=self._left(),
            was_scanned=len(self._who) >= MIN_SCANNED,
        )

    def _look(self) -> tuple["LogTraces", RedisTraces]:
        """What is there; the stream before the log, since that is the way that rows go."""
        from features.privacy.log_erasure import log_traces

        decision_ids, message_ids = waiting_ids(self._client, self._who)
        in_log = log_traces(self._log, self._who)
        traces = find_traces(
            self._client,
            self._who,
            decision_ids={*in_log.decision_ids, *self._wanted.decision_ids, *decision_ids},
            message_ids={*in_log.message_ids, *self._wanted.message_ids, *message_ids},
        )
        return replace(in_log, message_ids=tuple({*in_log.message_ids, *message_ids})), traces

    def _note(self, in_log: "LogTraces", traces: RedisTraces) -> None:
        """Write down what is known, so that a crash does not lose it."""
        self._wanted = note_unfinished(
            self._settings,
            Unfinished(
                customer_id=self._who,
                reason=self._wanted.reason,
                by=self._wanted.by,
                decision_ids=tuple({*in_log.decision_ids, *traces.contact_ids}),
                message_ids=in_log.message_ids,
            ),
        )
        self._count = sum(in_log.rows.values()) + traces.count

    def _is_held(self) -> bool:
        from features.privacy.file_erasure import loose_files, rows_in
        from features.privacy.history_erasure import history_rows

        if self._count or history_rows(self._settings, self._who):
            return True
        return any(rows_in(path, self._who) for path in loose_files(self._settings))

    def _left(self) -> tuple[str, ...]:
        from features.privacy.scan import traces_below

        if len(self._who) < MIN_SCANNED:
            return ()
        self._tell("searching every file for what is left")
        places = [self._settings.home]
        if self._settings.tracking_uri.startswith("sqlite:") and self._settings.mlruns.is_dir():
            places.append(self._settings.mlruns)
        skip = list(journal_folder(self._settings).glob("*"))
        found = {
            f"{place.name}/{trace.path}" for place in places for trace in traces_below(place, [self._who], skip=skip)
        }
        return tuple(sorted(found | {f"redis/{key}" for key in waiting_mentions(self._client, self._who)}))
