"""Everything we use of Feast, imported here alone, because importing Feast needs care twice.

Feast sets prometheus_client's switch for several processes when it is imported; prometheus_client must have been
imported before, or two sets of numbers in one process add up to one.

Feast also marks its classes with typeguard's `typechecked`, which reads and compiles a class's module anew for every
method: four of the six CPU seconds that the import takes, in every command that builds features or trains, and one more
for a module that the first join imports. Under `python -O` the mark does nothing; here it does nothing to Feast's
classes, and pyright checks our calls.
"""

from typing import Any

import prometheus_client  # noqa: F401
import typeguard

_typechecked = typeguard.typechecked


def _unless_feasts(target: Any = None, **options: Any) -> Any:
    return target if getattr(target, "__module__", "").startswith("feast.") else _typechecked(target, **options)


typeguard.typechecked = _unless_feasts

from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType  # noqa: E402
from feast.data_format import ParquetFormat  # noqa: E402
from feast.infra.common.materialization_job import (  # noqa: E402
    MaterializationJob,
    MaterializationJobStatus,
    MaterializationTask,
)
from feast.infra.compute_engines.base import ComputeEngine  # noqa: E402
from feast.infra.online_stores.online_store import OnlineStore  # noqa: E402
from feast.infra.registry.base_registry import BaseRegistry  # noqa: E402
from feast.infra.supported_async_methods import SupportedAsyncMethods  # noqa: E402
from feast.protos.feast.types.EntityKey_pb2 import EntityKey  # noqa: E402
from feast.protos.feast.types.Value_pb2 import Value  # noqa: E402
from feast.repo_config import FeastConfigBaseModel  # noqa: E402
from feast.types import Float64  # noqa: E402

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
