"""What data is for and how long it is kept: what the catalogue declares, else what this engine uses it for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from decisioning.errors import InvalidPolicyError
from features.catalogue.forms.privacy_form import RetentionFile
from features.catalogue.reading.form_check import validate_sections
from features.catalogue.reading.sections import read_sections

DEFAULT_PURPOSES: Mapping[str, str] = {
    "customers": "decide which message fits, and whether it may be sent",
    "customers.customer_id": "tell customers apart",
    "customers.consents": "prove and keep consent",
    "customers.channels": "reach the customer",
    "customers.protections": "protect the customer",
    "customers.time_zone": "keep quiet hours",
    "customers.country": "keep quiet hours",
    "customers.phone_prefix": "keep quiet hours",
    "customers.locale": "choose the language",
    "customers.household": "not to crowd a household with contacts",
    "events": "know where the customer stands in the journey, and learn what helps",
    "decisions": "explain every decision, count frequency caps, and learn what helps",
    "decisions.record": "explain and replay the decision",
    "decisions.commitment": "prove that the log was not altered",
    "decisions.record_key": "prove that the log was not altered",
    "outcomes": "measure what a message did, and count frequency caps",
    "features": "estimate what a message is worth to this customer",
    "live": "let the next decision know what happened a moment ago",
    "copies": "correct rejected rows, or hand messages over",
}
"""Purposes where the catalogue declares none; the longest name that fits counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRules:
    """What a catalogue declares about people's data.

    Attributes:
        retention: Days that data is kept; missing means until it is erased.
    """

    retention: RetentionFile = field(default_factory=RetentionFile)
    purposes: Mapping[str, str] = field(default_factory=dict[str, str])

    def purpose_of(self, name: str) -> str:
        """Purpose of a table, column, attribute, event type or property, by the longest declared name that fits.

        Example:
            >>> DataRules(purposes={"customers.attributes": "choose words"}).purpose_of("customers.attributes.age")
            'choose words'
        """
        parts = name.split(".")
        names = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
        declared = next((self.purposes[one] for one in names if one in self.purposes), None)
        return declared or next((DEFAULT_PURPOSES[one] for one in names if one in DEFAULT_PURPOSES), "not declared")

    def is_declared(self, name: str) -> bool:
        """Whether the catalogue itself says what this is for."""
        parts = name.split(".")
        return any(".".join(parts[:length]) in self.purposes for length in range(1, len(parts) + 1))


def data_rules(folder: Path) -> DataRules:
    """What the catalogue in a folder declares; nothing where there is no catalogue.

    Raises:
        InvalidPolicyError: One of the two sections is wrong; the message lists what.
    """
    if not folder.is_dir():
        return DataRules()
    sections = read_sections(folder)
    sound = validate_sections(sections)
    problems = [one for one in sections.problems if one.field.split(".")[0] in {"retention", "data_purposes"}]
    if problems:
        raise InvalidPolicyError("\n".join(["catalogue must have no problems, got:", *map(str, problems)]))
    return DataRules(retention=sound["retention"], purposes=dict(sound["data_purposes"]))


def kept_days(rules: DataRules, table: str) -> int | None:
    """Days that rows of a table are kept; None until they are erased."""
    return getattr(rules.retention, table)
