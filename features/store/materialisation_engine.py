"""Feast's batch engine for packed records: `type: features.store.materialisation_engine.PackedEngine`.

Feast's local engine turns every value into a protobuf message on its way from the offline store to the online store,
which is some hundred times slower than either. This engine takes the same tasks, asks the same offline store for the
newest rows, and hands the columns to the packed store as they are. Views that share source and period are pulled and
written together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from decisioning.arrays import FloatArray
from decisioning.errors import FeatureUnavailableError
from features.computing.feature_schema import FeatureGroup, FeatureSchema
from features.online.record import record_layout
from features.store.feast_names import (
    BaseRegistry,
    ComputeEngine,
    Entity,
    FeastConfigBaseModel,
    FeatureView,
    FileSource,
    MaterializationJob,
    MaterializationJobStatus,
    MaterializationTask,
)
from features.store.online_store import SCHEMA_TAG, PackedRedisOnlineStore, offset_of

ALL_VIEWS_TAG = "nextbest_view_count"


class PackedEngineConfig(FeastConfigBaseModel):
    """Configuration of the engine."""

    type: Literal["features.store.materialisation_engine.PackedEngine"] = (
        "features.store.materialisation_engine.PackedEngine"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedJob(MaterializationJob):
    """A finished job."""

    task: MaterializationTask

    def status(self) -> MaterializationJobStatus:
        """It is there only if it worked."""
        return MaterializationJobStatus.SUCCEEDED

    def error(self) -> BaseException | None:
        """A failure is raised where it happens."""
        return None

    def should_be_retried(self) -> bool:
        """Writing again is safe, but up to the caller."""
        return False

    def job_id(self) -> str:
        """View and end of the period."""
        return f"{self.task.feature_view.name}-{self.task.end_time.isoformat()}"

    def url(self) -> str | None:
        """Nothing to look at."""
        return None


class PackedEngine(ComputeEngine):
    """Moves the newest rows of feature views into the packed online store, column by column."""

    @property
    def supports_batch(self) -> bool:
        """All views come in one call."""
        return True

    def update(
        self,
        project: str,
        views_to_delete: Sequence[Any],
        views_to_keep: Sequence[Any],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
    ) -> None:
        """Nothing to prepare."""

    def teardown_infra(self, project: str, fvs: Sequence[Any], entities: Sequence[Entity]) -> None:
        """Nothing to remove."""

    def materialize(
        self,
        registry: BaseRegistry,  # noqa: ARG002 - Feast's signature
        tasks: MaterializationTask | list[MaterializationTask],
        **_: Any,
    ) -> list[MaterializationJob]:
        """Write the newest rows of each task's period."""
        tasks = [tasks] if isinstance(tasks, MaterializationTask) else tasks
        together: dict[tuple[str, datetime, datetime], list[MaterializationTask]] = {}
        for task in tasks:
            together.setdefault((_source_of(task.feature_view).path, task.start_time, task.end_time), []).append(task)
        for same in together.values():
            self._move([task.feature_view for task in same], same[0].start_time, same[0].end_time)
        return [PackedJob(task=task) for task in tasks]

    def _move(self, views: list[FeatureView], start: datetime, end: datetime) -> None:
        names = [field.name for view in views for field in view.features]
        table = self._newest(views[0], names, start, end)
        if table.num_rows == 0:
            return
        customer_ids = table.column("customer_id").to_pylist()
        times = table.column("event_timestamp").cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
        store = self.online_store
        if not isinstance(store, PackedRedisOnlineStore):
            raise FeatureUnavailableError(f"online store must be packed for this engine, got {type(store).__name__}")
        if len(views) == int(views[0].tags[ALL_VIEWS_TAG]):
            ordered = _schema_of(views)
            store.write_records(
                self.repo_config, record_layout(ordered), customer_ids, times, _matrix(table, ordered.names)
            )
            return
        for view in views:
            values = _matrix(table, [field.name for field in view.features])
            store.write_segments(self.repo_config, view, customer_ids, times, values)

    def _newest(self, view: FeatureView, names: list[str], start: datetime, end: datetime) -> pa.Table:
        """The newest row of each customer in the period, from the offline store."""
        source = _source_of(view)
        job = self.offline_store.pull_latest_from_table_or_query(
            config=self.repo_config,
            data_source=source,
            join_key_columns=["customer_id"],
            feature_name_columns=names,
            timestamp_field=source.timestamp_field,
            created_timestamp_column=source.created_timestamp_column,
            start_date=start,
            end_date=end,
        )
        return job.to_arrow()


def _source_of(view: FeatureView) -> FileSource:
    source = view.batch_source
    if not isinstance(source, FileSource):
        raise FeatureUnavailableError(f"source of view {view.name} must be files, got {type(source).__name__}")
    return source


def _schema_of(views: Sequence[FeatureView]) -> FeatureSchema:
    """The schema that a complete set of views makes."""
    groups = tuple(
        FeatureGroup(name=view.name, features=tuple(field.name for field in view.features), max_age_days=0.0)
        for view in sorted(views, key=offset_of)
    )
    names = tuple(name for group in groups for name in group.features)
    return FeatureSchema(names=names, groups=groups, fingerprint=views[0].tags[SCHEMA_TAG])


def _matrix(table: pa.Table, names: Sequence[str]) -> FloatArray:
    """Columns as shape (n, len(names)), NaN where missing."""
    return np.column_stack([table.column(name).to_numpy(zero_copy_only=False) for name in names]).astype(np.float64)
