"""Decisions read back from rows of the log, whatever form their record has.

A compact record leaves out names that the archived catalogue and feature schema of its time give back, see
`decisioning.record.compact`.
"""

from collections.abc import Mapping
from typing import Any, cast

import orjson

from decisioning.decision import Decision
from decisioning.errors import InvalidInputError
from decisioning.record.compact import COMPACT_VERSION, decision_from_compact, features_from_compact
from decisioning.record.document import Record, decision_from_record, decision_to_record
from decisioning.record.vocabulary import FeatureNames, Vocabulary
from decisioning.scoring import FeatureVector
from features.computing.feature_schema import FeatureSchema
from features.models.policy_archive import PolicyArchive
from features.models.schema_archive import known_schemas
from features.settings import Settings

type StoredDecision = Mapping[str, Any]
"""A row of the canonical table `decisions` with a record; times as `datetime` or as ISO 8601 texts.

What has no value may be missing.
"""

READ_COLUMNS = (
    "decision_id", "customer_id", "decided_at", "touchpoint", "offer_id", "channel", "creative_id",
    "action_probability", "stage", "arms", "policy_version", "model_version", "is_held_out", "ghost", "record",
)  # fmt: skip
"""Columns that reading a decision needs."""


class LoggedDecisions:
    """Reads the decisions of one home; names of a catalogue stay in memory once they were needed.

    Attributes:
        archive: The policies and catalogues of old.
    """

    def __init__(self, settings: Settings, archive: PolicyArchive | None = None) -> None:
        """Read nothing yet.

        Args:
            settings: Where catalogues and schemas are archived.
            archive: The archive of catalogues, where somebody has it open.
        """
        self._settings = settings
        self.archive = archive or PolicyArchive(settings.catalogues_path)
        self._vocabularies: dict[tuple[str, str], Vocabulary] = {}

    def decision(self, row: StoredDecision) -> Decision:
        """The decision of a row.

        Raises:
            InvalidInputError: Its record is damaged, or its catalogue or feature schema is not archived.
        """
        record = _read(row)
        if record.get("record_version") != COMPACT_VERSION:
            return decision_from_record(record)
        read = {name: row.get(name) for name in READ_COLUMNS}
        read |= {"arms": _json(read["arms"]) or {}, "ghost": _json(read["ghost"])}
        return decision_from_compact(read, record, self._vocabulary(row["policy_version"], row["touchpoint"]))

    def vector(self, row: StoredDecision) -> FeatureVector | None:
        """The features that a decision looked at; None where it looked at none.

        Raises:
            InvalidInputError: As `decision`.
        """
        record = _read(row)
        if record.get("record_version") != COMPACT_VERSION:
            return decision_from_record(record).inputs.features
        vocabulary = self._vocabulary(row["policy_version"], row["touchpoint"])
        return features_from_compact(row, record, vocabulary)

    def document(self, row: StoredDecision) -> Record:
        """The decision of a row as people read it; a record that is a document already is left as it is.

        Raises:
            InvalidInputError: As `decision`.
        """
        record = _read(row)
        return decision_to_record(self.decision(row)) if record.get("record_version") == COMPACT_VERSION else record

    def _vocabulary(self, policy_version: str, touchpoint_id: str) -> Vocabulary:
        key = policy_version, touchpoint_id
        if key not in self._vocabularies:
            catalogue = self.archive.catalogue(policy_version)
            if catalogue is None or touchpoint_id not in catalogue.touchpoints:
                raise InvalidInputError(
                    f"catalogue of policy {policy_version} must be archived in {self._settings.catalogues_path}, "
                    "got none or a damaged one; bring that folder back from a backup"
                )
            self._vocabularies[key] = Vocabulary(catalogue, touchpoint_id, feature_names(known_schemas(self._settings)))
        return self._vocabularies[key]


def feature_names(schemas: Mapping[str, FeatureSchema]) -> dict[str, FeatureNames]:
    """What vocabularies say of feature schemas, by fingerprint."""
    return {
        fingerprint: FeatureNames(schema.names, tuple(group.name for group in schema.groups))
        for fingerprint, schema in schemas.items()
    }


def _read(row: StoredDecision) -> Record:
    record = _json(row["record"])
    if not isinstance(record, dict):
        raise InvalidInputError(f"record must be a JSON object, got {type(record).__name__}; it is damaged")
    return cast("Record", record)


def _json(text: str | None) -> Any:
    try:
        return None if text is None else orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInputError("record must be JSON, got other text; it is damaged or cut short") from error
