"""Declared attributes as columns, from what rows hold of them as text."""

import polars as pl

from decisioning.catalogue import Attribute, AttributeKind
from features.tabular.cells import flags


def as_fact(attribute: Attribute, text: pl.Expr) -> pl.Expr:
    """As rules see it: a number, a word or a flag; null where it is missing or of another kind."""
    match attribute.kind:
        case AttributeKind.NUMBER:
            return text.cast(pl.Float64, strict=False)
        case AttributeKind.FLAG:
            return flags(text)
        case AttributeKind.CATEGORY:
            return text


def as_number(attribute: Attribute, text: pl.Expr) -> pl.Expr:
    """As models see it: a category by its place among the declared words."""
    if attribute.kind is not AttributeKind.CATEGORY:
        return as_fact(attribute, text).cast(pl.Float64)
    codes = {value: float(code) for code, value in enumerate(attribute.values)}
    return text.replace_strict(codes, default=None, return_dtype=pl.Float64)


def is_unfit(attribute: Attribute, text: pl.Expr) -> pl.Expr:
    """Where something is known that is of another kind than declared: rules can tell nothing of it."""
    return text.is_not_null() & as_fact(attribute, text).is_null()
