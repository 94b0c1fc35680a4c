"""Everything we use of Feast, imported here alone, because importing Feast needs care twice.

Feast sets prometheus_client's switch for several processes when it is imported; prometheus_client must have been
imported before, or two sets of numbers in one process add up to one.

Feast also marks its classes with typeguard's `typechecked`, which reads and compiles each module anew for every method
it checks: four of the six CPU seconds that the import takes, in every command that builds features or trains. Under
`python -O` the mark does nothing. It does nothing here either; pyright checks our calls.
"""

import prometheus_client  # noqa: F401
import typeguard

_checked = typeguard.typechecked
typeguard.typechecked = lambda target: target
try:
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.data_format import ParquetFormat
    from feast.infra.common.materialization_job import (
        MaterializationJob,
        MaterializationJobStatus,
        MaterializationTask,
    )
    from feast.infra.compute_engines.base import ComputeEngine
    from feast.infra.online_stores.online_store import OnlineStore
    from feast.infra.registry.base_registry import BaseRegistry
    from feast.infra.supported_async_methods import SupportedAsyncMethods
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value
    from feast.repo_config import FeastConfigBaseModel
    from feast.types import Float64
finally:
    typeguard.typechecked = _checked

__all__ = [
    "BaseRegistry",
    "ComputeEngine",
    "Entity",
    "EntityKey",
    "FeastConfigBaseModel",
    "FeatureStore",
    "FeatureView",
    "Field",
    "FileSource",
    "Float64",
    "MaterializationJob",
    "MaterializationJobStatus",
    "MaterializationTask",
    "OnlineStore",
    "ParquetFormat",
    "RepoConfig",
    "SupportedAsyncMethods",
    "Value",
    "ValueType",
]
