"""One customer's profile, written to the log and to Redis as a materialisation would write it."""

from collections.abc import Mapping
from typing import Any

import polars as pl
from redis import Redis

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InvalidInputError
from features.importing.validation import ROW, Surroundings, check_rows
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES
from features.log.event_log import EventLog
from features.log.outcome_types import OutcomeType
from features.log.said import Said, said_by
from features.online.erased import forget_erased
from features.online.profiles import customers_from_frame, write_profiles


def write_row(log: EventLog, redis: Redis, row: Mapping[str, Any], catalogue: Catalogue) -> None:
    """Append a row of the table `customers`, checked as an import checks it, and write the profile that follows.

    Raises:
        InvalidInputError: The row breaks a rule of the table.
        UnavailableError: The log or Redis is away.
    """
    frame = pl.DataFrame([dict(row)], schema=pl.Schema(CUSTOMERS.schema))
    checked = check_rows(CUSTOMERS, "correction", frame.with_row_index(ROW, offset=1), Surroundings())
    if checked.reasons.height:
        column, rule = checked.reasons.select("column", "rule").row(0)
        raise InvalidInputError(f"{column} must be {rule}, got another value")
    log.append(CUSTOMERS, checked.good.drop(ROW))
    customer_id = str(row["customer_id"])
    rows = log.read(CUSTOMERS, customer_ids=[customer_id])
    write_profiles(redis, customers_from_frame(rows, _said(log, customer_id), catalogue))
    forget_erased(redis, log.erased, [customer_id])


def _said(log: EventLog, customer_id: str) -> dict[str, Said]:
    """What this one customer said."""
    who = [customer_id]
    left = log.read(OUTCOMES, customer_ids=who).filter(pl.col("type") == OutcomeType.UNSUBSCRIBED.value)
    decisions = log.read(DECISIONS, columns=["decision_id", "channel"], customer_ids=who)
    return said_by(log.read(EVENTS, customer_ids=who), left, decisions)
