"""Who a logged decision was about, as known just before it."""

import polars as pl

from decisioning.customer import Customer
from features.history import History
from features.log.outcome_types import OutcomeType
from features.log.reported import arrived_at
from features.online.profiles import customers_from_frame


def profiles_at(history: History, decisions: pl.DataFrame) -> list[Customer | None]:
    """The profile of each decision's customer from the newest row known strictly before it.

    Args:
        history: Canonical customers, decisions and outcomes.
        decisions: n rows with `customer_id` and `decided_at`.

    Returns:
        n profiles in order; None where nothing was known of the customer.

    Raises:
        InvalidInputError: A JSON column of the customers is not what its contract says.
    """
    customers = _by_version(history.customers)
    versions = _version_at(history.customers, decisions)
    return [
        None if version is None else customers[customer_id, version]
        for customer_id, version in zip(decisions["customer_id"], versions, strict=True)
    ]


def channels_left(history: History, decisions: pl.DataFrame) -> list[frozenset[str]]:
    """Channels that each decision's customer had unsubscribed from before it: n sets in order.

    An unsubscription belongs to the channel of its decision.
    """
    left = (
        history.outcomes.filter(pl.col("type") == OutcomeType.UNSUBSCRIBED.value)
        .join(history.decisions.select("decision_id", "channel"), on="decision_id", how="inner")
        .filter(pl.col("channel").is_not_null())
        .select("customer_id", "channel", known_at=arrived_at())
    )
    if left.is_empty():
        return [frozenset()] * decisions.height
    asked = decisions.select("customer_id", "decided_at").with_row_index("row")
    pairs = asked.join(left, on="customer_id").filter(pl.col("known_at") < pl.col("decided_at"))
    found: dict[int, set[str]] = {}
    for row, channel in pairs.select("row", "channel").iter_rows():
        found.setdefault(row, set()).add(channel)
    return [frozenset(found.get(row, ())) for row in range(decisions.height)]


def _by_version(customers: pl.DataFrame) -> dict[tuple[str, int], Customer]:
    """Every row of every customer; its version is its place in time."""
    numbered = customers.with_columns(version=_version())
    found: dict[tuple[str, int], Customer] = {}
    for version in numbered["version"].unique():
        rows = numbered.filter(pl.col("version") == version).drop("version")
        found |= {(customer.customer_id, version): customer for customer in customers_from_frame(rows)}
    return found


def _version_at(customers: pl.DataFrame, decisions: pl.DataFrame) -> list[int | None]:
    rows = customers.select("customer_id", "updated_at", version=_version()).sort("updated_at")
    asked = decisions.select("customer_id", "decided_at").with_row_index("row").sort("decided_at")
    found = asked.join_asof(
        rows,
        left_on="decided_at",
        right_on="updated_at",
        by="customer_id",
        strategy="backward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    return found.sort("row")["version"].to_list()


def _version() -> pl.Expr:
    return pl.col("updated_at").rank("ordinal").over("customer_id").cast(pl.Int64)
