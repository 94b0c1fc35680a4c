"""Errors of the services, each with a stable code; `serving.http.problems` maps them to HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass

from decisioning.errors import InvalidInputError, UnavailableError


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong; `pointer` is a JSON Pointer into the body, or the name of a query parameter."""

    pointer: str
    detail: str


class InvalidFormError(InvalidInputError):
    """What a caller sent is wrong.

    Attributes:
        faults: Everything that is wrong, at least one.
    """

    code = "validation_error"

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        first = self.faults[0]
        more = f" ({len(self.faults) - 1} more)" if len(self.faults) > 1 else ""
        super().__init__(f"{first.pointer or 'body'}: {first.detail}{more}")


class ReusedKeyError(InvalidInputError):
    """An idempotency key was already used for another request."""

    code = "idempotency_mismatch"

    def __init__(self) -> None:
        super().__init__("Idempotency-Key must be new for a new request, got a used one")


class UnknownDecisionError(InvalidInputError):
    """Neither Redis nor the log knows a decision of that id."""

    code = "unknown_decision"

    def __init__(self) -> None:
        super().__init__(
            "decision must be one of this server or of its log, got an unknown id; a decision made while Redis was away"
            " appears once the drain has run"
        )


class NoRecordError(InvalidInputError):
    """There is no record to answer from: the decision was imported, or what its record needs is gone."""

    code = "no_record"

    def __init__(
        self, problem: str = "decision must be one that this engine made, got an imported one without a record"
    ) -> None:
        super().__init__(problem)


class NotReadyError(UnavailableError):
    """No catalogue was ever in force."""

    code = "not_ready"
