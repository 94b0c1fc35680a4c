"""Building the feature history: rows at the moment of every decision, and of every customer now.

Only what is missing is computed. Rows stay as they are while schema and offer kinds stay, and while nothing turns up
that claims to have been known before them: an import of older history, or an erasure. Customers to whom that happens
are built again, so that stored rows always equal what `compute_features` gives from the log as it is.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InsufficientDataError, InvalidInputError, UnavailableError
from features.computing.compute import feature_chunks
from features.computing.feature_schema import FeatureSchema
from features.computing.feature_set import feature_schema
from features.computing.sources import sources_of
from features.history import History
from features.locks import held
from features.log.contracts import UTC_TIME
from features.log.event_log import EventLog
from features.log.reported import arrived_at
from features.models.schema_archive import keep_schema
from features.progress import OnProgress
from features.settings import Settings
from features.store.feast_repository import apply
from features.store.feature_history import Generation, current_generation, draft, link_files, put_in_force

KEY = ("customer_id", "event_timestamp")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """What a build did.

    Attributes:
        rows_built: Rows computed now.
        rows_kept: Rows taken over from the generation before.
        customers_rebuilt: Customers whose older rows were computed again, because rows turned up that were known
            before them.
        customers_not_profiled: Customers who opted out of profiling; the history has no row of them.
    """

    as_of: datetime
    features: int
    decisions: int
    customers: int
    rows_built: int
    rows_kept: int
    customers_rebuilt: int
    customers_not_profiled: int
    generation: int


def build_features(
    settings: Settings,
    catalogue: Catalogue,
    as_of: datetime,
    progress: OnProgress | None = None,
    *,
    full: bool = False,
) -> BuildReport:
    """Bring the feature history up to date and register it with Feast.

    Args:
        settings: Where log and features live.
        catalogue: Declares the features.
        as_of: Moment of the snapshot (aware); the snapshot uses what was known before it.
        progress: Told how many rows are done, and how many there are to do.
        full: Compute every row again.

    Raises:
        InvalidInputError: `as_of` has no time zone.
        InsufficientDataError: The log has no customers.
        UnavailableError: Another build is running.
    """
    report = update_history(settings, catalogue, as_of, progress, full=full)
    apply(settings, catalogue)
    return report


def update_history(
    settings: Settings,
    catalogue: Catalogue,
    as_of: datetime,
    progress: OnProgress | None = None,
    *,
    full: bool = False,
) -> BuildReport:
    """The part of `build_features` that writes files; Feast does not hear of it."""
    if as_of.tzinfo is None:
        raise InvalidInputError("as_of must have a time zone, got one without: write it like 2026-11-01T00:00:00Z")
    busy = UnavailableError("only one build may run at a time, got a second one: wait for the first")
    with held(settings.features_path / "build.lock", busy):
        history = History.from_log(EventLog(settings.log_path))
        return _build(settings, catalogue, history, as_of, progress, full=full)


def _build(
    settings: Settings,
    catalogue: Catalogue,
    history: History,
    as_of: datetime,
    progress: OnProgress | None,
    *,
    full: bool,
) -> BuildReport:
    schema = feature_schema(catalogue)
    keep_schema(settings, schema)
    not_profiled = pl.DataFrame({"customer_id": sorted(history.not_profiled())}, schema={"customer_id": pl.String})
    decisions, snapshot = _anchors(history, as_of, not_profiled)
    kinds = _kinds(history, catalogue)
    before = None if full else _usable(current_generation(settings), schema, kinds)
    changed = _changed(before, history)
    path = draft(settings)
    kept = _keep(before, pl.concat([changed, not_profiled]), path)
    missing = {
        f"decisions-{path.name}": decisions.join(kept, on=KEY, how="anti"),
        f"{_snapshot_name(as_of)}-{path.name}": snapshot.join(pl.concat([kept, decisions]), on=KEY, how="anti"),
    }
    built = _compute(missing, history, catalogue, path, progress)
    horizon = _horizon(pl.concat([kept, decisions, snapshot]))
    generation = Generation(
        path=path, number=0, fingerprint=schema.fingerprint, as_of=as_of, horizon=horizon, kinds=kinds
    )
    generation = put_in_force(settings, path, generation, _known_rows(history, horizon))
    return BuildReport(
        as_of=as_of,
        features=len(schema.names),
        decisions=history.decisions.height,
        customers=snapshot.height,
        rows_built=built,
        rows_kept=kept.height,
        customers_rebuilt=changed.height,
        customers_not_profiled=not_profiled.height,
        generation=generation.number,
    )


def _horizon(keys: pl.DataFrame) -> datetime:
    """The first moment later than every row: what counts as known for any of them was known before it."""
    return keys.select(pl.col("event_timestamp").max() + timedelta(microseconds=1)).item()


def _anchors(history: History, as_of: datetime, left_out: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Each (customer, moment) of a decision once, and each customer known before `as_of` at `as_of`.

    Nothing is computed about the customers `left_out`: they opted out of profiling.
    """
    decisions = history.decisions.select("customer_id", pl.col("decided_at").alias("event_timestamp")).unique()
    known = history.customers.filter(pl.col("updated_at") < as_of).select("customer_id").unique()
    profiled = known.join(left_out, on="customer_id", how="anti")
    if profiled.is_empty():
        raise InsufficientDataError(
            f"log must have customers known before {as_of.isoformat()} who may be profiled, got none of"
            f" {known.height}: run `nextbest import`"
        )
    snapshot = profiled.with_columns(pl.lit(as_of).cast(UTC_TIME).alias("event_timestamp"))
    return decisions.join(left_out, on="customer_id", how="anti"), snapshot


def _kinds(history: History, catalogue: Catalogue) -> dict[str, str | None]:
    """Kind of every offer in the log: response features depend on it."""
    offers = history.decisions["offer_id"].drop_nulls().unique().sort().to_list()
    return {offer: catalogue.offers[offer].kind if offer in catalogue.offers else None for offer in offers}


def _usable(before: Generation | None, schema: FeatureSchema, kinds: Mapping[str, str | None]) -> Generation | None:
    """The generation whose rows still mean the same; None where there is none."""
    if before is None or before.fingerprint != schema.fingerprint:
        return None
    return before if all(kinds.get(offer, kind) == kind for offer, kind in before.kinds.items()) else None


def _known_rows(history: History, horizon: datetime) -> pl.DataFrame:
    """Rows of each customer that were known before the horizon."""
    known = arrived_at()
    parts = (
        history.customers.filter(pl.col("updated_at") < horizon),
        history.events.filter(known < horizon),
        history.decisions.filter(pl.col("decided_at") < horizon),
        history.outcomes.filter(known < horizon),
    )
    return pl.concat([part.select("customer_id") for part in parts]).group_by("customer_id").len("rows")


def _changed(before: Generation | None, history: History) -> pl.DataFrame:
    """Customers of whom more or less was known before the last horizon than the last build saw."""
    if before is None:
        return pl.DataFrame(schema={"customer_id": pl.String})
    seen = before.known_rows()
    now = _known_rows(history, before.horizon)
    both = seen.join(now, on="customer_id", how="left", suffix="_now")
    return both.filter(pl.col("rows").ne_missing(pl.col("rows_now"))).select("customer_id")


def _keep(before: Generation | None, changed: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Take over rows that still hold; return their keys. Of older snapshots only the newest stays."""
    nothing = pl.DataFrame(schema={"customer_id": pl.String, "event_timestamp": UTC_TIME})
    if before is None:
        return nothing
    for pattern in ("decisions-*.parquet", f"{_snapshot_name(before.as_of)}-*.parquet"):
        if changed.is_empty():
            link_files(before, pattern, path)
            continue
        for file in before.path.glob(pattern):
            rest = pl.scan_parquet(file).join(changed.lazy(), on="customer_id", how="anti")
            rest.sink_parquet(path / file.name, compression="zstd")
    return pl.concat([nothing, *(pl.read_parquet(file, columns=list(KEY)) for file in path.glob("*.parquet"))]).unique()


def _compute(
    missing: Mapping[str, pl.DataFrame],
    history: History,
    catalogue: Catalogue,
    path: Path,
    progress: OnProgress | None,
) -> int:
    """Compute what is missing, chunk by chunk, into one file per kind; returns the number of rows."""
    total = sum(anchors.height for anchors in missing.values())
    sources = sources_of(history, catalogue)

    def report(before: int, now: int) -> None:
        if progress is not None:
            progress(before + now, total)

    done = 0
    for name, anchors in missing.items():
        chunks = feature_chunks(sources, anchors.rename({"event_timestamp": "at"}), catalogue)
        done += _write(path / f"{name}.parquet", chunks, partial(report, done))
    return done


def _write(file: Path, chunks: Iterator[pl.DataFrame], report: Callable[[int], None]) -> int:
    """Stream chunks into a Parquet file; no file where there are none."""
    writer: pq.ParquetWriter | None = None
    done = 0
    try:
        for chunk in chunks:
            table = chunk.to_arrow(compat_level=pl.CompatLevel.oldest())
            writer = writer or pq.ParquetWriter(file, table.schema, compression="zstd")
            writer.write_table(table)
            done += chunk.height
            report(done)
    finally:
        if writer is not None:
            writer.close()
    return done


def _snapshot_name(as_of: datetime) -> str:
    return f"snapshot-{as_of.astimezone(UTC):%Y%m%dT%H%M%S%f}"
