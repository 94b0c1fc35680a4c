"""Profiles in Redis: what a gate or a template needs to know of a customer besides features, as JSON."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
import polars as pl
from redis import Redis
from redis.exceptions import RedisError

from decisioning.customer import Consent, Customer, CustomerId
from decisioning.errors import FeatureUnavailableError, InvalidInputError
from decisioning.predicate import FactValue
from features.online.redis_bulk import set_many
from features.online.redis_keys import profile_key

_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


def encode_profile(customer: Customer) -> bytes:
    """A profile as JSON; live state (`unsubscribed_channels`) is kept elsewhere and not part of it."""
    return orjson.dumps(
        {
            "customer_id": customer.customer_id,
            "attributes": dict(customer.attributes),
            "time_zone": customer.time_zone,
            "locale": customer.locale,
            "channels": sorted(customer.reachable_channels),
            "consents": [
                [consent.channel_id, consent.purpose, consent.is_granted, consent.recorded_at, consent.source]
                for consent in customer.consents
            ],
        }
    )


def decode_profile(payload: bytes) -> Customer:
    """The customer that `encode_profile` wrote.

    Raises:
        FeatureUnavailableError: The bytes are not a profile.
    """
    try:
        fields = orjson.loads(payload)
        return Customer(
            customer_id=CustomerId(fields["customer_id"]),
            attributes=fields["attributes"],
            time_zone=fields["time_zone"],
            locale=fields["locale"],
            reachable_channels=frozenset(fields["channels"]),
            consents=tuple(
                Consent(channel_id=channel, purpose=purpose, is_granted=granted, recorded_at=_moment(at), source=source)
                for channel, purpose, granted, at, source in fields["consents"]
            ),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise FeatureUnavailableError(
            "profile in Redis must be JSON that `nextbest features materialise` wrote, got something else: run it again"
        ) from error


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def customers_from_frame(frame: pl.DataFrame) -> Iterator[Customer]:
    """Customers from rows of the canonical table: the newest row of each, in order of identifier.

    Raises:
        InvalidInputError: A JSON column does not hold what the table's contract says.
    """
    newest = frame.sort("customer_id", "updated_at").unique("customer_id", keep="last", maintain_order=True)
    for row in newest.iter_rows(named=True):
        yield Customer(
            customer_id=CustomerId(row["customer_id"]),
            attributes=_attributes(row["attributes"]),
            time_zone=row["time_zone"],
            locale=row["locale"],
            reachable_channels=frozenset(_json(row["channels"], list, "channels")),
            consents=latest_answers(_json(row["consents"], list, "consents")),
        )


def latest_answers(answers: Iterable[Mapping[str, Any]]) -> tuple[Consent, ...]:
    """The latest answer per channel and purpose.

    An answer without a time counts as older than any with one, and of two at the same time the refusal stands.

    Raises:
        InvalidInputError: An answer lacks channel, purpose or granted, or has a time that is none.
    """
    latest: dict[tuple[str, str], Consent] = {}
    for consent in map(_consent, answers):
        key = (consent.channel_id, consent.purpose)
        if key not in latest or _strength(consent) > _strength(latest[key]):
            latest[key] = consent
    return tuple(latest[key] for key in sorted(latest))


def _strength(consent: Consent) -> tuple[datetime, bool]:
    return consent.recorded_at or _LONG_AGO, not consent.is_granted


def _consent(answer: Mapping[str, Any]) -> Consent:
    try:
        recorded_at = _moment(answer.get("recorded_at"))
        return Consent(
            channel_id=answer["channel"],
            purpose=answer["purpose"],
            is_granted=answer["granted"] is True,
            recorded_at=recorded_at.replace(tzinfo=recorded_at.tzinfo or UTC) if recorded_at else None,
            source=answer.get("source"),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInputError(
            "consents must be a list of objects with channel, purpose and granted, and an ISO 8601 recorded_at "
            "where there is one, got something else: import the customers again"
        ) from error


def _attributes(text: str | None) -> Mapping[str, FactValue]:
    attributes = _json(text, dict, "attributes")
    nested = sorted(name for name, value in attributes.items() if isinstance(value, dict | list))
    if nested:
        raise InvalidInputError(f"attributes must be numbers, words or flags, got nested values for {nested}")
    return attributes


def _json[T: (dict[str, Any], list[Any])](text: str | None, kind: type[T], column: str) -> T:
    if text is None:
        return kind()
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInputError(f"{column} must be JSON, got text that is not: import the customers again") from error
    if not isinstance(value, kind):
        raise InvalidInputError(f"{column} must be a JSON {kind.__name__}, got {type(value).__name__}")
    return value


def write_profiles(redis: Redis, customers: Iterable[Customer]) -> int:
    """Write profiles, replacing what was there.

    Returns:
        How many were written.

    Raises:
        FeatureUnavailableError: Redis could not take them.
    """
    records = ((profile_key(customer.customer_id), encode_profile(customer)) for customer in customers)
    try:
        return set_many(redis, records)
    except RedisError as error:
        raise FeatureUnavailableError(f"profiles could not be written to Redis: {error}") from error
