"""Every feature schema that was in use, by fingerprint, so that what was written under one can be read after a change.

    features/schemas/<fingerprint>.json      groups with their features and greatest ages, and what each feature means

A record in Redis names its schema by fingerprint alone. Between a change of the catalogue and the next materialisation
Redis is full of records of the schema before, and a model knows the features that it was trained on.
"""

from collections.abc import Mapping
from pathlib import Path

import orjson
from pydantic import TypeAdapter, ValidationError

from decisioning.errors import FeatureUnavailableError
from features.computing.feature_schema import FeatureSchema
from features.durability import replace_file
from features.log.contracts import CUSTOMERS
from features.settings import Settings

_ADAPTER = TypeAdapter(FeatureSchema)


def keep_schema(settings: Settings, schema: FeatureSchema) -> None:
    """Write a schema down, unless it is there.

    Raises:
        FeatureUnavailableError: It could not be written.
    """
    path = _folder(settings) / f"{schema.fingerprint}.json"
    if path.exists():
        return
    try:
        replace_file(path, orjson.dumps(schema, option=orjson.OPT_INDENT_2))
    except OSError as error:
        raise FeatureUnavailableError(
            f"feature schemas must be writable, got {error.strerror} at {path}; repair or free the disk"
        ) from error


def known_schemas(settings: Settings) -> Mapping[str, FeatureSchema]:
    """Every schema that was kept, by fingerprint; a file that cannot be read is passed over."""
    return {schema.fingerprint: schema for path in _folder(settings).glob("*.json") if (schema := _read(path))}


def _folder(settings: Settings) -> Path:
    return settings.features_path / "schemas"


def _read(path: Path) -> FeatureSchema | None:
    try:
        return _ADAPTER.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def is_unbuilt(settings: Settings) -> bool:
    """Whether a home has customers, and nobody built features of them yet."""
    return (settings.log_path / CUSTOMERS.name).exists() and not _manifests(settings)


def _manifests(settings: Settings) -> list[Path]:
    return sorted((settings.features_path / "history").glob("g-*/manifest.json"))


def built_schema(settings: Settings) -> FeatureSchema | None:
    """Schema of the feature history in force; None where nothing was built here, or nobody wrote the schema down.

    Reads the manifest alone: a server that asks has no use for the history itself, nor for the libraries that read it.
    """
    manifests = _manifests(settings)
    try:
        fingerprint = orjson.loads(manifests[-1].read_bytes())["fingerprint"] if manifests else ""
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return None
    path = _folder(settings) / f"{fingerprint}.json"
    return _read(path) if fingerprint and path.is_file() else None
