"""Correcting a customer's data: a new row in the log, an update in Redis, and a line in the audit trail."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from decisioning.catalogue.catalogue import Attribute, Catalogue
from decisioning.errors import InvalidInputError, UnknownNameError
from decisioning.rules.predicate import FactValue
from features.declared import Declared, alike, read_value, rule_of_values
from features.log.contracts import CUSTOMERS
from features.log.tombstones import tombstones_of
from features.online.redis_connection import connect
from features.privacy.audit_trail import Act, note_act
from features.settings import Settings

if TYPE_CHECKING:
    from features.log.event_log import EventLog

COLUMNS = ("time_zone", "locale", "country", "phone_prefix", "household")
"""Columns of a profile row that may be corrected by name, besides attributes."""

type Corrections = Mapping[str, FactValue]
"""New values by name of a column or attribute; None takes a value away."""


def correct_customer(
    settings: Settings,
    redis_url: str,
    catalogue: Catalogue,
    customer_id: str,
    corrections: Corrections,
    *,
    now: datetime,
    by: str,
) -> tuple[str, ...]:
    """Write a new profile row with other values; the next decision looks at it.

    Consents, protections and opt-outs are no corrections: they are answers, and come as events. `by` is who asked: the
    name of an API key, or the command line.

    Returns:
        Names that have another value now.

    Raises:
        UnknownNameError: A name is neither a column, nor a declared attribute, nor one that the customer has.
        InvalidInputError: The customer is unknown, nothing is to be changed, or a value does not fit.
        UnavailableError: The log or Redis is away; repeat it.
    """
    from features.log.event_log import EventLog

    log = EventLog(settings.log_path)
    newest = None if customer_id in tombstones_of(settings) else _newest(log, customer_id)
    if newest is None:
        raise InvalidInputError("customer must be one with a profile, got an unknown id")
    if not corrections:
        raise InvalidInputError("corrections must name at least one value, got none; write NAME=VALUE")
    corrections = _fitted(corrections, newest["attributes"], catalogue)
    changed = _changed(newest, newest["attributes"], corrections)
    if not changed:
        return ()
    if newest["updated_at"] >= now:
        raise InvalidInputError("profile row must be older than its correction, got a later one; look at the clock")
    row = {"customer_id": customer_id, "updated_at": now, **_said(corrections, changed)}
    _write(log, redis_url, row, catalogue)
    note_act(settings, Act.CORRECTED, customer_id, by=by, now=now, details={"columns": changed})
    return tuple(changed)


def is_known(settings: Settings, customer_id: str) -> bool:
    """Whether there is a profile to correct."""
    from features.log.event_log import EventLog

    return customer_id not in tombstones_of(settings) and _newest(EventLog(settings.log_path), customer_id) is not None


def _newest(log: "EventLog", customer_id: str) -> dict[str, Any] | None:
    """All that the rows of a customer say by now, with attributes as a mapping."""
    from features.log.customer_rows import merged_attributes, newest_rows

    rows = log.read(CUSTOMERS, customer_ids=[customer_id])
    if rows.is_empty():
        return None
    newest = newest_rows(rows).row(0, named=True)
    return {**newest, "attributes": merged_attributes(newest["attributes"], newest["attributes_at"])[0]}


def _said(corrections: Corrections, changed: Sequence[str]) -> dict[str, str | None]:
    """What the row of a correction says: new values, and what is no longer known."""
    attributes = {name: corrections[name] for name in changed if name not in COLUMNS}
    gone = [name for name in changed if name in COLUMNS and corrections[name] is None]
    values = {name: corrections[name] for name in changed if name in COLUMNS}
    return {
        **values,
        "attributes": orjson.dumps(attributes).decode() if attributes else None,
        "cleared": orjson.dumps(gone).decode() if gone else None,
    }  # pyright: ignore[reportReturnType] - columns hold text, as _check_text saw


def _fitted(corrections: Corrections, attributes: Mapping[str, Any], catalogue: Catalogue) -> dict[str, FactValue]:
    """Corrections with the names and kinds that the catalogue declares."""
    declared = Declared(catalogue)
    fitted: dict[str, FactValue] = {}
    for name, value in corrections.items():
        if name in COLUMNS:
            _check_text(name, value)
            fitted[name] = value
            continue
        found = alike(name, declared.attributes)
        if found is None and name not in attributes:
            raise UnknownNameError("name", name, {*COLUMNS, *declared.attributes, *attributes})
        fitted[found or name] = _fitted_value(declared.attributes[found], value) if found else value
    return fitted


def _changed(row: Mapping[str, Any], attributes: Mapping[str, Any], corrections: Corrections) -> list[str]:
    """Names whose value changes."""
    known = {name: row[name] if name in COLUMNS else attributes.get(name) for name in corrections}
    return [name for name, value in corrections.items() if not _is_same(known[name], value)]


def _is_same(former: FactValue, value: FactValue) -> bool:
    """Whether nothing changes; True is not 1, and text is no number."""
    return former == value and isinstance(former, bool | str) == isinstance(value, bool | str)


def _check_text(name: str, value: FactValue) -> None:
    if value is not None and (not isinstance(value, str) or not value):
        raise InvalidInputError(f"{name} must be text, got another kind of value")


def _fitted_value(attribute: Attribute, value: FactValue) -> FactValue:
    """As the catalogue declares it; the message does not repeat the value."""
    fitted = read_value(attribute, value)
    if fitted is None and value is not None:
        raise InvalidInputError(f"{attribute.name} must be {rule_of_values(attribute, value)}, got another value")
    return fitted


def _write(log: "EventLog", redis_url: str, row: Mapping[str, Any], catalogue: Catalogue) -> None:
    """Into the log first: it is what the next materialisation writes to Redis."""
    from features.privacy.profile_writer import write_row

    with connect(redis_url) as client:
        write_row(log, client, row, catalogue)
