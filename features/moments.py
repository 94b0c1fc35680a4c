"""Moments as people type them."""

from datetime import UTC, datetime

from decisioning.errors import InvalidInputError


def moment_from(text: str, name: str) -> datetime:
    """An ISO 8601 date or time as an aware moment; UTC where it names no zone.

    Raises:
        InvalidInputError: It is no such thing.

    Example:
        >>> moment_from("2026-11-01", "as_of").isoformat()
        '2026-11-01T00:00:00+00:00'
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInputError(
            f"{name} must be an ISO 8601 time such as 2026-11-01T00:00:00Z, got {text!r}: write it like that"
        ) from error
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
