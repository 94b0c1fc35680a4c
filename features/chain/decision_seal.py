"""The seal of a decision: a random key and the commitment made with it; the audit chain binds commitments together.

Whoever brings rows into the log seals them, at the last moment before they are chained: until then a row lies where
nobody could tell a changed one anyway, since its key would lie beside it.
"""

import hmac
import secrets
from collections.abc import Mapping
from typing import Any

import orjson

from decisioning.errors import InvalidInputError
from features.log.rows import Row

SEALED_BY = ("record_key", "commitment")
"""Columns that the commitment does not cover: they carry it."""

_KEY_BYTES = 32


def sealed(row: Row) -> Row:
    """A decision's canonical row with a fresh record key and the commitment to all else in it; as it is if it has one.

    Example:
        >>> from features.log.contracts import DECISIONS
        >>> from features.log.rows import row_of
        >>> row = {"decision_id": "D", "customer_id": "C", "decided_at": "2026-01-01T00:00:00+00:00"}
        >>> is_sealed_by_its_key(sealed(row_of(DECISIONS, row)))
        True
    """
    if row["commitment"] is not None:
        return row
    key = secrets.token_hex(_KEY_BYTES)
    return {**row, "record_key": key, "commitment": commitment_of(row, key)}


def commitment_of(row: Mapping[str, Any], record_key: str) -> str:
    """HMAC-SHA256 of a canonical row under its record key, in hex.

    Columns without a value do not count, so a log that gains columns keeps its commitments.

    Raises:
        InvalidInputError: The record key is not hexadecimal.
    """
    try:
        key = bytes.fromhex(record_key)
    except ValueError as error:
        raise InvalidInputError("record_key must be hexadecimal, got other text") from error
    covered = {name: value for name, value in row.items() if value is not None and name not in SEALED_BY}
    return hmac.digest(key, orjson.dumps(covered, option=orjson.OPT_SORT_KEYS), "sha256").hex()


def is_sealed_by_its_key(row: Mapping[str, Any]) -> bool:
    """Whether a canonical row is the one that its commitment was made for."""
    key, commitment = row["record_key"], row["commitment"]
    if not key or not commitment:
        return False
    try:
        return hmac.compare_digest(commitment_of(row, key).encode(), commitment.encode())
    except InvalidInputError:
        return False
