"""Declared attributes as columns, from what rows hold of them as text."""

import polars as pl

from decisioning.catalogue.catalogue import Attribute, AttributeKind
from features.declared import read_number, read_value
from features.tabular.cells import flags


def as_fact(attribute: Attribute, text: pl.Expr) -> pl.Expr:
    """As rules see it: a number, a word or a flag; null where it is missing or of another kind."""
    match attribute.kind:
        case AttributeKind.NUMBER:
            return text.map_batches(_numbers, return_dtype=pl.Float64)
        case AttributeKind.FLAG:
            return flags(text)
        case AttributeKind.CATEGORY:
            return text.map_batches(lambda words: _words(attribute, words), return_dtype=pl.String)


def as_number(attribute: Attribute, text: pl.Expr) -> pl.Expr:
    """As models see it: a category by its place among the declared words."""
    if attribute.kind is not AttributeKind.CATEGORY:
        return as_fact(attribute, text).cast(pl.Float64)
    codes = {value: float(code) for code, value in enumerate(attribute.values)}
    return as_fact(attribute, text).replace_strict(codes, default=None, return_dtype=pl.Float64)


def is_unfit(attribute: Attribute, text: pl.Expr) -> pl.Expr:
    """Where something is known that is of another kind than declared: rules can tell nothing of it."""
    return text.is_not_null() & as_fact(attribute, text).is_null()


def _numbers(texts: pl.Series) -> pl.Series:
    """Most are plain; what is not is read one by one, as profiles are."""
    plain = texts.cast(pl.Float64, strict=False)
    plain = plain.set(~plain.is_finite().fill_null(value=True), None)
    odd = texts.filter(plain.is_null() & texts.is_not_null()).unique().to_list()
    read = {text: float(found) for text in odd if (found := read_number(text)) is not None}  # may exceed 64 bits
    rest = texts.replace_strict(read, default=None, return_dtype=pl.Float64) if read else plain
    return plain.zip_with(plain.is_not_null(), rest)


def _words(attribute: Attribute, texts: pl.Series) -> pl.Series:
    read = {text: read_value(attribute, text) for text in texts.drop_nulls().unique().to_list()}
    return texts.replace_strict(read, default=None, return_dtype=pl.String) if read else texts.cast(pl.String)
