"""Profiles in Redis: what gates and templates need to know about a customer besides features, as JSON."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import batched
from typing import Any

import orjson
import polars as pl
from redis import Redis

from decisioning.catalogue.catalogue import Catalogue
from decisioning.consent import latest_answers
from decisioning.customer import PROFILING, Consent, Customer, CustomerId, ToldAnswer
from decisioning.errors import FeatureUnavailableError, InvalidInputError
from decisioning.rules.predicate import FactValue
from features.declared import Declared, read_attributes
from features.log.customer_rows import dated, json_value, merged_attributes, newest_rows
from features.log.said import ANY_TIME, NOTHING, Said, opted_out_of_profiling, protections_of, told_since, with_answers
from features.online.redis_bulk import set_many, unset_many
from features.online.redis_connection import asking_redis
from features.online.redis_keys import household_pointer_key, profile_key

_TOGETHER = 8_000
"""Customers held in memory at a time."""

_PROTECTING = ("customer_id", "updated_at", "protections")


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
            **{name: value for name, value in _newer_fields(customer).items() if value},
        }
    )


def _newer_fields(customer: Customer) -> dict[str, Any]:
    """Fields that older releases did not know; they are written where they say something."""
    return {
        "household": customer.household_id,
        "country": customer.country,
        "zones": customer.plausible_zones,
        "locale_zones": customer.locale_zones,
        "protections": sorted(customer.protections),
        "not_profiled": customer.has_opted_out_of_profiling,
        "refused_at": dict(sorted(customer.refused_at.items())),
        "known_at": customer.known_at,
        "told": {name: [told.at, told.source] for name, told in customer.told.items()},
    }


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
            household_id=fields.get("household"),
            country=fields.get("country"),
            plausible_zones=tuple(fields.get("zones", ())),
            locale_zones=tuple(fields.get("locale_zones", ())),
            protections=frozenset(fields.get("protections", ())),
            has_opted_out_of_profiling=fields.get("not_profiled", False),
            known_at=_moment(fields.get("known_at")),
            told={
                name: ToldAnswer(at=datetime.fromisoformat(at), source=source)
                for name, (at, source) in fields.get("told", {}).items()
            },
            refused_at={name: datetime.fromisoformat(at) for name, at in fields.get("refused_at", {}).items()},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise FeatureUnavailableError(
            "profile in Redis must be JSON that `nextbest features materialise` wrote, got something else: run it again"
        ) from error


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def customers_from_frame(
    frame: pl.DataFrame, said: Mapping[str, Said] | None = None, catalogue: Catalogue | None = None
) -> Iterator[Customer]:
    """Customers from rows of the canonical table: the newest word about each column, in order of identifier.

    Answers about profiling and protections are not forgotten where the newest row says nothing of them: the newest row
    that does speaks for them.

    Args:
        frame: Canonical rows, any number per customer.
        said: What customers said besides, by customer.
        catalogue: Declares attributes, so that a number kept as text is one, as features read it; None leaves them.

    Raises:
        InvalidInputError: A JSON column does not hold what the table's contract says.
    """
    said, declared = said or {}, {} if catalogue is None else Declared(catalogue).attributes
    ordered = frame.sort("customer_id", "updated_at")
    protecting = ordered.filter(pl.col("protections").is_not_null()).unique("customer_id", keep="last")
    listed = {row[0]: (row[1], row[2]) for row in protecting.select(_PROTECTING).iter_rows()}
    not_profiled = opted_out_of_profiling(frame, said)
    for row in newest_rows(frame).iter_rows(named=True):
        customer_id = row["customer_id"]
        at, protections = listed.get(customer_id, (row["updated_at"], None))
        words = said.get(customer_id, NOTHING)
        held = protections_of(json_value(protections, list, "protections"), words, at)
        opted_out_at = not_profiled.get(customer_id)
        customer = _from_row(row, words)
        yield replace(
            customer,
            attributes=read_attributes(customer.attributes, declared),
            protections=frozenset(held),
            has_opted_out_of_profiling=opted_out_at is not None,
            refused_at=held if opted_out_at is None else {**held, PROFILING: opted_out_at},
        )


def _from_row(row: Mapping[str, Any], said: Said) -> Customer:
    given = map(_consent, json_value(row["consents"], list, "consents"))
    attributes, known = merged_attributes(row["attributes"], row["attributes_at"])
    told: dict[str, tuple[ToldAnswer, FactValue]] = {}
    for name, word in said.told.items():
        told |= told_since(attributes, known.get(name), {name: word})
    plausible, hinted = _zones(row)
    answers = latest_answers(with_answers(given, said, row["consents_at"] or row["updated_at"]), ANY_TIME)
    return Customer(
        customer_id=CustomerId(row["customer_id"]),
        attributes={**attributes, **{name: value for name, (_, value) in told.items()}},
        time_zone=row["time_zone"],
        locale=row["locale"],
        reachable_channels=frozenset(json_value(row["channels"], list, "channels")),
        consents=tuple(answer for _, answer in sorted(answers.items())),
        household_id=row["household"],
        known_at=row["updated_at"],
        told={name: one for name, (one, _) in told.items()},
        country=row["country"],
        plausible_zones=plausible,
        locale_zones=hinted,
    )


def _zones(row: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Zones that are plausible, and only where there are none those of the locale."""
    # Serving reads profiles and never asks the tables of numbers and zones.
    from features.zones import locale_zones, plausible_zones

    plausible = plausible_zones(time_zone=row["time_zone"], country=row["country"], phone_prefix=row["phone_prefix"])
    hints = () if plausible or row["time_zone"] is not None else locale_zones(row["locale"])
    return plausible, hints


def _consent(answer: Mapping[str, Any]) -> Consent:
    try:
        return Consent(
            channel_id=answer["channel"],
            purpose=answer["purpose"],
            is_granted=answer["granted"] is True,
            recorded_at=dated(answer.get("recorded_at")),
            source=answer.get("source"),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInputError(
            "consents must be a list of objects with channel, purpose and granted, and an ISO 8601 recorded_at "
            "where there is one, got something else: import the customers again"
        ) from error


def write_profiles(redis: Redis, customers: Iterable[Customer]) -> int:
    """Write profiles, replacing what was there, and who belongs to which household; how many.

    Raises:
        FeatureUnavailableError: Redis could not take them.
    """
    count = 0
    with asking_redis("profiles could not be written to Redis"):
        for some in batched(customers, _TOGETHER):
            set_many(redis, ((profile_key(one.customer_id), encode_profile(one)) for one in some))
            set_many(redis, _pointers(some))
            unset_many(redis, (household_pointer_key(one.customer_id) for one in some if one.household_id is None))
            count += len(some)
    return count


def _pointers(customers: Iterable[Customer]) -> Iterator[tuple[str, bytes]]:
    """A key of its own, so that a decision finds the household's book in the same trip as the profile."""
    for one in customers:
        if one.household_id is not None:
            yield household_pointer_key(one.customer_id), one.household_id.encode()
