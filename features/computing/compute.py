"""Features as of a moment: definitions, evaluated over what was known strictly before it."""

from collections.abc import Iterator, Sequence

import narwhals as nw
import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InvalidInputError
from decisioning.rules.fact_names import CUSTOMER_PREFIX
from features.computing.definition import PACK, PACK_DIGITS, Definition, Source, Term
from features.computing.feature_set import definitions, feature_schema
from features.computing.rule_expressions import unfit_column
from features.computing.sources import Sources, Tables, sources_of
from features.computing.stages import look_backs, stage_expression, stage_facts, stage_features
from features.log.contracts import UTC_TIME
from features.progress import OnProgress

CHUNK_ROWS = 3_000_000
"""Joined rows per chunk of customers: bounds memory at a few hundred megabytes."""

_KNOWN = "is_known"


def compute_features(
    history: Tables, anchors: pl.DataFrame, catalogue: Catalogue, *, on_progress: OnProgress | None = None
) -> pl.DataFrame:
    """Features of customers at moments, from rows known strictly before each.

    A row is known from the later of `occurred_at` and `recorded_at` (`updated_at` for customers, `decided_at` for
    decisions). A customer of whom nothing was known has only missing values; counts of a known one start at 0.

    Args:
        history: The four canonical tables.
        anchors: n rows of `customer_id` and `at` (aware, UTC); repeats are welcome.
        catalogue: Declares attributes, event types, channels, offer kinds and stages.
        on_progress: Told now and then how many anchors are done.

    Returns:
        n rows in the order of `anchors`: `customer_id`, `event_timestamp` and a Float64 column per feature, null
        where missing.

    Raises:
        InvalidInputError: An anchor has no customer or no time.
        InvalidPolicyError: A stage's rule names an unknown fact.
    """
    wanted = _wanted(anchors)
    names = feature_schema(catalogue).names
    parts = [
        pl.DataFrame(schema={"customer_id": pl.String, "event_timestamp": UTC_TIME} | dict.fromkeys(names, pl.Float64))
    ]
    for part in feature_chunks(sources_of(history, catalogue), wanted, catalogue):
        parts.append(part)
        if on_progress is not None:
            on_progress(sum(done.height for done in parts), wanted.height)
    return anchors.select("customer_id", pl.col("at").cast(UTC_TIME).alias("event_timestamp")).join(
        pl.concat(parts), on=["customer_id", "event_timestamp"], how="left", maintain_order="left"
    )


def feature_chunks(sources: Sources, anchors: pl.DataFrame, catalogue: Catalogue) -> Iterator[pl.DataFrame]:
    """Features of distinct anchors, some customers at a time, so that memory stays bounded however many there are.

    Args:
        sources: Prepared rows of the history.
        anchors: `customer_id` and `at` (aware, UTC), each pair once.
        catalogue: Declares the features.

    Yields:
        `customer_id`, `event_timestamp` and a Float64 column per feature, in no particular order.
    """
    names = feature_schema(catalogue).names
    wanted = anchors.select("customer_id", pl.col("at").cast(UTC_TIME).dt.epoch("us").alias("at_us"))
    for chunk, rows in _chunks(wanted, sources, has_stages=bool(catalogue.stages)):
        yield _features_of(chunk, rows, catalogue).select(
            "customer_id", pl.from_epoch("at_us", "us").dt.replace_time_zone("UTC").alias("event_timestamp"), *names
        )


def _wanted(anchors: pl.DataFrame) -> pl.DataFrame:
    """Each (customer, moment) once."""
    if anchors.select(pl.any_horizontal(pl.col("customer_id", "at").is_null()).any()).item():
        raise InvalidInputError("anchors must have a customer_id and an at in every row, got a missing one: drop it")
    return anchors.select("customer_id", "at").unique()


def _chunks(wanted: pl.DataFrame, sources: Sources, *, has_stages: bool) -> Iterator[tuple[pl.DataFrame, Sources]]:
    """Anchors by customers, so that joining them with their rows stays within `CHUNK_ROWS`."""
    rows = (
        pl.concat([frame.select("customer_id") for frame in sources.frames.values()])
        .group_by("customer_id")
        .len("rows")
    )
    per_anchor = 4 if has_stages else 1
    sized = (
        wanted.group_by("customer_id")
        .agg(pl.len().alias("anchors"))
        .join(rows, on="customer_id", how="left")
        .sort("customer_id")
        .with_columns((pl.col("anchors") * (pl.col("rows").fill_null(0) + 1) * per_anchor).cum_sum().alias("size"))
        .select("customer_id", (pl.col("size") // CHUNK_ROWS).alias("chunk"))
    )
    for customers in sized.partition_by("chunk", maintain_order=True):
        yield wanted.join(customers, on="customer_id", how="semi"), sources.of(customers)


def _features_of(anchors: pl.DataFrame, sources: Sources, catalogue: Catalogue) -> pl.DataFrame:
    defined = definitions(catalogue)
    features = evaluate(anchors, sources, defined)
    if not catalogue.stages:
        return features
    asked = stage_facts(catalogue)
    needed = tuple(definition for definition in defined if definition.name in asked)
    customer = sorted(name for name in asked if name.startswith(CUSTOMER_PREFIX))
    facts = (*customer, *map(unfit_column, customer))
    moments = evaluate(look_backs(anchors), sources, needed, facts=facts)
    stage = stage_expression(catalogue, [definition.name for definition in defined])
    stages = (
        nw.from_native(moments)
        .with_columns(nw.when(nw.col(_KNOWN)).then(stage).alias("stage"))
        .select("customer_id", "at_us", "stage")
        .to_native()
    )
    return stage_features(features, stages)


def evaluate(
    anchors: pl.DataFrame, sources: Sources, defined: Sequence[Definition], *, facts: Sequence[str] = ()
) -> pl.DataFrame:
    """Definitions at anchors.

    Args:
        anchors: `customer_id` and `at_us`, each pair once.
        sources: Prepared rows.
        defined: Definitions to evaluate.
        facts: Columns of the newest customer row to add as they are.

    Returns:
        The anchors in any order with a column per definition and fact, and `is_known`.
    """
    frame = nw.from_native(anchors.lazy())
    result = frame
    presences: list[str] = []
    for source, rows in sources.frames.items():
        part = aggregate(frame, nw.from_native(rows.lazy()), source, defined, facts=facts)
        presences.append(f"rows_{source}")
        result = result.join(part, on=["customer_id", "at_us"], how="left")
    known = nw.any_horizontal(*(~nw.col(presence).is_null() for presence in presences), ignore_nulls=False)
    return (
        result.with_columns(known.alias(_KNOWN))
        .select("customer_id", "at_us", _KNOWN, *(finished(definition) for definition in defined), *facts)
        .to_native()
        .collect()
    )


def aggregate(
    anchors: nw.LazyFrame,
    rows: nw.LazyFrame,
    source: Source,
    defined: Sequence[Definition],
    *,
    facts: Sequence[str] = (),
) -> nw.LazyFrame:
    """Every term over one source: a row per anchor that has any row known before it, on any engine of Narwhals."""
    joined = anchors.join(rows, on="customer_id", how="inner").filter(nw.col("known_us") < nw.col("at_us"))
    kept: Sequence[str] = ()
    if source is Source.CUSTOMERS:
        kept = facts
        newest = nw.col("known_us").max().over("customer_id", "at_us")
        joined = joined.filter(nw.col("known_us") == newest)
    if source is Source.CONTACTS:  # the one row of each that stood then
        joined = joined.filter(nw.col("at_us") <= nw.col("until_us"))
    return joined.group_by("customer_id", "at_us").agg(
        nw.len().alias(f"rows_{source}"),
        *(term.aggregated(name) for name, term in terms_of(defined).items() if term.source is source),
        *(nw.col(fact).max() for fact in kept),
    )


def terms_of(defined: Sequence[Definition]) -> dict[str, Term]:
    """Numerators and denominators by column name."""
    terms: dict[str, Term] = {}
    for definition in defined:
        terms[f"{definition.name}:top"] = definition.term
        if definition.divisor is not None:
            terms[f"{definition.name}:bottom"] = definition.divisor
    return terms


def finished(definition: Definition) -> nw.Expr:
    """The feature from its aggregated terms."""
    top, bottom = nw.col(f"{definition.name}:top"), nw.col(f"{definition.name}:bottom")
    if definition.is_packed:
        value = (top % PACK) / PACK_DIGITS
    elif definition.divisor is not None:
        value = nw.when(bottom > 0).then(top / bottom)
    elif definition.is_count:
        value = nw.when(nw.col(_KNOWN)).then(nw.when(top.is_null()).then(0.0).otherwise(top))
    else:
        value = top
    return value.cast(nw.Float64).alias(definition.name)
