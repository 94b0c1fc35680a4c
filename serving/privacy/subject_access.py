"""The right of access: everything stored about a customer, in one document."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, cast

import orjson
from redis import Redis

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.limits import Supply
from decisioning.errors import FeatureUnavailableError
from features.computing.feature_set import feature_schema
from features.log.contracts import TABLES
from features.log.rows import fields_in
from features.log.tombstones import tombstones_of
from features.models.logged_decisions import LoggedDecisions
from features.models.schema_archive import known_schemas
from features.online.profiles import decode_profile
from features.online.record import decode_record, record_schema
from features.online.redis_keys import shard_of, stream_key
from features.privacy.audit_trail import Act, note_act
from features.privacy.purposes import DataRules, data_rules
from features.settings import Settings
from serving.live.reader import Known, Lookup, known_of, read_call
from serving.live.scripts import READ
from serving.log.drain import open_redis
from serving.privacy.redis_traces import RedisTraces, find_traces, redis_at_hand

_BOOK_KEPT = "400 days after a contact, or as long as a cap looks back"


def show_customer(
    settings: Settings, redis_url: str, catalogue: Catalogue, customer_id: str, *, now: datetime, by: str
) -> dict[str, Any]:
    """Everything stored about a customer, with its source, its purpose and how long it is kept.

    Keys of the log's seal and data about other members of a household are left out. That it was shown is noted,
    and `by` whom it was asked for, as in `correct_customer`.

    Returns:
        `customer_id`, `as_of`, `held` (a list of places, each with its rows), `is_known`.

    Raises:
        UnavailableError: The log or Redis is away.
    """
    from features.privacy.holdings import stored_holdings

    rules = data_rules(settings.catalogue_path)
    held: list[dict[str, Any]] = []
    if customer_id not in tombstones_of(settings):
        held = [asdict(one) for one in stored_holdings(settings, rules, customer_id)]
        with open_redis(redis_url) as client:
            held += _in_redis(settings, client, catalogue, rules, customer_id, now)
    if held:
        places = [one["where"] for one in held]
        note_act(settings, Act.SHOWN, customer_id, by=by, now=now, details={"places": places})
    document = {"customer_id": customer_id, "as_of": now, "is_known": bool(held), "held": held}
    return orjson.loads(orjson.dumps(document, default=_plain))


def _plain(value: object) -> object:
    """Sets as lists, read-only mappings as objects."""
    match value:
        case set() | frozenset():
            return sorted(value)
        case Mapping():
            return dict(value)
        case _:
            raise TypeError(f"no plain form of {type(value).__name__}")


@redis_at_hand()
def _in_redis(
    settings: Settings, client: Redis, catalogue: Catalogue, rules: DataRules, customer_id: str, now: datetime
) -> list[dict[str, Any]]:
    traces = find_traces(client, customer_id)
    known = _known(client, customer_id)
    found = [
        _holding("redis/profile", "the newest row of log/customers", rules.purpose_of("customers"),
                 "until it is replaced", _profile(known)),
        _holding("redis/features", "computed here from the log", rules.purpose_of("features"),
                 "until it is replaced", _features(settings, known, catalogue, now)),
        _holding("redis/live", "the latest reports", rules.purpose_of("live"), _BOOK_KEPT, _live(known)),
        _holding("redis/decisions", "made here", rules.purpose_of("decisions"),
                 f"{settings.decision_ttl_days:g} days", _decisions(client, traces)),
        _holding("redis/answers", "made here", "give a repeated ask the same answer",
                 "as long as the touchpoint says", _texts(client, traces)),
        _holding("redis/stream", "made or reported here", "bring it into the log", "seconds",
                 _entries(settings, client, customer_id, traces)),
    ]  # fmt: skip
    return [one for one in found if one["rows"]]


def _holding(where: str, source: str, purpose: str, kept: str, rows: list[Any]) -> dict[str, Any]:
    return {"where": where, "source": source, "purpose": purpose, "kept": kept, "rows": rows}


def _known(client: Redis, customer_id: str) -> Known:
    lookup = Lookup(customer_id=customer_id, touchpoint_id="")
    count, *told = read_call(lookup)
    reply = client.eval(READ.text, cast("int", count), *cast("list[Any]", told))
    return known_of(lookup, reply, Supply(), is_claimed=True)


def _profile(known: Known) -> list[dict[str, Any]]:
    return [asdict(decode_profile(known.profile))] if known.profile else []


def _features(settings: Settings, known: Known, catalogue: Catalogue, now: datetime) -> list[dict[str, Any]]:
    if known.features is None:
        return []
    try:
        schema = known_schemas(settings).get(record_schema(known.features), feature_schema(catalogue))
        vector = decode_record(known.features, schema, now)
    except FeatureUnavailableError:
        return [
            {"note": "packed under another catalogue, so that it cannot be read any more", "bytes": len(known.features)}
        ]
    return [{name: value for name, value in zip(vector.names, vector.values.tolist(), strict=True) if value == value}]  # noqa: PLR0124 - NaN


def _live(known: Known) -> list[dict[str, Any]]:
    told = {name: value for name, value in asdict(known.live).items() if value and name not in _OF_NOBODY}
    if known.unsubscribed_at:
        told["unsubscribed_at"] = dict(known.unsubscribed_at)
    if known.person is not None:
        told["turned_out_to_be"] = known.person
    if known.household_id is not None:
        told["household_id"] = known.household_id
    return [told] if told else []


_OF_NOBODY = frozenset({"version", "household_version", "household_contacts"})
"""Counters of changes, and data about other people."""


def _decisions(client: Redis, traces: RedisTraces) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for key in traces.decisions:
        fields = {_text(name): _text(value) for name, value in cast("dict[bytes, bytes]", client.hgetall(key)).items()}
        rows.append({"decision_id": key.partition(":d:")[2], **fields})
    return rows


def _texts(client: Redis, traces: RedisTraces) -> list[Any]:
    found = (cast("bytes | None", client.get(key)) for key in traces.answers)
    return [orjson.loads(one) for one in found if one]


def _entries(settings: Settings, client: Redis, customer_id: str, traces: RedisTraces) -> list[dict[str, Any]]:
    from features.privacy.holdings import RECORD, SECRETS, told_record

    hidden, logged = {*SECRETS, RECORD}, LoggedDecisions(settings)
    rows: list[dict[str, Any]] = []
    for entry_id in traces.entries:
        for _, fields in cast("list[Any]", client.xrange(stream_key(shard_of(customer_id)), entry_id, entry_id)):
            row = fields_in(TABLES[_text(fields[b"table"])], fields[b"row"])
            plain = {name: value for name, value in row.items() if name not in hidden and value is not None}
            rows.append({"table": _text(fields[b"table"]), **plain, **told_record(logged, row)})
    return rows


def _text(value: bytes) -> str:
    return value.decode(errors="replace")
