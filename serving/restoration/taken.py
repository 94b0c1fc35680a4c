"""What a decision of the log took, worked out from its row: its contact, what it used, and what a repeat would get.

The log does not say whether a permit was allowed, so a message counts as sent until it is reported as not sent: a
cap may then be full a little early, and never late.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import orjson

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import Contact, Touch
from decisioning.catalogue.message import SILENCE, MessageClass
from decisioning.decision import Decision
from decisioning.errors import InvalidInputError
from decisioning.gates.capacity import uses
from decisioning.gates.contact_ledger import GHOST_SUFFIX
from features.log.restorable import StoredRow
from features.models.logged_decisions import LoggedDecisions
from features.models.policy_archive import PolicyArchive
from features.online.redis_keys import book_key, decision_key, household_pointer_key, shard_of
from serving.decisions.repeats import answer_again
from serving.in_force.policy_in_force import InForce
from serving.live.book import contact_text
from serving.live.changes import touch_in_catalogue
from serving.live.decision_hash import ask_fields
from serving.live.encoding import time_text, touch_text
from serving.live.redis_link import Command
from serving.live.writer import counter_ttl_ms
from serving.log.log_rows import parts_of

_OLD_DECISIONS_KEPT = timedelta(days=7)
_COUNTERS_LAST = timedelta(days=70)


@dataclass(slots=True, kw_only=True)
class Restorer:
    """Works out what rows took.

    Attributes:
        in_force: The catalogue in force, for rows whose own catalogue is not archived.
        archive: Earlier catalogues.
        logged: Reads decisions.
        now: The moment of restoring.
        decision_ttl: How long decisions can be read back.
        was_lost: Live state was lost, so that counters lack what decisions used.
    """

    in_force: InForce
    archive: PolicyArchive
    logged: LoggedDecisions
    now: datetime
    decision_ttl: timedelta
    was_lost: bool
    _touches: dict[tuple[str | None, ...], Touch] = field(default_factory=dict, init=False)

    @property
    def oldest_contact(self) -> datetime:
        """No window looks further back."""
        return self.now - self.in_force.book_lasts

    def call(self, row: StoredRow, token: str) -> Command:
        """Keys and arguments of the script `RESTORE_DECISION` for one row of `READ_COLUMNS`."""
        who, ident, at = row["customer_id"], row["decision_id"], row["decided_at"]
        shard, wanted = shard_of(who), self._wanted(row)
        decision = self._decision(row) if at + self.decision_ttl > self.now else None
        keys = [book_key(who), household_pointer_key(who), decision_key(ident, shard)]
        stored_at, answer, lasting_ms = self._answer(row, decision)
        if stored_at:
            keys.append(stored_at)
        return (
            len(keys),
            *keys,
            time_text(self.now),
            time_text(self.oldest_contact),
            int(self.in_force.book_lasts / timedelta(milliseconds=1)),
            token,
            orjson.dumps(wanted),
            who,
            row["channel"] or "",
            b"" if decision is None else ask_fields(decision.inputs.request, decision.message_key),
            self._ttl_ms(row, has_uses="uses" in wanted),
            answer,
            lasting_ms,
            time_text(at),
        )

    def _decision(self, row: StoredRow) -> Decision | None:
        """The decision of a row; None where it has no record that can be read."""
        try:
            return None if row["record"] is None else self.logged.decision(row)
        except InvalidInputError:
            return None

    def touch(self, row: StoredRow) -> Touch | None:
        """What the message was, by the catalogue that chose it; where none knows it, it counts as marketing."""
        offer, channel, creative = row["offer_id"], row["channel"], row["creative_id"] or ""
        if not offer or not channel:
            return None
        key = (row["policy_version"], offer, channel, creative)
        if key not in self._touches:
            self._touches[key] = self._find_touch(*key)
        return self._touches[key]

    def _find_touch(self, policy_version: str | None, offer: str, channel: str, creative: str) -> Touch:
        for catalogue in filter(None, (self._catalogue(policy_version), self.in_force.catalogue)):
            touch = touch_in_catalogue(catalogue, offer, channel, creative)
            if touch is not None:
                return touch
        return Touch(
            message_class=MessageClass.MARKETING,
            department="",
            goal_id="",
            channel_id=channel,
            offer_id=offer,
            creative_id=creative,
        )

    def _catalogue(self, policy_version: str | None) -> Catalogue | None:
        return None if policy_version is None else self.archive.catalogue(policy_version)

    def _wanted(self, row: StoredRow) -> dict[str, Any]:
        """What the decision takes, as the script reads it."""
        touch = self.touch(row)
        contacts = [] if row["decided_at"] < self.oldest_contact else self._contacts(row, touch)
        wanted: dict[str, Any] = {"contacts": [{"id": one.contact_id, "value": contact_text(one)} for one in contacts]}
        used = self._uses(row, touch) if touch is not None and self.was_lost else {}
        if touch is not None:
            wanted["touch"] = touch_text(touch)
        if used:
            ttls = {name: ttl for name in used if (ttl := counter_ttl_ms(name)) is not None}
            wanted |= {"uses": used, "ttls": ttls}
        return wanted

    def _contacts(self, row: StoredRow, touch: Touch | None) -> list[Contact]:
        ident, at = row["decision_id"], row["decided_at"]
        found = [] if touch is None else [Contact(contact_id=ident, touch=touch, at=at)]
        ghost = orjson.loads(row["ghost"])["message_key"] if row["ghost"] else SILENCE
        if ghost != SILENCE:
            offer, channel, creative = parts_of(ghost)
            kept_back = self.touch({**row, "offer_id": offer, "channel": channel, "creative_id": creative})
            if kept_back is not None:
                sent = Contact(contact_id=ident + GHOST_SUFFIX, touch=kept_back, at=at)
                found.append(replace(sent, is_confirmed=True, is_ghost=True))
        return found

    def _uses(self, row: StoredRow, touch: Touch) -> dict[str, float]:
        """What a decision of this engine used and is still counted; what other systems sent used nothing of ours."""
        catalogue = self._catalogue(row["policy_version"])
        channel = None if catalogue is None else catalogue.channels.get(touch.channel_id)
        if catalogue is None or channel is None:
            return {}
        is_recent = row["decided_at"] > self.now - _COUNTERS_LAST
        used = uses(catalogue, touch, channel.cost_minor, row["decided_at"])
        return {name: amount for name, amount in used.items() if is_recent or counter_ttl_ms(name) is None}

    def _ttl_ms(self, row: StoredRow, *, has_uses: bool) -> int:
        """How long the decision is kept; 0 for none. What holds a part of a counter is kept so that it counts once."""
        if row["policy_version"] is None and row["record"] is None:
            return 0
        left = row["decided_at"] + self.decision_ttl - self.now
        if has_uses:
            left = max(left, _OLD_DECISIONS_KEPT)
        return max(0, int(left / timedelta(milliseconds=1)))

    def _answer(self, row: StoredRow, decision: Decision | None) -> tuple[str, bytes, int]:
        """Where the ask's answer is kept, the answer, and for how long; empty where it is over."""
        nothing = ("", b"", 0)
        touchpoint = self.in_force.catalogue.touchpoints.get(row["touchpoint"] or "")
        if decision is None or touchpoint is None or not touchpoint.sticky_seconds:
            return nothing
        if row["decided_at"] + timedelta(seconds=touchpoint.sticky_seconds) <= self.now:
            return nothing
        try:
            found = answer_again(self.in_force, decision)
        except KeyError:  # the catalogue in force lacks something that it names
            return nothing
        if found is None:
            return nothing
        stored_at, answer, lasting_s = found
        left = row["decided_at"] + timedelta(seconds=lasting_s) - self.now
        return (stored_at, answer, int(left / timedelta(milliseconds=1))) if left > timedelta(0) else nothing
