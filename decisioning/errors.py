"""Every error that Nextbest raises on purpose, in one tree.

Business answers are values; only broken machinery and wrong input are exceptions. HTTP statuses and exit codes are
mapped in one place each (`serving.http.problems`, `pipelines.cli`)::

    NextbestError
    |-- InvalidInputError          data or arguments are wrong: fix them          HTTP 422, exit 2
    |   |-- InvalidPolicyError     a catalogue or policy is wrong: fix it         HTTP 422, exit 2
    |   `-- UnknownNameError       a name that should resolve does not            HTTP 404, exit 2
    |-- InsufficientDataError      a number would mean nothing: gather more       HTTP 409, exit 3
    `-- UnavailableError           a component is down: retry                     HTTP 503, exit 75
        |-- FeatureUnavailableError    the online store could not answer
        |-- ModelUnavailableError      no usable model version
        |   `-- NoModelError               none was ever made: retrying helps nobody  exit 2
        `-- LogUnavailableError        the decision log could not take an entry

A message reads ``<name> must be <rule>, got <value>``, then what to do. It never holds personal data.
"""

from collections.abc import Iterable
from difflib import get_close_matches

MOST_LISTED = 12
"""Most names that a message lists where none is near."""


class NextbestError(Exception):
    """Root of the tree; `code` is stable and machine-readable."""

    code = "error"


class InvalidInputError(NextbestError):
    """Data or arguments are wrong. Do not retry: fix them."""

    code = "invalid_input"


class InvalidPolicyError(InvalidInputError):
    """A catalogue or policy is wrong. Do not retry: fix the file the message names."""

    code = "invalid_policy"


class MissingFieldError(InvalidPolicyError):
    """A creative needs a field that this customer, or this ask, does not have: it is not for them.

    Attributes:
        field: Which, such as `customer.first_name`.
    """

    code = "missing_field"

    def __init__(self, field: str) -> None:
        """Name the field; its value is not there to be told."""
        self.field = field
        super().__init__(f"{field} must be known to this creative, got nothing; give it a `default` or a condition")


class UnknownNameError(InvalidInputError):
    """A name that should resolve does not; the message offers the nearest ones."""

    code = "unknown_name"

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind = kind
        self.name = name
        names = sorted(known)
        self.nearest = nearest_names(name, names)
        super().__init__(f"{kind} must be a known name, got {name!r}{_hint(self.nearest, names)}")


class InsufficientDataError(NextbestError):
    """A number would mean nothing; the message says how much is missing."""

    code = "insufficient_data"


class UnavailableError(NextbestError):
    """A component is down. Retry later, or answer degraded."""

    code = "unavailable"


class FeatureUnavailableError(UnavailableError):
    """The online store could not answer."""

    code = "features_unavailable"


class ModelUnavailableError(UnavailableError):
    """No usable model version."""

    code = "model_unavailable"


class NoModelError(ModelUnavailableError):
    """Nothing is registered or promoted yet: do that first. A server answers without a model meanwhile."""


class LogUnavailableError(UnavailableError):
    """The decision log could not take an entry."""

    code = "log_unavailable"


def _hint(nearest: tuple[str, ...], names: list[str]) -> str:
    if nearest:
        return f"; did you mean {' or '.join(map(repr, nearest))}?"
    return f"; known are {', '.join(names)}" if 0 < len(names) <= MOST_LISTED else ""


def nearest_names(name: str, known: Iterable[str], limit: int = 3) -> tuple[str, ...]:
    """The known names most like a misspelt one, best first.

    Example:
        >>> nearest_names("emial", ["email", "sms", "push"])
        ('email',)
        >>> nearest_names("Nroth", ["north", "south"], limit=1)
        ('north',)
    """
    names: dict[str, list[str]] = {}
    for one in sorted(known):
        names.setdefault(one.casefold(), []).append(one)
    near = get_close_matches(name.casefold(), names, n=limit, cutoff=0.5)
    return tuple(one for folded in near for one in names[folded])[:limit]
