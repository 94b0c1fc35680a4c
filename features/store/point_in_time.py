"""Training rows through Feast: for each customer and moment, the newest feature row that is not later."""

import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InvalidInputError
from features.computing.feature_set import feature_schema
from features.log.contracts import UTC_TIME
from features.settings import Settings
from features.store.feast_repository import apply, quiet

_ROW = "nextbest_row"


def training_rows(settings: Settings, catalogue: Catalogue, entities: pl.DataFrame) -> pl.DataFrame:
    """Features of customers as of moments, by Feast's point-in-time join over the feature history.

    The history has a row at every decision, and a row at T holds only what was known before T; so for a decision this
    gives what `compute_features` gives. For any other moment it gives the newest row before it, unless that is older
    than its group's greatest age.

    Returns:
        n rows in the order of `entities`: `customer_id`, `event_timestamp`, a Float64 column per feature, null where
        missing.

    Raises:
        FeatureUnavailableError: Nothing was built yet, or under another catalogue.
        InvalidInputError: An entity has no customer or no moment.
    """
    keys = entities.select("customer_id", pl.col("event_timestamp").cast(UTC_TIME))
    if keys.null_count().sum_horizontal().item():
        raise InvalidInputError(
            "entities must have a customer_id and an event_timestamp in every row, got a missing one"
        )
    schema = feature_schema(catalogue)
    store = apply(settings, catalogue)
    if keys.is_empty():
        return keys.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in schema.names)
    references = [f"{group.name}:{name}" for group in schema.groups for name in group.features]
    with quiet():
        job = store.get_historical_features(entity_df=keys.with_row_index(_ROW).to_pandas(), features=references)
        joined = pl.DataFrame(pl.from_arrow(job.to_arrow()))
    return joined.sort(_ROW).select(
        "customer_id",
        pl.col("event_timestamp").cast(UTC_TIME),
        *(pl.col(name).cast(pl.Float64).fill_nan(None) for name in schema.names),
    )
